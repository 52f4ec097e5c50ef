//! Choice of the engine: the local one, unless the manifest names another. An engine that only the environment or a
//! context points to is refused where it is not local: the same manifest must mean the same machine everywhere. That a
//! unix socket is this machine's engine is proven at the first request, in `place`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bollard::errors::Error;
use bollard::{API_DEFAULT_VERSION, Docker};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::files::named;
use crate::host::enclosure;
use crate::host::host_id::host_id;
use crate::runtime::DriverError;
use crate::runtime::docker::drive::engine::{Engine, READ_DEADLINE, failure};
use crate::runtime::docker::drive::home::Home;
use crate::runtime::docker::drive::scope::OwnershipScope;
use crate::runtime::docker::drive::transport::{EngineAddress, transport};
use crate::runtime::docker::facts::EngineFact;

const DEFAULT_SOCKET: &str = "/var/run/docker.sock";

/// Timeout of the client for an answer's first byte: a day, since each call has a deadline of its own, which must come
/// first.
const CLIENT_TIMEOUT_S: u64 = 24 * 60 * 60;

/// Address in requests; the transport knows the real one.
const REQUEST_ADDRESS: &str = "http://localhost";

/// Size limit of Docker's own files in a home, which have a few KiB.
const CONFIG_BYTES_MAX: u64 = 1 << 20;

/// Finds the engine; sends no request yet. `host`: the manifest's `docker: { host }`; without it, the local engine:
/// `DOCKER_HOST` or the current context where they name a unix socket, the default socket, the rootless one.
pub fn connect(host: Option<&str>, environment: &BTreeMap<String, String>) -> Result<Engine, DriverError> {
    let endpoint = endpoint(host, environment)?;
    let enclosed = enclosure::read(environment);
    let host_id = host_id(&enclosed).map(Arc::from);
    let home = Home::new(enclosed, host.is_some());
    let docker = client(&endpoint, &home)?;
    // A socket that the environment names may be forwarded from another machine.
    let is_shared = host.is_some() || !default_sockets(environment).contains(&endpoint);
    let (scope, images) = (OwnershipScope::default(), Arc::default());
    let (logins, networks_made) = (Arc::default(), Arc::default());
    let (endpoint, home) = (Arc::from(endpoint), Arc::new(home));
    Ok(Engine { docker, endpoint, scope, home, host_id, is_shared, images, logins, networks_made })
}

/// Returns the address of the engine that [`connect`] finds.
pub(super) fn endpoint(host: Option<&str>, environment: &BTreeMap<String, String>) -> Result<String, DriverError> {
    match host {
        Some(host) => Ok(host.to_owned()),
        None => local(environment),
    }
}

impl Engine {
    /// Returns the engine's address and version. Bollard sends requests without an API version in their path: the
    /// engine answers by its newest one, so that no API version is read.
    ///
    /// Each answer of Docker's names the version, so that after the first one no request is sent: it would take as long
    /// as listing all containers.
    pub async fn fact(&self) -> Result<EngineFact, DriverError> {
        let endpoint = self.endpoint.to_string();
        if let Some(version) = self.home.introduction.server.get().and_then(|server| version(server)) {
            return Ok(EngineFact { endpoint, version: version.to_owned() });
        }
        let request = async {
            let answer = self.call("report its version", READ_DEADLINE, self.docker.version()).await?;
            Ok::<_, DriverError>(answer.version.unwrap_or_default())
        };
        let version = self.home.version.get_or_try_init(|| request).await?;
        Ok(EngineFact { endpoint, version: version.clone() })
    }
}

/// Returns the version in `Docker/20.10.24+dfsg1 (linux)`. Other programs write other versions there.
fn version(server: &str) -> Option<&str> {
    let version = server.strip_prefix("Docker/")?.split(' ').next()?;
    (!version.is_empty()).then_some(version)
}

