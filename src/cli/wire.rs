//! How the stages are put together: the one place that names their entry points.

use std::collections::BTreeMap;
use std::path::Path;

use crate::cli::stop::Stop;
use crate::driver::Driver;
use crate::driver::sim::Sim;
use crate::manifest::{self, Choice, Environment, Problems};
use crate::model::desired::Desired;
use crate::model::facts::Facts;
use crate::model::observed::Observed;
use crate::model::plan::{Plan, Request};
use crate::report::style::Style;

/// A simulated world, and what became of it.
pub(super) trait Simulated: Driver {
    fn world(&self) -> Facts;
}

/// The machine that lcm runs on.
pub(super) fn machine(desired: &Desired, environment: &Environment) -> Result<Box<dyn Driver>, Stop> {
    let _ = (desired, environment);
    Err(Stop::refused("this machine can't be reached yet"))
}

/// What lies in a file does not age: the same command on the same file says the same.
pub(super) fn simulated(facts: Facts) -> Box<dyn Simulated> {
    Box::new(Sim::frozen(facts))
}

impl Simulated for Sim {
    fn world(&self) -> Facts {
        Sim::world(self)
    }
}

pub(super) fn load(entry: &Path, environment: &Environment, choice: &Choice) -> Result<Desired, Problems> {
    manifest::load(entry, environment, choice)
}

/// All that is wrong with a manifest, each underlined in its file.
pub(super) fn render(problems: &Problems, style: Style, width: usize) -> String {
    let _ = (style, width);
    problems.0.iter().map(|problem| format!("{}: {}\n", problem.code, problem.message)).collect()
}

pub(super) fn manifest_schema() -> serde_json::Value {
    manifest::schema()
}

pub(super) fn observe(facts: &Facts, desired: &Desired) -> Observed {
    crate::observe::observe(facts, desired)
}

/// Facts to an audited plan: the only brain. `Err`: what the audit found.
pub(super) fn think(desired: &Desired, facts: &Facts, request: &Request) -> Result<Plan, String> {
    let observed = observe(facts, desired);
    let plan = crate::plan::plan(desired, &observed, request);
    let findings = crate::plan::audit(&plan, desired, &observed, request);
    if findings.is_empty() {
        return Ok(plan);
    }
    Err(format!("this plan is not sound, so it is not carried out: {}; please report it", findings.join("; ")))
}

/// Makes a process that somebody else started this service's own.
pub(super) async fn adopt(
    desired: &Desired,
    environment: &BTreeMap<String, String>,
    service: &crate::model::names::ServiceName,
    pid: i32,
) -> Result<String, Stop> {
    let _ = (desired, environment, service, pid);
    Err(Stop::refused("processes can't be adopted yet"))
}

/// The same as [`load`], for a manifest that nobody is about to use: no mode need be chosen.
pub(super) fn check(entry: &Path, environment: &Environment, choice: &Choice) -> Result<Desired, Problems> {
    manifest::load(entry, environment, choice)
}
