//! Logins at registries, from the Docker configuration of the user whose lcm runs: `docker login` writes it. A login that
//! can't be had stops no pull, since most images need none; a pull that the registry denies reports the reason.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::auth::DockerCredentials;
use rustix::process::geteuid;
use serde_json::Value;

use crate::files::trust::writable_by_others;
use crate::files::{Refused, named, user_text};
use crate::host::proc;
use crate::host::program::command::CommandExit;
use crate::host::program::converse::query;
use crate::host::program::environment::{Invocation, invoke};
use crate::model::safe_text;
use crate::model::secret::Masker;
use crate::runtime::DriverError;
use crate::runtime::docker::registry::{self, Login, LoginProof, LoginSource};

/// Size limit of a configuration, which has a few KiB.
const CONFIG_BYTES_MAX: u64 = 1 << 20;
/// Deadline of a credential helper. One that queries a remote service answers within seconds; one that waits for a person
/// never does.
const HELPER_DEADLINE: Duration = Duration::from_secs(30);
/// Letters of a helper's message that an error quotes.
const QUOTED_MAX: usize = 200;

/// Source of logins: the environment and the program of the lcm that runs.
#[derive(Clone, Default)]
pub struct Logins {
    environment: BTreeMap<String, String>,
    /// Executable that becomes the guardian of a credential helper.
    lcm: PathBuf,
}

impl fmt::Debug for Logins {
    /// Leaves out the environment, which holds secrets.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Logins").finish_non_exhaustive()
    }
}

/// Login for one pull.
pub(super) struct PullLogin {
    host: String,
    login: Option<Login>,
    /// Reason why there is no login, or the place that it comes from, as the end of a sentence.
    origin: String,
}

impl Logins {
    /// Returns the logins of the user in this environment. `lcm` is the path of an lcm executable.
    #[must_use]
    pub fn new(environment: &BTreeMap<String, String>, lcm: &Path) -> Self {
        Self { environment: environment.clone(), lcm: lcm.to_owned() }
    }

    /// Finds the login for the registry of an image.
    pub(super) async fn for_image(&self, image: &str) -> PullLogin {
        let host = registry::host_of(image).to_owned();
        let (login, origin) = match self.find(&host).await {
            Ok((login, origin)) => (Some(login), origin),
            Err(reason) => (None, reason),
        };
        PullLogin { host, login, origin }
    }

    /// Returns a login and its place; `Err`: the reason why there is none.
    async fn find(&self, host: &str) -> Result<(Login, String), String> {
        let Some(path) = self.config() else {
            return Err("no Docker configuration was found: neither DOCKER_CONFIG nor HOME is set".to_owned());
        };
        let config = read(&path)?;
        let unusable = |reason: String| format!("{} can't be used: {reason}", path.display());
        match registry::find(&config, host).map_err(unusable)? {
            LoginSource::Stored(login) => Ok((login, format!("in {}", path.display()))),
            LoginSource::None => Err(format!("{} has no login for it", path.display())),
            LoginSource::Helper { name, server } => {
                let login = self.ask(&name, &server).await;
                let login = login.map_err(|reason| {
                    format!("{} names the credential helper docker-credential-{name}, which {reason}", path.display())
                })?;
                Ok((login, format!("of the credential helper docker-credential-{name}")))
            }
        }
    }

    /// Returns the path of the configuration, as the Docker command finds it.
    fn config(&self) -> Option<PathBuf> {
        let set = |name: &str| self.environment.get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let folder = set("DOCKER_CONFIG").or_else(|| Some(set("HOME")?.join(".docker")))?;
        Some(folder.join("config.json"))
    }

    /// Returns the login that a credential helper has; `Err`: the reason, after the helper's name.
    async fn ask(&self, name: &str, server: &str) -> Result<Login, String> {
        let invocation = self.invocation(name)?;
        let asked = query(&self.lcm, &invocation, server, HELPER_DEADLINE).await;
        let (report, output, messages) = asked.map_err(|error| format!("can't be run: {error}"))?;
        match CommandExit::of(&report) {
            CommandExit::Code(0) => registry::parse_answer(&output.text())
                .map_err(|_| "answered with something else than a JSON object with `Username` and `Secret`".to_owned()),
            CommandExit::Code(code) => {
                // Helpers write their errors to stdout; a secret is there only if they succeed.
                let said = [output.text(), messages.text()].into_iter().find(|text| !text.trim().is_empty());
                let said = said.map(|text| quoted(&text)).unwrap_or_default();
                Err(format!("failed with exit code {code}{said}"))
            }
            CommandExit::TimedOut => Err(format!("did not answer within {} s", HELPER_DEADLINE.as_secs())),
        }
    }

    fn invocation(&self, name: &str) -> Result<Invocation, String> {
        let mut environment = self.environment.clone();
        for mark in proc::ALL_MARKS {
            environment.remove(mark);
        }
        let argv = [format!("docker-credential-{name}"), "get".to_owned()];
        let missing = |_| "is not on the PATH: install it, or log in again without it".to_owned();
        let invocation = invoke(&argv, PathBuf::from("/"), environment).map_err(missing)?;
        // A program of another user would run as root.
        let writable = writable_by_others(&invocation.program).ok().flatten().filter(|_| geteuid().is_root());
        match writable {
            Some(writable) => Err(format!("another user can replace ({writable}), so root does not run it")),
            None => Ok(invocation),
        }
    }
}

