//! Detection of secrets by the name or the value. In doubt a value counts as one: to fill in a name again costs a
//! minute, a password in a repository costs more.

use std::ops::Range;

use regex_lite::Regex;

use crate::syntax::interpolate::{closing_brace, name_at};

/// Placeholder for a secret that can't come from the environment.
pub(super) const LEFT_OUT: &str = "SECRET-LEFT-OUT";

/// Parts of a name, between underscores, that make its value a secret.
const PARTS: [&str; 24] = [
    "KEY",
    "KEYS",
    "APIKEY",
    "TOKEN",
    "TOKENS",
    "SECRET",
    "SECRETS",
    "PASSWORD",
    "PASSWORDS",
    "PASSWD",
    "PASSPHRASE",
    "PASS",
    "PWD",
    "PW",
    "CREDENTIAL",
    "CREDENTIALS",
    "AUTH",
    "AUTHORIZATION",
    "BEARER",
    "COOKIE",
    "SALT",
    "PAT",
    "DSN",
    "PIN",
];
/// Endings of a part that also make the value a secret: `HFTOKEN`, `accesskey`.
const ENDINGS: [&str; 6] = ["TOKEN", "SECRET", "PASSWORD", "APIKEY", "ACCESSKEY", "PASS"];
/// Last parts of a name that holds a secret's location, not the secret.
const PLACES: [&str; 4] = ["FILE", "PATH", "DIR", "URL"];

/// Returns true if a variable, a label or a flag with this name and value is likely a secret.
pub(super) fn is_secret(name: &str, value: &str) -> bool {
    // A count of tokens is not a secret; a password of digits is one.
    let counts = is_count(value) && name.to_ascii_uppercase().contains("TOKEN");
    !is_harmless(value) && !counts && (is_secret_name(name) || is_secret_value(value))
}

/// Returns true for a name such as `HF_TOKEN`, `--api-key`, `api.secretKey`.
pub(super) fn is_secret_name(name: &str) -> bool {
    let spaced = Regex::new("([a-z0-9])([A-Z])").expect("a pattern").replace_all(name, "${1}_$2").into_owned();
    let upper = spaced.to_ascii_uppercase();
    let parts: Vec<&str> =
        upper.split(|character: char| !character.is_ascii_alphanumeric()).filter(|part| !part.is_empty()).collect();
    let tells_a_place = parts.last().is_some_and(|last| PLACES.contains(last));
    let is_one = |part: &&str| PARTS.contains(part) || ENDINGS.iter().any(|ending| part.ends_with(ending));
    !tells_a_place && parts.iter().any(is_one)
}

/// Returns true for a value with a secret's form: tokens with their maker's prefix, and passwords within an address.
pub(super) fn is_secret_value(value: &str) -> bool {
    const PATTERN: &str = concat!(
        r"(^|[^A-Za-z0-9])(sk|pk|rk)[-_][A-Za-z0-9_-]{8,}|(^|[^A-Za-z0-9])(hf|r8|nvapi|ghp|gho|ghs|ghu|glpat)[-_][A-Za-z0-9]{8,}",
        r"|github_pat_[A-Za-z0-9_]{8,}|xox[abpr]-[A-Za-z0-9-]{8,}|AKIA[0-9A-Z]{12,}|AIza[0-9A-Za-z_-]{20,}",
        r"|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}|-----BEGIN|[Bb]earer +[^ $]|[Bb]asic +[A-Za-z0-9+/]{8,}",
        r"|://[^/@\s:$]*:[^/@\s$][^/@\s]*@"
    );
    Regex::new(PATTERN).expect("a pattern").is_match(value)
}

/// Returns true for an empty value, a switch, or a variable without a default: `${HF_TOKEN}`, `${HF_TOKEN:-}`.
fn is_harmless(value: &str) -> bool {
    let value = value.trim();
    let switch = ["", "true", "false", "yes", "no", "on", "off", "none", "null", "0", "1"];
    switch.contains(&value.to_ascii_lowercase().as_str()) || is_variable(value)
}

