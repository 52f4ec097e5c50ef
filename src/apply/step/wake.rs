//! A wake: a running service gets back GPU memory that it gave up. Its memory is admitted as that of a start, then the calls
//! of its `wake:` are made, then it has to answer.

use super::health::{self, HealthError};
use super::log::log_tail;
use crate::apply::admission::admit::admit;
use crate::apply::admission::memory::Need;
use crate::apply::gate::expect::{check_expectation, of_stop};
use crate::apply::gate::permission::forbidden;
use crate::apply::journal::measure;
use crate::apply::run::{ReservationState, Run, StepError, StepOutcome};
use crate::model::desired::Service;
use crate::model::event::Stage;
use crate::model::instance::Instance;
use crate::model::names::GpuId;
use crate::model::plan::{Plan, ReasonCode, Step};
use crate::model::size::Mebibytes;
use crate::runtime::Start;

/// Wakes the instance that the plan names, and returns when it answers.
pub(in crate::apply) async fn wake(run: &Run<'_>, plan: &Plan, step: &Step) -> StepOutcome {
    let Some(service) = run.context.desired.services.get(&step.service) else {
        return StepOutcome::Stale("it is not in the manifest".to_owned());
    };
    let Some(instance) = &step.expect.instance else {
        return StepOutcome::Stale("the plan names no instance of it".to_owned());
    };
    match check_expectation(run, service, |inspection| of_stop(step, inspection)).await {
        Ok(()) => {}
        Err(StepOutcome::NotNeeded) => return StepOutcome::Stale("it has ended since".to_owned()),
        Err(outcome) => return outcome,
    }
    // Its own memory does not count against it: the declared size has to be free beside all other services.
    let need = Need::beside(step, service, (service.vram_total(), Mebibytes::ZERO));
    if let Err(error) = admit(run, plan, step, &need).await {
        return error.into();
    }
    if let Some(outcome) = forbidden(run, step).await.or_else(|| run.clock.cancelled().map(StepOutcome::Cancelled)) {
        run.ledger().reservations.remove(&step.service);
        return outcome;
    }
    let placed = placed(plan, step, service);
    let outcome = call(run, step, placed.as_ref().unwrap_or(service), instance).await;
    let state =
        if matches!(outcome, StepOutcome::Done) { ReservationState::Settled } else { ReservationState::Detached };
    if let Some(reservation) = run.ledger().reservations.get_mut(&step.service) {
        reservation.state = state;
    }
    outcome
}

/// Returns the service with its largest amount on each GPU of the step, where amounts differ by GPU or follow its
/// capacity: a reservation has one figure.
fn placed(plan: &Plan, step: &Step, service: &Service) -> Option<Service> {
    let amounts = service.vram_by_gpu.as_deref()?;
    let capacity =
        |id: &GpuId| plan.gpus.iter().find(|line| line.id == *id).map_or(Mebibytes::ZERO, |line| line.capacity_mib);
    let most = |id: &GpuId| amounts.iter().map(|amount| amount.on(capacity(id))).max().unwrap_or_default();
    Some(service.placed_with(&step.gpus.iter().map(most).collect::<Vec<_>>()))
}

async fn call(run: &Run<'_>, step: &Step, service: &Service, instance: &Instance) -> StepOutcome {
    run.stage(step, Stage::Start, None);
    run.ledger().changed = true;
    let start = Start { project: &run.context.desired.project, service, gpus: &step.gpus, indices: &[] };
    if let Err(error) = run.context.driver.wake(&start).await {
        return failed(run, step, error.to_string()).await;
    }
    run.stage(step, Stage::Health, None);
    match health::wait(run, service, instance).await {
        Ok(()) => {
            // Without `wake:` the service only has its memory reserved again, and is not recorded as woken.
            if service.wake.is_some() {
                measure::woken(run, step).await;
            }
            StepOutcome::Done
        }
        Err(HealthError::Final { error, .. }) => failed(run, step, format!("woken, but then {error}")).await,
        Err(HealthError::Cancelled(cancelled)) => StepOutcome::Cancelled(cancelled),
    }
}

async fn failed(run: &Run<'_>, step: &Step, error: String) -> StepOutcome {
    let log = log_tail(run, &step.service).await;
    StepOutcome::Failed(StepError { code: ReasonCode::StartFailed, error, log })
}
