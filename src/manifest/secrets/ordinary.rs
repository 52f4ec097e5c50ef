//! Distinction between ordinary values and possible secrets: numbers, switches, paths, hosts, addresses, and words
//! common in manifests, plans and messages are ordinary. Masking those would hide what happened and protect nothing.

use std::collections::BTreeSet;
use std::net::IpAddr;

/// Fewest characters of a secret; shorter values occur in ordinary text.
const CHARS_MIN: usize = 8;
/// Most changes to upper case in a name in mixed case; a random value has more.
const HUMPS_MAX: usize = 2;
/// Common words of settings and messages that manifests need not name.
const WORDS: [&str; 44] = [
    "production",
    "development",
    "debugging",
    "information",
    "critical",
    "disabled",
    "automatic",
    "localhost",
    "container",
    "registered",
    "deploying",
    "deployed",
    "starting",
    "stopping",
    "updating",
    "maintenance",
    "suspended",
    "terminated",
    "unhealthy",
    "service_started",
    "service_healthy",
    "service_completed_successfully",
    "unless-stopped",
    "on-failure",
    "json-file",
    "bfloat16",
    "float16",
    "requests",
    "streaming",
    "interactive",
    "scheduled",
    "en_US.UTF-8",
    "en_GB.UTF-8",
    "de_DE.UTF-8",
    "expandable_segments:True",
    "graphics,utility,compute",
    "variable",
    "environment",
    "connection",
    "manifest",
    "required",
    "services",
    "requested",
    "password",
];

/// Returns true for a value that does not look like a secret. `words` are the manifest's own.
pub(super) fn is_ordinary(value: &str, words: &BTreeSet<String>) -> bool {
    let value = value.trim();
    let known = |text: &str| words.contains(text) || WORDS.contains(&text);
    value.chars().count() < CHARS_MIN
        || known(value)
        || is_plain(value)
        || (value.contains(',') && value.split(',').all(|part| known(part.trim()) || is_plain(part.trim())))
}

/// Returns true for a number, a switch, a path, a host or an address.
fn is_plain(value: &str) -> bool {
    is_number(value) || is_switch(value) || is_gpu(value) || is_host(value) || is_url(value) || is_path(value)
}

/// Returns the password of a URL, where it is long or unusual enough to be distinguished from a word.
pub(super) fn password(value: &str) -> Option<&str> {
    const UNUSUAL_CHARS_MIN: usize = 5;
    let (user, _) = credentials(value)?;
    let password = user.split_once(':')?.1;
    let unusual = password.chars().count() >= UNUSUAL_CHARS_MIN
        && !password.chars().all(char::is_alphabetic)
        && !password.chars().all(|one| one.is_ascii_digit());
    (password.chars().count() >= CHARS_MIN || unusual).then_some(password)
}

/// Splits a URL into its user information and the rest from its host on.
fn credentials(value: &str) -> Option<(&str, &str)> {
    let (_, rest) = value.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let at = authority.rfind('@')?;
    Some((&rest[..at], &rest[at + 1..]))
}

/// Returns true for a number, also a date, a time, a version, a range or a size.
fn is_number(value: &str) -> bool {
    let number = value.trim_end_matches(|one: char| one.is_ascii_alphabetic());
    let unit = &value[number.len()..];
    let digits = !number.is_empty()
        && number.contains(|one: char| one.is_ascii_digit())
        && number.chars().all(|one| one.is_ascii_digit() || " .,:;/+-_TZ".contains(one));
    let units = [
        "", "B", "K", "M", "G", "T", "KB", "MB", "GB", "TB", "KiB", "MiB", "GiB", "TiB", "ms", "s", "m", "h", "d", "Z",
    ];
    digits && units.contains(&unit) || value.parse::<f64>().is_ok()
}

fn is_switch(value: &str) -> bool {
    ["true", "false", "yes", "no", "on", "off", "none", "null", "auto", "all"]
        .iter()
        .any(|word| value.eq_ignore_ascii_case(word))
}

/// Returns true for a GPU's UUID, as the driver writes it.
fn is_gpu(value: &str) -> bool {
    let id = value.strip_prefix("GPU-").or_else(|| value.strip_prefix("MIG-"));
    id.is_some_and(|id| id.chars().all(|one| one.is_ascii_hexdigit() || "-/GPU".contains(one)))
}

