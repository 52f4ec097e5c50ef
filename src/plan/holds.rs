//! Holds that can't be read, and those on orphans. Where they can't be read, any service may be in maintenance, suspended or terminated then, so nothing is done that a
//! hold could forbid: what is as it should be stays, and all else is blocked.

use crate::model::observed::Orphan;
use crate::model::plan::{Purpose, Reason, ReasonCode};
use crate::model::words::Word;
use crate::plan::decide::{Decision, Scene};
use crate::plan::judge::reason;

/// The decision, or its block where it would change something and holds are not known.
pub(super) fn known(scene: &Scene<'_>, decision: Decision) -> Decision {
    let Some(why) = scene.holds_unknown() else { return decision };
    // Waiting changes nothing, but what follows on it does.
    if let Decision::Await(_) = decision {
        return Decision::Leave(format!("it is starting, and is not waited for: holds are not known: {why}"));
    }
    match changes(&decision) {
        Some(change) => {
            let message = format!("{}; but whether an operator holds it is not known: {why}", change.message);
            Decision::Blocked(reason(ReasonCode::Unknown, message, None))
        }
        None => decision,
    }
}

/// Reason of a decision that touches the service.
fn changes(decision: &Decision) -> Option<&Reason> {
    match decision {
        Decision::Start { reason, .. }
        | Decision::Recreate { reason, .. }
        | Decision::Preempt { reason, .. }
        | Decision::Wake(reason)
        | Decision::Update(reason)
        | Decision::Unpause(reason)
        | Decision::Pause(reason)
        | Decision::Stop(reason)
        | Decision::GiveUp(reason)
        | Decision::Evict(reason) => Some(reason),
        Decision::Leave(_) | Decision::Await(_) | Decision::Blocked(_) | Decision::Held(_) => None,
    }
}

impl<'a> Scene<'a> {
    /// Whether no hold keeps an orphan as it is.
    pub(super) fn lets_go(&self, orphan: &Orphan) -> bool {
        let is_kept = orphan.word.as_ref().is_some_and(|hold| hold.word != Word::Terminate);
        !is_kept && self.holds_unknown().is_none()
    }

    /// Reason for which any service may be held; `down` may stop what is not known to be held.
    pub(super) fn holds_unknown(&self) -> Option<&'a str> {
        let unknown = self.observed.holds_unknown.as_deref();
        unknown.filter(|_| self.request.purpose != Purpose::Down)
    }
}
