//! Scales and rolling updates: they wait for every copy, report progress, and are rolled back when they fail.

use std::time::Duration;

use futures_util::FutureExt as _;

use super::bench::{Bench, PROJECT, roll, scale, start, takes};
use crate::apply::OnFailure;
use crate::model::copies::Copies;
use crate::model::desired::Service;
use crate::model::event::{EventKind, Stage};
use crate::model::lifecycle::State;
use crate::model::size::Mebibytes;
use crate::model::spec::Spec;
use crate::runtime::process::facts::ProcessReading as _;
use crate::sim::{Behaviour, Rollout};
use crate::store::Journal as _;

const SECOND: Duration = Duration::from_secs(1);

/// `a` runs `now` copies of 1 000 MiB each, and the manifest wants `wanted`; `b` is off.
fn fleet(now: u32, wanted: u32, pace: Rollout) -> Bench {
    let a = Service { copies: wanted, ..takes(1_000, "a") };
    let held = 1_000 * u64::from(now);
    let bench = Bench::new(vec![a, takes(1_000, "b")], &["a"]).measured(6_000, &[("a", held)]);
    bench.sim.play_copies("a", now, pace);
    bench
}

fn each_second() -> Rollout {
    Rollout { each: SECOND, ..Rollout::default() }
}

fn details(bench: &Bench) -> Vec<String> {
    let details = bench.events().into_iter().filter_map(|kind| match kind {
        EventKind::Stage { stage: Stage::Health, detail, .. } => detail,
        _ => None,
    });
    details.collect()
}

/// Changes the spec of `a` in the manifest.
fn change_spec(bench: &mut Bench) {
    let a = bench.desired.services.get_mut(&"a".into()).expect("it");
    a.spec = Spec::plain(serde_json::json!({ "command": "newer" }));
}

fn attempts(bench: &Bench) -> Option<u32> {
    let known = bench.store.last_known(&PROJECT.into()).now_or_never().expect("at once").expect("a memory");
    known.get(&"a".into()).and_then(|fact| fact.attempts.as_ref()).map(|attempts| attempts.count)
}

fn settled(copies: u32) -> Copies {
    Copies { wanted: copies, ready: copies, updated: copies }
}

