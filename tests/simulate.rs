//! Plan and apply together, over random manifests and random worlds: whatever is there, one run brings it about, the
//! next has nothing to do, and nothing on the way is against the law. `LCM_SOAK_CASES` says how often.

#[path = "simulate/bench.rs"]
mod bench;
#[path = "simulate/draft.rs"]
mod draft;
#[path = "simulate/manifest.rs"]
mod manifest;
#[path = "simulate/memory.rs"]
mod memory;
#[path = "simulate/recover.rs"]
mod recover;
#[path = "simulate/rules.rs"]
mod rules;
#[path = "simulate/world.rs"]
mod world;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::future::Future;

use lcm::model::names::StepId;
use lcm::sim::Crash;
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};
use proptest::{prop_assert, prop_assert_eq};

use crate::bench::Bench;
use crate::draft::{Draft, Fault, Found, ServiceDraft, drafts};

/// What a test has time for while somebody waits.
const CASES: u32 = 500;

/// One is usual. First fit does not see the room that comes of a service being made anew, and smaller, when that has to
/// wait for another: a second look does.
const ROUNDS_MAX: usize = 2;

fn soak_cases() -> Option<u32> {
    std::env::var("LCM_SOAK_CASES").ok()?.parse().ok()
}

fn cases() -> u32 {
    soak_cases().unwrap_or(CASES)
}

/// Holds a law over so many drafts; what breaks it is made as small as it can be.
fn hold<F: Future<Output = Result<(), TestCaseError>>>(cases: u32, law: impl Fn(Draft) -> F) {
    hold_over(cases, drafts(), law);
}

