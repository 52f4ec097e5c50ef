//! Placement of all services that start, at the least cost: their GPUs, preemption victims, and services left out.
//!
//! In: `PlanContext` and the first decisions; `translate` turns them into a problem in numbers.
//! Out: the decisions with GPUs, victims and refusals: `search` finds the best solution, `explain` translates it back
//! into decisions with reasons.
//! Helpers: `problem` has the rules and the cost of a solution, `need` the memory of an item, which `amounts` derives;
//! `state`, `gpu_sums` and `symmetry` serve `search`; `ports` finds conflicts of ports; `refusal` words the arithmetic of
//! full GPUs.
//! Not here: the steps and their order (`order`), and conflicts of names, which the loader rules out.

mod amounts;
mod explain;
mod gpu_sums;
mod need;
mod ports;
mod problem;
mod refusal;
mod search;
mod state;
mod symmetry;
#[cfg(test)]
mod tests;
mod translate;

use crate::model::plan::Placement;
use crate::plan::decision::{Decision, Decisions};
use crate::plan::judge::context::PlanContext;

/// Returns the decisions with GPUs, victims and refusals; `Placement::Bounded` if a better placement may exist.
pub(super) fn place(context: &PlanContext<'_>, judged: Decisions) -> (Decisions, Placement) {
    let begins = |decision: &Decision| {
        decision.adds_copies()
            || matches!(decision, Decision::Start { .. } | Decision::Recreate { .. } | Decision::Wake(_))
    };
    if !judged.0.iter().any(begins) {
        return (judged, Placement::Optimal);
    }
    let translated = translate::translate(context, judged);
    let solution = search::solve(&translated.problem);
    let placement = if solution.is_optimal { Placement::Optimal } else { Placement::Bounded };
    (explain::decisions(context, translated, &solution.fates), placement)
}
