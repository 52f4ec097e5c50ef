//! Enumeration of every order that the needs of a plan allow: each step begins and ends, a start takes its memory at
//! its begin, a stop gives it back at its end.

use std::collections::BTreeSet;

use lcm::model::lifecycle::Action;
use lcm::model::names::GpuId;
use lcm::model::plan::{Plan, Step};

/// Bound on the steps of an enumerated plan: one of six steps has at most 3^6 moments.
pub(crate) const STEPS_MAX: usize = 6;

/// Moment of a plan: steps that have begun, and those of them that have ended, by their bits.
type Moment = (u8, u8);

/// Peak on one GPU or of the host, as the memory that the steps have added.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Worst {
    /// Never negative, since no step may have begun yet.
    pub(crate) addition: i64,
    /// Peak after a start that takes memory there has begun; `None`: there is none.
    pub(crate) while_started: Option<i64>,
}

/// Memory of a step on one GPU; without a GPU, of the host.
fn amount(step: &Step, gpu: Option<&GpuId>) -> u64 {
    match gpu {
        None => step.ram_mib.0,
        Some(gpu) if step.gpus.contains(gpu) => step.uneven_mib.get(gpu).unwrap_or(&step.vram_mib).0,
        Some(_) => 0,
    }
}

pub(crate) fn worst(plan: &Plan, gpu: Option<&GpuId>) -> Worst {
    let takes = |step: &Step| step.action == Action::Start && amount(step, gpu) > 0;
    let starts = bits(plan, takes);
    let mut worst = Worst { addition: 0, while_started: None };
    for (begun, ended) in moments(plan) {
        let addition = addition(plan, gpu, (begun, ended));
        worst.addition = worst.addition.max(addition);
        if begun & starts != 0 {
            worst.while_started = worst.while_started.max(Some(addition));
        }
    }
    worst
}

/// Returns all moments, in any order that the needs allow.
fn moments(plan: &Plan) -> BTreeSet<Moment> {
    let needs: Vec<u8> = plan.steps.iter().map(|step| bits(plan, |other| step.needs.contains(&other.id))).collect();
    let mut seen = BTreeSet::new();
    let mut open = vec![(0, 0)];
    while let Some((begun, ended)) = open.pop() {
        if !seen.insert((begun, ended)) {
            continue;
        }
        for (at, needs) in needs.iter().enumerate() {
            let bit = 1 << at;
            if begun & bit == 0 && ended & needs == *needs {
                open.push((begun | bit, ended));
            }
            if begun & bit != 0 && ended & bit == 0 {
                open.push((begun, ended | bit));
            }
        }
    }
    seen
}

fn addition(plan: &Plan, gpu: Option<&GpuId>, (begun, ended): Moment) -> i64 {
    plan.steps
        .iter()
        .enumerate()
        .map(|(at, step)| {
            let amount = i64::try_from(amount(step, gpu)).expect("small");
            match step.action {
                Action::Start if begun & (1 << at) != 0 => amount,
                Action::Stop if ended & (1 << at) != 0 => -amount,
                Action::Start
                | Action::Stop
                | Action::Evict
                | Action::Remove
                | Action::Pause
                | Action::Unpause
                | Action::Update
                | Action::Scale
                | Action::Wake => 0,
            }
        })
        .sum()
}

/// Returns the steps for which `holds` returns true, by their bits.
fn bits(plan: &Plan, holds: impl Fn(&Step) -> bool) -> u8 {
    let all = plan.steps.iter().enumerate().filter(|(_, step)| holds(step));
    all.fold(0, |set, (at, _)| set | 1 << at)
}
