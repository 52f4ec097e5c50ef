//! Registries: the one that an image comes from, and the login that a Docker configuration has for it.
//!
//! Pure: `drive::login` reads the configuration, and runs its credential helpers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::model::secret::Secret;

/// Registry of images without one in their names.
pub(crate) const DOCKER_HUB: &str = "docker.io";
/// Docker Hub as configurations and credential helpers name it.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";
/// Other names of Docker Hub.
const DOCKER_HUB_HOSTS: [&str; 3] = ["docker.io", "index.docker.io", "registry-1.docker.io"];
/// User name by which a credential helper marks its secret as a token.
const TOKEN_USER: &str = "<token>";
/// Longest name of a credential helper; the known ones have less than 20 letters.
const HELPER_BYTES_MAX: usize = 64;

/// Words by which registries and engines refuse an image for want of a login.
const DENIALS: [&str; 7] = [
    "unauthorized",
    "authentication required",
    "no basic auth credentials",
    "access denied",
    "access to the resource is denied",
    "denied: ",
    "docker login",
];

/// Returns the host of the registry that an image comes from.
pub(crate) fn host_of(image: &str) -> &str {
    match image.split_once('/') {
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => {
            if DOCKER_HUB_HOSTS.contains(&first) {
                DOCKER_HUB
            } else {
                first
            }
        }
        Some(_) | None => DOCKER_HUB,
    }
}

/// Returns the command by which a user logs in to a registry.
pub(crate) fn login_command(host: &str) -> String {
    if host == DOCKER_HUB { "docker login".to_owned() } else { format!("docker login {host}") }
}

/// Place of a login in a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LoginSource {
    /// In the configuration itself.
    Stored(Login),
    /// A credential helper by its name, and the registry as it is asked for.
    Helper { name: String, server: String },
    /// The configuration has no login for this registry.
    None,
}

/// Login at a registry.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) user: String,
    pub(crate) proof: LoginProof,
}

/// Secret that proves a user's identity to a registry.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum LoginProof {
    Password(Secret),
    IdentityToken(Secret),
    RegistryToken(Secret),
}

impl std::fmt::Debug for Login {
    /// Leaves out the proof.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

impl Login {
    /// Returns the secret of the login.
    pub(crate) fn secret(&self) -> &Secret {
        match &self.proof {
            LoginProof::Password(secret) | LoginProof::IdentityToken(secret) | LoginProof::RegistryToken(secret) => {
                secret
            }
        }
    }
}

/// Finds the login for a registry; `Err`: the reason why the configuration can't be used. As Docker does, a helper of
/// the registry comes first, then the general one, then the stored logins.
pub(crate) fn find(config: &Value, host: &str) -> Result<LoginSource, String> {
    let Some(config) = config.as_object() else { return Err("it is not a JSON object".to_owned()) };
    if let Some((server, name)) = entry(config, "credHelpers", host) {
        return helper(name, server);
    }
    if let Some(name) = config.get("credsStore").filter(|name| *name != "") {
        return helper(name, if host == DOCKER_HUB { DOCKER_HUB_KEY } else { host });
    }
    match entry(config, "auths", host) {
        Some((_, auth)) => stored(auth),
        None => Ok(LoginSource::None),
    }
}

/// Returns the entry for a registry in a map of the configuration, with its key.
fn entry<'a>(config: &'a Map<String, Value>, key: &str, host: &str) -> Option<(&'a str, &'a Value)> {
    let entries = config.get(key)?.as_object()?;
    let exact = entries.get_key_value(if host == DOCKER_HUB { DOCKER_HUB_KEY } else { host });
    let found = exact.or_else(|| entries.iter().find(|(name, _)| hostname(name) == host))?;
    Some((found.0.as_str(), found.1))
}

/// Returns the host in a key of the configuration: older ones have whole URLs.
fn hostname(key: &str) -> &str {
    let key = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let host = key.split('/').next().unwrap_or(key);
    if DOCKER_HUB_HOSTS.contains(&host) { DOCKER_HUB } else { host }
}

