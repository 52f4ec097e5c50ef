//! Interface to a machine: every reading of and every effect on processes, containers, GPUs and ports passes
//! [`Driver`], which a simulated machine implements too. Each method is one reading or one effect.
//!
//! In: services of a manifest, and effects on their instances. Out: facts, inspections, results and errors, in which
//! [`masked::Masked`] hides secrets. Not here: order, retries, waiting for health and all other decisions, which are
//! the caller's.

use std::path::Path;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::host::calls::{HookCall, HookResult};
use crate::host::reservations::ReservingStart;
use crate::model::copies::Copies;
use crate::model::desired::{Desired, Service, StopPolicy};
use crate::model::facts::{BusyReading, ExitFact, Facts, ProbeReading};
use crate::model::instance::Instance;
use crate::model::names::{GpuId, ProjectName, RuntimeName, ServiceName};

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

/// Machine, real or simulated.
#[async_trait]
pub trait Driver: Send + Sync {
    /// Reads everything that this manifest can touch, in parallel; a reading that fails is `Unknown` in the facts.
    /// `history` is left empty: it is the store's.
    async fn observe(&self, desired: &Desired) -> Facts {
        let surveyed = self.survey(desired).await;
        self.complete(desired, surveyed).await
    }

    /// Reads containers, process trees and GPUs only: the present holders of capacity. Sends no request to a service.
    async fn survey(&self, desired: &Desired) -> Facts;

    /// Adds the remaining readings of [`Driver::observe`] to a survey of this moment: listeners, paths, probes.
    async fn complete(&self, desired: &Desired, surveyed: Facts) -> Facts;

    /// Records the proof that the project's instances are its own, for later readings; called by runs that change them.
    async fn record(&self, project: &ProjectName);

    /// Returns the present state of one service, without probing it.
    async fn inspect(&self, project: &ProjectName, service: &Service) -> Result<Inspection, DriverError>;

    /// Prepares everything that a start needs and that takes no GPU memory: image, executable, folders. Changes no
    /// running instance.
    async fn prepare(&self, service: &Service) -> Result<(), DriverError>;

