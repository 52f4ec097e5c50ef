//! The only door to a machine. Whatever lcm learns of or does to processes, containers, GPUs and ports passes
//! [`Driver`]; a simulated world stands behind the same trait.
//!
//! A machine reports free text as it is; [`masked::Masked`] around it hides secrets.
//!
//! Each method is one reading or one effect. Order, retries, waiting for health and all other judgement are the
//! caller's: a driver decides nothing.

use std::path::Path;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::host::calls::{HookCall, HookResult};
use crate::host::reservations::ReservingStart;
use crate::model::copies::Copies;
use crate::model::desired::{Desired, Service, StopPolicy};
use crate::model::facts::{BusyReading, ExitFact, Facts, ProbeReading};
use crate::model::instance::Instance;
use crate::model::names::{GpuId, ProjectName, ServiceName};

pub use crate::host::error::DriverError;

pub mod contract;
pub mod docker;
pub mod helpers;
pub(crate) mod list;
pub mod machine;
pub mod masked;
pub mod process;
pub mod registration;
pub mod registry;
#[cfg(test)]
pub(crate) mod skeleton;
pub mod world;

/// One machine, real or simulated.
#[async_trait]
pub trait Driver: Send + Sync {
    /// All that this manifest can touch, read now and in parallel; a reading that fails is an `Unknown` in the facts.
    /// `history` is left empty: it is the store's.
    async fn observe(&self, desired: &Desired) -> Facts {
        let surveyed = self.survey(desired).await;
        self.complete(desired, surveyed).await
    }

    /// Containers, process trees and GPUs alone: who holds what now. Asks no service anything.
    async fn survey(&self, desired: &Desired) -> Facts;

    /// Adds to a survey of this moment what [`Driver::observe`] reads beside it: listeners, paths, probes.
    async fn complete(&self, desired: &Desired, surveyed: Facts) -> Facts;

    /// Records what proves later that the project's things are its own; for runs that change things.
    async fn record(&self, project: &ProjectName);

    /// One service as it is at this moment, without probing it.
    async fn look(&self, project: &ProjectName, service: &Service) -> Result<Inspection, DriverError>;

    /// Everything that a start needs and that needs no room: image, executable, folders. Changes nothing that runs.
    async fn prepare(&self, service: &Service) -> Result<(), DriverError>;

