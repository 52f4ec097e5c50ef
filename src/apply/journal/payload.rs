//! Payload that hooks and notifiers receive about a step.

use crate::apply::run::Run;
use crate::model::hooks::{FORMAT, HookPayload, Point, When};
use crate::model::lifecycle::State;
use crate::model::plan::Step;
use crate::store::Author;

/// Returns the payload of a whole step: its first and last state, its reason, and the instance that the plan expects.
pub(in crate::apply) fn payload(run: &Run<'_>, step: &Step) -> HookPayload {
    let state = |state: Option<&State>| state.copied().unwrap_or(step.expect.state);
    let Author { by, run: id } = run.context.author.clone();
    HookPayload {
        format: FORMAT.to_owned(),
        at: run.context.driver.now(),
        hook: Point::NotifyAfter,
        project: run.context.desired.project.clone(),
        service: step.service.clone(),
        from: state(step.route.first()),
        to: state(step.route.last()),
        reason: run.mask(&step.reason.message),
        code: Some(step.reason.code),
        made: true,
        by,
        run: id,
        gpus: step.gpus.clone(),
        instance: step.expect.instance.clone(),
    }
}

/// Returns the point at which a notifier is called: before or after a change.
pub(super) fn point_of(when: When) -> Point {
    match when {
        When::Before => Point::NotifyBefore,
        When::After => Point::NotifyAfter,
    }
}