    /// Starts the service, creating its instance first where needed, and returns as soon as the instance runs. A
    /// container with another spec under its name is put aside until [`Driver::settle`] or [`Driver::restore`].
    async fn start(&self, start: &Start<'_>) -> Result<Instance, DriverError>;

    /// Removes the previous revision, since the new one is healthy.
    async fn settle(&self, project: &ProjectName, service: &Service) -> Result<(), DriverError>;

    /// Removes the new revision, which is not healthy, and starts the previous one again under its name. Returns
    /// `false` if there was no previous revision.
    async fn restore(&self, project: &ProjectName, service: &Service) -> Result<bool, DriverError>;

    /// Stops the instance and all processes that it started; returns when none of them is left.
    async fn stop(&self, stop: &StopRequest<'_>) -> Result<(), DriverError>;

    /// Pauses the instance and all processes that it started; they keep all that they hold. Returns when none runs.
    async fn pause(&self, pause: &Pause<'_>) -> Result<(), DriverError>;

    /// Resumes a paused instance.
    async fn unpause(&self, pause: &Pause<'_>) -> Result<(), DriverError>;

    /// Changes settings of a running container that lcm created, as far as the engine can do that in place. A runtime
    /// with rolling updates begins to replace the copies one by one, and returns before that is done.
    async fn update(&self, project: &ProjectName, service: &Service, instance: &Instance) -> Result<(), DriverError>;

    /// Sets the number of copies that the runtime keeps running, and returns before they are ready.
    async fn scale(
        &self,
        project: &ProjectName,
        service: &Service,
        instance: &Instance,
        copies: u32,
    ) -> Result<(), DriverError>;

    /// Removes a stopped container that lcm created; its volumes stay.
    async fn remove(&self, project: &ProjectName, instance: &Instance) -> Result<(), DriverError>;

    /// Removes a network that lcm made for the project and that no instance uses. Does nothing if it is gone.
    async fn remove_network(
        &self,
        project: &ProjectName,
        runtime: &RuntimeName,
        network: &str,
    ) -> Result<(), DriverError>;

    /// Makes the evict calls of a service, which release its GPU memory.
    async fn evict(&self, service: &Service) -> Result<(), DriverError>;

    /// Reserves GPU memory for a running service, and makes the wake calls, if any, by which the service takes it
    /// again.
    async fn wake(&self, start: &Start<'_>) -> Result<(), DriverError>;

    /// Runs one health probe within the service's own deadline. Only an answer of `instance` counts.
    async fn probe(&self, project: &ProjectName, service: &Service, instance: &Instance) -> ProbeReading;

    /// Runs one busy probe; a failing probe counts as busy.
    async fn busy(&self, service: &Service, instance: &Instance) -> BusyReading;

    /// Returns the holder of a port that this service needs, other than the service: `8188 by python3 (pid 4711)`.
    async fn port_holder(&self, project: &ProjectName, service: &Service) -> Result<Option<String>, DriverError>;

    /// Returns the last lines of the service's output.
    async fn log_tail(&self, project: &ProjectName, service: &Service, lines: usize) -> Vec<String>;

    /// Returns the service's output after `mark`, or since its last start if there is no mark or another container has
    /// taken its place; bounded, with the oldest output left out. `None`: nothing was ever written.
    async fn log_from(
        &self,
        project: &ProjectName,
        service: &Service,
        mark: Option<&LogMark>,
    ) -> Result<Option<Logged>, DriverError>;

    /// Calls a hook or a notifier with its payload, and returns within its deadline. No process of a program is left
    /// then, including those that it started in any session or group.
    async fn call(&self, call: &HookCall<'_>) -> HookResult;

    /// Checks that a file shared by all lcm processes of this host is the host's, not one of a container that lcm runs
    /// in.
    async fn require_host_path(&self, _: &Path) -> Result<(), DriverError> {
        Ok(())
    }

    /// Returns the machine's time; a simulated machine has a clock of its own.
    fn now(&self) -> Timestamp;
}

/// Present state of one service's instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// Instance that runs or has ended.
    pub instance: Option<Instance>,
    pub run_state: RunState,
    /// True if a previous revision is kept aside (containers only).
    pub previous: bool,
    /// Spec hash that the instance carries, if any.
    pub spec: Option<String>,
    /// Copies of the instance; `None`: the runtime runs one of each service.
    pub copies: Option<Copies>,
}

/// Run state of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunState {
    Absent,
    /// Created or ended: not running.
    Ended(Option<ExitFact>),
    /// Degraded: the first process failed, and others of its tree still run.
    Degraded(ExitFact),
    Running,
    Suspended,
}

/// Parameters of a start or a wake.
#[derive(Clone, Copy, Debug)]
pub struct Start<'a> {
    pub project: &'a ProjectName,
    pub service: &'a Service,
    pub gpus: &'a [GpuId],
    /// Indices of the same GPUs in the driver's order; empty where the service takes them by id.
    pub indices: &'a [u32],
}

impl<'a> Start<'a> {
    /// Returns the memory to reserve, and the service that takes it.
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
    /// Definition in the manifest; an orphan has none, and no program is run to stop an orphan.
    pub definition: Option<&'a Service>,
}

/// Parameters of a pause or an unpause.
#[derive(Clone, Copy, Debug)]
pub struct Pause<'a> {
    pub project: &'a ProjectName,
    pub service: &'a ServiceName,
    pub instance: &'a Instance,
}

/// Position up to which a log was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogMark {
    /// Incarnation that wrote the log: a tree's salt, a container's id.
    pub life: String,
    /// Bytes over all rotations for a tree; nanoseconds since the Unix epoch for a container.
    pub position: u64,
}

/// Output in a log after a mark; unmasked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    pub bytes: Vec<u8>,
    pub mark: LogMark,
    /// True if no output since the mark is missing, by rotation or by the size limit.
    pub is_gapless: bool,
    /// True if the bytes may begin in the middle of a line.
    pub is_torn: bool,
}

/// Returns the reason why this instance does not run; `None`: it runs.
pub(crate) fn not_alive(found: &Inspection, instance: &Instance) -> Option<String> {
    if found.instance.as_ref() != Some(instance) {
        return Some("it no longer exists".to_owned());
    }
    match &found.run_state {
        RunState::Running => None,
        RunState::Suspended => Some("it is suspended".to_owned()),
        RunState::Degraded(_) => Some("its first process has ended".to_owned()),
        RunState::Ended(_) | RunState::Absent => Some("it has ended".to_owned()),
    }
}