fn hold_over<T: Debug, F: Future<Output = Result<(), TestCaseError>>>(
    cases: u32,
    drafts: impl Strategy<Value = T>,
    law: impl Fn(T) -> F,
) {
    // The long run draws anew each time; the short one must say the same today as yesterday. A failure prints its
    // draft, which is all that is needed to repeat it.
    let rng_seed = if soak_cases().is_some() { RngSeed::Random } else { RngSeed::Fixed(1) };
    let config = Config { cases, rng_seed, failure_persistence: None, max_shrink_iters: 20_000, ..Config::default() };
    let mut runner = TestRunner::new(config);
    let result = runner.run(&drafts, |draft| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime").block_on(law(draft))
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

/// Applies, and demands that this was enough.
async fn converge(bench: &Bench) -> Result<(), TestCaseError> {
    converge_within(bench, ROUNDS_MAX).await
}

async fn converge_within(bench: &Bench, rounds_max: usize) -> Result<(), TestCaseError> {
    let ran = bench.apply().await?;
    prop_assert_eq!(ran.outcome.refused, None);
    prop_assert!(ran.outcome.failures.is_empty(), "{:#?}", ran.outcome.failures);
    let left: Vec<_> = bench.plan().await?.steps.into_iter().map(|step| (step.id, step.reason)).collect();
    prop_assert!(left.is_empty(), "left to do after {} rounds: {left:#?}", ran.rounds);
    // Where a paused service runs, and for whom it gives way, is judged once it goes on.
    let rounds_max = rounds_max + usize::from(bench.is_paused_somewhere());
    prop_assert!(ran.rounds <= rounds_max, "{} rounds", ran.rounds);
    bench.is_lawful()
}

#[test]
fn one_apply_brings_about_what_is_wanted_and_the_next_has_nothing_to_do() {
    hold(cases(), |draft| async move {
        let bench = Bench::new(&draft);
        converge(&bench).await?;
        let effects = bench.sim.effects();
        let again = bench.apply().await?;
        prop_assert!(!again.outcome.changed && bench.sim.effects() == effects);
        Ok(())
    });
}

#[test]
fn what_rules_forbid_is_not_done_and_the_rest_comes_to_rest() {
    hold_over(cases() / 2, rules::ruled(), |ruled| async move {
        let mut bench = Bench::new(&ruled.0);
        bench.desired.rules = rules::rules(&ruled);
        // A rule may stand against a stop only while there is work, or while it starts: each that has done its own is
        // seen by another look.
        let passes = |service: &&ServiceDraft| {
            service.busy_ms.is_some() || matches!(service.found, Found::Starting | Found::Unsettled)
        };
        let passing = ruled.0.services.iter().filter(passes).count();
        converge_within(&bench, ROUNDS_MAX + passing).await?;
        prop_assert_eq!(rules::broken(&bench), Vec::<String>::new());
        Ok(())
    });
}

#[test]
fn the_same_world_makes_the_same_plan() {
    hold(cases(), |draft| async move {
        let bench = Bench::new(&draft);
        let (first, second) = (bench.plan().await?, bench.plan().await?);
        prop_assert_eq!(serde_json::to_string(&first).ok(), serde_json::to_string(&second).ok());
        Ok(())
    });
}

#[test]
fn killed_at_any_effect_the_next_run_converges() {
    hold(cases() / 10, |draft| async move {
        let whole = Bench::new(&draft);
        whole.apply().await?;
        for number in 1..=whole.sim.effects() {
            for side in [Crash::Before, Crash::After] {
                let mut bench = Bench::new(&draft);
                prop_assert!(bench.apply_and_crash(number, side).await?, "effect {number} came the first time");
                if number % 2 == 0 {
                    // The state folder goes with it.
                    bench.store = lcm::store::memory::MemoryStore::default();
                }
                let converged = settle_then_converge(&bench).await;
                converged.map_err(|error| TestCaseError::fail(format!("killed {side:?} effect {number}: {error}")))?;
            }
        }
        Ok(())
    });
}

#[test]
fn one_fault_fails_what_it_touches_and_when_it_is_lifted_all_converges() {
    hold(cases() / 10, |draft| async move {
        for index in 0..draft.services.len() {
            for fault in Fault::ALL {
                let struck = strike(&draft, index, fault).await;
                struck.map_err(|error| TestCaseError::fail(format!("{fault:?} of s{index}: {error}")))?;
            }
        }
        Ok(())
    });
}

async fn strike(draft: &Draft, index: usize, fault: Fault) -> Result<(), TestCaseError> {
    let bench = Bench::new(draft);
    bench.strike(index, fault);
    let ran = bench.apply().await?;
    prop_assert_eq!(ran.outcome.refused, None);
    let failed: Vec<_> = ran.outcome.failures.iter().map(|failure| failure.step.clone()).collect();
    let last = ran.outcome.last_plan.ok_or_else(|| TestCaseError::fail("no last plan"))?;
    // In the plan's order needs come first.
    let mut lost: BTreeSet<&StepId> = failed.iter().collect();
    for step in &last.steps {
        let waits = lost.contains(&step.id) || step.needs.iter().any(|need| lost.contains(need));
        prop_assert!(waits, "not tried: {step:#?}");
        lost.insert(&step.id);
    }
    bench.is_lawful()?;
    bench.lift();
    let converged = settle_then_converge(&bench).await;
    converged.map_err(|error| TestCaseError::fail(format!("lifted: {error}")))
}

/// So many runs settle any of these worlds: each leak changes what the next one finds, and each service leaks but once.
const RUNS_MAX: usize = 10;

#[test]
fn no_start_counts_on_memory_that_is_not_there_and_all_comes_to_rest() {
    hold_over(cases(), memory::measured(), |draft| async move { comes_to_rest(&Bench::new(&draft), &draft).await });
}

#[test]
fn what_gives_memory_back_at_any_time_has_it_reserved_or_is_woken_or_blocked() {
    hold_over(soak_cases().unwrap_or(CASES / 10), memory::asleep(), |draft| async move {
        let bench = Bench::new(&draft);
        comes_to_rest(&bench, &draft).await?;
        bench.who_sleeps_has_its_memory_or_is_blocked().await
    });
}

async fn comes_to_rest(bench: &Bench, draft: &Draft) -> Result<(), TestCaseError> {
    let (mut settled, mut calm) = (false, false);
    for _ in 0..RUNS_MAX {
        let effects = bench.sim.effects();
        let ran = bench.apply().await?;
        prop_assert_eq!(ran.outcome.refused, None);
        for failure in &ran.outcome.failures {
            prop_assert!(is_explained(&failure.error), "{}", failure.error);
        }
        bench.keeps_to_what_is_there(draft)?;
        let rests = bench.sim.effects() == effects;
        prop_assert!(rests || !settled, "moved again, though nothing had changed: {:?}", bench.deeds());
        let failed = !ran.outcome.failures.is_empty();
        let left = bench.plan().await?.steps;
        prop_assert!(left.is_empty() || !rests || failed, "not begun: {left:#?}");
        if rests && settled {
            return Ok(());
        }
        // Where the driver tells nothing of single processes, that shows once one of them holds something: then another
        // look is due.
        let silent = draft.memory.as_ref().is_some_and(|memory| memory.silent);
        settled = calm && (rests || !(failed || silent));
        // Whoever came is gone then, and what was on its way back is back.
        tokio::time::sleep(memory::LONG).await;
        calm = true;
    }
    Err(TestCaseError::fail(format!("it does not come to rest: {:?}", bench.deeds())))
}

/// It names a holder, or says that the driver does not, or does the sum.
fn is_explained(error: &str) -> bool {
    let held = error.contains("its room did not come back within") && error.contains(" still holds ");
    held || (error.starts_with("it needs ") && error.contains("; GPU ") && error.contains(" waited "))
}

/// What was signalled ends, what was begun gets its time; then one run must do.
async fn settle_then_converge(bench: &Bench) -> Result<(), TestCaseError> {
    tokio::time::sleep(manifest::HEALTH_TIMEOUT * 2).await;
    converge(bench).await
}
