//! Services that are process trees: started under a shim, found by their marks, ended whole.
//!
//! Whose a process is stands in its own environment, not in lcm's notes; those only tell how it ended and where its
//! output begins. What is not here: probes, ports, and all judgement.

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
mod ending;
pub(crate) mod folder;
pub(crate) mod found;
pub(crate) mod held;
mod helper;
mod invocation;
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

/// Makes the state folder, for this user's eyes only, and proves that something can be written there.
pub fn ensure_state_dir(path: &Path) -> Result<(), DriverError> {
    Folder::at(path.to_owned()).prove()
}

impl Processes {
    /// Reads which process is of which service, when it is called.
    pub(crate) fn reader(&self) -> impl FnOnce() -> io::Result<Census> + Send + 'static {
        let trust = self.trust();
        move || Census::take(&trust)
    }

    /// What there is of processes.
    pub async fn survey(&self, desired: &Desired) -> Survey {
        let (processes, desired) = (self.clone(), desired.clone());
        blocking(move || survey::all(&processes, &desired)).await.unwrap_or_else(|error| Survey {
            trees: Reading::Unknown(error.to_string()),
            claims: Vec::new(),
            pid_files: BTreeMap::new(),
        })
    }

    /// The trees alone.
    pub async fn trees(&self, desired: &Desired) -> Reading<Vec<TreeFact>> {
        self.survey(desired).await.trees
    }

    /// One service as it is at this moment.
    pub async fn look(&self, project: &ProjectName, service: &Service) -> Result<Inspection, DriverError> {
        Ok(look_of(self.tree(project, service).await?))
    }

    /// One service's tree, alive or ended.
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

    /// Whether its program, its folder and lcm's own are there, and whether it would outlive lcm.
    pub async fn prepare(&self, service: &Service) -> Result<(), DriverError> {
        let (processes, service) = (self.clone(), service.clone());
        let prepare = move || process_of(&service).and_then(|process| start::prepare(&processes, &service, process));
        blocking(move || Ok(prepare())).await?
    }

    /// Starts it, unless it runs already: never a second copy. The caller holds the host's lock.
    pub async fn start(&self, start: &Start<'_>) -> Result<Instance, DriverError> {
        let process = process_of(start.service)?;
        if let Some(tree) = self.tree(start.project, start.service).await?
            && !tree.members.is_empty()
        {
            return running(start.service, &tree);
        }
        start::start(self, start, process).await.map(crate::runtime::process::instance)
    }

    /// Ends it and all that it started.
    pub async fn stop(&self, stop: &StopRequest<'_>) -> Result<(), DriverError> {
        stop::stop(self, stop).await
    }

    /// What it wrote since its last start, at most the last `bytes_max`.
    pub async fn log_since_start(
        &self,
        project: &ProjectName,
        service: &ServiceName,
        bytes_max: usize,
    ) -> Result<String, DriverError> {
        Ok(self.written(project, service, None, bytes_max).await?.text)
    }

    /// The same, and whether it is whole; with a `salt`, of that start.
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
                // The folder is gone or was moved, and the service writes on.
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

    /// The last lines since its last start.
    pub async fn log_tail(&self, project: &ProjectName, service: &ServiceName, lines: usize) -> Vec<String> {
        let folder = self.readable_folder(project.as_str(), service.as_str());
        spawn_blocking(move || log::tail(&folder, lines)).await.unwrap_or_default()
    }

    /// What it wrote after `mark`, or since its last start; `None`: there is no log.
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
                // Without a relay there is nothing more to read: its output waits in its pipe.
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

    /// Whether the relay of that start looks for this pattern in all that passes, for as long as the start may take.
    pub(crate) fn is_awaited(&self, project: &ProjectName, service: &ServiceName, salt: &str, pattern: &str) -> bool {
        let note = self.readable_folder(project.as_str(), service.as_str()).start_note();
        let awaited = note.and_then(|note| note.output?.awaited);
        awaited.is_some_and(|awaited| awaited.is_of(salt, pattern))
    }
}

/// Off the threads that wait for sockets: `/proc` is some hundred small reads.
async fn blocking<T: Send + 'static>(read: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, DriverError> {
    let read = spawn_blocking(read).await.map_err(io::Error::other).and_then(|read| read);
    read.map_err(|source| DriverError::Io { what: "can't read the processes of this host".to_owned(), source })
}

/// What a start finds when there is something already.
fn running(service: &Service, tree: &TreeFact) -> Result<Instance, DriverError> {
    let marks = &tree.marks;
    let same = service.spec.has_hash(&marks.spec) && service.spec.has_secrets(&marks.secrets, &marks.salt);
    if tree.adopted || (same && !is_bad(tree.exit.as_ref())) {
        return Ok(crate::runtime::process::instance(marks.salt.clone()));
    }
    let members: Vec<String> =
        tree.members.iter().map(|member| format!("{} (pid {})", member.program, member.pid)).collect();
    let what = if same { "what is left of it" } else { "another version of it" };
    Err(DriverError::Refused(format!(
        "`{}` is not started beside {what} that still runs: {}; stop that first",
        service.name,
        members.join(", ")
    )))
}

fn is_bad(exit: Option<&ExitFact>) -> bool {
    exit.is_some_and(|exit| exit.code != Some(0))
}

/// What a tree means for whoever asks after its service.
pub(crate) fn look_of(tree: Option<TreeFact>) -> Inspection {
    let Some(tree) = tree else {
        return Inspection { instance: None, life: RunState::Absent, previous: false, spec: None, copies: None };
    };
    let life = match tree.exit {
        exit if tree.members.is_empty() => RunState::Ended(exit),
        // Daemons leave on purpose, with 0.
        Some(exit) if is_bad(Some(&exit)) => RunState::Degraded(exit),
        Some(_) | None if tree.suspended => RunState::Suspended,
        Some(_) | None => RunState::Running,
    };
    let spec = Some(tree.marks.spec).filter(|spec| !spec.is_empty());
    let instance = Some(crate::runtime::process::instance(tree.marks.salt));
    Inspection { instance, life, previous: false, spec, copies: None }
}