fn helper(name: &Value, server: &str) -> Result<LoginSource, String> {
    let name = name.as_str().unwrap_or_default();
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty() || name.len() > HELPER_BYTES_MAX || !name.bytes().all(is_plain) {
        return Err("it names a credential helper with other letters than a-z, 0-9 and `-`".to_owned());
    }
    Ok(LoginSource::Helper { name: name.to_owned(), server: server.to_owned() })
}

fn stored(auth: &Value) -> Result<LoginSource, String> {
    let text = |key: &str| auth.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let (user, password) = match text("auth").map(decode).transpose()? {
        Some((user, password)) => (user, password),
        None => (text("username").unwrap_or_default().to_owned(), text("password").unwrap_or_default().to_owned()),
    };
    let proof = match (text("identitytoken"), text("registrytoken")) {
        (Some(token), _) => LoginProof::IdentityToken(Secret::declared(token)),
        (None, Some(token)) => LoginProof::RegistryToken(Secret::declared(token)),
        // After a login through a credential helper the entry is empty.
        (None, None) if user.is_empty() => return Ok(LoginSource::None),
        (None, None) => LoginProof::Password(Secret::declared(password)),
    };
    Ok(LoginSource::Stored(Login { user, proof }))
}

/// Decodes `user:password`.
fn decode(auth: &str) -> Result<(String, String), String> {
    let wrong = || "an `auth` in it is not the base64 of USER:PASSWORD".to_owned();
    let bytes = STANDARD.decode(auth.trim()).map_err(|_| wrong())?;
    let text = String::from_utf8(bytes).map_err(|_| wrong())?;
    let (user, password) = text.split_once(':').ok_or_else(wrong)?;
    Ok((user.to_owned(), password.trim_end_matches('\0').to_owned()))
}

/// Parses the answer of a credential helper.
pub(crate) fn parse_answer(answer: &str) -> Result<Login, String> {
    let wrong = || "its answer is not a JSON object with `Username` and `Secret`".to_owned();
    let answer: Value = serde_json::from_str(answer.trim()).map_err(|_| wrong())?;
    let text = |key: &str| answer.get(key).and_then(Value::as_str);
    let (Some(user), Some(secret)) = (text("Username"), text("Secret")) else { return Err(wrong()) };
    let secret = Secret::declared(secret);
    Ok(if user == TOKEN_USER {
        Login { user: String::new(), proof: LoginProof::IdentityToken(secret) }
    } else {
        Login { user: user.to_owned(), proof: LoginProof::Password(secret) }
    })
}

