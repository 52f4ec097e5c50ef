//! Rules by the clock of the run: steps that were allowed when the plan was made, and are not any more.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::civil::time;
use jiff::tz::TimeZone;

use super::bench::{Bench, busy, service, start, stop};
use crate::model::lifecycle::State;
use crate::model::rules::{Hours, Rule, Rules};
use crate::sim::Behaviour;

/// Rules that deny a state for an hour, from ten seconds after the begin of the simulation; or always.
fn deny(to: State, always: bool) -> Rules {
    let hours = Hours { from: time(3, 4, 15, 0), until: time(4, 4, 15, 0), days: BTreeSet::new(), zone: TimeZone::UTC };
    let rule = Rule {
        from: BTreeSet::new(),
        to: BTreeSet::from([to]),
        services: BTreeSet::new(),
        modes: BTreeSet::new(),
        hours: (!always).then_some(hours),
        reason: None,
        source: "lcm.yaml:7".to_owned(),
    };
    Rules { deny: vec![rule], ..Rules::default() }
}

#[tokio::test(start_paused = true)]
async fn a_step_that_is_forbidden_when_it_would_begin_is_stale() {
    for (step, running) in [(start("a", &[]), &[][..]), (stop("a", &[]), &["a"][..])] {
        let mut bench = Bench::new(vec![service("a")], running);
        let to = step.route[step.route.len() - 2];
        bench.desired.rules = deny(to, true);
        let outcome = bench.apply(vec![step.clone()]).await;
        assert_eq!((outcome.done, bench.runs("a")), (0, !running.is_empty()));
        let from = step.route[step.route.len() - 3];
        let skipped = format!("{}: stale: the rule at lcm.yaml:7 forbids {from} → {to}; planning again", step.id);
        assert_eq!(bench.skipped(), [skipped]);
        assert!(bench.states("a").is_empty() && bench.deeds().is_empty(), "{:?}", bench.deeds());
    }
}

#[tokio::test(start_paused = true)]
async fn hours_that_begin_while_a_stop_waits_forbid_it() {
    for (busy_s, stops) in [(5, true), (20, false)] {
        let mut bench = Bench::new(vec![busy(service("a"), None)], &["a"]);
        bench.desired.rules = deny(State::Stopping, false);
        let busy_for = Some(Duration::from_secs(busy_s));
        bench.behaves("a", Behaviour { busy_for, ..Behaviour::default() });
        bench.apply(vec![stop("a", &[])]).await;
        assert_eq!(bench.runs("a"), !stops, "busy for {busy_s} s");
        assert_eq!(bench.skipped().is_empty(), stops, "{:?}", bench.skipped());
    }
}

#[tokio::test(start_paused = true)]
async fn a_step_that_has_begun_is_completed_and_a_failure_needs_no_permission() {
    let mut bench = Bench::new(vec![service("a")], &["a"]);
    bench.desired.rules = deny(State::Offline, false);
    bench.behaves("a", Behaviour { stop_takes: Duration::from_secs(15), ..Behaviour::default() });
    bench.apply(vec![stop("a", &[])]).await;
    assert_eq!(bench.states("a"), [State::Stopping, State::Offline]);

    let mut bench = Bench::new(vec![service("a")], &[]);
    bench.desired.rules = deny(State::Failed, true);
    bench.behaves("a", Behaviour { start_error: Some("no".to_owned()), ..Behaviour::default() });
    bench.apply(vec![start("a", &[])]).await;
    assert_eq!(bench.states("a").last(), Some(&State::Failed));
}