/// Returns true for a variable that holds no value itself: `$A`, `${A}`, `${A:-}`, `${A:?message}`, `${A:-${B}}`.
fn is_variable(value: &str) -> bool {
    let inner = value.strip_prefix("${").and_then(|inner| inner.strip_suffix('}'));
    if let Some((name, default)) = inner.and_then(|inner| inner.split_once('-'))
        && name_at(name).len() == name.trim_end_matches(':').len()
        && !name.is_empty()
        && default.starts_with('$')
    {
        return is_variable(default);
    }
    Regex::new(r"^\$\$?([A-Za-z_][A-Za-z0-9_]*|\{[A-Za-z_][A-Za-z0-9_]*(:?-|:?\?[^{}]*)?\})$")
        .expect("a pattern")
        .is_match(value)
}

/// Returns true for a number.
fn is_count(value: &str) -> bool {
    value.len() <= 9 && value.chars().all(|digit| digit.is_ascii_digit())
}

/// Returns a command's words with likely secrets replaced. `true`: at least one was.
pub(super) fn masked(words: &[String]) -> (Vec<String>, bool) {
    let redis = words.iter().any(|word| word.contains(REDIS));
    let (mut clean, mut announcer) = (Vec::with_capacity(words.len()), None);
    for word in words {
        let secret = announcer.is_some_and(|announcer| is_announced(announcer, word));
        clean.push(if secret { left_out(word) } else { masked_text(word) });
        let flag = !word.contains(char::is_whitespace) && announces(word, redis);
        announcer = flag.then_some(word.as_str());
    }
    let changed = clean != words;
    (clean, changed)
}

/// Program whose password has a one-letter flag with other meanings elsewhere.
const REDIS: &str = "redis-cli";
/// Flags followed by a name and, after a colon, a password.
const LOGINS: [&str; 3] = ["-u", "--user", "--proxy-user"];
/// A word between a header's name and its secret.
const SCHEMES: [&str; 4] = ["Bearer", "bearer", "Basic", "Token"];

/// Returns true if the next word is a secret: after a flag, a header, or an assignment whose value is quoted.
fn announces(word: &str, redis: bool) -> bool {
    let flag = word.starts_with('-') && !word.contains('=');
    let by_flag = flag && (is_secret_name(word) || LOGINS.contains(&word) || (redis && word == "-a"));
    by_flag || SCHEMES.contains(&word) || word.strip_suffix(['=', ':']).is_some_and(is_secret_name)
}

/// Returns true if `word` is the secret that `announcer` announced.
fn is_announced(announcer: &str, word: &str) -> bool {
    if word.starts_with('-') || is_harmless(word) || SCHEMES.contains(&word) {
        return false;
    }
    if LOGINS.contains(&announcer) {
        return word.split_once(':').is_some_and(|(_, password)| !is_harmless(password) && !is_count(password));
    }
    !(is_count(word) && announcer.to_ascii_uppercase().contains("TOKEN"))
}

/// Returns a text with likely secrets replaced: `--key=…`, `TOKEN=…`, `sk-…`, also in the middle of a script.
pub(super) fn masked_text(text: &str) -> String {
    // Blanks and quotes stay; the text between them is judged piece by piece.
    let redis = text.contains(REDIS);
    let (mut clean, mut last) = (String::with_capacity(text.len()), 0);
    let (mut announcer, mut before) = (None, "");
    for found in pieces(text) {
        clean.push_str(&text[last..found.start]);
        last = found.end;
        let word = &text[found];
        if announcer.is_some_and(|announcer| is_announced(announcer, word)) {
            clean.push_str(&left_out(word));
        } else {
            clean.push_str(&masked_word(word));
        }
        // In `"api_key": "…"` the colon is a piece of its own; a scheme passes on its header's announcement.
        let by_colon = word.starts_with(':') && is_secret_name(before);
        announcer = if by_colon { Some(before) } else { announces(word, redis).then_some(word) };
        before = word;
    }
    clean.push_str(&text[last..]);
    clean
}

