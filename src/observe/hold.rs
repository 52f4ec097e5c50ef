//! What is there, seen through what operators said of it.

use crate::model::holds::{Hold, HoldRecord, way};
use crate::model::lifecycle::State;
use crate::model::observed::ObservedService;

/// The picture as the word has it. Only what is so already shows: a word that still has to be carried out, or for which
/// the lifecycle has no way from here, is told, and changes no state.
pub(super) fn through(seen: &mut ObservedService, said: Option<&HoldRecord>) {
    let Some(said) = said else { return };
    let whom = said.by_whom();
    match said.kind {
        Hold::Maintain => {
            let now = if seen.holds_capacity { "it runs" } else { "it does not run" };
            let is_known = seen.unknown.is_none() || seen.instance.is_some();
            let leads_there = seen.unknown.is_some() || way(said.kind, seen.state).is_some();
            if leads_there {
                if is_known {
                    // Whether it answers is of no interest now.
                    seen.unknown = None;
                    seen.detail = format!("it is left as it is ({whom}); {now}");
                }
                seen.state = State::Maintenance;
            } else {
                seen.detail = format!("{}; it is left as it is ({whom})", seen.detail);
            }
        }
        Hold::Suspend if seen.state == State::Suspended => seen.detail = format!("{} ({whom})", seen.detail),
        Hold::Suspend => seen.detail = format!("{}; it is to be paused ({whom})", seen.detail),
        Hold::Terminate if seen.unknown.is_none() && !seen.holds_capacity && !seen.state.is_operational() => {
            if way(said.kind, seen.state).is_some() {
                seen.state = State::Terminated;
                seen.detail = format!("it is kept off ({whom})");
            } else {
                seen.detail = format!("{}; it is kept off ({whom})", seen.detail);
            }
        }
        Hold::Terminate => seen.detail = format!("{}; it is to be off ({whom})", seen.detail),
    }
    seen.hold = Some(Box::new(said.clone()));
}
