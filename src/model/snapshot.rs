//! Carriers of one reconcile cycle: a snapshot of the machine, and the plan that is proposed for it. The planner that
//! makes them is handed to the stages that may not import it.

use std::fmt;

use crate::model::capacity::HostCapacity;
use crate::model::facts::Facts;
use crate::model::observed::Observed;
use crate::model::plan::{Plan, Request};

/// The machine at one moment: readings, holds and history as facts, and their meaning for the manifest. Built once per
/// observation.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub facts: Facts,
    pub observed: Observed,
}

/// A plan, and the snapshot that it was made from.
#[derive(Clone, Debug)]
pub struct Proposal {
    pub snapshot: Snapshot,
    pub plan: Plan,
}

/// Interprets, plans and measures for one manifest. Pure: the same input gives the same output.
pub trait Planner: Sync {
    /// Interprets facts for the manifest.
    fn observe(&self, facts: Facts) -> Snapshot;

    /// Returns an audited plan.
    fn plan(&self, snapshot: &Snapshot, request: &Request) -> Result<Plan, PlanError>;

    /// Returns the capacity of each GPU, by the arithmetic of the plan.
    fn capacity(&self, snapshot: &Snapshot, request: &Request) -> HostCapacity;
}

/// Reason why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlanError {
    /// The audit found these faults in the plan that was made.
    Unsound(Vec<String>),
}

impl fmt::Display for PlanError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Unsound(findings) = self;
        let findings = findings.join("; ");
        write!(formatter, "the plan failed lcm's own audit and is not applied: {findings}; please report this bug")
    }
}

impl std::error::Error for PlanError {}
