//! Symmetry of GPUs: of several interchangeable GPUs, the search has to try only the first.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::need::ItemNeed;
use super::problem::{GpuSlot, PlacementProblem, Sets};

/// Returns for each GPU the first GPU that is interchangeable with it: the same size, no item on either, neither named
/// by a request, and none with an amount of its own.
pub(super) fn symmetry(problem: &PlacementProblem) -> Vec<GpuSlot> {
    let gpus = problem.usable.len();
    let mut is_seat = vec![false; gpus];
    problem.items.iter().flat_map(|item| &item.seat).for_each(|(gpu, _)| is_seat[*gpu] = true);
    problem.host.into_iter().for_each(|host| is_seat[host] = true);
    for item in problem.items.iter().filter(|item| matches!(item.need, ItemNeed::BySet(_))) {
        item.sets.sets.iter().flatten().for_each(|gpu| is_seat[*gpu] = true);
    }
    let mut marks: Vec<Vec<usize>> = vec![Vec::new(); gpus];
    for sets in distinct(problem) {
        for (gpu, marks) in marks.iter_mut().enumerate() {
            let count = sets.sets.iter().filter(|set| set.contains(&gpu)).count();
            // A GPU that is requested by name is interchangeable with no other.
            marks.push(if sets.named && count > 0 { gpus + gpu } else { count });
        }
    }
    let mut first: BTreeMap<(i64, &[usize]), GpuSlot> = BTreeMap::new();
    let like =
        |gpu: GpuSlot| if is_seat[gpu] { gpu } else { *first.entry((problem.usable[gpu], &marks[gpu])).or_insert(gpu) };
    (0..gpus).map(like).collect()
}

/// Distinct lists of sets: services with the same request share one.
fn distinct(problem: &PlacementProblem) -> Vec<&Sets> {
    let mut lists: Vec<&Sets> = Vec::new();
    for item in &problem.items {
        if !lists.iter().any(|known| std::ptr::eq(*known, Rc::as_ptr(&item.sets))) {
            lists.push(&item.sets);
        }
    }
    lists
}
