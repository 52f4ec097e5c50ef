//! Room for everything that is to start, at the least cost: who goes where, who gives way, and who is left out.
//!
//! `translate` makes numbers of what is wanted and what is there, `search` finds the best answer to them, `explain`
//! makes decisions and sentences of it again. GPU memory and ports count; names never clash, the loader sees to that.

mod explain;
mod ports;
mod problem;
mod search;
mod state;
mod sums;
#[cfg(test)]
mod tests;
mod translate;
mod twins;

use crate::model::plan::Placement;
use crate::plan::decide::{Decision, Decisions, Scene};

/// The decisions with GPUs, victims, and what finds no room; and whether a better placing may exist.
pub(super) fn place(scene: &Scene<'_>, judged: Decisions) -> (Decisions, Placement) {
    let begins = |decision: &Decision| {
        matches!(decision, Decision::Start { .. } | Decision::Recreate { .. } | Decision::Wake(_))
    };
    if !judged.0.iter().any(begins) {
        return (judged, Placement::Optimal);
    }
    let translated = translate::translate(scene, judged);
    let answer = search::solve(&translated.problem);
    let placement = if answer.is_optimal { Placement::Optimal } else { Placement::Bounded };
    (explain::decisions(scene, translated, &answer.fates), placement)
}
