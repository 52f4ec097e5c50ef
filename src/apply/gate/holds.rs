//! Operator holds that arrive while a run is under way. They are read before each step and after each of its waits, so
//! that a step planned before a hold is not carried out against it.

use crate::apply::run::Run;
use crate::model::holds::Hold;
use crate::model::lifecycle::Action;
use crate::model::plan::{Purpose, ReasonCode, Step};

/// Returns the reason for which the holds of this moment forbid the step, if they do.
pub(super) async fn forbids(run: &Run<'_>, step: &Step) -> Option<String> {
    let hold = match run.context.store.holds(&run.context.desired.project).await {
        Ok(holds) => {
            run.ledger().holds.clone_from(&holds.services);
            holds.services.get(&step.service).cloned()
        }
        Err(error) => {
            run.holds_unreadable(&error);
            if run.context.request.purpose != Purpose::Down {
                return Some(format!("operator holds can't be read: {error}"));
            }
            // The hold that was read last still counts.
            run.ledger().holds.get(&step.service).cloned()
        }
    };
    let Some(hold) = hold else { return released(step) };
    let permits = match hold.kind {
        Hold::Maintain => false,
        Hold::Suspend => step.action == Action::Pause,
        Hold::Terminate => matches!(step.action, Action::Stop | Action::Remove),
    };
    (!permits).then(|| format!("held by an operator since the plan was made: {} ({})", hold.kind, hold.attribution()))
}

/// Returns the reason to skip a step that only a hold required, now that the hold is released.
fn released(step: &Step) -> Option<String> {
    let for_a_hold = matches!(step.reason.code, ReasonCode::Terminated | ReasonCode::Suspended);
    for_a_hold.then(|| "an operator has released the hold since the plan was made".to_owned())
}
