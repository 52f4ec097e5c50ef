//! Starts of single services, and the obstacles to any start.

use std::collections::BTreeSet;

use crate::model::observed::{Barred, REMOVED_BY_STOP};
use crate::model::plan::{Reason, ReasonCode};
use crate::plan::decision::Decision;
use crate::plan::input::PlanInput;
use crate::plan::numbers::Number;
use crate::plan::reason::reason;

/// Decision to start a service, or to stop and start it where it runs; blocked without its secrets.
pub(super) fn bring_up(input: &PlanInput<'_>, number: Number, why: Reason, runs: bool) -> Decision {
    let service = input.service(number);
    if let Some(barred) = barred(input, number) {
        return Decision::Blocked(barred);
    }
    if !service.missing_secrets.is_empty() {
        let message = format!("it needs {}", service.missing_secrets.join(", and "));
        return Decision::Blocked(reason(ReasonCode::SecretMissing, message, None));
    }
    let seen = input.seen(number);
    if runs && seen.is_auto_removed && !seen.is_removed_by_stop {
        let message =
            format!("{}, and it can't be restarted: {REMOVED_BY_STOP}, and lcm does not create it", why.message);
        return Decision::Blocked(reason(ReasonCode::AutoRemove, message, None));
    }
    if runs {
        Decision::Recreate { reason: why, gpus: BTreeSet::new() }
    } else {
        Decision::Start { reason: why, gpus: BTreeSet::new() }
    }
}

/// Reason for which a service can't be started from where lcm runs.
pub(super) fn barred(input: &PlanInput<'_>, number: Number) -> Option<Reason> {
    let barred = input.seen(number).barred.as_deref()?;
    let code = match barred {
        Barred::InContainer(_) => ReasonCode::InContainer,
        Barred::RemoteEngine(_) => ReasonCode::RemoteEngine,
        Barred::ForeignNetwork(_) => ReasonCode::NotOurs,
    };
    Some(reason(code, barred.message().to_owned(), None))
}
