//! Orphans: which of them this run stops, and the reasons that protect the others.

use crate::model::desired::OrphanPolicy;
use crate::model::holds::Hold;
use crate::model::lifecycle::Action;
use crate::model::observed::Orphan;
use crate::model::plan::Purpose;
use crate::plan::input::PlanInput;

/// Returns true if this run stops the orphan.
pub(crate) fn stops(input: &PlanInput<'_>, orphan: &Orphan) -> bool {
    should_stop(input, orphan) && protection(input, orphan).is_none()
}

/// Returns true if this run should stop the orphan, where the rules allow it.
pub(crate) fn should_stop(input: &PlanInput<'_>, orphan: &Orphan) -> bool {
    let request = input.request;
    let is_requested = match request.purpose {
        Purpose::Down => true,
        Purpose::Apply if request.keeps_running().is_some() => false,
        Purpose::Apply => request.prune || input.desired.orphans == OrphanPolicy::Stop,
        Purpose::Start | Purpose::Stop | Purpose::Restart => false,
    };
    is_requested && !request.prevented.contains_key(&orphan.service) && may_stop(input, orphan)
}

/// Returns true if no hold forbids stopping the orphan.
pub(crate) fn may_stop(input: &PlanInput<'_>, orphan: &Orphan) -> bool {
    let is_kept = orphan.hold.as_ref().is_some_and(|hold| hold.kind != Hold::Terminate);
    !is_kept && input.holds_unknown().is_none()
}

/// Reason for which an orphan that should be stopped may not be.
pub(crate) fn protection(input: &PlanInput<'_>, orphan: &Orphan) -> Option<String> {
    if !orphan.holds_capacity() {
        return None;
    }
    if let Some(why) = input.request.keeps_running() {
        return Some(why.to_owned());
    }
    input.way_of(&orphan.service, Action::Stop, orphan.state).err().map(|refusal| refusal.to_string())
}