/// Returns true for a host: `127.0.0.1`, `[::1]:80`, `db.example.org`, `gpu-host:8080`. A single word without a port
/// may be anything.
fn is_host(value: &str) -> bool {
    let bare = value.trim_start_matches('[').trim_end_matches(']');
    if bare.parse::<IpAddr>().is_ok() || value.parse::<std::net::SocketAddr>().is_ok() {
        return true;
    }
    if let Some((address, length)) = value.split_once('/') {
        return address.parse::<IpAddr>().is_ok() && length.parse::<u8>().is_ok();
    }
    let (host, port) = match value.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (value, None),
    };
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return false;
    }
    // A domain with all its subdomains begins with a dot.
    let host = host.trim_end_matches('.').trim_start_matches('.');
    let labels: Vec<&str> = host.split('.').collect();
    let is_label = |label: &&str| {
        !label.is_empty() && label.chars().all(|one| one.is_ascii_alphanumeric() || one == '-') && is_wordlike(label)
    };
    let ends_in_letters = labels.last().is_some_and(|last| last.chars().all(|one| one.is_ascii_alphabetic()));
    labels.iter().all(is_label) && (port.is_some() || host == "localhost" || (labels.len() > 1 && ends_in_letters))
}

/// Returns true for an address without a user and without random parts.
fn is_url(value: &str) -> bool {
    let Some((scheme, rest)) = value.split_once("://") else { return false };
    let is_scheme = !scheme.is_empty() && scheme.chars().all(|one| one.is_ascii_alphanumeric() || "+-.".contains(one));
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let host =
        authority.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).map_or(authority, |(host, _)| host);
    let is_named = host.is_empty() || is_host(host) || is_wordlike(host);
    let (path, query) = path.split_once(['?', '#']).unwrap_or((path, ""));
    is_scheme && !authority.contains('@') && is_named && path.split('/').all(is_wordlike) && is_plain_query(query)
}

/// Returns true for a query such as `a=1&b=two` without a name that suggests a secret.
fn is_plain_query(query: &str) -> bool {
    const SECRET_NAMES: [&str; 8] = ["token", "key", "secret", "pass", "pwd", "auth", "sig", "cred"];
    let lower = query.to_ascii_lowercase();
    !SECRET_NAMES.iter().any(|name| lower.contains(name)) && query.split(['&', '=', '#', '?']).all(is_wordlike)
}

/// Returns true for a path: `/models/llama`, `~/x`, `./a b`, `C:\x`, `models/llama-3.gguf`, `Qwen/Qwen2.5-32B`,
/// `ollama/ollama:0.12`.
fn is_path(value: &str) -> bool {
    let anchored = ["/", "./", "../", "~/"].iter().any(|anchor| value.starts_with(anchor));
    let drive =
        value.as_bytes().get(1..3) == Some(b":\\") && value.starts_with(|first: char| first.is_ascii_alphabetic());
    let marks = if anchored || drive { "._-/@:~ +,\\()" } else { "._-/@:" };
    let is_typical = value.chars().all(|one| one.is_alphanumeric() || marks.contains(one));
    let mut segments = value.split(['/', '\\']).filter(|segment| !segment.is_empty());
    let lists = value.split(':').filter(|part| !part.is_empty()).count() > 1 && anchored;
    if !is_typical || value.contains("://") {
        return false;
    }
    match (anchored || drive, value.contains('/')) {
        // After a first segment that people named, a segment may be a digest.
        (true, _) => lists || segments.next().is_some_and(is_wordlike),
        (false, true) => segments.all(is_wordlike),
        (false, false) => false,
    }
}