    /// Brings it up, creating it first where needed, and returns as soon as it runs. A container with another spec
    /// under its name is put aside, and stays so until [`Driver::settle`] or [`Driver::restore`].
    async fn start(&self, start: &Start<'_>) -> Result<Instance, DriverError>;

    /// The new one is well: the one put aside is removed.
    async fn settle(&self, project: &ProjectName, service: &Service) -> Result<(), DriverError>;

    /// The new one is not: it is removed, and the one put aside stands and runs again. `false`: there was none.
    async fn restore(&self, project: &ProjectName, service: &Service) -> Result<bool, DriverError>;

    /// Ends it and all that it started; returns when nothing of it is left.
    async fn stop(&self, stop: &StopRequest<'_>) -> Result<(), DriverError>;

    /// Freezes it and all that it started: it keeps what it holds. Returns when nothing of it runs any more.
    async fn pause(&self, pause: &Pause<'_>) -> Result<(), DriverError>;

    /// Lets what is frozen go on.
    async fn unpause(&self, pause: &Pause<'_>) -> Result<(), DriverError>;

    /// Changes settings of a running container that lcm created, as far as the engine can do that in place; where the
    /// runtime rolls, begins to replace the copies one by one, and returns before that is done.
    async fn update(&self, project: &ProjectName, service: &Service, instance: &Instance) -> Result<(), DriverError>;

    /// Has the runtime keep so many copies running, and returns before they are ready.
    async fn scale(
        &self,
        project: &ProjectName,
        service: &Service,
        instance: &Instance,
        copies: u32,
    ) -> Result<(), DriverError>;

    /// Removes a stopped container that lcm created; its volumes stay.
    async fn remove(&self, project: &ProjectName, instance: &Instance) -> Result<(), DriverError>;

    /// Asks it to give its GPU memory back.
    async fn evict(&self, service: &Service) -> Result<(), DriverError>;

    /// Reserves GPU memory for a service that runs, and asks it to take that again, where it has a call for that.
    async fn wake(&self, start: &Start<'_>) -> Result<(), DriverError>;

    /// One health probe, within the service's own deadline. Only what belongs to `instance` counts.
    async fn probe(&self, project: &ProjectName, service: &Service, instance: &Instance) -> ProbeReading;

    /// One busy probe; one that fails counts as busy.
    async fn busy(&self, service: &Service, instance: &Instance) -> BusyReading;

    /// Who holds a port that this service needs, other than itself: `8188 by python3 (pid 4711)`.
    async fn port_holder(&self, project: &ProjectName, service: &Service) -> Result<Option<String>, DriverError>;

    /// The last lines that it wrote.
    async fn log_tail(&self, project: &ProjectName, service: &Service, lines: usize) -> Vec<String>;

    /// What it wrote after `mark`, or since its last start, where there is no mark or another container stands there now;
    /// bounded, with the oldest left out. `None`: nothing was ever written.
    async fn log_from(
        &self,
        project: &ProjectName,
        service: &Service,
        mark: Option<&LogMark>,
    ) -> Result<Option<Logged>, DriverError>;

    /// Calls a hook or a notifier with its payload, and returns within its deadline. Of a program, and of all
    /// that it started in any session or group, nothing is left then.
    async fn call(&self, call: &HookCall<'_>) -> HookResult;

    /// Proves that a file that all lcm of this host share is the host's, not one of a container that lcm runs in.
    async fn require_host_path(&self, _: &Path) -> Result<(), DriverError> {
        Ok(())
    }

    /// The machine's clock; a simulated one has its own.
    fn now(&self) -> Timestamp;
}

/// What is there of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// The thing that runs or is left.
    pub instance: Option<Instance>,
    pub life: RunState,
    /// Container only: an older self stands aside.
    pub previous: bool,
    /// The hash that it carries, where it carries one.
    pub spec: Option<String>,
    /// Its copies; `None`: its runtime has one of each service.
    pub copies: Option<Copies>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunState {
    Absent,
    /// Created, or ended before: not running.
    Ended(Option<ExitFact>),
    /// Its first process ended badly and others of its tree are still there.
    Degraded(ExitFact),
    Running,
    Suspended,
}

/// What a start or a wake needs to know.
#[derive(Clone, Copy, Debug)]
pub struct Start<'a> {
    pub project: &'a ProjectName,
    pub service: &'a Service,
    pub gpus: &'a [GpuId],
    /// Of the same GPUs, as the driver counts; empty where the service takes them by id.
    pub indices: &'a [u32],
}

impl<'a> Start<'a> {
    /// The memory that it takes, and on whose behalf.
    pub(crate) fn reserving(&self) -> ReservingStart<'a> {
        ReservingStart { project: self.project, service: self.service, gpus: self.gpus }
    }
}

/// Parameters of a stop.
#[derive(Clone, Copy, Debug)]
pub struct StopRequest<'a> {
    pub project: &'a ProjectName,
    pub service: &'a ServiceName,
    pub instance: &'a Instance,
    pub policy: &'a StopPolicy,
    /// The service as the manifest has it; an orphan has none, and no program is run to stop it.
    pub definition: Option<&'a Service>,
}

/// What is to be frozen, or to go on.
#[derive(Clone, Copy, Debug)]
pub struct Pause<'a> {
    pub project: &'a ProjectName,
    pub service: &'a ServiceName,
    pub instance: &'a Instance,
}

/// How far a log was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogMark {
    /// Which life it is of: a tree's salt, a container's id.
    pub life: String,
    /// Bytes of a tree, over all rotations; nanoseconds of a container.
    pub position: u64,
}

/// What stands in a log after a mark; unmasked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    pub bytes: Vec<u8>,
    pub mark: LogMark,
    /// Nothing between the mark and this was rotated away or too much.
    pub is_gapless: bool,
    /// It may begin in the middle of a line.
    pub is_torn: bool,
}

/// Returns the reason for which this is not that instance, up and running.
pub(crate) fn not_alive(look: &Inspection, instance: &Instance) -> Option<String> {
    if look.instance.as_ref() != Some(instance) {
        return Some("it is not there any more".to_owned());
    }
    match &look.life {
        RunState::Running => None,
        RunState::Suspended => Some("it is suspended".to_owned()),
        RunState::Degraded(_) => Some("its first process has ended".to_owned()),
        RunState::Ended(_) | RunState::Absent => Some("it has ended".to_owned()),
    }
}
