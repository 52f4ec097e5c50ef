//! How the stages are put together: the one place that names their entry points.

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::host::identity::{self, Identity};
use crate::manifest::{self, Choice};
use crate::model::desired::{Desired, GpuRequest, Service};
use crate::model::facts::{Facts, ProcessFact};
use crate::model::found::Found;
use crate::model::names::{ProjectName, ServiceName};
use crate::model::plan::{Plan, Request};
use crate::model::room::Room;
use crate::model::snapshot::{PlanError, Planner, Snapshot};
use crate::report::output::Output;
use crate::report::sheet::Sheet;
use crate::report::style::Style;
use crate::runtime::docker::intent::ExistingContainer;
use crate::runtime::machine::Machine;
use crate::runtime::masked::Masked;
use crate::runtime::process::drive;
use crate::runtime::{Driver, DriverError};
use crate::sim::Sim;
use crate::store::sqlite::Sqlite;
use crate::syntax::Environment;
use crate::syntax::problem::Problems;

/// This very program, even where its file was replaced meanwhile.
const SHIM: &str = "/proc/self/exe";

/// A simulated world, and what became of it.
pub(super) trait Simulated: Driver {
    fn world(&self) -> Facts;
}

/// The machine that lcm runs on.
pub(super) fn machine(desired: &Desired, environment: &Environment) -> Box<dyn Driver> {
    Box::new(Masked::new(Machine::new(desired, environment.clone(), PathBuf::from(SHIM)), desired.masker()))
}

/// Where lcm keeps what outlives a run.
pub(super) fn state_folder(environment: &Environment) -> PathBuf {
    drive::state_dir(environment)
}

/// The store's file in a state folder.
pub(super) fn store_file(state_folder: &Path) -> PathBuf {
    Sqlite::file_in(state_folder)
}

/// What lies in a file does not age: the same command on the same file says the same.
pub(super) fn simulated(facts: Facts, desired: &Desired) -> Box<dyn Simulated> {
    Box::new(Masked::new(Sim::frozen(facts), desired.masker()))
}

impl Simulated for Masked<Sim> {
    fn world(&self) -> Facts {
        Masked::world(self)
    }
}

/// The project's name in a manifest, where that can be read.
pub(super) fn project_name(entry: &Path, environment: &Environment) -> Option<ProjectName> {
    manifest::project_name(entry, environment)
}

/// Whether a process of this number has lived since then.
pub(super) fn lives_since(pid: i32, since: Timestamp) -> bool {
    drive::lives_since(pid, since)
}

/// The present user's home folder.
pub(super) fn home(environment: &Environment) -> PathBuf {
    drive::home(environment)
}

/// Goes on as another user: uid, gid and groups. Returns only where that fails.
pub(super) fn continue_as((uid, gid, groups): (u32, u32, Vec<u32>), environment: &Environment) -> io::Error {
    let identity = Identity { uid, gid, groups };
    identity::continue_as(&identity, Path::new(SHIM), std::env::args_os().skip(1), environment)
}

pub(super) fn load(entry: &Path, environment: &Environment, choice: &Choice) -> Result<Desired, Problems> {
    manifest::load(entry, environment, choice)
}

/// The files that a manifest is read from.
pub(super) fn manifest_files(entry: &Path, environment: &Environment) -> Vec<PathBuf> {
    manifest::files(entry, environment)
}

/// All that is wrong with a manifest, each underlined in its file.
pub(super) fn render(problems: &Problems, style: Style, width: usize) -> Output {
    Sheet::new().laid_out(&problems.render(style.colored, width)).unfolded(style)
}

pub(super) fn manifest_schema() -> serde_json::Value {
    manifest::schema()
}

/// What runs here, looked at without a manifest.
pub(super) async fn found(environment: &Environment) -> Found {
    // Whose only use is to have use for an engine and for GPUs.
    let runtime = ExistingContainer { container: "none".into(), accepts_auto_remove: false };
    let service = Service { gpu: GpuRequest::Auto, ..Service::plain(ServiceName::new("none"), runtime) };
    let desired = Desired::plain(ProjectName::new("none"), [service]);
    let machine = Machine::new(&desired, environment.clone(), PathBuf::from(SHIM));
    machine.found(&desired).await
}

/// The variables of an env file; none where it can't be read.
pub(super) fn dotenv(text: &str, environment: &Environment) -> Environment {
    manifest::dotenv(text, environment)
}

/// The planner of one manifest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Core<'a> {
    pub(super) desired: &'a Desired,
}

impl Planner for Core<'_> {
    fn observe(&self, facts: Facts) -> Snapshot {
        let observed = crate::observe::observe(&facts, self.desired);
        Snapshot { facts, observed }
    }

    fn plan(&self, snapshot: &Snapshot, request: &Request) -> Result<Plan, PlanError> {
        let plan = crate::plan::plan(self.desired, &snapshot.observed, request);
        let findings = crate::plan::audit(&plan, self.desired, &snapshot.observed, request);
        if findings.is_empty() { Ok(plan) } else { Err(PlanError::Unsound(findings)) }
    }

    fn capacity(&self, snapshot: &Snapshot, request: &Request) -> Room {
        crate::plan::capacity(self.desired, &snapshot.observed, request)
    }
}

/// The process, where [`adopt`] would take it.
pub(super) fn adoptable(
    desired: &Desired,
    environment: &Environment,
    service: &ServiceName,
    pid: i32,
) -> Result<ProcessFact, DriverError> {
    let machine = Machine::new(desired, environment.clone(), PathBuf::from(SHIM));
    machine.processes().adoptable(desired, service, pid)
}

/// Makes a process that somebody else started this service's own, and says which one it is. The caller holds the host's lock.
pub(super) fn adopt(
    desired: &Desired,
    environment: &Environment,
    service: &ServiceName,
    pid: i32,
) -> Result<ProcessFact, DriverError> {
    let machine = Machine::new(desired, environment.clone(), PathBuf::from(SHIM));
    machine.processes().adopt(desired, service, pid)
}
