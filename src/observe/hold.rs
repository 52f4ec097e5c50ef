//! Effect of operator holds on observed services.

use crate::model::holds::{Hold, HoldRecord, way};
use crate::model::lifecycle::State;
use crate::model::observed::ObservedService;

/// Applies a hold to an observed service. The state changes only where the hold is in effect: a hold that still has to
/// be carried out, or to which the lifecycle has no route from here, is only added to the detail.
pub(super) fn apply(seen: &mut ObservedService, hold: Option<&HoldRecord>) {
    let Some(hold) = hold else { return };
    let whom = hold.attribution();
    match hold.kind {
        Hold::Maintain => {
            let now = if seen.holds_capacity { "it is running" } else { "it is not running" };
            let is_known = seen.unknown.is_none() || seen.instance.is_some();
            let has_route = seen.unknown.is_some() || way(hold.kind, seen.state).is_some();
            if has_route {
                if is_known {
                    // In maintenance it is irrelevant whether the service answers.
                    seen.unknown = None;
                    seen.detail = format!("it is held by `lcm maintain` ({whom}); {now}");
                }
                seen.state = State::Maintenance;
            } else {
                seen.detail = format!("{}; it is held by `lcm maintain` ({whom})", seen.detail);
            }
        }
        Hold::Suspend if seen.state == State::Suspended => seen.detail = format!("{} ({whom})", seen.detail),
        Hold::Suspend => seen.detail = format!("{}; suspension pending ({whom})", seen.detail),
        Hold::Terminate if seen.unknown.is_none() && !seen.holds_capacity && !seen.state.is_operational() => {
            if way(hold.kind, seen.state).is_some() {
                seen.state = State::Terminated;
                seen.detail = format!("it is kept off by `lcm terminate` ({whom})");
            } else {
                seen.detail = format!("{}; it is kept off by `lcm terminate` ({whom})", seen.detail);
            }
        }
        Hold::Terminate => seen.detail = format!("{}; termination pending ({whom})", seen.detail),
    }
    seen.hold = Some(Box::new(hold.clone()));
}