/// Reads a configuration; `Err`: the reason why it is not used.
fn read(path: &Path) -> Result<Value, String> {
    let shown = path.display();
    let file = named::read(path, CONFIG_BYTES_MAX).map_err(|error| match Refused::of(&error) {
        Some(refused) => refused.to_string(),
        None if error.kind() == std::io::ErrorKind::NotFound => format!("there is no {shown}"),
        None => format!("{shown} can't be read: {error}"),
    })?;
    if file.uid != geteuid().as_raw() && file.uid != 0 {
        let owner = user_text(file.uid);
        return Err(format!(
            "{shown} is owned by {owner}, so lcm does not use its logins (DOCKER_CONFIG names another)"
        ));
    }
    // The text of a parser's error could quote a password.
    serde_json::from_slice(&file.bytes).map_err(|_| format!("{shown} can't be used: it is not JSON"))
}

/// Quotes the beginning of a helper's message.
fn quoted(text: &str) -> String {
    let line: String = safe_text::line(text.trim()).chars().take(QUOTED_MAX).collect();
    format!(": {line}")
}

impl PullLogin {
    /// Returns the login in the engine's form.
    pub(super) fn credentials(&self) -> Option<DockerCredentials> {
        let login = self.login.as_ref()?;
        let secret = Some(login.secret().reveal().to_owned());
        let user = Some(login.user.clone()).filter(|user| !user.is_empty());
        let plain = DockerCredentials { username: user, serveraddress: Some(self.host.clone()), ..Default::default() };
        Some(match login.proof {
            LoginProof::Password(_) => DockerCredentials { password: secret, ..plain },
            LoginProof::IdentityToken(_) => DockerCredentials { identitytoken: secret, ..plain },
            LoginProof::RegistryToken(_) => DockerCredentials { registrytoken: secret, ..plain },
        })
    }

    /// Explains a failed pull: what the registry denies, and what the user can do. The login is masked.
    pub(super) fn explain(&self, error: DriverError) -> DriverError {
        let DriverError::Engine { what, reason } = error else { return error };
        let reason = match &self.login {
            Some(login) => Masker::of([login.secret()].into_iter()).mask(&reason),
            None => reason,
        };
        if !registry::is_denied(&reason) {
            return DriverError::Engine { what, reason };
        }
        let (registry, command) = (&self.host, registry::login_command(&self.host));
        let advice = match &self.login {
            Some(_) => format!(
                "the registry {registry} does not accept the login {}, or it gives that user no access to the image: run \
                 `{command}` again, or check the image's name",
                self.origin
            ),
            None => format!(
                "the registry {registry} requires a login, and lcm has none: {}; run `{command}` as the user that runs \
                 lcm, or check the image's name",
                self.origin
            ),
        };
        DriverError::Engine { what, reason: format!("{reason}; {advice}") }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::{Logins, PullLogin};
    use crate::runtime::DriverError;

    fn logins(folder: &Path) -> Logins {
        let environment = [("DOCKER_CONFIG", folder), ("PATH", folder)];
        let environment: BTreeMap<String, String> =
            environment.map(|(name, path)| (name.to_owned(), path.display().to_string())).into();
        // No helper is run here: that needs the executable itself.
        Logins::new(&environment, Path::new("/nowhere/lcm"))
    }

    async fn with(config: &str) -> PullLogin {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("config.json"), config).expect("a configuration");
        logins(folder.path()).for_image("a.b/web:1").await
    }

    fn denied(login: &PullLogin, reason: &str) -> String {
        let error = DriverError::Engine { what: "pull image a.b/web:1".to_owned(), reason: reason.to_owned() };
        login.explain(error).to_string()
    }

    #[tokio::test]
    async fn a_stored_login_is_used_and_never_shown() {
        let login = with(r#"{"auths":{"a.b":{"username":"kim","password":"s3cret-of-kim"}}}"#).await;
        let credentials = login.credentials().expect("a login");
        assert_eq!(
            (credentials.username.as_deref(), credentials.password.as_deref()),
            (Some("kim"), Some("s3cret-of-kim"))
        );
        assert_eq!(credentials.serveraddress.as_deref(), Some("a.b"));
        let message = denied(&login, "unauthorized: s3cret-of-kim is wrong");
        assert!(
            message.contains("does not accept the login in ") && message.contains("`docker login a.b`"),
            "{message}"
        );
        assert!(!message.contains("s3cret-of-kim"), "{message}");
    }

    #[tokio::test]
    async fn a_pull_that_is_denied_without_a_login_names_the_reason_and_the_way() {
        for (config, reason) in [
            ("{}", "config.json has no login for it"),
            ("no JSON s3cret", "config.json can't be used: it is not JSON"),
            (r#"{"credsStore":"../x"}"#, "it names a credential helper with other letters"),
            (r#"{"credsStore":"absent"}"#, "docker-credential-absent, which is not on the PATH"),
        ] {
            let login = with(config).await;
            assert!(login.credentials().is_none(), "{config}");
            let message = denied(&login, "no basic auth credentials");
            assert!(message.contains(reason) && message.contains("`docker login a.b`"), "{config}: {message}");
            assert!(!message.contains("s3cret"), "{message}");
            assert!(!denied(&login, "manifest unknown").contains("login"), "{config}");
        }
        let login = Logins::new(&BTreeMap::new(), &PathBuf::new()).for_image("web").await;
        assert!(
            denied(&login, "access denied").contains("`docker login` as the user"),
            "{}",
            denied(&login, "denied: ")
        );
    }
}
