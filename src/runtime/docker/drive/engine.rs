//! One Docker engine, called through bollard. Every call has a deadline and a name, so that a failure names what was
//! tried.

use std::collections::BTreeMap;
use std::future::Future;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bollard::Docker;
use bollard::errors::Error;
use futures_util::future::BoxFuture;
use tokio::sync::OnceCell;
use tracing::debug;

use crate::host::elapsed::elapsed_ms;
use crate::runtime::DriverError;
use crate::runtime::docker::drive::home::Home;
use crate::runtime::docker::drive::login::Logins;
use crate::runtime::docker::drive::scope::{ImageMarks, OwnershipScope};

/// Deadline of a reading of the engine's own state. It takes milliseconds as a rule, seconds on a loaded machine.
pub(super) const READ_DEADLINE: Duration = Duration::from_secs(10);

/// Deadline of create, start, rename and remove: unpacking layers on a slow disk and the GPU's start hooks take time.
pub(super) const CHANGE_DEADLINE: Duration = Duration::from_mins(2);

/// Free bytes required for a pull. The size of an image is known only while it is pulled. Images of AI services have
/// some GiB: with less than one free hardly any fits, and a smaller one leaves no space to run.
pub(super) const PULL_FREE_BYTES_MIN: u64 = 1 << 30;

/// Client of an engine. Clones share it.
#[derive(Clone, Debug)]
pub struct Engine {
    pub(super) docker: Docker,
    pub(super) endpoint: Arc<str>,
    pub(super) scope: OwnershipScope,
    pub(super) home: Arc<Home>,
    /// Id of this machine, as it is written on new containers.
    pub(super) host_id: Option<Arc<str>>,
    /// True if other machines may use the engine too.
    pub(super) is_shared: bool,
    /// Marks of images by id; each image is read once, also when many containers are read at one time.
    pub(super) images: Arc<Mutex<BTreeMap<String, Arc<OnceCell<ImageMarks>>>>>,
    pub(super) logins: Arc<Logins>,
    /// Held while networks are made.
    pub(super) networks_made: Arc<tokio::sync::Mutex<()>>,
}

impl Engine {
    /// Makes one call within its deadline. `what` completes "the engine refused to …". Boxed, since the client's
    /// futures are as large as the answers that they hold.
    pub(super) fn call<'a, T>(
        &'a self,
        what: impl Into<String>,
        deadline: Duration,
        call: impl Future<Output = Result<T, Error>> + Send + 'a,
    ) -> BoxFuture<'a, Result<T, DriverError>> {
        let what = what.into();
        Box::pin(async move {
            let began = Instant::now();
            let ended = tokio::time::timeout(deadline, call).await;
            let result = match &ended {
                Ok(Ok(_)) => "succeeded".to_owned(),
                Ok(Err(error)) => error.to_string(),
                Err(_elapsed) => "timed out".to_owned(),
            };
            let (endpoint, took_ms) = (&*self.endpoint, elapsed_ms(began));
            debug!(target: "runtime", endpoint, request = what, took_ms, result, "engine answered");
            match ended {
                Ok(Ok(value)) => Ok(value),
                Ok(Err(error)) => Err(failure(&self.endpoint, what, &error)),
                Err(_elapsed) => Err(DriverError::NoEngine {
                    endpoint: self.endpoint.to_string(),
                    reason: format!("no answer within {} s to a request to {what}", deadline.as_secs()),
                }),
            }
        })
    }

    /// Makes one reading like [`Engine::call`]; `None`: the object does not exist.
    pub(super) fn find<'a, T>(
        &'a self,
        what: impl Into<String>,
        call: impl Future<Output = Result<T, Error>> + Send + 'a,
    ) -> BoxFuture<'a, Result<Option<T>, DriverError>> {
        let found = async {
            match call.await {
                Ok(value) => Ok(Some(value)),
                Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
                Err(error) => Err(error),
            }
        };
        self.call(what, READ_DEADLINE, found)
    }
}

/// Returns the error of a call: a refusal by the engine, or no answer from it.
pub(super) fn failure(endpoint: &str, what: String, error: &Error) -> DriverError {
    match error {
        Error::DockerResponseServerError { message, .. } => {
            DriverError::Engine { what, reason: message.trim().to_owned() }
        }
        Error::DockerStreamError { error } => DriverError::Engine { what, reason: error.trim().to_owned() },
        Error::SocketNotFoundError(_)
        | Error::HyperLegacyError { .. }
        | Error::HyperResponseError { .. }
        | Error::IOError { .. }
        | Error::RequestTimeoutError => no_engine(endpoint, error),
        // The engine gave an unexpected answer: another API, another program.
        other => DriverError::Engine { what, reason: other.to_string() },
    }
}

/// Returns the error of an engine that does not answer, with the innermost cause, which is the most exact, and a hint.
pub(super) fn no_engine(endpoint: &str, error: &Error) -> DriverError {
    let mut cause: &dyn std::error::Error = error;
    // The client passes an error of the operating system on as its own, without a source.
    let mut kind = if let Error::IOError { err } = error { Some(err.kind()) } else { None };
    // Error chains are short; this one ends in the operating system's.
    while let Some(source) = cause.source() {
        cause = source;
        kind = cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind).or(kind);
    }
    let reason = match (error, kind) {
        (Error::SocketNotFoundError(_), _) => {
            "there is no such socket (is an engine installed and running?)".to_owned()
        }
        (_, Some(ErrorKind::NotFound)) => format!("{cause} (is an engine installed and running?)"),
        (_, Some(ErrorKind::ConnectionRefused)) => format!("{cause} (is the engine running?)"),
        (_, Some(ErrorKind::PermissionDenied)) => {
            format!("{cause} (is this user root or in the group docker?)")
        }
        (_, Some(_) | None) => cause.to_string(),
    };
    DriverError::NoEngine { endpoint: endpoint.to_owned(), reason }
}

/// Returns the first twelve digits of an id, by which all Docker tools name containers.
pub(super) fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}