fn client(endpoint: &str, home: &Home) -> Result<Docker, DriverError> {
    let tcp = || endpoint.strip_prefix("tcp://").or_else(|| endpoint.strip_prefix("http://"));
    let address = if let Some(path) = endpoint.strip_prefix("unix://") {
        let path = PathBuf::from(path);
        if !path.exists() {
            let error = Error::SocketNotFoundError(path.display().to_string());
            return Err(failure(endpoint, "be connected to".to_owned(), &error));
        }
        EngineAddress::Unix(path)
    } else if let Some(host) = tcp() {
        EngineAddress::Tcp(host.trim_end_matches('/').to_owned())
    } else {
        return Err(DriverError::Refused(format!(
            "the engine {endpoint} can't be reached: `docker: {{ host }}` takes unix:// and tcp:// (for ssh, forward \
             the socket: ssh -NL /tmp/docker.sock:/var/run/docker.sock HOST)"
        )));
    };
    let client = Docker::connect_with_custom_transport(
        transport(address, Arc::clone(&home.introduction)),
        Some(REQUEST_ADDRESS),
        CLIENT_TIMEOUT_S,
        API_DEFAULT_VERSION,
    );
    client.map_err(|error| failure(endpoint, "be connected to".to_owned(), &error))
}

/// Returns the local engine's endpoint, as the Docker command would find it.
fn local(environment: &BTreeMap<String, String>) -> Result<String, DriverError> {
    let set = |name: &str| environment.get(name).map(String::as_str).filter(|value| !value.is_empty());
    if let Some(host) = set("DOCKER_HOST") {
        return local_only(host, "DOCKER_HOST", "unset it");
    }
    let folder = set("DOCKER_CONFIG").map(PathBuf::from).or_else(|| Some(Path::new(set("HOME")?).join(".docker")));
    let context = set("DOCKER_CONTEXT").map(str::to_owned).or_else(|| current_context(folder.as_deref()?));
    if let Some(context) = context.filter(|name| name != "default") {
        let by = format!("the Docker context {context:?}");
        let host = context_host(folder.as_deref(), &context).unwrap_or_else(|| "an unknown engine".to_owned());
        return local_only(&host, &by, "run `docker context use default`");
    }
    let mut sockets = default_sockets(environment);
    let there = sockets.iter().position(|socket| Path::new(socket.trim_start_matches("unix://")).exists());
    Ok(sockets.swap_remove(there.unwrap_or(0)))
}

/// Returns the sockets of the machine's engine and of the user's rootless one.
fn default_sockets(environment: &BTreeMap<String, String>) -> Vec<String> {
    let rootless = environment.get("XDG_RUNTIME_DIR").filter(|folder| !folder.is_empty());
    let sockets = [DEFAULT_SOCKET.to_owned()].into_iter().chain(rootless.map(|folder| format!("{folder}/docker.sock")));
    sockets.map(|socket| format!("unix://{socket}")).collect()
}

fn local_only(host: &str, by: &str, way_out: &str) -> Result<String, DriverError> {
    if host.starts_with("unix://") {
        return Ok(host.to_owned());
    }
    Err(DriverError::Refused(format!(
        "{by} points to {host}, which is not this machine's engine: to use it, name it in the manifest \
         (`docker: {{ host: … }}`); otherwise {way_out}"
    )))
}

/// Returns the context that `docker context use` wrote; a missing or broken file means the default, as for Docker.
fn current_context(folder: &Path) -> Option<String> {
    let config: Value = document(&folder.join("config.json"))?;
    config.get("currentContext")?.as_str().filter(|name| !name.is_empty()).map(str::to_owned)
}

/// Reads the endpoint of a context, which Docker keeps under the digest of the context's name.
fn context_host(folder: Option<&Path>, context: &str) -> Option<String> {
    let mut digest = String::new();
    for byte in Sha256::digest(context.as_bytes()) {
        let _ = write!(digest, "{byte:02x}");
    }
    let file = folder?.join("contexts/meta").join(digest).join("meta.json");
    let meta: Value = document(&file)?;
    meta.pointer("/Endpoints/docker/Host")?.as_str().map(str::to_owned)
}

