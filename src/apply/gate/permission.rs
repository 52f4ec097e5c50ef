//! Permission for a step at the moment of its effect: no hold and no rule forbids it by now.

use super::holds;
use crate::apply::run::{Run, StepOutcome};
use crate::model::plan::Step;
use crate::model::rules::Legality;

/// Returns the outcome of a step that a hold or rule forbids by now, though it did not when the plan was made. Called
/// before the step changes anything, and again after each wait before that.
pub(in crate::apply) async fn forbidden(run: &Run<'_>, step: &Step) -> Option<StepOutcome> {
    holds::forbids(run, step).await.or_else(|| by_rule(run, step)).map(StepOutcome::Stale)
}

fn by_rule(run: &Run<'_>, step: &Step) -> Option<String> {
    let rules = &run.context.desired.rules;
    match rules.judge_route(&run.rule_case(&step.service), &step.route) {
        Some(Legality::Denied(denial)) => Some(denial.to_string()),
        Some(Legality::NoRow) => Some("the lifecycle does not allow this route any more".to_owned()),
        Some(Legality::Legal) | None => None,
    }
}
