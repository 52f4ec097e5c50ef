//! Jobs: each runs until it has completed once under its present spec, and again only where a command names it. Services
//! that start after its end make a running job awaited.

use jiff::Timestamp;

use crate::model::desired::Condition;
use crate::model::job::{JobState, JobStatus};
use crate::model::lifecycle::State;
use crate::model::plan::{Purpose, Reason, ReasonCode};
use crate::plan::decision::{Decision, Decisions};
use crate::plan::input::PlanInput;
use crate::plan::judge::bring_up::bring_up;
use crate::plan::judge::context::PlanContext;
use crate::plan::judge::recover;
use crate::plan::numbers::Number;
use crate::plan::reason::reason;

/// Decision for a wanted job; `None` for any other service, and for a job that is treated like one.
pub(super) fn decide(context: &PlanContext<'_>, number: Number, why: &Reason) -> Option<Decision> {
    let input = &context.input;
    let status = input.seen(number).job.as_deref()?;
    match status.state {
        JobState::Running => running(context, number, why),
        JobState::Done if !is_requested(input, number) => Some(Decision::Leave(done(status))),
        JobState::Done | JobState::Failed | JobState::Due => {
            let held = recover::held(input, number);
            Some(held.unwrap_or_else(|| bring_up(input, number, why_again(input, number, status, why), false)))
        }
    }
}

/// Decision for a job that runs. It goes on under a changed secret, image or placement, which its next run picks up.
fn running(context: &PlanContext<'_>, number: Number, why: &Reason) -> Option<Decision> {
    let input = &context.input;
    if input.summary(number).state != State::Online || restart_is_due(input, number) {
        return None;
    }
    let change = context.drift(number);
    if change.is_some_and(|change| matches!(change.code, ReasonCode::SpecChanged | ReasonCode::GpuLost)) {
        return None;
    }
    let is_wanted = |dependent: &Number| input.wants.is_wanted(*dependent) && input.is_in_scope(*dependent);
    if ends_awaited_by(input, number).any(|dependent| is_wanted(&dependent)) {
        return Some(Decision::Await(Reason {
            message: format!("{}; it runs until it ends", why.message),
            ..why.clone()
        }));
    }
    Some(Decision::Leave(runs(why, change)))
}

fn runs(why: &Reason, change: Option<&Reason>) -> String {
    match change {
        Some(change) => format!("running, and left until it ends: {}", change.message),
        None => format!("running, as it should be: {}", why.message),
    }
}

fn done(status: &JobStatus) -> String {
    let since = |at: Timestamp| format!("done since {at:.0}: it exited with 0");
    status.ended_at.map_or_else(|| "done: it exited with 0".to_owned(), since)
}

/// Reason for another run, or for the first one.
fn why_again(input: &PlanInput<'_>, number: Number, status: &JobStatus, why: &Reason) -> Reason {
    let seen = input.seen(number);
    let with = |code, what: &str| reason(code, format!("{what}; {}", why.message), why.by.clone());
    if is_requested(input, number) {
        return why.clone();
    }
    let other_spec = seen.marks.as_ref().is_some_and(|marks| !input.service(number).spec.has_hash(&marks.spec));
    match status.state {
        JobState::Failed => with(ReasonCode::Exited, &seen.detail),
        _ if other_spec => with(ReasonCode::SpecChanged, "its spec has changed since its last run"),
        _ if seen.exit.is_some() => with(why.code, "its last run was stopped before it completed"),
        _ => with(why.code, "no completed run of it is on record"),
    }
}

/// Returns true if `lcm start` or `lcm restart` names the job, and this run has not started it yet.
fn is_requested(input: &PlanInput<'_>, number: Number) -> bool {
    let names = matches!(input.request.purpose, Purpose::Start | Purpose::Restart);
    names && is_open_target(input, number)
}

fn restart_is_due(input: &PlanInput<'_>, number: Number) -> bool {
    input.request.purpose == Purpose::Restart && is_open_target(input, number)
}

fn is_open_target(input: &PlanInput<'_>, number: Number) -> bool {
    let (request, name) = (input.request, input.name(number));
    request.targets.contains(name) && !request.restarted.contains(name)
}

/// Direct dependents that start only after the end of a job.
fn ends_awaited_by<'a>(input: &'a PlanInput<'_>, job: Number) -> impl Iterator<Item = Number> + 'a {
    let name = input.name(job);
    let awaits = move |dependent: &Number| input.service(*dependent).awaits_end_of(name);
    input.dependents(job).iter().copied().filter(awaits)
}

/// Returns true if a service of the plan starts after the end of this job, or would if it had the job's memory.
pub(crate) fn is_awaited(input: &PlanInput<'_>, decisions: &Decisions, job: Number) -> bool {
    let waits = |dependent: Number| match &decisions.0[dependent] {
        Decision::Start { .. } | Decision::Recreate { .. } => true,
        Decision::Blocked(why) => {
            let passes = matches!(why.code, ReasonCode::NoCapacity | ReasonCode::Dependency);
            passes && input.wants.is_wanted(dependent) && !input.summary(dependent).holds_capacity
        }
        _ => false,
    };
    input.service(job).job.is_some() && ends_awaited_by(input, job).any(waits)
}

/// Returns true if a service of the plan starts as soon as this job has started.
pub(crate) fn has_companions(input: &PlanInput<'_>, decisions: &Decisions, job: Number) -> bool {
    let name = input.name(job);
    let beside = |dependent: &Number| {
        let edge = input.service(*dependent).depends_on.get(name);
        edge.is_some_and(|edge| edge.condition != Condition::Completed) && decisions.0[*dependent].starts()
    };
    input.dependents(job).iter().any(beside)
}

/// Leaves running jobs whose end nothing in the plan waits for.
pub(crate) fn leave_unawaited(context: &PlanContext<'_>, decisions: &mut Decisions) {
    let input = &context.input;
    for number in input.all().filter(|number| input.service(*number).job.is_some()) {
        let Decision::Await(why) = &decisions.0[number] else { continue };
        if input.summary(number).state == State::Online && !is_awaited(input, decisions, number) {
            decisions.0[number] = Decision::Leave(runs(why, context.drift(number)));
        }
    }
}
