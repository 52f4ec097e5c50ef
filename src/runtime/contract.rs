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
use crate::model::doctor::{MachineCheck, RuntimeDemand};
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

    /// Reads every instance that this manifest can touch, and every other holder of capacity. A reading that fails is
    /// unknown in the facts.
    async fn read(&self, desired: &Desired) -> RuntimeReading;

    /// Records the proof that the project's instances are its own, for later readings; called by runs that change them.
    async fn record(&self, _: &ProjectName) {}

    /// Returns the present state of one service, without probing it.
    async fn inspect(&self, project: &ProjectName, service: &Service) -> Result<Inspection, DriverError>;

    /// Returns the same inspection with the processes and ports of the service, read at one time.
    async fn inspect_owned(
        &self,
        project: &ProjectName,
        service: &Service,
    ) -> Result<(Inspection, Vec<Attribution>), DriverError> {
        Ok((self.inspect(project, service).await?, Vec::new()))
    }

    /// Prepares everything that a start needs and that takes no GPU memory. Changes no running instance.
    async fn prepare(&self, project: &ProjectName, service: &Service) -> Result<(), DriverError>;

    /// Starts the service, creating its instance first where needed, and returns as soon as the instance runs.
    async fn start(&self, start: &Start<'_>) -> Result<Instance, DriverError>;

    /// Removes the previous revision, since the new one is healthy.
    async fn settle(&self, _: &ProjectName, _: &Service) -> Result<(), DriverError> {
        Ok(())
    }

    /// Removes the new revision and starts the previous one again. Returns `false` if there was no previous revision.
    async fn restore(&self, _: &ProjectName, _: &Service) -> Result<bool, DriverError> {
        Ok(false)
    }

    /// Stops the instance and all processes that it started; returns when none of them is left.
    async fn stop(&self, stop: &StopRequest<'_>) -> Result<(), DriverError>;

    /// Pauses the instance, which keeps all that it holds.
    async fn pause(&self, _: &Pause<'_>) -> Result<(), DriverError> {
        Err(self.unsupported("pause"))
    }

    /// Resumes a paused instance.
    async fn unpause(&self, _: &Pause<'_>) -> Result<(), DriverError> {
        Err(self.unsupported("unpause"))
    }

    /// Changes settings of a running instance in place. A runtime with rolling updates writes the new spec with its
    /// number of copies, and returns before the copies are replaced.
    async fn update(&self, _: &ProjectName, _: &Service, _: &Instance) -> Result<(), DriverError> {
        Err(self.unsupported("update"))
    }

    /// Sets the number of copies, and returns before they are ready.
    async fn scale(&self, _: &ProjectName, _: &Service, _: &Instance, _: u32) -> Result<(), DriverError> {
        Err(self.unsupported("scale"))
    }

    /// Removes a stopped instance that lcm created; its volumes stay.
    async fn remove(&self, _: &ProjectName, _: &Instance) -> Result<(), DriverError> {
        Ok(())
    }

    /// Removes a network that lcm made for this project and that no instance uses. Does nothing if it is gone.
    async fn remove_network(&self, _: &ProjectName, _: &str) -> Result<(), DriverError> {
        Err(self.unsupported("remove a network of"))
    }

    /// Runs a command beside or inside an instance.
    async fn exec(&self, _: &Service, _: &Instance, _: &[String], _: Duration) -> Result<ExecOutcome, DriverError> {
        Err(self.unsupported("exec"))
    }

    /// Checks that the instance is alive, and healthy where the runtime has a health check of its own.
    async fn check(&self, project: &ProjectName, service: &Service, instance: &Instance) -> ProbeReading;

    /// Returns an id of the instance's current start, unique among all starts.
    async fn start_id(&self, instance: &Instance) -> Result<String, DriverError>;

    /// Returns the time of the instance's last start; `None`: unknown.
    async fn started_at(&self, project: &ProjectName, service: &Service, instance: &Instance) -> Option<Timestamp>;

    /// Searches the instance's output since its start.
    async fn search_log(
        &self,
        project: &ProjectName,
        service: &Service,
        instance: &Instance,
        pattern: &Regex,
    ) -> Result<LogSearch, DriverError>;

    /// Returns the last lines of the service's output.
    async fn log_tail(&self, project: &ProjectName, service: &Service, lines: usize) -> Vec<String>;

    /// Returns the service's output after `mark`, or since its last start. `None`: nothing was ever written.
    async fn log_from(
        &self,
        project: &ProjectName,
        service: &Service,
        mark: Option<&LogMark>,
    ) -> Result<Option<Logged>, DriverError>;

    /// Returns the ports of this host that the runtime forwards, with the instances that they lead to.
    async fn forwarded(&self) -> Vec<Attribution> {
        Vec::new()
    }

    /// Returns the reason why the endpoint is not this host's; `None` also before the first request to it.
    fn elsewhere(&self) -> Option<&str> {
        None
    }

    /// Returns a reader of the processes of this runtime's services; `None`: the runtime has no processes on this host.
    fn processes(&self) -> Option<ProcessReader> {
        None
    }

    /// Resolves the host paths of this runtime's services, on the host that the paths belong to.
    fn paths(&self, desired: &Desired) -> BTreeMap<String, PathFact> {
        paths::of_runtime(desired, &self.name())
    }

    /// Returns the host around the container that lcm runs in, as far as the endpoint has reported it so far.
    fn outer_host(&self) -> OuterHost {
        OuterHost::default()
    }

    /// Returns the mounts of lcm's own container; `None`: the endpoint knows no such container.
    async fn own_mounts(&self) -> Option<Vec<MountFact>> {
        None
    }

    /// Discovers what runs without a manifest, in addition to the facts of that moment.
    async fn discover(&self, _: &Facts) -> Discovered {
        Discovered::default()
    }

    /// Checks what this machine lets the runtime do, within seconds. Changes and starts nothing.
    async fn examine(&self, _: RuntimeDemand) -> Vec<MachineCheck> {
        Vec::new()
    }

    /// Returns the process if [`Runtime::adopt`] would accept it.
    fn adoptable(&self, _: &Adoption<'_>) -> Result<ProcessFact, DriverError> {
        Err(self.unsupported("adopt a process for"))
    }

    /// Adopts a foreign process, until the process ends. The caller holds the host's lock.
    fn adopt(&self, _: &Adoption<'_>) -> Result<ProcessFact, DriverError> {
        Err(self.unsupported("adopt a process for"))
    }

    /// Returns the process if [`Runtime::disown`] would give it back.
    fn disownable(&self, _: &Desired, _: &ServiceName) -> Result<ProcessFact, DriverError> {
        Err(self.unsupported("give back"))
    }

    /// Ends the adoption of a process, which keeps running and is foreign from then on. The caller holds the host's
    /// lock.
    fn disown(&self, _: &Desired, _: &ServiceName) -> Result<ProcessFact, DriverError> {
        Err(self.unsupported("give back"))
    }

    /// Returns the error of an effect that the runtime does not support.
    fn unsupported(&self, what: &str) -> DriverError {
        DriverError::Refused(format!("the runtime `{}` can't {what} a service", self.name()))
    }
}

/// Request to adopt a process as a service.
#[derive(Clone, Copy, Debug)]
pub struct Adoption<'a> {
    pub desired: &'a Desired,
    pub service: &'a ServiceName,
    pub pid: i32,
    /// The operator accepts a process that does not look like the service.
    pub is_forced: bool,
}

/// Reader of the running processes of services; reads when it is called. Blocking.
pub type ProcessReader = Box<dyn FnOnce() -> io::Result<Box<dyn ServiceProcesses>> + Send>;

/// Host around the container that lcm runs in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OuterHost {
    pub hostname: Option<String>,
    /// Id of the host that instances are compared by.
    pub id: Option<String>,
}

/// Facts that a runtime read at one time.
#[derive(Debug)]
pub struct RuntimeReading {
    pub facts: Box<dyn RuntimeFacts>,
    /// Instances that name a project without proof.
    pub claims: Vec<ClaimFact>,
}

/// Outcome of a command that was run for a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecOutcome {
    Ended(i64),
    /// Reason why the command could not be run at all.
    NotRun(String),
    TimedOut,
}

/// Outcome of a search in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogSearch {
    Found,
    Absent,
    /// Absent from the part that can still be read; this much of the log's beginning can't be read.
    Incomplete {
        missing_bytes: u64,
    },
}
