//! State changes that a snapshot shows and the history lacks: another actor made them, or the service changed by itself.
//!
//! Such a change need not be a row of the lifecycle, because the states between were not observed.

use std::collections::BTreeMap;

use crate::model::desired::Desired;
use crate::model::facts::HistoryFact;
use crate::model::job_record::unrecorded;
use crate::model::lifecycle::State;
use crate::model::observed::ObservedService;
use crate::model::snapshot::Snapshot;
use crate::store::{Author, Store, StoreError, Transition};

/// A snapshot to compare with the history, its manifest, and the author of the record.
#[derive(Clone, Copy, Debug)]
pub struct RecordedSnapshot<'a> {
    pub desired: &'a Desired,
    pub snapshot: &'a Snapshot,
    pub author: &'a Author,
}

/// Records the ends of jobs, and each service of the manifest whose state is known and differs from the last one of the
/// history.
pub async fn record_seen(store: &dyn Store, recorded: RecordedSnapshot<'_>) -> Result<(), StoreError> {
    let RecordedSnapshot { desired, snapshot: Snapshot { facts, observed }, author } = recorded;
    for (name, seen) in &observed.services {
        let record = facts.history.get(name).and_then(|past| past.job.as_ref());
        let end = desired.services.get(name).and_then(|service| unrecorded(service, seen, record, facts.observed_at));
        if let Some(end) = end {
            store.record_job_end(&desired.project, name, &end).await?;
        }
    }
    for (service, seen) in &observed.services {
        let last = facts.history.get(service).and_then(HistoryFact::last);
        let Some(from) = changed_from(last, seen) else { continue };
        let transition = Transition {
            at: facts.observed_at,
            project: desired.project.clone(),
            service: service.clone(),
            from,
            to: seen.state,
            reason: desired.masker().mask(&seen.detail),
            made: false,
            author: author.clone(),
            metadata: BTreeMap::new(),
        };
        store.record(&transition).await?;
    }
    Ok(())
}

/// Returns the last state of the history where the snapshot shows another one. The absence of a service that never existed
/// or was removed is no change.
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
    fn only_a_known_and_new_state_is_recorded() {
        let seen = |state| ObservedService::plain(state, "it runs", Ownership::Ours);
        assert_eq!(changed_from(None, &seen(State::Registered)), None);
        assert_eq!(changed_from(None, &seen(State::Online)), Some(State::Registered));
        assert_eq!(changed_from(Some(State::Deleted), &seen(State::Registered)), None);
        assert_eq!(changed_from(Some(State::Online), &seen(State::Online)), None);
        assert_eq!(changed_from(Some(State::Online), &seen(State::Failed)), Some(State::Online));
        let unknown = ObservedService { unknown: Some("no answer".to_owned()), ..seen(State::Registered) };
        assert_eq!(changed_from(Some(State::Online), &unknown), None);
    }
}