/// Returns true if the reason of a failed pull is that the registry wants another login.
pub(crate) fn is_denied(reason: &str) -> bool {
    let reason = reason.to_lowercase();
    DENIALS.iter().any(|sign| reason.contains(sign))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Login, LoginProof, LoginSource, find, host_of, is_denied, login_command, parse_answer};
    use crate::model::secret::Secret;

    fn password(user: &str, password: &str) -> Login {
        Login { user: user.to_owned(), proof: LoginProof::Password(Secret::declared(password)) }
    }

    #[test]
    fn the_registry_of_an_image_is_its_first_part_if_that_is_a_host() {
        for (image, host) in [
            ("ollama/ollama:0.12", "docker.io"),
            ("alpine", "docker.io"),
            ("alpine:3.20", "docker.io"),
            ("docker.io/library/alpine", "docker.io"),
            ("index.docker.io/kim/web", "docker.io"),
            ("ghcr.io/kim/web@sha256:00", "ghcr.io"),
            ("localhost/web", "localhost"),
            ("localhost:5000/web:1", "localhost:5000"),
            ("a.b/c", "a.b"),
            ("[::1]:5000/web", "[::1]:5000"),
            ("kim/web.v2/x", "docker.io"),
        ] {
            assert_eq!(host_of(image), host, "{image}");
        }
        assert_eq!(
            (login_command("docker.io").as_str(), login_command("a.b").as_str()),
            ("docker login", "docker login a.b")
        );
    }

    #[test]
    fn a_stored_login_is_found_by_its_host_in_each_notation() {
        // printf kim:s3cret:x | base64
        let auth = json!({ "auth": "a2ltOnMzY3JldDp4" });
        for key in ["a.b", "https://a.b", "http://a.b/", "https://a.b/v2/"] {
            let found = find(&json!({ "auths": { key: auth, "c.d": {} } }), "a.b");
            assert_eq!(found, Ok(LoginSource::Stored(password("kim", "s3cret:x"))), "{key}");
        }
        let hub = json!({ "auths": { "https://index.docker.io/v1/": { "username": "kim", "password": "p" } } });
        assert_eq!(find(&hub, "docker.io"), Ok(LoginSource::Stored(password("kim", "p"))));
        assert_eq!(find(&hub, "a.b"), Ok(LoginSource::None));
        let token = json!({ "auths": { "a.b": { "auth": "a2ltOg==", "identitytoken": "t0ken" } } });
        let proof = LoginProof::IdentityToken(Secret::declared("t0ken"));
        assert_eq!(find(&token, "a.b"), Ok(LoginSource::Stored(Login { user: "kim".to_owned(), proof })));
        // The entry that a login through a helper leaves.
        assert_eq!(find(&json!({ "auths": { "a.b": {} } }), "a.b"), Ok(LoginSource::None));
    }

    #[test]
    fn a_helper_of_the_registry_comes_before_the_general_one_and_before_stored_logins() {
        let config = json!({
            "auths": { "a.b": { "auth": "a2ltOnMzY3JldDp4" } },
            "credsStore": "pass",
            "credHelpers": { "c.d": "ecr-login" },
        });
        let helper =
            |name: &str, server: &str| Ok(LoginSource::Helper { name: name.to_owned(), server: server.to_owned() });
        assert_eq!(find(&config, "c.d"), helper("ecr-login", "c.d"));
        assert_eq!(find(&config, "a.b"), helper("pass", "a.b"));
        assert_eq!(find(&config, "docker.io"), helper("pass", "https://index.docker.io/v1/"));
        for name in ["../evil", "a b", "", "Pass", "x;y"] {
            let found = find(&json!({ "credHelpers": { "a.b": name } }), "a.b");
            assert!(found.is_err_and(|reason| reason.contains("credential helper")), "{name}");
        }
    }

    #[test]
    fn what_is_no_configuration_is_refused_without_showing_it() {
        for config in [json!([]), json!("s3cret"), json!({ "auths": { "a.b": { "auth": "s3cret!" } } })] {
            let reason = find(&config, "a.b").expect_err("refused");
            assert!(!reason.contains("s3cret"), "{reason}");
        }
    }

    #[test]
    fn a_helpers_answer_is_a_password_or_a_token_and_never_shown() {
        let answer = r#"{"ServerURL":"https://a.b","Username":"kim","Secret":"s3cret"}"#;
        assert_eq!(parse_answer(answer), Ok(password("kim", "s3cret")));
        let token = parse_answer(r#"{"Username":"<token>","Secret":"t0ken"}"#).expect("a token");
        assert!(matches!(&token.proof, LoginProof::IdentityToken(secret) if secret.reveal() == "t0ken"));
        assert!(!format!("{token:?}").contains("t0ken"));
        for wrong in ["", "s3cret", "[]", r#"{"Username":"kim"}"#] {
            assert!(parse_answer(wrong).is_err_and(|reason| !reason.contains("s3cret")), "{wrong}");
        }
    }

    #[test]
    fn a_refusal_is_told_from_other_failures() {
        for reason in [
            "Head \"https://a.b/v2/web/manifests/1\": no basic auth credentials",
            "unauthorized: authentication required",
            "pull access denied for kim/web, repository does not exist or may require 'docker login'",
            "denied: requested access to the resource is denied",
        ] {
            assert!(is_denied(reason), "{reason}");
        }
        assert!(!is_denied("manifest for alpine:9 not found: manifest unknown"));
    }
}