#[tokio::test(start_paused = true)]
async fn a_scale_waits_until_every_copy_is_ready_and_reports_each() {
    let bench = fleet(1, 3, each_second());
    let outcome = bench.apply(vec![scale("a", 1, 3)]).await;
    assert!(outcome.failures.is_empty() && outcome.changed, "{:?}", outcome.failures);
    assert_eq!(bench.deeds(), ["scale a"]);
    assert_eq!(bench.sim.copies("a"), Some(settled(3)));
    assert_eq!(bench.states("a"), [State::Scaling, State::Online]);
    assert_eq!(details(&bench), ["1 of 3 copies ready, 1 updated", "2 of 3 copies ready, 2 updated"]);
    assert_eq!(bench.sim.violations(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_scale_down_waits_until_the_surplus_copies_have_ended() {
    let bench = fleet(3, 1, each_second());
    let outcome = bench.apply(vec![scale("a", 3, 1), start("b", &["scale:a"])]).await;
    assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
    assert_eq!(bench.deeds(), ["scale a", "start b"]);
    assert_eq!(bench.sim.copies("a"), Some(settled(1)));
}

#[tokio::test(start_paused = true)]
async fn a_scale_that_is_done_already_is_not_needed() {
    let bench = fleet(3, 3, Rollout::default());
    let outcome = bench.apply(vec![scale("a", 1, 3)]).await;
    assert!(outcome.failures.is_empty() && !outcome.changed);
    assert_eq!(bench.deeds(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_scale_up_without_memory_is_not_begun() {
    let bench = fleet(2, 7, each_second());
    let outcome = bench.apply(vec![scale("a", 2, 7)]).await;
    assert!(outcome.failures[0].error.starts_with("it needs 7 000 MiB; GPU 0 has 6 000"), "{:?}", outcome.failures);
    assert_eq!((bench.deeds(), bench.sim.copies("a")), (Vec::new(), Some(settled(2))));
}

#[tokio::test(start_paused = true)]
async fn a_stuck_scale_fails_with_its_numbers_and_is_rolled_back() {
    let bench = fleet(1, 4, Rollout { stuck_after: Some(2), ..each_second() });
    let outcome = bench.apply(vec![scale("a", 1, 4)]).await;
    assert_eq!(
        outcome.failures[0].error,
        "3 of 4 copies ready, 3 updated; no progress for 1m; it was scaled back to 1 copy"
    );
    assert_eq!(bench.deeds(), ["scale a", "scale a"]);
    assert_eq!(bench.sim.copies("a").map(|copies| copies.wanted), Some(1));
    assert_eq!(bench.states("a"), [State::Scaling, State::Error, State::Online]);
    assert_eq!(attempts(&bench), None, "a scale costs no budget");
}

#[tokio::test(start_paused = true)]
async fn a_rolling_update_replaces_every_copy() {
    let mut bench = fleet(2, 2, each_second());
    change_spec(&mut bench);
    let step = roll(&bench, "a", 2, 2);
    let outcome = bench.apply(vec![step]).await;
    assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
    assert_eq!(bench.deeds(), ["update a"]);
    assert_eq!(bench.states("a"), [State::Updating, State::Online]);
    assert_eq!(details(&bench), ["2 of 2 copies ready, 0 updated", "2 of 2 copies ready, 1 updated"]);
    assert_eq!(bench.sim.copies("a"), Some(settled(2)));
    assert_eq!(bench.sim.violations(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_stuck_update_restores_the_previous_revision_and_costs_an_attempt() {
    let mut bench = fleet(2, 2, Rollout { stuck_after: Some(1), ..each_second() });
    let before = bench.desired.services[&"a".into()].spec.hash().to_owned();
    change_spec(&mut bench);
    let step = roll(&bench, "a", 2, 2);
    let outcome = bench.apply(vec![step]).await;
    assert_eq!(
        outcome.failures[0].error,
        "2 of 2 copies ready, 1 updated; no progress for 1m; the previous revision was restored"
    );
    assert_eq!(bench.deeds(), ["update a", "putback a"]);
    assert_eq!(bench.sim.copies("a"), Some(settled(2)));
    assert_eq!(bench.sim.world().processes().trees.known().expect("known")[0].marks.spec, before);
    assert_eq!(attempts(&bench), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_refused_write_is_reported_with_its_reason() {
    let bench = fleet(1, 2, Rollout { refused: Some("the engine is read-only".to_owned()), ..each_second() });
    let outcome = bench.apply(vec![scale("a", 1, 2)]).await;
    assert!(outcome.failures[0].error.starts_with("the engine is read-only"), "{:?}", outcome.failures);
    assert!(outcome.failures[0].error.contains("could not be rolled back"), "{:?}", outcome.failures);
}

#[tokio::test(start_paused = true)]
async fn a_rollback_undoes_completed_rollouts() {
    let mut bench = fleet(1, 3, each_second());
    bench.options.on_failure = OnFailure::Rollback;
    bench.behaves("b", Behaviour { never_healthy: true, ..Behaviour::default() });
    let outcome = bench.apply(vec![scale("a", 1, 3), start("b", &["scale:a"])]).await;
    assert!(!outcome.failures.is_empty());
    assert_eq!(bench.sim.copies("a"), Some(settled(1)));

    let mut bench = fleet(2, 2, each_second());
    change_spec(&mut bench);
    bench.options.on_failure = OnFailure::Rollback;
    bench.behaves("b", Behaviour { never_healthy: true, ..Behaviour::default() });
    let step = roll(&bench, "a", 2, 2);
    bench.apply(vec![step, start("b", &["update:a"])]).await;
    assert!(bench.deeds().contains(&"putback a".to_owned()), "{:?}", bench.deeds());
    assert_eq!(bench.sim.world().gpus.known().expect("known")[0].capacity, Mebibytes(6_000));
}
