//! Parts of the steps that start or await a job: how long they last, and the memory that later starts take over.

use std::collections::BTreeSet;

use crate::model::job::JobStep;
use crate::plan::decision::Decisions;
use crate::plan::input::PlanInput;
use crate::plan::judge::context::PlanContext;
use crate::plan::judge::jobs;
use crate::plan::numbers::Number;
use crate::plan::steps::{Position, Steps};

/// Returns the part of a job in its start step; `None` for any other service. `waits`: the job runs already.
pub(super) fn part(context: &PlanContext<'_>, decisions: &Decisions, number: Number, waits: bool) -> Option<JobStep> {
    let (input, seen) = (&context.input, context.input.seen(number));
    let job = input.service(number).job?;
    let until_end = jobs::is_awaited(input, decisions, number);
    let now = input.observed.observed_at;
    let lasted = seen.since.filter(|_| waits).map(|since| now.duration_since(since).unsigned_abs());
    let left = job.timeout.map(|timeout| timeout.saturating_sub(lasted.unwrap_or_default()));
    Some(JobStep {
        until_end,
        frees_memory: until_end && !jobs::has_companions(input, decisions, number),
        left_ms: left.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
    })
}

/// Returns the steps of jobs after whose end a service starts, directly or through its dependencies.
pub(super) fn ended_before(input: &PlanInput<'_>, steps: &Steps<'_>, number: Number) -> BTreeSet<Position> {
    let (mut ended, mut seen, mut open) = (BTreeSet::new(), BTreeSet::from([number]), vec![number]);
    while let Some(number) = open.pop() {
        for base in input.bases(number).iter().copied() {
            let Some(step) = steps.start(base) else { continue };
            let frees = steps.at(step).job.is_some_and(|job| job.frees_memory);
            ended.extend(Some(step).filter(|_| frees));
            open.extend(Some(base).filter(|base| seen.insert(*base)));
        }
    }
    ended
}
