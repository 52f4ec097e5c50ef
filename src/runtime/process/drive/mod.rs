//! Driver of the process runtime: starts services under a shim, finds their trees, stops them completely.
//!
//! In: a service's definition, and /proc. Out: facts about trees, logs, and the effects start, stop and pause.
//! The environment of a process names its service, not lcm's notes; those hold exit status and log offsets only.
//! Not here: probes and ports, which are `host`'s; decisions, which are `plan`'s.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use tokio::task::spawn_blocking;

use crate::model::desired::{Desired, Service};
use crate::model::facts::{ExitFact, Reading};
use crate::model::instance::Instance;
use crate::model::names::{ProjectName, ServiceName};
use crate::runtime::process::drive::processes::process_of;
use crate::runtime::process::facts::TreeFact;
use crate::runtime::{DriverError, Inspection, LogMark, Logged, RunState, Start, StopRequest};

mod adopt;
mod adopted;
pub(crate) mod as_runtime;
mod disown;
mod ending;
mod fit;
pub(crate) mod folder;
pub(crate) mod found;
pub(crate) mod held;
mod helper;
mod invocation;
pub(crate) mod limits;
mod log;
mod members;
mod members_note;
mod pause;
mod processes;
mod recorder;
pub mod shim;
mod start;
mod stop;
mod survey;
pub(crate) mod trees;
pub(crate) mod verified;

use folder::Folder;
use log::LogText;
pub use processes::Processes;
use shim::standby;
pub use survey::Survey;
use trees::Census;

/// Creates the state folder, readable by this user only, and checks that it can be written to.
pub fn ensure_state_dir(path: &Path) -> Result<(), DriverError> {
    Folder::at(path.to_owned()).prove()
}

impl Processes {
    /// Returns a function that reads, when it is called, to which service each process belongs.
    pub(crate) fn reader(&self) -> impl FnOnce() -> io::Result<Census> + Send + 'static {
        let trust = self.trust();
        move || Census::take(&trust)
    }

    /// Reads all process trees, claims and pid files.
    pub async fn survey(&self, desired: &Desired) -> Survey {
        let (processes, desired) = (self.clone(), desired.clone());
        blocking(move || survey::all(&processes, &desired)).await.unwrap_or_else(|error| Survey {
            trees: Reading::Unknown(error.to_string()),
            claims: Vec::new(),
            pid_files: BTreeMap::new(),
        })
    }

    /// Reads the trees alone.
    pub async fn trees(&self, desired: &Desired) -> Reading<Vec<TreeFact>> {
        self.survey(desired).await.trees
    }

    /// Inspects one service.
    pub async fn inspect_service(&self, project: &ProjectName, service: &Service) -> Result<Inspection, DriverError> {
        Ok(inspection_of(self.tree(project, service).await?))
    }

    /// Reads one service's tree, alive or ended; `None`: it never ran.
    pub async fn tree(&self, project: &ProjectName, service: &Service) -> Result<Option<TreeFact>, DriverError> {
        let (processes, project, service) = (self.clone(), project.clone(), service.clone());
        blocking(move || survey::one(&processes, &project, &service)).await
    }

    /// Records the members of a project's living starts in the owner's store.
    pub async fn record(&self, project: &ProjectName) {
        let (processes, project) = (self.clone(), project.clone());
        // Without a record a tree is still found by its shim.
        let _ = blocking(move || survey::record(&processes, &project)).await;
    }

    /// Checks the preconditions of a start: the program, its folder and the state folder exist, and the service would
    /// outlive lcm. Starts nothing.
    pub async fn prepare(&self, service: &Service) -> Result<(), DriverError> {
        let (processes, service) = (self.clone(), service.clone());
        let prepare = move || process_of(&service).and_then(|process| start::prepare(&processes, &service, process));
        blocking(move || Ok(prepare())).await?
    }

    /// Starts a service, unless it already runs: never a second copy. The caller holds the host lock.
    pub async fn start(&self, start: &Start<'_>) -> Result<Instance, DriverError> {
        let process = process_of(start.service)?;
        if let Some(tree) = self.tree(start.project, start.service).await?
            && !tree.members.is_empty()
        {
            return running(start.service, &tree);
        }
        start::start(self, start, process).await.map(crate::runtime::process::instance)
    }

    /// Stops a service and all processes that it started.
    pub async fn stop(&self, stop: &StopRequest<'_>) -> Result<(), DriverError> {
        stop::stop(self, stop).await
    }

    /// Reads the output since the last start, at most its last `bytes_max`.
    pub async fn log_since_start(
        &self,
        project: &ProjectName,
        service: &ServiceName,
        bytes_max: usize,
    ) -> Result<String, DriverError> {
        Ok(self.written(project, service, None, bytes_max).await?.text)
    }

    /// Reads the output since the last start, with its completeness; with a `salt`, of that start only.
    pub(crate) async fn written(
        &self,
        project: &ProjectName,
        service: &ServiceName,
        salt: Option<&str>,
        bytes_max: usize,
    ) -> Result<LogText, DriverError> {
        let folder = self.readable_folder(project.as_str(), service.as_str());
        let salt = salt.map(str::to_owned);
        let what = format!("can't read {}", folder.log().display());
        let key = (project.as_str().to_owned(), service.as_str().to_owned());
        let trust = self.trust();
        let read = spawn_blocking(move || match log::since_start(&folder, salt.as_deref(), bytes_max) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // The folder is gone or was moved, and the service still writes.
                let tree = Census::take(&trust)?.trees().remove(&key).ok_or(error)?;
                let mut holders = tree.members.iter().chain(&tree.shims);
                let text = holders.find_map(|holder| log::of_living(holder, bytes_max));
                text.ok_or_else(|| io::ErrorKind::NotFound.into())
            }
            read => read,
        });
        let read = read.await.map_err(io::Error::other).and_then(|read| read);
        read.map_err(|source| DriverError::Io { what, source })
    }

    /// Reads the last lines since the last start.
    pub async fn log_tail(&self, project: &ProjectName, service: &ServiceName, lines: usize) -> Vec<String> {
        let folder = self.readable_folder(project.as_str(), service.as_str());
        spawn_blocking(move || log::tail(&folder, lines)).await.unwrap_or_default()
    }

    /// Reads the output after `mark`, or since the last start; `None`: there is no log.
    pub async fn log_from(
        &self,
        project: &ProjectName,
        service: &ServiceName,
        mark: Option<&LogMark>,
    ) -> Result<Option<Logged>, DriverError> {
        let folder = self.readable_folder(project.as_str(), service.as_str());
        let what = format!("can't read {}", folder.log().display());
        let (mark, processes) = (mark.cloned(), self.clone());
        let key = (project.as_str().to_owned(), service.as_str().to_owned());
        let read = spawn_blocking(move || {
            if let Some(note) = folder.start_note().filter(|note| standby::is_lost(&folder, note))
                && let Some(tree) = Census::take(&processes.trust())?.trees().remove(&key)
                && tree.marks.salt == note.marks.salt
            {
                // Without a relay the log does not grow: output waits in the pipe.
                let _ = standby::revive(&processes, &folder, &note, &tree.members);
            }
            log::from_mark(&folder, mark.as_ref())
        });
        let read = read.await;
        match read.map_err(io::Error::other).and_then(|read| read) {
            Ok(logged) => Ok(Some(logged)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(DriverError::Io { what, source }),
        }
    }

    /// Returns true if the relay of that start searches for this pattern in all output, for as long as the start may
    /// take.
    pub(crate) fn is_awaited(&self, project: &ProjectName, service: &ServiceName, salt: &str, pattern: &str) -> bool {
        let note = self.readable_folder(project.as_str(), service.as_str()).start_note();
        let awaited = note.and_then(|note| note.output?.awaited);
        awaited.is_some_and(|awaited| awaited.is_of(salt, pattern))
    }
}

