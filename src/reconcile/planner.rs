//! The planner of one manifest: `observe` and `plan` behind the trait that the other stages use.

use tracing::{debug, info};

use crate::model::capacity::HostCapacity;
use crate::model::desired::Desired;
use crate::model::facts::Facts;
use crate::model::plan::{Plan, Request};
use crate::model::snapshot::{PlanError, Planner, Snapshot};
use crate::runtime::registry::observe;

/// The planner of one manifest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ManifestPlanner<'a> {
    pub(crate) desired: &'a Desired,
}

impl Planner for ManifestPlanner<'_> {
    fn observe(&self, facts: Facts) -> Snapshot {
        let observed = observe(&facts, self.desired);
        debug!(target: "reconcile", services = observed.services.len(), orphans = observed.orphans.len(), "observed");
        Snapshot { facts, observed }
    }

    fn plan(&self, snapshot: &Snapshot, request: &Request) -> Result<Plan, PlanError> {
        let plan = crate::plan::plan(self.desired, &snapshot.observed, request);
        log(&plan);
        let findings = crate::plan::audit(&plan, self.desired, &snapshot.observed, request);
        if findings.is_empty() { Ok(plan) } else { Err(PlanError::Unsound(findings)) }
    }

    fn capacity(&self, snapshot: &Snapshot, request: &Request) -> HostCapacity {
        crate::plan::capacity(self.desired, &snapshot.observed, request)
    }
}

fn log(plan: &Plan) {
    let Plan { steps, blocked, held, warnings, .. } = plan;
    info!(
        target: "reconcile",
        steps = steps.len(),
        blocked = blocked.len(),
        held = held.len(),
        warnings = warnings.len(),
        "planned"
    );
    for step in steps {
        debug!(target: "reconcile", step = %step.id, reason = step.reason.message, "planned step");
    }
}
