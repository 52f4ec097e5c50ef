//! Services that start after the end of a job take over its GPU memory: a second placement, in which the jobs of the
//! plan have ended, finds a place for services that do not fit beside them. The audit of the whole plan proves that
//! nothing is overcommitted at any moment; where it does not, the first placement stands.

use crate::model::desired::Desired;
use crate::model::job::{JobState, JobStatus};
use crate::model::lifecycle::State;
use crate::model::observed::{Observed, ObservedService, Ownership};
use crate::model::plan::{Placement, ReasonCode, Request};
use crate::plan::decision::{Decision, Decisions};
use crate::plan::input::PlanInput;
use crate::plan::judge::context::PlanContext;
use crate::plan::judge::{jobs, judge};
use crate::plan::numbers::Number;
use crate::plan::place;
use crate::plan::want::{self, Wants};

/// Returns the decisions by which services start after the jobs whose memory they need; `None` where no service of the
/// first placement waits for such memory, or where that gains nothing. The caller audits the plan.
pub(super) fn after_jobs(
    (desired, observed, request): (&Desired, &Observed, &Request),
    context: &PlanContext<'_>,
    first: &Decisions,
) -> Option<(Decisions, Placement)> {
    let input = &context.input;
    let waited_for: Vec<Number> = input.all().filter(|number| is_in_the_way(input, first, *number)).collect();
    if waited_for.is_empty() {
        return None;
    }
    let mut later = observed.clone();
    for number in &waited_for {
        let name = input.name(*number);
        if let Some(seen) = later.services.get_mut(name) {
            *seen = ended(seen);
        }
    }
    let wants: Wants<'_> = want::wants(desired, request);
    let then = PlanContext::new(PlanInput::new(desired, &later, request, &wants));
    let (mut second, placement) = place::place(&then, judge(&then));
    for number in &waited_for {
        second.0[*number] = first.0[*number].clone();
    }
    let starts = |decisions: &Decisions, number: Number| decisions.0[number].starts();
    let loses = input.all().any(|number| starts(first, number) && !starts(&second, number));
    let gains = input.all().any(|number| !starts(first, number) && starts(&second, number));
    (gains && !loses).then_some((second, placement))
}

/// Returns true for a job that starts or runs in this plan, and without which a service that waits for it would fit.
fn is_in_the_way(input: &PlanInput<'_>, first: &Decisions, number: Number) -> bool {
    let name = input.name(number);
    let is_job = matches!(first.0[number], Decision::Start { .. } | Decision::Await(_));
    let lacks = |dependent: &Number| {
        let why = first.0[*dependent].blocked();
        input.service(*dependent).awaits_end_of(name) && why.is_some_and(|why| why.code == ReasonCode::NoCapacity)
    };
    is_job && input.dependents(number).iter().any(lacks) && jobs::is_awaited(input, first, number)
}

/// Returns a job as it is after its end.
fn ended(seen: &ObservedService) -> ObservedService {
    let done = JobStatus { state: JobState::Done, exit_code: Some(0), ended_at: None };
    ObservedService {
        job: Some(Box::new(done)),
        ..ObservedService::plain(State::Offline, seen.detail.clone(), Ownership::Absent)
    }
}