/// Returns the parts of a text between blanks and quotes; a variable in braces is never divided.
fn pieces(text: &str) -> Vec<Range<usize>> {
    let (mut pieces, mut begun, mut position) = (Vec::new(), None, 0);
    while let Some(character) = text[position..].chars().next() {
        let braced = text[position..].strip_prefix("${").and_then(closing_brace);
        if character.is_whitespace() || character == '"' || character == '\'' {
            pieces.extend(begun.take().map(|begin| begin..position));
        } else {
            begun.get_or_insert(position);
        }
        position += braced.map_or(character.len_utf8(), |end| end + "${}".len());
    }
    pieces.extend(begun.map(|begin| begin..position));
    pieces
}

/// Returns the replacement of a secret: a variable stays, but without its default.
fn left_out(word: &str) -> String {
    let inner = word.strip_prefix("${").filter(|inner| closing_brace(inner).is_some_and(|end| end + 1 == inner.len()));
    match inner.map(name_at) {
        Some(name) if !name.is_empty() => required(name),
        Some(_) | None => LEFT_OUT.to_owned(),
    }
}

/// Returns a variable that must be set, since its default is not copied.
pub(super) fn required(name: &str) -> String {
    format!("${{{name}:?set it: its default may be a secret and is not copied}}")
}

/// Masks one piece: `NAME=value`, `--env=NAME=value`, `name:value`, or a secret by itself.
fn masked_word(word: &str) -> String {
    if let Some(word) = without_password(word) {
        return masked_word(&word);
    }
    if let Some((name, value)) = word.split_once('=') {
        let counts = is_count(value) && name.to_ascii_uppercase().contains("TOKEN");
        if !counts && is_secret(name, value) {
            return format!("{name}={}", left_out(value));
        }
        return format!("{name}={}", if value.is_empty() { String::new() } else { masked_word(value) });
    }
    match word.split_once(':') {
        Some((name, value))
            if !word.contains('$') && !value.starts_with("//") && is_secret_name(name) && !is_harmless(value) =>
        {
            format!("{name}:{LEFT_OUT}")
        }
        Some(_) | None if is_secret_value(word) => LEFT_OUT.to_owned(),
        Some(_) | None => word.to_owned(),
    }
}

/// Returns an address without its password and with masked parameters; `None`: it has neither.
fn without_password(word: &str) -> Option<String> {
    let (scheme, rest) = word.split_once("://").filter(|(scheme, _)| !scheme.contains('='))?;
    let host_end = rest.find(['/', '?', '#']).filter(|end| rest[*end..].contains('='))?;
    let (login, _) = rest[..host_end].rsplit_once('@')?;
    let (user, password) = login.split_once(':')?;
    if is_harmless(password) || password == LEFT_OUT || password.starts_with('$') {
        return None;
    }
    Some(format!("{scheme}://{user}:{LEFT_OUT}{}", &rest[login.len()..]))
}

#[cfg(test)]
mod tests {
    use super::{is_secret, masked, masked_text};

