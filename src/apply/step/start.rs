//! The stages of a start: admission, hooks, start, health, hooks again. What fails gives way to the older self that was put aside.

use super::health;
use super::health::HealthError;
use super::log::log_tail;
use super::previous::{Older, bring_back, room_of};
use crate::apply::admission::admit::{admit, admit_again, reserve};
use crate::apply::admission::memory::Need;
use crate::apply::gate::expect::{Launch, of_start};
use crate::apply::gate::hooks;
use crate::apply::gate::hooks::HookPoint;
use crate::apply::gate::permission::forbidden;
use crate::apply::journal::measure::Stopwatch;
use crate::apply::journal::record::Cursor;
use crate::apply::journal::{attempts, pending};
use crate::apply::run::{Cancelled, Moved, ReservationState, Run, StepError, StepOutcome, WaitError};
use crate::model::desired::Service;
use crate::model::event::Stage;
use crate::model::hooks::Point;
use crate::model::lifecycle::{Action, State, route};
use crate::model::names::GpuId;
use crate::model::observed::Instance;
use crate::model::plan::{Plan, ReasonCode, Step};
use crate::runtime::Start;

pub(in crate::apply) async fn start(run: &Run<'_>, plan: &Plan, step: &Step) -> StepOutcome {
    let (driver, desired) = (run.context.driver, run.context.desired);
    let Some(service) = desired.services.get(&step.service) else {
        return StepOutcome::Stale("the manifest does not know it".to_owned());
    };
    let look = match run.clock.unless_cancelled(driver.look(&desired.project, service)).await {
        Ok(Ok(look)) => look,
        Ok(Err(error)) => return StepOutcome::Failed(StepError::unreadable(&error)),
        Err(cut) => return StepOutcome::Cancelled(cut),
    };
    match of_start(step, service, &look) {
        Launch::Stale(reason) => StepOutcome::Stale(reason),
        Launch::Await(instance) => {
            reserve(run, &need(step, service));
            run.launch(&step.id);
            // Where somebody else has started it, that change is not ours to tell.
            let mut cursor = Cursor::at(run, step);
            cursor.state = State::Starting;
            let continues = step.route.first() == Some(&State::Starting);
            if continues && let Err(verdict) = pending::begin(run, step, Some(service), true) {
                return verdict;
            }
            let awaited = well(run, plan, step, service, &instance, cursor).await;
            match awaited {
                StepOutcome::Done if !continues => StepOutcome::NotNeeded,
                StepOutcome::Done => {
                    // The end of a start is a change, whichever run began it.
                    run.ledger().changed = true;
                    risen(run, step, service, &instance).await
                }
                other => other,
            }
        }
        Launch::Begin => begin(run, plan, step, service).await,
    }
}

fn need<'a>(step: &'a Step, service: &'a Service) -> Need<'a> {
    Need { service, gpus: &step.gpus, amount: service.vram }
}

async fn begin(run: &Run<'_>, plan: &Plan, step: &Step, service: &Service) -> StepOutcome {
    let mut cursor = Cursor::at(run, step);
    if let Err(refusal) = admit(run, plan, step, &need(step, service)).await {
        return refused(refusal);
    }
    let agreed = match pending::begin(run, step, Some(service), true) {
        Ok(()) => agreed(run, plan, step, service).await,
        Err(verdict) => Err(verdict),
    };
    if let Err(verdict) = agreed {
        run.ledger().reservations.remove(&step.service);
        return verdict;
    }
    attempts::begin(run, step);
    // What is created first is deploying until it is there.
    let creates = step.route.contains(&State::Deploying);
    cursor.walk_to(if creates { State::Deploying } else { State::Starting });
    run.stage(step, Stage::Start, None);
    run.ledger().changed = true;
    let moved = Moved { step: step.clone(), instance: None };
    run.ledger().started.push(moved);
    let indices = indices(plan, step, service);
    let start = Start { project: &run.context.desired.project, service, gpus: &step.gpus, indices: &indices };
    let watch = Stopwatch::begin(run);
    match run.context.driver.start(&start).await {
        Ok(instance) => {
            for moved in run.ledger().started.iter_mut().filter(|moved| moved.step.id == step.id) {
                moved.instance = Some(instance.clone());
            }
            cursor.is_now(&instance);
            cursor.walk_to(State::Starting);
            run.launch(&step.id);
            let verdict = well(run, plan, step, service, &instance, cursor).await;
            watch.started(run, step, &verdict);
            match verdict {
                StepOutcome::Done => risen(run, step, service, &instance).await,
                other => other,
            }
        }
        Err(error) => {
            let failed = Sick { state: State::Failed, error: error.to_string() };
            give_way(run, plan, step, service, cursor, failed).await
        }
    }
}