/// Returns true for a text made by people: each part is letters followed by a number, or a number followed by a unit.
fn is_wordlike(text: &str) -> bool {
    text.split(|one: char| !one.is_alphanumeric()).all(|part| {
        let letters = part.trim_end_matches(|one: char| one.is_ascii_digit());
        let unit = part.trim_start_matches(|one: char| one.is_ascii_digit());
        let humps =
            part.as_bytes().windows(2).filter(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase());
        let named = letters.chars().all(char::is_alphabetic);
        let counted = unit.len() < part.len() && unit.len() <= 2 && unit.chars().all(char::is_alphabetic);
        (named || counted) && humps.count() <= HUMPS_MAX
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::{is_ordinary, password};

    fn ordinary(value: &str) -> bool {
        is_ordinary(value, &BTreeSet::from(["cosyvoice-large".to_owned()]))
    }

    #[test]
    fn ordinary_values_are_recognised_by_their_form() {
        for value in [
            "short",
            "11434",
            "123456789012",
            "1.5e-10000",
            "2026-11-29T18:00:00Z",
            "12.8.1.022",
            "20480MiB",
            "0.95",
            "True",
            "FALSE",
            "8000-8010",
            "/models",
            "/home/kim/.cache/huggingface/hub/3f2a9c01de",
            "./my models/x",
            "../a/b",
            "~/.config/lcm",
            "/usr/bin:/usr/local/bin",
            "C:\\Users\\kim",
            "models/llama-3.gguf",
            "Qwen/Qwen2.5-32B-Instruct",
            "meta-llama/Llama-3.1-8B",
            "ollama/ollama:0.12",
            "registry.example.org:5000/a/b:v2",
            "127.0.0.1",
            "10.0.0.0/24",
            "[2001:db8::1]:443",
            "localhost",
            "localhost:8188",
            "gpu-host-01:8080",
            "db.internal.example.org",
            "http://localhost:8188/system_stats",
            "https://api.example.org/v1/models?limit=10",
            "redis://cache/0",
            "tcp://10.0.0.5:2375",
            "127.0.0.1,localhost,.example.org,10.0.0.0/8",
            "cosyvoice-large",
            "production",
            "GPU-8f1e2a34-1111-2222-3333-444455556666",
            "Europe/Berlin",
            "en_US.UTF-8",
            "service_healthy",
            "0,1,2,3,4,5,6",
        ] {
            assert!(ordinary(value), "{value} is no secret");
        }
    }

    #[test]
    fn a_possible_secret_counts_as_one() {
        for value in [
            "hf_AbCdEfGhIjKlMnOp",
            "s3cr3t-value",
            "correct horse battery",
            "p@ss/w0rd+more",
            "tok,with,commas",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "/9j4AAQSkZJRgABAQ==",
            "eyJhbGciOi.eyJzdWIiOi.SflKxw",
            "sk-proj-0a1b2c3d4e",
            "postgres://kim:hunter22@db/x",
            "https://hooks.example.org/T01/B02/a1b2c3d4e5f6",
            "https://api.example.org/?token=abcdefgh",
            "8f1e2a34-1111-2222-3333-444455556666",
            "ghp_0123456789abcdefghij",
            "AKIAIOSFODNN7EXAMPLE",
            "supersecret",
            "correct-horse",
            "-----BEGIN KEY-----\nMIIEvQIBADANBg\n",
            "12345678x90",
        ] {
            assert!(!ordinary(value), "{value} may be a secret");
        }
    }

    #[test]
    fn the_password_of_an_address_is_found() {
        assert_eq!(password("postgres://kim:hunter22@db:5432/x"), Some("hunter22"));
        assert_eq!(password("redis://:p@ss:w0rd@cache/0"), Some("p@ss:w0rd"));
        for without in
            ["http://db:5432/x", "kim:hunter22@db", "postgres://kim@db/x", "postgres://u:pass@db/x", "a://u:12345@b"]
        {
            assert_eq!(password(without), None, "{without}");
        }
    }

    proptest! {
        #[test]
        fn ports_paths_and_hosts_are_never_secrets(
            port in 1_u16..,
            path in "(/[a-z]{1,12}){1,6}",
            host in "[a-z]{1,10}(-[a-z]{1,8})?(\\.[a-z]{1,10}){1,3}",
        ) {
            for value in [port.to_string(), path.clone(), host.clone(), format!("{host}:{port}"), format!("http://{host}:{port}{path}")] {
                prop_assert!(ordinary(&value), "{}", value);
            }
        }

        #[test]
        fn a_random_value_is_a_secret(token in "[A-Za-z0-9+]{24,40}") {
            let mixed = |class: fn(char) -> bool| token.chars().filter(|one| class(*one)).count() > 3;
            prop_assume!(mixed(|one| one.is_ascii_digit()) && mixed(|one| one.is_ascii_lowercase()) && mixed(|one| one.is_ascii_uppercase()));
            prop_assert!(!ordinary(&token), "{}", token);
        }
    }
}
