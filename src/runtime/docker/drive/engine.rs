//! One Docker engine, asked through bollard. Every call has a deadline and a name, so that a failure says what was tried.

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
use crate::runtime::docker::drive::scope::{ImageMarks, OwnershipScope};

/// A reading of the engine's own books. Milliseconds as a rule; a loaded machine takes seconds.
pub(super) const READ_DEADLINE: Duration = Duration::from_secs(10);

/// Create, start, rename, remove: unpacking layers on a slow disk and the GPU's start hooks take their time.
pub(super) const CHANGE_DEADLINE: Duration = Duration::from_mins(2);

/// An engine, ready to be asked. Clones share it.
#[derive(Clone, Debug)]
pub struct Engine {
    pub(super) docker: Docker,
    pub(super) endpoint: Arc<str>,
    pub(super) scope: OwnershipScope,
    pub(super) home: Arc<Home>,
    /// This machine, as it is written on new containers.
    pub(super) host_id: Option<Arc<str>>,
    /// Other machines may use it too.
    pub(super) is_shared: bool,
    /// Marks of images by id; each is asked for once, however many containers are read at one time.
    pub(super) images: Arc<Mutex<BTreeMap<String, Arc<OnceCell<ImageMarks>>>>>,
}

impl Engine {
    /// One call within its deadline. `what` completes "the engine refused to …". Boxed, since the client's futures
    /// are as large as the answers that they hold.
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
                    reason: format!("no answer within {} s when asked to {what}", deadline.as_secs()),
                }),
            }
        })
    }

    /// As [`Engine::call`]; `None`: there is no such thing.
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

/// An answer that refuses is told from no answer at all.
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
        // The engine answered, and not as expected: another API, another program.
        other => DriverError::Engine { what, reason: other.to_string() },
    }
}

/// The innermost cause says most; a hint says what to do about it.
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
            format!("{cause} (may this user use it? it asks for root or the group docker)")
        }
        (_, Some(_) | None) => cause.to_string(),
    };
    DriverError::NoEngine { endpoint: endpoint.to_owned(), reason }
}

/// Twelve digits tell containers apart, as everywhere in Docker.
pub(super) fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}