fn document(path: &Path) -> Option<Value> {
    serde_json::from_slice(&named::read(path, CONFIG_BYTES_MAX).ok()?.bytes).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::{Read as _, Write as _};
    use std::path::Path;

    use super::{connect, local, version};
    use crate::runtime::DriverError;

    fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    /// Creates a `~/.docker` whose current context points to `host`.
    fn context(name: &str, digest: &str, host: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        let meta = folder.path().join("contexts/meta").join(digest);
        std::fs::create_dir_all(&meta).expect("folders");
        std::fs::write(folder.path().join("config.json"), format!(r#"{{"currentContext":"{name}"}}"#)).expect("config");
        let text = format!(r#"{{"Name":"{name}","Endpoints":{{"docker":{{"Host":"{host}"}}}}}}"#);
        std::fs::write(meta.join("meta.json"), text).expect("meta");
        folder
    }

    /// `printf rootless | sha256sum`
    const ROOTLESS: &str = "12b961af5feb3e9d39f93b2cefb9a1a944f18d02cca0cac2f04f5a982240605f";

    fn text(path: &Path) -> &str {
        path.to_str().expect("a folder with a plain name")
    }

    #[test]
    fn a_remote_engine_of_the_environment_is_refused_and_a_local_one_taken() {
        let error = local(&environment(&[("DOCKER_HOST", "tcp://10.0.0.5:2375")])).expect_err("remote");
        let message = error.to_string();
        assert!(message.contains("DOCKER_HOST points to tcp://10.0.0.5:2375"), "{message}");
        assert!(message.contains("docker: { host"), "{message}");
        let socket = local(&environment(&[("DOCKER_HOST", "unix:///run/my.sock")])).expect("local");
        assert_eq!(socket, "unix:///run/my.sock");
    }

    #[test]
    fn a_context_counts_only_where_it_is_local_and_no_docker_host_is_set() {
        let folder = context("rootless", ROOTLESS, "unix:///run/user/7/docker.sock");
        let folder = text(folder.path());
        assert_eq!(local(&environment(&[("DOCKER_CONFIG", folder)])).expect("local"), "unix:///run/user/7/docker.sock");
        let both = environment(&[("DOCKER_CONFIG", folder), ("DOCKER_HOST", "unix:///run/my.sock")]);
        assert_eq!(local(&both).expect("local"), "unix:///run/my.sock");

        let remote = context("rootless", ROOTLESS, "ssh://gpu.example");
        let error = local(&environment(&[("DOCKER_CONFIG", text(remote.path()))])).expect_err("remote");
        assert!(error.to_string().contains(r#"the Docker context "rootless" points to ssh://gpu.example"#), "{error}");
    }

    #[tokio::test]
    async fn an_engine_that_goes_away_in_mid_call_is_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("docker.sock");
        let listener = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
        // Answers with its version, and hangs up on the next request.
        let engine = std::thread::spawn(move || {
            let (mut first, _) = listener.accept().expect("a call");
            assert!(first.read(&mut [0; 4096]).expect("a request") > 0);
            let body = r#"{"Version":"20.10","ApiVersion":"1.41"}"#;
            write!(first, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).expect("an answer");
            assert!(first.read(&mut [0; 4096]).expect("a request on the same connection") > 0);
        });
        let host = format!("unix://{}", text(&socket));
        let connected = connect(Some(&host), &BTreeMap::new()).expect("an engine");
        assert_eq!(connected.fact().await.expect("a version").version, "20.10");
        let error = connected.published().await.expect_err("it hung up");
        assert!(matches!(&error, DriverError::NoEngine { endpoint, .. } if *endpoint == host), "{error:?}");
        engine.join().expect("both requests came");
        let error = connected.published().await.expect_err("no listener").to_string();
        assert!(error.contains("is the engine running?"), "{error}");
    }

    #[test]
    fn an_engine_that_is_not_there_is_named_with_a_hint() {
        let error = connect(Some("unix:///nowhere/docker.sock"), &BTreeMap::new()).expect_err("no engine");
        assert!(matches!(error, DriverError::NoEngine { .. }), "{error:?}");
        let message = error.to_string();
        assert!(message.contains("unix:///nowhere/docker.sock") && message.contains("running?"), "{message}");
    }

    #[test]
    fn a_version_is_read_from_dockers_answers_alone() {
        assert_eq!(version("Docker/20.10.24+dfsg1 (linux)"), Some("20.10.24+dfsg1"));
        assert_eq!(version("Docker/27.3.1"), Some("27.3.1"));
        assert_eq!((version("Libpod/4.3.1 (linux)"), version("Docker/"), version("nginx")), (None, None, None));
    }
}
