//! Derives the history of each service from changes and measures: the one arithmetic of all stores.
//!
//! Measures are not kept apart by the spec that they were taken under. Most changes of a spec leave the length of a
//! start as it was, an estimate decides nothing, and a rough one is better than none: after a change that matters, the
//! median follows with the third start, and the most of memory with the last of [`CONSIDERED`].

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::record::Measured;
use crate::model::facts::{Estimates, HistoryFact};
use crate::model::lifecycle::State;
use crate::model::names::ServiceName;
use crate::model::size::Mebibytes;

/// Newest measures of one kind that make an estimate: few enough to follow a change, enough that one start from a cold
/// disk does not move it.
pub(super) const CONSIDERED: usize = 5;

/// Measures of one kind that are kept of a service: enough to see whether it is getting slower, and a thousand services
/// take less than ten megabytes.
pub(super) const KEPT: usize = 20;

/// One change of a service.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) service: ServiceName,
    pub(super) to: State,
    pub(super) made: bool,
}

/// One measure, as a store returns it.
#[derive(Clone, Debug)]
pub(super) struct MeasureReading {
    pub(super) at: Timestamp,
    pub(super) service: ServiceName,
    pub(super) what: Measured,
}

/// Returns the history of each service. `changes`: a later one replaces an earlier one; an observed change does not
/// replace one that lcm made, and is dropped at the next one that lcm makes. `readings`: the oldest first.
pub(super) fn known(
    changes: impl IntoIterator<Item = Change>,
    readings: impl IntoIterator<Item = MeasureReading>,
) -> BTreeMap<ServiceName, HistoryFact> {
    let mut known: BTreeMap<ServiceName, HistoryFact> = BTreeMap::new();
    for Change { service, to, made } in changes {
        let fact = known.entry(service).or_default();
        if made {
            (fact.state, fact.made, fact.seen) = (Some(to), true, None);
        } else {
            fact.seen = Some(to);
        }
    }
    let mut measured: BTreeMap<ServiceName, Kinds> = BTreeMap::new();
    for MeasureReading { at, service, what } in readings {
        let kinds = measured.entry(service).or_default();
        match what {
            Measured::Ready { took_ms } => kinds.ready_ms.push(took_ms),
            Measured::Stopped { took_ms } => kinds.stopped_ms.push(took_ms),
            Measured::Memory(amount) => kinds.memory.push(amount),
            Measured::Evicted => kinds.evicted_at = Some(at),
            Measured::Woken => kinds.evicted_at = None,
        }
    }
    for (service, kinds) in measured {
        let fact = known.entry(service).or_default();
        fact.evicted_at = kinds.evicted_at;
        fact.estimates = Estimates {
            ready_ms: median(newest(&kinds.ready_ms)),
            stopped_ms: median(newest(&kinds.stopped_ms)),
            // Not the median: a reading at a moment of low use does not show how much the service may take.
            memory: newest(&kinds.memory).iter().copied().max(),
        };
    }
    known
}

#[derive(Default)]
struct Kinds {
    ready_ms: Vec<u64>,
    stopped_ms: Vec<u64>,
    memory: Vec<Mebibytes>,
    evicted_at: Option<Timestamp>,
}

fn newest<T>(all: &[T]) -> &[T] {
    all.get(all.len().saturating_sub(CONSIDERED)..).unwrap_or_default()
}

/// Returns the median. Of two in the middle, the larger: better to be ready earlier than estimated.
pub(super) fn median(times_ms: &[u64]) -> Option<u64> {
    ranked(times_ms, |count| count / 2)
}

/// Returns the time at a rank, computed from their number; the shortest is at 0.
pub(super) fn ranked(times_ms: &[u64], rank: impl FnOnce(usize) -> usize) -> Option<u64> {
    let mut sorted = times_ms.to_vec();
    sorted.sort_unstable();
    sorted.get(rank(sorted.len())).copied()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::{Change, MeasureReading, known};
    use crate::model::facts::{Estimates, HistoryFact};
    use crate::model::lifecycle::State;
    use crate::model::size::Mebibytes;
    use crate::store::Measured;

    fn reading(second: i64, what: Measured) -> MeasureReading {
        let at = Timestamp::from_second(second).expect("in range");
        MeasureReading { at, service: "a".into(), what }
    }

    fn of_starts(times_ms: &[u64]) -> Option<u64> {
        let readings = times_ms.iter().map(|took_ms| reading(0, Measured::Ready { took_ms: *took_ms }));
        known([], readings)[&"a".into()].estimates.ready_ms
    }

    #[test]
    fn an_estimate_is_the_median_of_the_newest_five() {
        assert_eq!(of_starts(&[7]), Some(7));
        assert_eq!(of_starts(&[7, 9]), Some(9));
        assert_eq!(of_starts(&[90, 10, 10, 10, 10, 900]), Some(10), "one slow start moves nothing");
        assert_eq!(of_starts(&[90, 90, 90, 90, 90, 10, 10]), Some(90));
        assert_eq!(of_starts(&[90, 90, 90, 90, 90, 10, 10, 10]), Some(10), "the third start after a change does");
    }

    #[test]
    fn memory_is_the_most_of_the_newest_and_an_eviction_is_the_last() {
        let amounts = [9_000, 400, 8_000, 200, 300, 100];
        let memory = amounts.map(|amount| reading(0, Measured::Memory(Mebibytes(amount))));
        let evicted = [3, 5].map(|second| reading(second, Measured::Evicted));
        let known = known([], memory.into_iter().chain(evicted));
        let expected = HistoryFact {
            evicted_at: Some(Timestamp::from_second(5).expect("in range")),
            estimates: Estimates { memory: Some(Mebibytes(8_000)), ..Estimates::default() },
            ..HistoryFact::default()
        };
        assert_eq!(known, [("a".into(), expected)].into());
    }

    #[test]
    fn an_observed_change_is_dropped_at_the_next_change() {
        let change = |to, made| Change { service: "b".into(), to, made };
        let known = known([change(State::Failed, false), change(State::Starting, true)], []);
        assert_eq!((known[&"b".into()].state, known[&"b".into()].seen), (Some(State::Starting), None));
    }

    #[test]
    fn a_service_with_only_changes_or_only_measures_is_known_too() {
        let change = |to, made| Change { service: "b".into(), to, made };
        let changes = [change(State::Online, true), change(State::Busy, false), change(State::Failed, false)];
        let known = known(changes, [reading(0, Measured::Stopped { took_ms: 4 })]);
        assert_eq!((known[&"a".into()].state, known[&"a".into()].estimates.stopped_ms), (None, Some(4)));
        let seen =
            HistoryFact { state: Some(State::Online), made: true, seen: Some(State::Failed), ..HistoryFact::default() };
        assert_eq!(known[&"b".into()], seen, "changes made and changes observed since are both known");
    }
}
