//! A pause: freezes a service that an operator suspended.

use crate::apply::gate::expect::{check_expectation, of_pause};
use crate::apply::journal::pending;
use crate::apply::journal::record::Cursor;
use crate::apply::run::{Run, StepError, StepOutcome};
use crate::model::event::Stage;
use crate::model::plan::ReasonCode;
use crate::model::plan::Step;
use crate::runtime::Pause;

/// Freezes a service that an operator suspended.
pub(in crate::apply) async fn pause(run: &Run<'_>, step: &Step) -> StepOutcome {
    let (driver, desired) = (run.context.driver, run.context.desired);
    let (Some(service), Some(instance)) = (desired.services.get(&step.service), &step.expect.instance) else {
        return StepOutcome::Stale("the plan names no instance to pause".to_owned());
    };
    if let Err(outcome) = check_expectation(run, service, |inspection| of_pause(step, inspection)).await {
        return outcome;
    }
    if let Err(outcome) = pending::begin(run, step, None, true).await {
        return outcome;
    }
    run.stage(step, Stage::Stop, None);
    run.ledger().changed = true;
    let pause = Pause { project: &desired.project, service: &step.service, instance };
    match driver.pause(&pause).await {
        Ok(()) => {
            Cursor::at(run, step).walk_to_last().await;
            StepOutcome::Done
        }
        Err(error) => StepOutcome::Failed(StepError::new(ReasonCode::StopFailed, error.to_string())),
    }
}
