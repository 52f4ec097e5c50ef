//! First decisions: one for each service alone, from its want and its observed state.
//!
//! In: `PlanInput`; `context` derives drift, counted memory and protection from it, once.
//! Out: `Decisions`: `service` decides about one service, then `legal`, `dependents` and `holds` adjust the decisions
//! of all.
//! Not here: competition for GPU memory and ports, which `place` decides.

mod bring_up;
pub(super) mod context;
pub(super) mod copies;
mod dependents;
pub(super) mod drift;
pub(super) mod given_back;
mod holds;
pub(super) mod jobs;
pub(super) mod left_running;
mod legal;
mod memory;
pub(super) mod orphans;
pub(super) mod protected;
pub(super) mod recover;
mod service;

use crate::plan::decision::Decisions;
use crate::plan::judge::context::PlanContext;

/// Returns the first decisions for all services; starts have no GPUs yet.
pub(super) fn judge(context: &PlanContext<'_>) -> Decisions {
    let input = &context.input;
    let decided = input.all().map(|number| holds::unless_unreadable(input, service::decide(context, number)));
    let mut decisions = Decisions(decided.collect());
    legal::hold_to_rules(context, &mut decisions);
    dependents::recreate(input, &mut decisions);
    holds::stop_dependents(input, &mut decisions);
    holds::keep_bases(input, &mut decisions);
    dependents::stop_kept(input, &mut decisions);
    decisions
}
