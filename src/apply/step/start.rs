//! A start: admission, hooks, start, health, hooks again. A failed start restores the previous revision that was put aside.

use super::health::{self, HealthError};
use super::job;
use super::log::log_tail;
use super::previous::{Restorable, restorable, restore};
use crate::apply::admission::admit::{admit, readmit, reserve};
use crate::apply::admission::memory::Need;
use crate::apply::gate::expect::{StartReadiness, of_start};
use crate::apply::gate::hooks::{self, HookPoint};
use crate::apply::gate::permission::forbidden;
use crate::apply::journal::measure::Stopwatch;
use crate::apply::journal::record::Cursor;
use crate::apply::journal::{attempts, pending};
use crate::apply::run::{Cancelled, Moved, ReservationState, Run, StepError, StepOutcome};
use crate::model::desired::Service;
use crate::model::event::Stage;
use crate::model::hooks::Point;
use crate::model::instance::Instance;
use crate::model::lifecycle::{Action, State, route};
use crate::model::names::GpuId;
use crate::model::plan::{Plan, ReasonCode, Step};
use crate::model::size::Mebibytes;
use crate::runtime::Start;

pub(in crate::apply) async fn start(run: &Run<'_>, plan: &Plan, step: &Step) -> StepOutcome {
    let (driver, desired) = (run.context.driver, run.context.desired);
    let Some(service) = desired.services.get(&step.service) else {
        return StepOutcome::Stale("it is not in the manifest".to_owned());
    };
    let inspection = match run.clock.unless_cancelled(driver.inspect(&desired.project, service)).await {
        Ok(Ok(inspection)) => inspection,
        Ok(Err(error)) => return StepOutcome::Failed(StepError::unreadable(&error)),
        Err(cancelled) => return StepOutcome::Cancelled(cancelled),
    };
    match of_start(step, service, &inspection) {
        StartReadiness::Stale(reason) => StepOutcome::Stale(reason),
        StartReadiness::Await(instance) if service.job.is_some() => {
            reserve(run, &Need::of_start(step, service));
            run.launch(&step.id);
            job::resume(run, step, service, &instance).await
        }
        StartReadiness::Await(instance) => {
            reserve(run, &Need::of_start(step, service));
            run.launch(&step.id);
            // A start by another actor is not reported as a change of this run.
            let mut cursor = Cursor::at(run, step);
            cursor.state = State::Starting;
            let continues = step.route.first() == Some(&State::Starting);
            if continues && let Err(outcome) = pending::begin(run, step, Some(service), true).await {
                return outcome;
            }
            let awaited = await_health(run, plan, step, service, &instance, cursor).await;
            match awaited {
                StepOutcome::Done if !continues => StepOutcome::NotNeeded,
                StepOutcome::Done => {
                    // The end of a start is a change, whichever run began it.
                    run.ledger().changed = true;
                    came_up(run, step, service, &instance).await
                }
                other => other,
            }
        }
        StartReadiness::Begin => begin(run, plan, step, service).await,
    }
}

async fn begin(run: &Run<'_>, plan: &Plan, step: &Step, service: &Service) -> StepOutcome {
    let mut cursor = Cursor::at(run, step);
    if let Err(refusal) = admit(run, plan, step, &Need::of_start(step, service)).await {
        return refusal.into();
    }
    let permitted = match pending::begin(run, step, Some(service), true).await {
        Ok(()) => permitted(run, plan, step, service).await,
        Err(outcome) => Err(outcome),
    };
    if let Err(outcome) = permitted {
        run.ledger().reservations.remove(&step.service);
        return outcome;
    }
    attempts::begin(run, step).await;
    // A container that is created first is deploying until it exists.
    let creates = step.route.contains(&State::Deploying);
    cursor.walk_to(if creates { State::Deploying } else { State::Starting }).await;
    run.stage(step, Stage::Start, None);
    run.ledger().changed = true;
    let moved = Moved { step: step.clone(), instance: None };
    run.ledger().started.push(moved);
    let indices = indices(plan, step, service);
    let placed = placed(step, service);
    let started = placed.as_ref().unwrap_or(service);
    let start = Start { project: &run.context.desired.project, service: started, gpus: &step.gpus, indices: &indices };
    let watch = Stopwatch::begin(run);
    match run.context.driver.start(&start).await {
        Ok(instance) => {
            for moved in run.ledger().started.iter_mut().filter(|moved| moved.step.id == step.id) {
                moved.instance = Some(instance.clone());
            }
            cursor.set_instance(&instance);
            cursor.walk_to(State::Starting).await;
            run.launch(&step.id);
            if service.job.is_some() {
                let outcome = job::run(run, step, service, &instance, cursor).await;
                if step.is_until_end() {
                    watch.started(run, step, &outcome).await;
                }
                return outcome;
            }
            let outcome = await_health(run, plan, step, service, &instance, cursor).await;
            watch.started(run, step, &outcome).await;
            match outcome {
                StepOutcome::Done => came_up(run, step, service, &instance).await,
                other => other,
            }
        }
        Err(error) => {
            let failed = FailedStart { state: State::Failed, error: error.to_string() };
            give_up(run, plan, step, service, cursor, failed).await
        }
    }
}

