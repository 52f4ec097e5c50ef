//! What is otherwise than the history has it, written down as seen: somebody else changed it, or it changed by itself.
//!
//! A jump need not be a row of the lifecycle: nobody was there to see how it came about.

use std::collections::BTreeMap;

use crate::model::desired::Desired;
use crate::model::facts::HistoryFact;
use crate::model::lifecycle::State;
use crate::model::observed::ObservedService;
use crate::model::snapshot::Snapshot;
use crate::store::{Author, Store, StoreError, Transition};

/// One look at the world, and who looked.
#[derive(Clone, Copy, Debug)]
pub struct RecordedSnapshot<'a> {
    pub desired: &'a Desired,
    pub snapshot: &'a Snapshot,
    pub author: &'a Author,
}

/// Writes down each service of the manifest whose state is known and not the last one that the history has.
pub fn record_seen(store: &dyn Store, look: RecordedSnapshot<'_>) -> Result<(), StoreError> {
    let RecordedSnapshot { desired, snapshot: Snapshot { facts, observed }, author } = look;
    for (service, seen) in &observed.services {
        let last = facts.history.get(service).and_then(HistoryFact::last);
        let Some(from) = changed_from(last, seen) else { continue };
        store.record(&Transition {
            at: facts.observed_at,
            project: desired.project.clone(),
            service: service.clone(),
            from,
            to: seen.state,
            reason: desired.masker().mask(&seen.detail),
            made: false,
            author: author.clone(),
            metadata: BTreeMap::new(),
        })?;
    }
    Ok(())
}

/// Where it was by the history; `None`: nothing new is seen. Of a service that was never there, or that was removed,
/// its absence is no news.
fn changed_from(last: Option<State>, seen: &ObservedService) -> Option<State> {
    let from = match last {
        None | Some(State::Deleted) => State::Registered,
        Some(last) => last,
    };
    (seen.unknown.is_none() && seen.state != from).then_some(from)
}

#[cfg(test)]
mod tests {
    use super::changed_from;
    use crate::model::lifecycle::State;
    use crate::model::observed::{ObservedService, Ownership};

    #[test]
    fn only_what_is_known_and_new_is_worth_a_row() {
        let seen = |state| ObservedService::plain(state, "it runs", Ownership::Ours);
        assert_eq!(changed_from(None, &seen(State::Registered)), None);
        assert_eq!(changed_from(None, &seen(State::Online)), Some(State::Registered));
        assert_eq!(changed_from(Some(State::Deleted), &seen(State::Registered)), None);
        assert_eq!(changed_from(Some(State::Online), &seen(State::Online)), None);
        assert_eq!(changed_from(Some(State::Online), &seen(State::Failed)), Some(State::Online));
        let unknown = ObservedService { unknown: Some("nobody answers".to_owned()), ..seen(State::Registered) };
        assert_eq!(changed_from(Some(State::Online), &unknown), None);
    }
}
