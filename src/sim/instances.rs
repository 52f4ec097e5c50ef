//! Contract of a runtime's instances in a simulation: their representation in the facts, and the changes of the facts
//! when an instance starts, freezes or ends. Works on facts alone: no clock, no log of effects, no crash.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::model::desired::Service;
use crate::model::facts::{ExitFact, Facts, GpuHolder, Marks, ProcessOwner};
use crate::model::instance::Instance;
use crate::model::names::{GpuId, ProjectName, RuntimeName, ServiceName};
use crate::runtime::{DriverError, Inspection};

/// Instances of one runtime in the facts of a simulation. An instance is named by its id.
pub(crate) trait SimulatedInstances: Send + Sync {
    fn name(&self) -> RuntimeName;

    /// Replaces missing readings by empty ones: a simulated machine can always be read.
    fn fill(&self, facts: &mut Facts);

    /// Returns the instances that run or are paused.
    fn living<'a>(&self, facts: &'a Facts) -> Vec<LivingInstance<'a>>;

    /// Returns true if an instance, alive or ended, was made under this id.
    fn has_id(&self, facts: &Facts, id: &str) -> bool;

    /// Reads a service of this runtime, without its copies.
    fn inspect(&self, view: ProjectView<'_>, service: &Service) -> Result<Inspection, DriverError>;

    /// Returns an instance of a service that runs here, even if the manifest gives the service another runtime.
    fn stray(&self, view: ProjectView<'_>, service: &ServiceName) -> Option<Instance>;

    /// Returns true if the owner of a listener is this service.
    fn owns(&self, view: ProjectView<'_>, service: &Service, owner: &ProcessOwner) -> bool {
        is_service(view, service, owner)
    }

    /// Returns the kind and name of an instance that is not this service's; `None`: it is, or it does not exist.
    fn foreign(&self, view: ProjectView<'_>, service: &ServiceName, id: &str) -> Option<String>;

    /// Returns an instance as a holder of GPU memory; `None`: it does not exist.
    fn holder(&self, facts: &Facts, id: &str) -> Option<SimulatedHolder>;

    /// Returns the program that a service's processes and listeners show.
    fn program(&self, service: &Service) -> String;

    /// Returns true if the runtime checks the health of this service.
    fn checks_itself(&self, _: &Service) -> bool {
        false
    }

    /// Returns the GPUs that an instance was made with and uses in place of those of its start; `None`: it uses the
    /// latter.
    fn fixed_gpus(&self, _: &Facts, _: &Service, _: &str) -> Option<Vec<GpuId>> {
        None
    }

    /// Returns the exit of an instance that ends at its stop signal.
    fn exit_of_stop(&self) -> ExitFact;

    /// Writes the hash of another spec on an instance; returns the previous one.
    fn replace_spec(&self, facts: &mut Facts, id: &str, spec: &str) -> Option<String>;

    /// Marks an instance as running.
    fn set_running(&self, _: &mut Facts, _: &NewInstance<'_>) {}

    fn set_paused(&self, facts: &mut Facts, id: &str, paused: bool);

    /// Marks an instance as stopping.
    fn set_stopping(&self, _: &mut Facts, _: &str) {}

    /// Records an exit. Returns the owner whose listeners close; `None`: no such instance, or others of its processes
    /// keep them.
    fn set_ended(&self, facts: &mut Facts, id: &str, exit: &ExitFact, leaves_children: bool) -> Option<ProcessOwner>;

    /// Returns the running instances whose health the runtime checks.
    fn self_checked(&self, _: &Facts) -> Vec<String> {
        Vec::new()
    }

    /// Records the result of the runtime's own health check.
    fn set_health(&self, _: &mut Facts, _: &str, _healthy: bool) {}
}

/// Returns true if an owner is a service by the project's and its own name.
pub(crate) fn is_service(view: ProjectView<'_>, service: &Service, owner: &ProcessOwner) -> bool {
    match owner {
        ProcessOwner::Service { project, service: name } => project == view.project && *name == service.name,
        ProcessOwner::Container(_) | ProcessOwner::Foreign => false,
    }
}

/// Facts of a simulation, and the project that they are read for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProjectView<'a> {
    pub(crate) facts: &'a Facts,
    pub(crate) project: &'a ProjectName,
    /// Former names of the project.
    pub(crate) aliases: &'a BTreeSet<ProjectName>,
    /// True if another machine's instances of the project become this one's.
    pub(crate) take_over: bool,
    /// Services by the names of the existing objects that the manifest gives them.
    pub(crate) adopted: &'a BTreeMap<String, ServiceName>,
}

/// Instance that runs or is paused.
#[derive(Clone, Debug)]
pub(crate) struct LivingInstance<'a> {
    pub(crate) id: String,
    /// Name of the runtime's object; `None`: the runtime names none.
    pub(crate) name: Option<&'a str>,
    pub(crate) marks: Option<&'a Marks>,
}

/// Start of a new instance.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewInstance<'a> {
    pub(crate) id: &'a str,
    pub(crate) service: &'a Service,
    pub(crate) at: Timestamp,
    pub(crate) healthy: bool,
}

/// Instance as a holder of GPU memory and ports.
#[derive(Clone, Debug)]
pub(crate) struct SimulatedHolder {
    pub(crate) owner: ProcessOwner,
    /// First process of the instance, if the runtime shows its processes.
    pub(crate) pid: Option<i32>,
    /// All processes of the instance, if the owner has other instances too.
    pub(crate) pids: Option<Vec<i32>>,
}

impl SimulatedHolder {
    /// Returns true if the instance is this holder of memory.
    pub(crate) fn is(&self, holder: &GpuHolder) -> bool {
        holder.owner == self.owner && self.pids.as_ref().is_none_or(|pids| pids.contains(&holder.pid))
    }
}
