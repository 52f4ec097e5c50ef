//! Placing of everything that is to start, at the least cost: GPUs of each service, victims, and services left out.
//!
//! `translate` turns input and first decisions into numbers, `search` finds the best answer to them, `explain` turns it
//! into decisions and sentences again. GPU memory and ports count; names never clash, the loader sees to that.

mod explain;
mod ports;
mod problem;
mod refusal;
mod search;
mod state;
mod sums;
mod symmetry;
#[cfg(test)]
mod tests;
mod translate;

use crate::model::plan::Placement;
use crate::plan::decision::{Decision, Decisions};
use crate::plan::judge::context::PlanContext;

/// Returns the decisions with GPUs, victims and refusals, and whether a better placing may exist.
pub(super) fn place(context: &PlanContext<'_>, judged: Decisions) -> (Decisions, Placement) {
    let begins = |decision: &Decision| {
        decision.adds_copies()
            || matches!(decision, Decision::Start { .. } | Decision::Recreate { .. } | Decision::Wake(_))
    };
    if !judged.0.iter().any(begins) {
        return (judged, Placement::Optimal);
    }
    let translated = translate::translate(context, judged);
    let answer = search::solve(&translated.problem);
    let placement = if answer.is_optimal { Placement::Optimal } else { Placement::Bounded };
    (explain::decisions(context, translated, &answer.fates), placement)
}
