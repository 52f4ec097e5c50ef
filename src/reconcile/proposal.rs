//! Proposal of one cycle: takes a snapshot, refuses what must not continue, and makes a plan.

use std::collections::BTreeMap;

use crate::model::holds::HoldRecord;
use crate::model::names::ServiceName;
use crate::model::plan::{Plan, Request};
use crate::model::snapshot::{Planner as _, Proposal, Snapshot};
use crate::plan::judge_commands;
use crate::reconcile::caller::Caller;
use crate::reconcile::error::ReconcileError;
use crate::reconcile::project::Project;
use crate::reconcile::{comparison, one_shot};

/// Input of one cycle.
#[derive(Clone, Copy)]
pub(crate) struct Cycle<'a> {
    pub(crate) caller: &'a dyn Caller,
    pub(crate) project: &'a Project,
    pub(crate) request: &'a Request,
    /// Plan that was approved elsewhere: exactly this one is applied, or none.
    pub(crate) saved: Option<&'a Plan>,
}

/// Returns the plan for the machine as it is now. `holds`: holds to plan with as if they were kept.
pub(crate) async fn propose(
    cycle: Cycle<'_>,
    holds: BTreeMap<ServiceName, HoldRecord>,
) -> Result<Proposal, ReconcileError> {
    let snapshot = observe(cycle, holds).await?;
    propose_for(cycle, snapshot)
}

/// Returns a snapshot that a plan can be made for. `holds`: holds to plan with as if they were kept.
pub(super) async fn observe(
    cycle: Cycle<'_>,
    holds: BTreeMap<ServiceName, HoldRecord>,
) -> Result<Snapshot, ReconcileError> {
    let Cycle { caller, project, request, .. } = cycle;
    let mut facts = project.facts(caller).await?;
    facts.merge_holds(holds);
    let snapshot = project.planner().observe(facts);
    project.refuse_other_hosts(&snapshot.facts)?;
    project.refuse_if_all_unknown(&snapshot, request)?;
    Ok(snapshot)
}

/// Returns the plan for a snapshot.
pub(super) fn propose_for(cycle: Cycle<'_>, snapshot: Snapshot) -> Result<Proposal, ReconcileError> {
    let Cycle { project, request, saved, .. } = cycle;
    let held = judge_commands::held_by_operator(&project.desired, &snapshot.observed.services, request);
    if let Some(held) = held {
        return Err(ReconcileError::Held(Box::new(held)));
    }
    let snapshot = one_shot::resume(project, snapshot, request);
    let plan = project.plan(&snapshot, request)?;
    if let Some(saved) = saved {
        comparison::check(saved, &plan)?;
    }
    Ok(Proposal { snapshot, plan })
}
