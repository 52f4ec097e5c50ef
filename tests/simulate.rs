//! Plan and apply together, over random manifests and random snapshots: from any state one run converges, the next one
//! has nothing to do, and no effect in between breaks an invariant. `LCM_SOAK_CASES` sets the number of cases.

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
use crate::draft::{Draft, Fault, Found, ServiceDraft, drafts, with_jobs};

/// Cases of a test in an ordinary run.
const CASES: u32 = 500;

/// Rounds of a run: usually one. First fit does not see the memory that a service frees when it is recreated smaller
/// but has to wait for another one: a second round does.
const ROUNDS_MAX: usize = 2;

fn soak_cases() -> Option<u32> {
    std::env::var("LCM_SOAK_CASES").ok()?.parse().ok()
}

fn cases() -> u32 {
    soak_cases().unwrap_or(CASES)
}

/// Checks an invariant over this number of drafts; a failing draft is shrunk.
fn hold<F: Future<Output = Result<(), TestCaseError>>>(cases: u32, law: impl Fn(Draft) -> F) {
    hold_over(cases, drafts(), law);
}

fn hold_over<T: Debug, F: Future<Output = Result<(), TestCaseError>>>(
    cases: u32,
    drafts: impl Strategy<Value = T>,
    law: impl Fn(T) -> F,
) {
    // The soak run draws new cases each time; the short run must be reproducible. A failure prints its draft, which
    // suffices to repeat it.
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

/// Applies once, and checks that nothing is left to do.
async fn converge(bench: &Bench) -> Result<(), TestCaseError> {
    converge_within(bench, ROUNDS_MAX).await
}

async fn converge_within(bench: &Bench, rounds_max: usize) -> Result<(), TestCaseError> {
    let ran = bench.apply().await?;
    prop_assert_eq!(ran.outcome.refused, None);
    prop_assert!(ran.outcome.failures.is_empty(), "{:#?}", ran.outcome.failures);
    let left: Vec<_> = bench.plan().await?.steps.into_iter().map(|step| (step.id, step.reason)).collect();
    prop_assert!(left.is_empty(), "left to do after {} rounds: {left:#?}", ran.rounds);
    // Placement and preemption of a paused service are decided once it is resumed.
    let rounds_max = rounds_max + usize::from(bench.is_paused_somewhere());
    prop_assert!(ran.rounds <= rounds_max, "{} rounds", ran.rounds);
    bench.is_lawful()
}

#[test]
fn one_apply_converges_and_the_next_has_nothing_to_do() {
    hold(cases(), |draft| async move {
        let bench = Bench::new(&draft);
        converge(&bench).await?;
        if draft.gpus.len() == 1 {
            bench.loads_alone()?;
        }
        let effects = bench.sim.effects();
        let again = bench.apply().await?;
        prop_assert!(!again.outcome.changed && bench.sim.effects() == effects);
        Ok(())
    });
}

#[test]
fn jobs_run_once_and_their_dependents_start_after_them() {
    hold_over(cases() / 5, with_jobs(), |draft| async move {
        let bench = Bench::new(&draft);
        // A job that was paused runs on, and ends before its dependents start.
        converge_within(&bench, ROUNDS_MAX + 2).await?;
        let runs = |bench: &Bench| {
            let is_start = |effect: &&lcm::sim::Effect| effect.deed == lcm::sim::Deed::Start;
            bench.sim.log().iter().filter(is_start).count()
        };
        // A job that nothing waits for frees its memory for others when it ends: each may need another run.
        for _ in 0..=draft.services.len() {
            tokio::time::sleep(manifest::HEALTH_TIMEOUT).await;
            bench.apply().await?;
        }
        let before = runs(&bench);
        for _ in 0..3 {
            tokio::time::sleep(manifest::HEALTH_TIMEOUT).await;
            bench.apply().await?;
        }
        prop_assert_eq!(runs(&bench), before, "{:?}", bench.deeds());
        bench.is_lawful()
    });
}

#[test]
fn killed_while_jobs_run_the_next_run_converges() {
    hold_over(cases() / 100, with_jobs(), |draft| async move {
        let whole = Bench::new(&draft);
        whole.apply().await?;
        for number in 1..=whole.sim.effects() {
            for side in [Crash::Before, Crash::After] {
                let bench = Bench::new(&draft);
                bench.apply_and_crash(number, side).await?;
                // At once, so that jobs still run.
                let converged = converge_within(&bench, ROUNDS_MAX + 2).await;
                converged.map_err(|error| TestCaseError::fail(format!("killed {side:?} effect {number}: {error}")))?;
            }
        }
        Ok(())
    });
}

#[test]
fn denied_changes_are_not_made_and_the_rest_converges() {
    hold_over(cases() / 2, rules::ruled(), |ruled| async move {
        let mut bench = Bench::new(&ruled.0);
        bench.desired.rules = rules::rules(&ruled);
        // A rule may deny a stop only while a service works or starts: each service that has finished needs another
        // round.
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
fn the_same_snapshot_makes_the_same_plan() {
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
                prop_assert!(bench.apply_and_crash(number, side).await?, "effect {number} occurred in the first run");
                if number % 2 == 0 {
                    // The state folder is lost too.
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
fn one_fault_fails_only_dependent_steps_and_without_it_all_converges() {
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
    // In the plan's order, needs come first.
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

/// Runs after which any draft converges: each leak changes the facts of the next run, and each service leaks but once.
const RUNS_MAX: usize = 10;

#[test]
fn no_start_overcommits_memory_and_all_converges() {
    hold_over(
        cases(),
        memory::measured(),
        |draft| async move { converges_eventually(&Bench::new(&draft), &draft).await },
    );
}

#[test]
fn a_service_that_gives_memory_back_has_it_reserved_or_is_woken_or_blocked() {
    hold_over(soak_cases().unwrap_or(CASES / 10), memory::asleep(), |draft| async move {
        let bench = Bench::new(&draft);
        converges_eventually(&bench, &draft).await?;
        bench.sleepers_have_their_memory_or_are_blocked().await
    });
}

async fn converges_eventually(bench: &Bench, draft: &Draft) -> Result<(), TestCaseError> {
    let (mut settled, mut calm) = (false, false);
    for _ in 0..RUNS_MAX {
        let effects = bench.sim.effects();
        let ran = bench.apply().await?;
        prop_assert_eq!(ran.outcome.refused, None);
        for failure in &ran.outcome.failures {
            prop_assert!(is_explained(&failure.error), "{}", failure.error);
        }
        bench.never_overcommits(draft)?;
        let rests = bench.sim.effects() == effects;
        prop_assert!(rests || !settled, "moved again, though nothing had changed: {:?}", bench.deeds());
        let failed = !ran.outcome.failures.is_empty();
        let left = bench.plan().await?.steps;
        prop_assert!(left.is_empty() || !rests || failed, "not begun: {left:#?}");
        if rests && settled {
            return Ok(());
        }
        // A driver that reports no memory of single processes shows that only once one of them holds some: then another
        // round is needed.
        let silent = draft.memory.as_ref().is_some_and(|memory| memory.silent);
        settled = calm && (rests || !(failed || silent));
        // By then foreign programs have ended, and late memory is free.
        tokio::time::sleep(memory::LONG).await;
        calm = true;
    }
    Err(TestCaseError::fail(format!("no convergence: {:?}", bench.deeds())))
}

/// Returns true if the error names a holder of the memory, or the missing amount.
fn is_explained(error: &str) -> bool {
    let held = error.contains("its resources were not released within") && error.contains(" still holds ");
    held || (error.starts_with("it needs ") && error.contains("; GPU ") && error.contains(" waited "))
        || (error.starts_with("it needs ") && error.contains("; host memory has ") && error.contains(" waited "))
}

/// Waits for pending stops and starts; then one run must suffice.
async fn settle_then_converge(bench: &Bench) -> Result<(), TestCaseError> {
    tokio::time::sleep(manifest::HEALTH_TIMEOUT * 2).await;
    converge(bench).await
}
