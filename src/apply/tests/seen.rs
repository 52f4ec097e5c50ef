//! State changes that lcm did not make, found by every observation.

use futures_util::FutureExt as _;

use super::bench::{Bench, service, start, stop};
use crate::model::facts::Reading;
use crate::model::lifecycle::State;
use crate::runtime::process::facts::ProcessReading as _;
use crate::store::Journal as _;

fn last(bench: &Bench, service: &str) -> Option<State> {
    let known = bench.store.last_known(&"studio".into()).now_or_never().expect("at once").expect("it is in memory");
    known.get(&service.into()).and_then(crate::model::facts::HistoryFact::last)
}

#[tokio::test(start_paused = true)]
async fn an_observed_change_is_recorded_once() {
    let bench = Bench::new(vec![service("a"), service("b"), service("c")], &["a", "b"]);
    bench.apply(vec![stop("b", &[])]).await;
    let found = [(State::Registered, State::Online, "its health probe passes".to_owned())];
    assert_eq!(bench.sightings("a"), found, "it ran before there was a history");
    assert_eq!(bench.sightings("c"), [], "it never existed");

    bench.apply(vec![start("c", &[])]).await;
    assert_eq!(bench.sightings("a"), found, "nothing has changed");
    assert_eq!(last(&bench, "c"), Some(State::Online));
    assert_eq!(bench.sightings("c"), [], "a change by lcm is not recorded as observed too");

    bench.sim.inject(|facts| {
        let trees = facts.processes_mut().trees.known_mut().expect("known");
        trees.retain(|tree| tree.marks.service.as_str() != "a");
    });
    bench.apply(vec![stop("c", &[])]).await;
    assert_eq!(bench.sightings("a").last().map(|(from, ..)| *from), Some(State::Online), "it was removed from outside");
    assert_eq!(bench.sightings("a").len(), 2);
    let made: Vec<State> = bench.states("a");
    assert_eq!(made, [], "lcm did nothing to it");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_recorded_of_a_service_that_cannot_be_observed() {
    let bench = Bench::new(vec![service("a"), service("b")], &["a", "b"]);
    bench.apply(vec![stop("b", &[])]).await;
    let before = bench.store.transitions().len();
    bench.sim.inject(|facts| facts.processes_mut().trees = Reading::Unknown("no /proc".to_owned()));
    bench.apply(vec![start("b", &[])]).await;
    let seen = bench.store.transitions().into_iter().skip(before).filter(|one| !one.made).count();
    assert_eq!(seen, 0);
}
