//! Contract of a runtime's driver: readings and effects of one service's instance. A driver decides nothing.

use std::any::Any;
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use regex_lite::Regex;

use crate::host::error::DriverError;
use crate::host::paths;
use crate::host::ports::ServiceProcesses;
use crate::model::claim::ClaimFact;
use crate::model::desired::{Desired, Service};
use crate::model::enclosure::MountFact;
use crate::model::facts::{Attribution, Facts, PathFact, ProbeReading, ProcessFact, RuntimeFacts};
use crate::model::found::Discovered;
use crate::model::instance::Instance;
use crate::model::names::{ProjectName, RuntimeName, ServiceName};
use crate::runtime::{Inspection, LogMark, Logged, Pause, Start, StopRequest};

/// Driver of one runtime.
#[async_trait]
pub trait Runtime: Any + Send + Sync {
    fn name(&self) -> RuntimeName;

    /// Reads all that this manifest can touch, and what holds room beside that. A reading that fails is unknown in the
    /// facts.
    async fn read(&self, desired: &Desired) -> RuntimeReading;

    /// Records what proves later that the project's instances are its own; for runs that change things.
    async fn record(&self, _: &ProjectName) {}

    /// Reads one service as it is at this moment, without probing it.
    async fn inspect(&self, project: &ProjectName, service: &Service) -> Result<Inspection, DriverError>;

    /// Reads the same, and what belongs to the service by processes and ports, of one moment.
    async fn inspect_owned(
        &self,
        project: &ProjectName,
        service: &Service,
    ) -> Result<(Inspection, Vec<Attribution>), DriverError> {
        Ok((self.inspect(project, service).await?, Vec::new()))
    }

    /// Proves everything that a start needs and that takes no memory. Changes nothing that runs.
    async fn prepare(&self, project: &ProjectName, service: &Service) -> Result<(), DriverError>;

