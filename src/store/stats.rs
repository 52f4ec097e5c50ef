//! Statistics of the history: how long a service was in each state, how often it was started and failed, and how long
//! its starts took. Pure; [`Stats`] has the definitions.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::model::lifecycle::State;
use crate::model::names::ServiceName;
use crate::store::past::{median, ranked};
use crate::store::record::Transition;

/// Statistics of one service within a span of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Milliseconds in each state: from a change, made or observed, to the next one or to the end of the span. The
    /// state at the beginning of the span is that of the last change before it; before a service's first change,
    /// nothing is counted. A change between two observations counts from the second one on.
    pub time_ms: BTreeMap<State, u64>,
    /// Changes to `starting`.
    pub starts: u32,
    /// Changes to `error`, `failed` or `timeout` from any other state than these three.
    pub failures: u32,
    /// Milliseconds of each start that became ready within the span, from the change to `starting` to the next change,
    /// which is one to `online`, `busy` or `idle`. Both were made by lcm: the begin of an observed start is unknown.
    pub ready_ms: Vec<u64>,
}

impl Stats {
    /// Returns the median of all times to ready; of two in the middle, the larger.
    #[must_use]
    pub fn ready_median_ms(&self) -> Option<u64> {
        median(&self.ready_ms)
    }

    /// Returns the smallest time to ready that at least 95 of 100 starts did not exceed.
    #[must_use]
    pub fn ready_p95_ms(&self) -> Option<u64> {
        ranked(&self.ready_ms, |count| (count * 95).div_ceil(100).saturating_sub(1))
    }
}

/// Returns the statistics of each service that had a state within the span. `before`: the last change of each service
/// before it. `changes`: those within it, the oldest first. `end`: of the span, or now.
#[must_use]
pub fn stats(
    before: &[Transition],
    changes: &[Transition],
    since: Option<Timestamp>,
    end: Timestamp,
) -> BTreeMap<ServiceName, Stats> {
    let mut all: BTreeMap<ServiceName, Stats> = BTreeMap::new();
    let mut last: BTreeMap<&ServiceName, &Transition> = before.iter().map(|change| (&change.service, change)).collect();
    for change in changes {
        let stats = all.entry(change.service.clone()).or_default();
        if let Some(earlier) = last.insert(&change.service, change) {
            spend(stats, earlier, since, change.at);
            if is_ready(earlier, change) {
                stats.ready_ms.push(milliseconds(earlier.at, change.at));
            }
        }
        stats.starts += u32::from(change.to == State::Starting);
        stats.failures += u32::from(change.to.is_in_error() && !change.from.is_in_error());
    }
    for (service, change) in last {
        spend(all.entry(service.clone()).or_default(), change, since, end);
    }
    all
}

/// Adds the time from `earlier`, or from the beginning of the span, to `until`, to the state of that time.
fn spend(stats: &mut Stats, earlier: &Transition, since: Option<Timestamp>, until: Timestamp) {
    let begin = since.map_or(earlier.at, |since| since.max(earlier.at));
    let spent = stats.time_ms.entry(earlier.to).or_default();
    *spent = spent.saturating_add(milliseconds(begin, until));
}

fn is_ready(earlier: &Transition, change: &Transition) -> bool {
    earlier.made && change.made && earlier.to == State::Starting && change.to.is_operational()
}

/// Time between two moments; 0 where a clock was set back.
fn milliseconds(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.duration_since(from).as_millis()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;

    use super::{Stats, stats};
    use crate::model::lifecycle::State;
    use crate::store::{Author, Transition};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    fn change(second: i64, from: State, to: State) -> Transition {
        Transition {
            at: at(second),
            project: "studio".into(),
            service: "a".into(),
            from,
            to,
            reason: String::new(),
            made: true,
            author: Author::default(),
            metadata: BTreeMap::new(),
        }
    }

    fn of_a(before: &[Transition], changes: &[Transition], since: Option<i64>, end: i64) -> Stats {
        stats(before, changes, since.map(at), at(end)).remove(&"a".into()).unwrap_or_default()
    }

    use State::{Busy, Error, Failed, Offline, Online, Registered, Starting, Timeout};

    #[test]
    fn time_counts_for_the_state_after_the_last_change() {
        let changes = [
            change(10, Registered, Starting),
            change(14, Starting, Online),
            change(20, Online, Failed),
            change(50, Failed, Starting),
            change(53, Starting, Online),
        ];
        let found = of_a(&[], &changes, None, 100);
        assert_eq!(found.time_ms, [(Starting, 7_000), (Online, 53_000), (Failed, 30_000)].into());
        assert_eq!((found.starts, found.failures, found.ready_ms), (2, 1, vec![4_000, 3_000]));
    }

    #[test]
    fn a_span_begins_and_ends_within_a_state() {
        let before = [change(10, Starting, Online)];
        let found = of_a(&before, &[change(120, Online, Offline)], Some(100), 150);
        assert_eq!(found.time_ms, [(Online, 20_000), (Offline, 30_000)].into());
        assert_eq!(of_a(&before, &[], Some(100), 150).time_ms, [(Online, 50_000)].into(), "nothing changed");
        // A start that began before the span is ready within it, in its whole time.
        let found = of_a(&[change(90, Offline, Starting)], &[change(110, Starting, Online)], Some(100), 110);
        assert_eq!((found.ready_ms, found.starts), (vec![20_000], 0));
        assert!(stats(&[], &[], None, at(9)).is_empty());
    }

    #[test]
    fn only_starts_by_lcm_count_for_the_time_to_ready() {
        let seen = |change| Transition { made: false, ..change };
        let began = change(0, Offline, Starting);
        assert_eq!(of_a(&[], &[began.clone(), seen(change(9, Starting, Online))], None, 9).ready_ms, [0_u64; 0]);
        assert_eq!(of_a(&[], &[seen(began.clone()), change(9, Starting, Online)], None, 9).ready_ms, [0_u64; 0]);
        assert_eq!(of_a(&[], &[began, change(9, Starting, Busy)], None, 9).ready_ms, [9_000]);
    }

    #[test]
    fn a_failure_is_counted_once() {
        let changes = [
            change(0, Starting, Timeout),
            change(1, Timeout, Error),
            change(2, Error, Offline),
            change(3, Offline, Failed),
        ];
        assert_eq!(of_a(&[], &changes, None, 4).failures, 2);
    }

    #[test]
    fn a_clock_that_was_set_back_takes_nothing_away() {
        let found = of_a(&[], &[change(50, Offline, Starting), change(20, Starting, Online)], None, 30);
        assert_eq!((found.time_ms, found.ready_ms), ([(Starting, 0), (Online, 10_000)].into(), vec![0]));
    }

    #[test]
    fn percentiles_are_of_times_that_were_measured() {
        let of = |times: &[u64]| {
            let stats = Stats { ready_ms: times.to_vec(), ..Stats::default() };
            (stats.ready_median_ms(), stats.ready_p95_ms())
        };
        assert_eq!(of(&[]), (None, None));
        assert_eq!(of(&[7]), (Some(7), Some(7)));
        assert_eq!(of(&[9, 7]), (Some(9), Some(9)));
        let hundred: Vec<u64> = (1..=100).rev().collect();
        assert_eq!(of(&hundred), (Some(51), Some(95)));
        let twenty: Vec<u64> = (1..=20).collect();
        assert_eq!(of(&twenty), (Some(11), Some(19)));
    }
}
