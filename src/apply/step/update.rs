//! Changes to a service while it runs: an update of its container's settings, and the unpause of a service without a hold.

use super::health::{self, HealthError};
use crate::apply::gate::expect::{check_expectation, of_stop, of_unpause};
use crate::apply::journal::pending;
use crate::apply::journal::record::Cursor;
use crate::apply::run::{Run, StepError, StepOutcome};
use crate::model::event::Stage;
use crate::model::plan::{ReasonCode, Step};
use crate::runtime::Pause;

/// Changes settings of a running container in place. Where the engine refuses, the planner has the container recreated.
pub(in crate::apply) async fn update(run: &Run<'_>, step: &Step) -> StepOutcome {
    let (driver, desired) = (run.context.driver, run.context.desired);
    let (Some(service), Some(instance)) = (desired.services.get(&step.service), &step.expect.instance) else {
        return StepOutcome::Stale("the plan names no instance to update".to_owned());
    };
    if let Err(outcome) = check_expectation(run, service, |inspection| of_stop(step, inspection)).await {
        return outcome;
    }
    if let Err(outcome) = pending::begin(run, step, None, true).await {
        return outcome;
    }
    run.stage(step, Stage::Start, None);
    run.ledger().changed = true;
    match driver.update(&desired.project, service, instance).await {
        Ok(()) => {
            Cursor::at(run, step).walk_to_last().await;
            StepOutcome::Done
        }
        Err(error) => {
            run.ledger().not_updated.insert(step.service.clone());
            StepOutcome::Stale(format!("it can't be changed in place: {error}"))
        }
    }
}

/// Resumes a paused service, and returns when it answers, because dependents may start then.
pub(in crate::apply) async fn unpause(run: &Run<'_>, step: &Step) -> StepOutcome {
    let (driver, desired) = (run.context.driver, run.context.desired);
    let (Some(service), Some(instance)) = (desired.services.get(&step.service), &step.expect.instance) else {
        return StepOutcome::Stale("the plan names no instance to unpause".to_owned());
    };
    if let Err(outcome) = check_expectation(run, service, |inspection| of_unpause(step, inspection)).await {
        return outcome;
    }
    if let Err(outcome) = pending::begin(run, step, None, true).await {
        return outcome;
    }
    run.stage(step, Stage::Start, None);
    run.ledger().changed = true;
    let paused = Pause { project: &desired.project, service: &step.service, instance };
    if let Err(error) = driver.unpause(&paused).await {
        return StepOutcome::Failed(StepError::new(ReasonCode::StartFailed, error.to_string()));
    }
    let mut cursor = Cursor::at(run, step);
    cursor.walk_to_last().await;
    run.stage(step, Stage::Health, None);
    match health::wait(run, service, instance).await {
        Ok(()) => StepOutcome::Done,
        Err(HealthError::Final { state, error }) => {
            cursor.go(state, &error).await;
            StepOutcome::Failed(StepError::new(ReasonCode::StartFailed, format!("unpaused, but then {error}")))
        }
        Err(HealthError::Cancelled(cancelled)) => StepOutcome::Cancelled(cancelled),
    }
}
