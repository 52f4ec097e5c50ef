//! Removal of networks that no instance uses any more, once all steps of a plan are done.

use super::run::Run;
use crate::model::network::NetworkLine;
use crate::model::plan::Plan;

/// Removes the networks that the plan removes and that wait for no step. Returns true if there was one: what is left
/// has to be observed again.
pub(super) async fn remove(run: &Run<'_>, plan: &Plan) -> bool {
    let mut removed = false;
    for line in plan.networks.iter().filter(|line| line.is_removable() && is_approved(run, line)) {
        if run.clock.cancelled().is_some() || (run.context.check_lock)().is_err() {
            break;
        }
        run.ledger().changed = true;
        let project = &run.context.desired.project;
        match run.context.driver.remove_network(project, &line.runtime, &line.network).await {
            Ok(()) => removed = true,
            // The next plan has it again.
            Err(error) => run.warn(&format!("network {} could not be removed: {error}", line.network)),
        }
    }
    removed
}

/// Returns true if nothing else was approved, or this removal too.
fn is_approved(run: &Run<'_>, line: &NetworkLine) -> bool {
    let same = |other: &NetworkLine| {
        (&other.runtime, &other.network, other.change) == (&line.runtime, &line.network, line.change)
    };
    run.context.approved.is_none_or(|approved| approved.networks.iter().any(same))
}