    #[test]
    fn secrets_are_detected_by_name_and_by_value() {
        for (name, value) in [
            ("OPENAI_API_KEY", "abc"),
            ("HF_TOKEN", "abc"),
            ("hfToken", "abc"),
            ("POSTGRES_PASSWORD", "postgres"),
            ("DB_PASS", "x"),
            ("DB_PASSWORD", "1234"),
            ("WEBUI_SECRET_KEY", "t0p"),
            ("ANYTHING", "sk-0123456789abcdef"),
            ("ANYTHING", "hf_AbCdEfGhIjKl"),
            ("DATABASE", "postgres://user:hunter2@db/x"),
            ("HEADERS", "Authorization: Bearer abc"),
            ("POSTGRES_PASSWORD", "${POSTGRES_PASSWORD:-postgres}"),
        ] {
            assert!(is_secret(name, value), "{name}={value}");
        }
        for (name, value) in [
            ("TOKENIZERS_PARALLELISM", "abc"),
            ("MAX_TOTAL_TOKENS", "4096"),
            ("OLLAMA_KEEP_ALIVE", "5m"),
            ("WEBUI_AUTH", "False"),
            ("WEBUI_SECRET_KEY", ""),
            ("HF_TOKEN", "${HF_TOKEN}"),
            ("HF_TOKEN", "${MY_TOKEN:-}"),
            ("POSTGRES_PASSWORD_FILE", "/run/secrets/pg"),
            ("DATABASE", "postgres://db:5432/x"),
            ("DATABASE", "postgres://user:${DB_PASSWORD}@db/x"),
            ("MODEL", "sk-learn"),
            ("KEYBOARD", "us"),
        ] {
            assert!(!is_secret(name, value), "{name}={value}");
        }
    }

    #[test]
    fn commands_lose_their_secrets_and_nothing_else() {
        let words = |line: &str| line.split('|').map(str::to_owned).collect::<Vec<_>>();
        for (line, wanted) in [
            ("vllm|serve|--api-key|abc|--port|8000", "vllm|serve|--api-key|SECRET-LEFT-OUT|--port|8000"),
            ("x|--api-key=abc|--hf-token=${HF_TOKEN}", "x|--api-key=SECRET-LEFT-OUT|--hf-token=${HF_TOKEN}"),
            ("x|--max-tokens|4096|--tokenizer|/m", "x|--max-tokens|4096|--tokenizer|/m"),
            ("x|--password|--port|80", "x|--password|--port|80"),
            (
                "env|token=abc|HF_TOKEN=hf_abcdefghijk|python",
                "env|token=SECRET-LEFT-OUT|HF_TOKEN=SECRET-LEFT-OUT|python",
            ),
            ("curl|-H|Authorization: Bearer abc", "curl|-H|Authorization: Bearer SECRET-LEFT-OUT"),
            (
                "sh|-c|export API_KEY='a' && run --token b",
                "sh|-c|export API_KEY='SECRET-LEFT-OUT' && run --token SECRET-LEFT-OUT",
            ),
            ("x|sk-0123456789abcdef", "x|SECRET-LEFT-OUT"),
            (
                "docker|run|--env=API_KEY=abc|-e|A_TOKEN=b",
                "docker|run|--env=API_KEY=SECRET-LEFT-OUT|-e|A_TOKEN=SECRET-LEFT-OUT",
            ),
            (
                "curl|-u|elastic:changeme|http://x/?a=b&token=c",
                "curl|-u|SECRET-LEFT-OUT|http://x/?a=b&token=SECRET-LEFT-OUT",
            ),
            ("curl|http://u:PASS@x/?token=abc", "curl|http://u:SECRET-LEFT-OUT@x/?token=SECRET-LEFT-OUT"),
            ("curl|http://u:PASS@x/?n=1", "curl|http://u:SECRET-LEFT-OUT@x/?n=1"),
            ("x|{\"api_key\": \"abc\", \"n\": 1}", "x|{\"api_key\": \"SECRET-LEFT-OUT\", \"n\": 1}"),
            ("redis-cli|-a|abc|ping", "redis-cli|-a|SECRET-LEFT-OUT|ping"),
            ("sh|-c|redis-cli -a $$PASS ping", "sh|-c|redis-cli -a $$PASS ping"),
            ("x|--requirepass|1234|--user|1000:1000", "x|--requirepass|SECRET-LEFT-OUT|--user|1000:1000"),
            ("x|--lora|key:${API_KEY:-}|vllm/vllm:v1", "x|--lora|key:${API_KEY:-}|vllm/vllm:v1"),
        ] {
            let (clean, changed) = masked(&words(line));
            assert_eq!((clean, changed), (words(wanted), line != wanted), "{line}");
        }
        assert_eq!(masked_text("plain  text 'x'"), "plain  text 'x'");
    }
}
