//! Placement compared with all alternatives: on random small cases the plan's cost is the least that the rules allow,
//! and no order of its steps overcommits a GPU. `LCM_SOAK_CASES` sets the number of cases.

#[path = "placing/brute.rs"]
mod brute;
#[path = "placing/case.rs"]
mod case;
#[path = "placing/draft.rs"]
mod draft;
#[path = "placing/read.rs"]
mod read;
#[path = "placing/walk.rs"]
mod walk;
#[path = "placing/world.rs"]
mod world;

use std::cell::RefCell;
use std::collections::BTreeMap;

use lcm::model::plan::{Placement, Plan, ReasonCode};
use lcm::plan::{audit, plan};
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};
use proptest::{prop_assert, prop_assert_eq};

use crate::brute::{Fate, best, cost, judge};
use crate::case::Case;
use crate::draft::drafts;
use crate::world::{World, gpu_id, name};

/// Number of cases in an interactive run.
const CASES: u32 = 1000;

fn soak_cases() -> Option<u32> {
    std::env::var("LCM_SOAK_CASES").ok()?.parse().ok()
}

/// Counts of the situations that the cases of one law reached: a law over cases that never occur proves nothing.
#[derive(Default)]
struct Reached(RefCell<BTreeMap<&'static str, u32>>);

impl Reached {
    fn count(&self, what: &'static str, times: usize) {
        *self.0.borrow_mut().entry(what).or_default() += u32::try_from(times).unwrap_or(u32::MAX);
    }

    fn count_if(&self, what: &'static str, holds: bool) {
        self.count(what, usize::from(holds));
    }
}

/// Checks a law on random cases, and shrinks a case that breaks it. The long run prints the situations that it reached.
fn hold(law: impl Fn(&Case, &Reached) -> Result<(), TestCaseError>) {
    // The long run draws new cases each time; the short one must be reproducible. A failure prints its draft, which
    // suffices to repeat it.
    let rng_seed = if soak_cases().is_some() { RngSeed::Random } else { RngSeed::Fixed(1) };
    let cases = soak_cases().unwrap_or(CASES);
    let config = Config { cases, rng_seed, failure_persistence: None, max_shrink_iters: 20_000, ..Config::default() };
    let reached = Reached::default();
    let result = TestRunner::new(config).run(&drafts(), |draft| {
        let case = Case::new(&draft);
        law(&case, &reached).map_err(|error| TestCaseError::fail(format!("{error}\n{case:#?}")))
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    if soak_cases().is_some() {
        println!("{cases} cases: {:?}", reached.0.borrow());
    }
}

fn made(case: &Case) -> (World, Plan) {
    let world = World::new(case);
    let plan = plan(&world.desired, &world.observed, &world.request);
    (world, plan)
}

#[test]
fn no_placement_that_the_rules_allow_costs_less() {
    hold(|case, reached| {
        let (_, plan) = made(case);
        let fates = read::fates(case, &plan).map_err(TestCaseError::fail)?;
        judge(case, &fates).map_err(|error| TestCaseError::fail(format!("{error}: {fates:?}")))?;
        let (better, least) = best(case);
        let found = cost(case, &fates);
        prop_assert!(found == least, "found {fates:?}\n{found:?}\nand there is {better:?}\n{least:?}");
        count_situations(reached, case, &fates, &plan);
        Ok(())
    });
}

fn count_situations(reached: &Reached, case: &Case, fates: &[Fate], plan: &Plan) {
    let of = |code: ReasonCode| plan.steps.iter().any(|step| step.reason.code == code);
    reached.count_if("victims", of(ReasonCode::Preempted));
    reached.count_if("moves", fates.iter().any(|fate| matches!(fate, Fate::Move(_))));
    reached.count_if(
        "kept ones stopped",
        case.services.iter().zip(fates).any(|(one, fate)| !one.wanted && *fate == Fate::Out),
    );
    reached.count_if("moves among equals", case.repack && of(ReasonCode::Moved));
    reached.count_if("blocks", !plan.blocked.is_empty());
    reached.count_if(
        "drifted ones elsewhere",
        case.services.iter().zip(fates).any(|(service, fate)| matches!(fate, Fate::Again(set) if *set != service.seat)),
    );
    let takes_ram = |step: &lcm::model::plan::Step| step.ram_mib.0 > 0;
    reached.count_if("host memory taken", plan.steps.iter().any(takes_ram));
    reached.count_if("uneven amounts", plan.steps.iter().any(|step| !step.uneven_mib.is_empty()));
    reached.count_if("drifted ones left", fates.contains(&Fate::AsIs));
    reached.count_if("bounded", plan.placement == Placement::Bounded);
}

#[test]
fn only_a_higher_priority_preempts() {
    hold(|case, reached| {
        let (world, plan) = made(case);
        prop_assert_eq!(audit(&plan, &world.desired, &world.observed, &world.request), Vec::<String>::new());
        let find = |text: &str| (0..case.services.len()).find(|index| name(*index).as_str() == text);
        for step in &plan.steps {
            let moved = step.reason.code == ReasonCode::Moved;
            if !moved && step.reason.code != ReasonCode::Preempted {
                continue;
            }
            let victim = find(step.service.as_str()).map(|index| case.services[index].priority);
            let winner = step.reason.by.as_deref().and_then(find).map(|index| case.services[index].priority);
            let equal = moved && case.repack && winner == victim;
            prop_assert!(winner > victim || equal, "{}: {:?}", step.id, step.reason);
            reached.count("displaced", 1);
        }
        Ok(())
    });
}

#[test]
fn the_same_case_makes_the_same_bytes() {
    hold(|case, _| {
        let [first, second] = [made(case), made(case)].map(|(_, plan)| serde_json::to_string(&plan).ok());
        prop_assert!(first.is_some() && first == second);
        Ok(())
    });
}

#[test]
fn no_order_that_the_needs_allow_overcommits_a_gpu() {
    hold(|case, reached| {
        let (world, plan) = made(case);
        if plan.steps.len() > walk::STEPS_MAX {
            return Ok(());
        }
        let walked = walk(case, plan.clone());
        prop_assert!(!walked.overcommits && !walked.starts_early, "{:#?}", plan.steps);
        prop_assert_eq!(&walked.plan.gpus, &plan.gpus);
        prop_assert_eq!(&walked.plan.memory, &plan.memory);
        for (at, step) in plan.steps.iter().enumerate() {
            for dropped in &step.needs {
                let mut damaged = plan.clone();
                damaged.steps[at].needs.retain(|need| need != dropped);
                let walked = walk(case, damaged);
                let findings = audit(&walked.plan, &world.desired, &world.observed, &world.request);
                let found = findings.iter().any(|finding| finding.contains("may reach"));
                prop_assert_eq!(found, walked.overcommits, "without {} for {}: {:#?}", dropped, step.id, findings);
                let early = findings.iter().any(|finding| finding.contains("still overcommitted"));
                prop_assert_eq!(
                    early || found,
                    walked.starts_early || walked.overcommits,
                    "without {}: {:#?}",
                    dropped,
                    findings
                );
                let wrong = findings.iter().find(|finding| finding.contains("its peak is"));
                prop_assert!(wrong.is_none(), "without {dropped} for {}: {wrong:?}", step.id);
                reached.count("needs dropped", 1);
                reached.count_if("overcommits for it", walked.overcommits);
            }
        }
        Ok(())
    });
}

struct Walked {
    /// Plan with the peaks of the enumeration.
    plan: Plan,
    /// True if some order of the steps overcommits a GPU.
    overcommits: bool,
    /// True if some order starts a service on a GPU that was overcommitted before, and still is.
    starts_early: bool,
}

fn walk(case: &Case, mut plan: Plan) -> Walked {
    let (mut overcommits, mut starts_early) = (false, false);
    for (gpu, facts) in case.gpus.iter().enumerate() {
        let id = Some(gpu_id(gpu)).filter(|_| case.host != Some(gpu));
        let worst = walk::worst(&plan, id.as_ref());
        let held: i64 = case.services.iter().map(|one| one.held[gpu]).sum();
        overcommits |= worst.addition > 0 && held + worst.addition > facts.usable;
        starts_early |= worst.while_started.is_some_and(|addition| held + addition > facts.usable);
        let peak = u64::try_from(facts.foreign + held + worst.addition).expect("not negative");
        match id {
            Some(id) => plan.gpus.iter_mut().find(|line| line.id == id).expect("a line for each GPU").peak_mib.0 = peak,
            // Without a service that draws on it, the host's memory is not counted.
            None => plan.memory.iter_mut().for_each(|line| line.peak_mib.0 = peak),
        }
    }
    Walked { plan, overcommits, starts_early }
}