/// Checks that no hold, rule or hook forbids the start. Hooks take time, after which the start is admitted once more.
async fn permitted(run: &Run<'_>, plan: &Plan, step: &Step, service: &Service) -> Result<(), StepOutcome> {
    let allowed = async || forbidden(run, step).await.map_or(Ok(()), Err);
    allowed().await?;
    let at = HookPoint { step, service, point: Point::PreStart, instance: step.expect.instance.as_ref() };
    hooks::before(run, at).await?;
    if !service.hooks.pre_start.is_empty() {
        readmit(run, plan, step, &Need::of_start(step, service)).await.map_err(StepOutcome::from)?;
        allowed().await?;
    }
    run.clock.cancelled().map_or(Ok(()), |cancelled| Err(StepOutcome::Cancelled(cancelled)))
}

/// Calls the hooks after a start.
async fn came_up(run: &Run<'_>, step: &Step, service: &Service, instance: &Instance) -> StepOutcome {
    hooks::after(run, HookPoint { step, service, point: Point::PostStart, instance: Some(instance) }).await;
    StepOutcome::Done
}

/// Waits until the service is healthy, and records the result.
async fn await_health(
    run: &Run<'_>,
    plan: &Plan,
    step: &Step,
    service: &Service,
    instance: &Instance,
    mut cursor: Cursor<'_, '_>,
) -> StepOutcome {
    run.stage(step, Stage::Health, None);
    match health::wait(run, service, instance).await {
        Ok(()) => {
            cursor.walk_to(State::Online).await;
            {
                let mut ledger = run.ledger();
                ledger.came_up.insert(step.service.clone());
                if let Some(reservation) = ledger.reservations.get_mut(&step.service) {
                    reservation.state = ReservationState::Settled;
                }
            }
            if let Err(error) = run.context.driver.settle(&run.context.desired.project, service).await {
                let name = &step.service;
                run.warn(&format!("{name} is healthy, but its previous revision could not be removed: {error}"));
            }
            StepOutcome::Done
        }
        Err(HealthError::Final { state, error }) => {
            give_up(run, plan, step, service, cursor, FailedStart { state, error }).await
        }
        Err(HealthError::Cancelled(Cancelled::Interrupted)) => StepOutcome::Cancelled(Cancelled::Interrupted),
        Err(HealthError::Cancelled(Cancelled::OutOfTime)) => StepOutcome::Cancelled(Cancelled::OutOfTime),
    }
}

struct FailedStart {
    state: State,
    error: String,
}

/// Records a failed start with its cause, and restores the previous revision where there is one.
async fn give_up(
    run: &Run<'_>,
    plan: &Plan,
    step: &Step,
    service: &Service,
    mut cursor: Cursor<'_, '_>,
    failed: FailedStart,
) -> StepOutcome {
    let log = log_tail(run, &step.service).await;
    cursor.go(failed.state, &failed.error).await;
    detach(run, step, failed.state);
    let mut error = failed.error;
    match restorable(plan, step) {
        Restorable::NeverStopped => {}
        Restorable::Displaced(to) => {
            error = format!("{error}; the previous revision is not restored: {to} uses its resources");
        }
        Restorable::Free(stop) => match restore(run, plan, step, service, stop).await {
            Ok(true) => {
                forget_moves(run, step);
                let back = "the previous revision was restored".to_owned();
                for state in route(Action::Start, cursor.state).unwrap_or_default().iter().skip(1) {
                    if *state != State::Online {
                        cursor.go(*state, &back).await;
                    }
                }
                run.warn(&format!("{}: {back}, because the new one did not start", step.service));
                error = format!("{error}; {back}");
            }
            Ok(false) => {}
            Err(cause) => error = format!("{error}; the previous revision could not be restored: {cause}"),
        },
    }
    StepOutcome::Failed(StepError { code: ReasonCode::StartFailed, error, log })
}

/// Detaches the reservation of a service that did not start: it may still take its memory.
fn detach(run: &Run<'_>, step: &Step, state: State) {
    let mut ledger = run.ledger();
    if state.is_not_running() {
        ledger.reservations.remove(&step.service);
    } else if let Some(reservation) = ledger.reservations.get_mut(&step.service) {
        reservation.state = ReservationState::Detached;
    }
}

/// Removes the service from the ledger of moves: a restored service needs no rollback.
fn forget_moves(run: &Run<'_>, step: &Step) {
    let mut ledger = run.ledger();
    ledger.started.retain(|moved| moved.step.service != step.service);
    ledger.stopped.retain(|moved| moved.step.service != step.service);
}

/// Returns the service with the amounts of its step, where they differ by GPU or follow its capacity.
fn placed(step: &Step, service: &Service) -> Option<Service> {
    service.vram_by_gpu.as_ref()?;
    let one = |gpu: &GpuId| Mebibytes(step.vram_on(gpu).0 / u64::from(service.copies.max(1)));
    Some(service.placed_with(&step.gpus.iter().map(one).collect::<Vec<_>>()))
}

/// Returns the GPU indices of the driver, for a program that takes indices; empty where one of the GPUs has none.
fn indices(plan: &Plan, step: &Step, service: &Service) -> Vec<u32> {
    let index =
        |id: &GpuId| plan.gpus.iter().find(|line| line.id == *id && !line.id.is_instance()).map(|line| line.index);
    let indices: Option<Vec<u32>> = step.gpus.iter().map(index).collect();
    indices.filter(|_| service.gpu_as_index).unwrap_or_default()
}