    /// Brings it up, creating it first where needed, and returns as soon as it runs.
    async fn start(&self, start: &Start<'_>) -> Result<Instance, DriverError>;

    /// Removes the previous revision, since the new one is healthy.
    async fn settle(&self, _: &ProjectName, _: &Service) -> Result<(), DriverError> {
        Ok(())
    }

    /// Removes the new one, and starts the previous revision again. `false`: there was none.
    async fn restore(&self, _: &ProjectName, _: &Service) -> Result<bool, DriverError> {
        Ok(false)
    }

    /// Ends it and all that it started; returns when nothing of it is left.
    async fn stop(&self, stop: &StopRequest<'_>) -> Result<(), DriverError>;

    /// Freezes it: it keeps what it holds.
    async fn pause(&self, _: &Pause<'_>) -> Result<(), DriverError> {
        Err(self.unsupported("pause"))
    }

    /// Lets what is frozen go on.
    async fn unpause(&self, _: &Pause<'_>) -> Result<(), DriverError> {
        Err(self.unsupported("unpause"))
    }

    /// Changes settings of a running instance in place; where the runtime rolls, writes the new spec with its number of
    /// copies, and returns before they are replaced.
    async fn update(&self, _: &ProjectName, _: &Service, _: &Instance) -> Result<(), DriverError> {
        Err(self.unsupported("update"))
    }

    /// Writes the number of copies, and returns before they are ready.
    async fn scale(&self, _: &ProjectName, _: &Service, _: &Instance, _: u32) -> Result<(), DriverError> {
        Err(self.unsupported("scale"))
    }

    /// Removes a stopped instance that lcm created; its volumes stay.
    async fn remove(&self, _: &ProjectName, _: &Instance) -> Result<(), DriverError> {
        Ok(())
    }

    /// Runs a command beside or inside an instance.
    async fn exec(&self, _: &Service, _: &Instance, _: &[String], _: Duration) -> Result<ExecOutcome, DriverError> {
        Err(self.unsupported("exec"))
    }

    /// Reads whether the instance is alive, and healthy where it checks itself.
    async fn check(&self, project: &ProjectName, service: &Service, instance: &Instance) -> ProbeReading;

    /// Reads what tells this start of an instance from all others.
    async fn start_id(&self, instance: &Instance) -> Result<String, DriverError>;

    /// Reads since when it runs; `None`: that is not known.
    async fn started_at(&self, project: &ProjectName, service: &Service, instance: &Instance) -> Option<Timestamp>;

    /// Searches what it wrote since its start.
    async fn search_log(
        &self,
        project: &ProjectName,
        service: &Service,
        instance: &Instance,
        pattern: &Regex,
    ) -> Result<LogSearch, DriverError>;

    /// Reads the last lines that it wrote.
    async fn log_tail(&self, project: &ProjectName, service: &Service, lines: usize) -> Vec<String>;

    /// Reads what it wrote after `mark`, or since its last start. `None`: nothing was ever written.
    async fn log_from(
        &self,
        project: &ProjectName,
        service: &Service,
        mark: Option<&LogMark>,
    ) -> Result<Option<Logged>, DriverError>;

    /// Reads which ports of this host the runtime forwards, and to which instances.
    async fn forwarded(&self) -> Vec<Attribution> {
        Vec::new()
    }

    /// Returns why the endpoint is not this host's; `None` also before it was asked.
    fn elsewhere(&self) -> Option<&str> {
        None
    }

    /// Returns a reader of the processes of its services; `None`: it has none on this host.
    fn processes(&self) -> Option<ProcessReader> {
        None
    }

    /// Reads where the host paths of its services lead, on the host that they are of.
    fn paths(&self, desired: &Desired) -> BTreeMap<String, PathFact> {
        paths::of_runtime(desired, &self.name())
    }

    /// Returns the host around the container that lcm runs in, as far as its endpoint has told it by now.
    fn outer_host(&self) -> OuterHost {
        OuterHost::default()
    }

    /// Reads the mounts of lcm's own container; `None`: its endpoint knows no such container.
    async fn own_mounts(&self) -> Option<Vec<MountFact>> {
        None
    }

    /// Reads what runs without a manifest, beside the facts of that moment.
    async fn discover(&self, _: &Facts) -> Discovered {
        Discovered::default()
    }

    /// Returns the process, where [`Runtime::adopt`] would take it for this service.
    fn adoptable(&self, _: &Desired, _: &ServiceName, _: i32) -> Result<ProcessFact, DriverError> {
        Err(self.unsupported("adopt a process for"))
    }

    /// Takes a foreign process for this service, until it ends. The caller holds the host's lock.
    fn adopt(&self, _: &Desired, _: &ServiceName, _: i32) -> Result<ProcessFact, DriverError> {
        Err(self.unsupported("adopt a process for"))
    }

    /// Error of an effect that the runtime has not.
    fn unsupported(&self, what: &str) -> DriverError {
        DriverError::Refused(format!("the runtime `{}` can't {what} a service", self.name()))
    }
}

/// Reads the living processes of services, when it is called. Blocking.
pub type ProcessReader = Box<dyn FnOnce() -> io::Result<Box<dyn ServiceProcesses>> + Send>;

/// Host around the container that lcm runs in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OuterHost {
    pub hostname: Option<String>,
    /// Id of the host that instances are compared by.
    pub id: Option<String>,
}

/// All that a runtime read at one time.
#[derive(Debug)]
pub struct RuntimeReading {
    pub facts: Box<dyn RuntimeFacts>,
    /// What names a project without proof.
    pub claims: Vec<ClaimFact>,
}

/// Outcome of a command that was run for a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecOutcome {
    Ended(i64),
    /// Reason for which it could not be run at all.
    NotRun(String),
    TimedOut,
}

/// Outcome of a search in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogSearch {
    Found,
    Absent,
    /// Not there in what can still be read; this much of its beginning can't.
    Incomplete {
        missing_bytes: u64,
    },
}
