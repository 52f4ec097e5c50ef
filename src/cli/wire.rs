//! Entry points of the stages that commands call besides a cycle.

use std::io;
use std::path::Path;

use jiff::Timestamp;

use crate::host::identity::{self, UserIdentity};
use crate::host::{examine, proc};
use crate::manifest;
use crate::model::desired::Desired;
use crate::model::doctor::MachineCheck;
use crate::model::doctor::readings::{LockReading, MachineReadings, StateReading};
use crate::model::facts::ProcessFact;
use crate::model::found::MachineSurvey;
use crate::model::names::ServiceName;
use crate::observe;
use crate::reconcile::wire::SHIM;
use crate::report::output::Output;
use crate::report::sheet::Sheet;
use crate::report::style::Style;
use crate::runtime::DriverError;
use crate::runtime::contract::Adoption;
use crate::runtime::machine::Machine;
use crate::runtime::machine::examine::MachineExamination;
use crate::shared;
use crate::store::lock::HostLock;
use crate::store::sqlite;
use crate::syntax::Environment;
use crate::syntax::problem::Problems;

/// Returns true if a process with this pid has been running since `since`.
pub(super) fn lives_since(pid: i32, since: Timestamp) -> bool {
    proc::lives_since(pid, since)
}

/// Continues as another user, given by uid, gid and groups. Returns only on failure.
pub(super) fn continue_as((uid, gid, groups): (u32, u32, Vec<u32>), environment: &Environment) -> io::Error {
    let identity = UserIdentity { uid, gid, groups };
    identity::continue_as(&identity, Path::new(SHIM), std::env::args_os().skip(1), environment)
}

/// Renders all problems of a manifest, each underlined in its file.
pub(super) fn render(problems: &Problems, style: Style, width: usize) -> Output {
    Sheet::new().laid_out(&problems.render(style.colored, width)).unfolded(style)
}

pub(super) fn manifest_schema() -> serde_json::Value {
    manifest::schema()
}

/// Discovers what runs on this machine, without a manifest.
pub(super) async fn found(environment: &Environment) -> MachineSurvey {
    Machine::discover(environment, Path::new(SHIM)).await
}

/// Examines this machine for a manifest, or for any where there is none.
pub(super) async fn examined(desired: Option<&Desired>, environment: &Environment) -> Vec<MachineCheck> {
    let (lock, state, system) = (shared::lock(environment), environment.clone(), environment.clone());
    let look_at_state = move || {
        let (path, folder) = examine::state_folder(&state);
        let (store, format) = sqlite::look(&path);
        StateReading { folder, store, format }
    };
    let look_at_lock = move || LockReading { state: HostLock::at(&lock).look(), path: lock };
    let (machine, lock, state, system) = tokio::join!(
        Machine::examine(desired, environment, Path::new(SHIM)),
        examine::within(look_at_lock),
        examine::within(look_at_state),
        examine::within(move || examine::system(&system)),
    );
    let MachineExamination { gpus, enclosure, mut checks } = machine;
    checks.extend(observe::doctor::judge(&MachineReadings { gpus, lock, state, system, enclosure }));
    checks
}

/// Returns the variables of an env file; none where it can't be parsed.
pub(super) fn dotenv(text: &str, environment: &Environment) -> Environment {
    manifest::dotenv(text, environment)
}

/// Returns the process if [`adopt`] would accept it.
pub(super) fn adoptable(environment: &Environment, adoption: &Adoption<'_>) -> Result<ProcessFact, DriverError> {
    machine(adoption.desired, environment).adoptable(adoption)
}

/// Adopts a foreign process, and returns it. The caller holds the host's lock.
pub(super) fn adopt(environment: &Environment, adoption: &Adoption<'_>) -> Result<ProcessFact, DriverError> {
    machine(adoption.desired, environment).adopt(adoption)
}

/// Returns the process if [`disown`] would give it back.
pub(super) fn disownable(
    environment: &Environment,
    desired: &Desired,
    service: &ServiceName,
) -> Result<ProcessFact, DriverError> {
    machine(desired, environment).disownable(desired, service)
}

/// Ends the adoption of a process, and returns it. The caller holds the host's lock.
pub(super) fn disown(
    environment: &Environment,
    desired: &Desired,
    service: &ServiceName,
) -> Result<ProcessFact, DriverError> {
    machine(desired, environment).disown(desired, service)
}

fn machine(desired: &Desired, environment: &Environment) -> Machine {
    Machine::new(desired, environment, Path::new(SHIM))
}