/// Runs a read on a blocking thread: `/proc` takes some hundred small reads.
async fn blocking<T: Send + 'static>(read: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, DriverError> {
    let read = spawn_blocking(read).await.map_err(io::Error::other).and_then(|read| read);
    read.map_err(|source| DriverError::Io { what: "can't read the processes of this host".to_owned(), source })
}

/// Returns the instance that already runs; an error if another version or a remainder of it does.
fn running(service: &Service, tree: &TreeFact) -> Result<Instance, DriverError> {
    let marks = &tree.marks;
    let same = service.spec.has_hash(&marks.spec) && service.spec.has_secrets(&marks.secrets, &marks.salt);
    if tree.adopted || (same && !is_bad(tree.exit.as_ref())) {
        return Ok(crate::runtime::process::instance(marks.salt.clone()));
    }
    let members: Vec<String> =
        tree.members.iter().map(|member| format!("{} (pid {})", member.program, member.pid)).collect();
    let what = if same { "a part of it" } else { "another version of it" };
    Err(DriverError::Refused(format!(
        "can't start `{}`: {what} still runs: {}; stop it first",
        service.name,
        members.join(", ")
    )))
}

fn is_bad(exit: Option<&ExitFact>) -> bool {
    exit.is_some_and(|exit| exit.code != Some(0))
}

/// Derives the inspection of a service from its tree.
pub(crate) fn inspection_of(tree: Option<TreeFact>) -> Inspection {
    let Some(tree) = tree else {
        return Inspection { instance: None, run_state: RunState::Absent, previous: false, spec: None, copies: None };
    };
    let run_state = match tree.exit {
        // An adoption lasts until the process ends.
        _ if tree.adopted && tree.members.is_empty() => RunState::Absent,
        exit if tree.members.is_empty() => RunState::Ended(exit),
        // The first process of a daemon exits on purpose, with 0.
        Some(exit) if is_bad(Some(&exit)) => RunState::Degraded(exit),
        Some(_) | None if tree.suspended => RunState::Suspended,
        Some(_) | None => RunState::Running,
    };
    let spec = Some(tree.marks.spec).filter(|spec| !spec.is_empty());
    let instance = Some(crate::runtime::process::instance(tree.marks.salt));
    Inspection { instance, run_state, previous: false, spec, copies: None }
}
