//! Every order that a plan's needs allow, walked: each step begins and ends, a start takes its memory at its begin, a
//! stop gives it back at its end.

use std::collections::BTreeSet;

use lcm::model::lifecycle::Action;
use lcm::model::names::GpuId;
use lcm::model::plan::Plan;

/// Walks are short: a plan of six steps has at most 3^6 moments.
pub(crate) const STEPS_MAX: usize = 6;

/// What has happened by some moment: steps that have begun, and those of them that have ended, by their bits.
type Moment = (u8, u8);

/// The most that the steps ever add on a GPU; never negative, since nothing may have happened yet.
pub(crate) fn worst_addition(plan: &Plan, gpu: &GpuId) -> i64 {
    let needs: Vec<u8> = plan.steps.iter().map(|step| positions(plan, &step.needs)).collect();
    let mut seen: BTreeSet<Moment> = BTreeSet::new();
    let mut open: Vec<Moment> = vec![(0, 0)];
    let mut worst = 0;
    while let Some((begun, ended)) = open.pop() {
        if !seen.insert((begun, ended)) {
            continue;
        }
        worst = worst.max(addition(plan, gpu, (begun, ended)));
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
    worst
}

fn addition(plan: &Plan, gpu: &GpuId, (begun, ended): Moment) -> i64 {
    let on_it = plan.steps.iter().enumerate().filter(|(_, step)| step.gpus.contains(gpu));
    on_it
        .map(|(at, step)| {
            let amount = i64::try_from(step.vram_mib.0).expect("small");
            match step.action {
                Action::Start if begun & (1 << at) != 0 => amount,
                Action::Stop if ended & (1 << at) != 0 => -amount,
                Action::Start | Action::Stop | Action::Evict | Action::Remove | Action::Pause | Action::Unpause => 0,
            }
        })
        .sum()
}

fn positions(plan: &Plan, ids: &[lcm::model::names::StepId]) -> u8 {
    let all = plan.steps.iter().enumerate().filter(|(_, step)| ids.contains(&step.id));
    all.fold(0, |set, (at, _)| set | 1 << at)
}