/// No rule forbids it and nobody objects; and where asking took its time, its room is proved once more.
async fn agreed(run: &Run<'_>, plan: &Plan, step: &Step, service: &Service) -> Result<(), StepOutcome> {
    let allowed = || forbidden(run, step).map_or(Ok(()), Err);
    allowed()?;
    let scene = HookPoint { step, service, point: Point::PreStart, instance: step.expect.instance.as_ref() };
    hooks::before(run, scene).await?;
    if !service.hooks.pre_start.is_empty() {
        admit_again(run, plan, step, &need(step, service)).await.map_err(refused)?;
        allowed()?;
    }
    run.clock.cancelled().map_or(Ok(()), |cut| Err(StepOutcome::Cancelled(cut)))
}

fn refused(refusal: WaitError) -> StepOutcome {
    match refusal {
        WaitError::Failed(trouble) => StepOutcome::Failed(trouble),
        WaitError::Cancelled(cut) => StepOutcome::Cancelled(cut),
    }
}

/// It is up, whoever began it: those who are told afterwards are told.
async fn risen(run: &Run<'_>, step: &Step, service: &Service, instance: &Instance) -> StepOutcome {
    hooks::after(run, HookPoint { step, service, point: Point::PostStart, instance: Some(instance) }).await;
    StepOutcome::Done
}

/// Waits until it is well, and draws the consequence.
async fn well(
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
            cursor.walk_to(State::Online);
            {
                let mut ledger = run.ledger();
                ledger.came_up.insert(step.service.clone());
                if let Some(reservation) = ledger.reservations.get_mut(&step.service) {
                    reservation.state = ReservationState::Settled;
                }
            }
            if let Err(error) = run.context.driver.settle(&run.context.desired.project, service).await {
                run.warn(&format!("{} is well, but its older self is still there: {error}", step.service));
            }
            StepOutcome::Done
        }
        Err(HealthError::Final { state, error }) => {
            give_way(run, plan, step, service, cursor, Sick { state, error }).await
        }
        Err(HealthError::Cancelled(Cancelled::Interrupted)) => StepOutcome::Cancelled(Cancelled::Interrupted),
        Err(HealthError::Cancelled(Cancelled::OutOfTime)) => StepOutcome::Cancelled(Cancelled::OutOfTime),
    }
}

struct Sick {
    state: State,
    error: String,
}

/// It did not come up: says why, and brings the older self back where there is one.
async fn give_way(
    run: &Run<'_>,
    plan: &Plan,
    step: &Step,
    service: &Service,
    mut cursor: Cursor<'_, '_>,
    sick: Sick,
) -> StepOutcome {
    let log = log_tail(run, &step.service).await;
    cursor.go(sick.state, &sick.error);
    stray(run, step, sick.state);
    let mut error = sick.error;
    match room_of(plan, step) {
        Older::NeverStopped => {}
        Older::GivenAway(to) => {
            error = format!("{error}; what ran before is not brought back: its room was given to {to}");
        }
        Older::Free(stop) => match bring_back(run, plan, step, service, stop).await {
            Ok(true) => {
                forget(run, step);
                let back = "the older one was brought back".to_owned();
                for state in route(Action::Start, cursor.state).unwrap_or_default().iter().skip(1) {
                    if *state != State::Online {
                        cursor.go(*state, &back);
                    }
                }
                run.warn(&format!("{}: {back}, since the new one did not come up", step.service));
                error = format!("{error}; {back}");
            }
            Ok(false) => {}
            Err(trouble) => error = format!("{error}; what ran before could not be brought back: {trouble}"),
        },
    }
    StepOutcome::Failed(StepError { code: ReasonCode::StartFailed, error, log })
}

/// What did not come up and is still there, may take its memory yet.
fn stray(run: &Run<'_>, step: &Step, state: State) {
    let mut ledger = run.ledger();
    if state.is_not_running() {
        ledger.reservations.remove(&step.service);
    } else if let Some(reservation) = ledger.reservations.get_mut(&step.service) {
        reservation.state = ReservationState::Detached;
    }
}

/// What is back as it was needs no way back any more.
fn forget(run: &Run<'_>, step: &Step) {
    let mut ledger = run.ledger();
    ledger.started.retain(|moved| moved.step.service != step.service);
    ledger.stopped.retain(|moved| moved.step.service != step.service);
}

/// As the driver counts its GPUs, for a program that takes them so; none where one of them has no index of its own.
fn indices(plan: &Plan, step: &Step, service: &Service) -> Vec<u32> {
    let index =
        |id: &GpuId| plan.gpus.iter().find(|line| line.id == *id && !line.id.is_instance()).map(|line| line.index);
    let indices: Option<Vec<u32>> = step.gpus.iter().map(index).collect();
    indices.filter(|_| service.gpu_as_index).unwrap_or_default()
}
