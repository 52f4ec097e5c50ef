//! A stop: evict, drain (`drain`), hooks, stop, release, hooks again; and the removal of an instance that has ended.

use std::collections::BTreeSet;

use crate::apply::admission::release::{BeforeStop, released};
use crate::apply::gate::expect::{check_expectation, of_remove, of_stop};
use crate::apply::gate::hooks::{self, HookPoint};
use crate::apply::gate::permission::forbidden;
use crate::apply::journal::measure::Stopwatch;
use crate::apply::journal::record::Cursor;
use crate::apply::journal::{attempts, pending};
use crate::apply::run::{
    Moved, Run, StepError, StepOutcome, WaitError, can_be_inspected, is_of_previous, is_of_service,
};
use crate::apply::step::drain::wait_until_idle;
use crate::model::desired::{GRACE_DEFAULT, Service, StopPolicy};
use crate::model::event::Stage;
use crate::model::hooks::Point;
use crate::model::instance::Instance;
use crate::model::lifecycle::State;
use crate::model::plan::{ReasonCode, Step};
use crate::runtime::StopRequest;

pub(in crate::apply) async fn stop(run: &Run<'_>, step: &Step) -> StepOutcome {
    let service = run.context.desired.services.get(&step.service).filter(|_| is_of_service(step));
    // A subject that can't be inspected is stopped by its instance; the driver finds out where it is gone. An inspection of
    // the service shows nothing of a container that was put aside.
    let inspected = service.filter(|service| can_be_inspected(step, service) && !is_of_previous(step));
    let inspection = async {
        match inspected {
            Some(service) => check_expectation(run, service, |inspection| of_stop(step, inspection)).await,
            None => Ok(()),
        }
    };
    // The readings take equally long, and run at the same time to shorten a switch.
    let (ready, early) = tokio::join!(inspection, early(run, step, service));
    if let Err(outcome) = ready {
        return outcome;
    }
    let Some(instance) = &step.expect.instance else {
        return StepOutcome::Stale("the plan names no instance to stop".to_owned());
    };
    let is_answering = step.route.first().is_some_and(|state| state.is_operational());
    // A service that does not answer has nothing to drain.
    if let Some(service) = service.filter(|_| is_answering) {
        evict_first(run, step, service).await;
        if let Err(outcome) = wait_until_idle(run, step, service, instance).await {
            return outcome;
        }
    }
    let hooked = service.filter(|_| !is_of_previous(step));
    let at = |point| hooked.map(|service| HookPoint { step, service, point, instance: Some(instance) });
    if let Err(outcome) = pending::begin(run, step, hooked, Cursor::at(run, step).counts()).await {
        return outcome;
    }
    if let Some(at) = at(Point::PreStop).filter(|at| !at.service.hooks.pre_stop.is_empty()) {
        // No hook is called for a stop that is forbidden.
        if let Some(stale) = forbidden(run, step).await {
            return stale;
        }
        if let Err(outcome) = hooks::before(run, at).await {
            return outcome;
        }
    }
    let watch = Stopwatch::begin(run);
    let outcome = end(run, step, service, instance, early).await;
    watch.stopped(run, step, &outcome).await;
    if let Some(at) = at(Point::PostStop)
        && matches!(outcome, StepOutcome::Done)
    {
        hooks::after(run, at).await;
    }
    outcome
}

/// Reads the state before the stop in advance, unless an eviction or a drain may change it until then.
async fn early(run: &Run<'_>, step: &Step, service: Option<&Service>) -> Option<BeforeStop> {
    let instance = step.expect.instance.as_ref()?;
    if service.is_some_and(|service| service.evict.is_some() || service.busy.is_some()) {
        return None;
    }
    run.clock.unless_cancelled(BeforeStop::of(run, step, service, instance)).await.ok()
}

/// Returns the stop policy. An orphan may have the name of a service, and a policy of its own.
fn policy(run: &Run<'_>, step: &Step, service: Option<&Service>) -> Option<StopPolicy> {
    let (service, orphan) = (service.map(|service| &service.stop), run.context.orphans.get(&step.service));
    if is_of_service(step) { service.or(orphan) } else { orphan.or(service) }.cloned()
}

async fn end(
    run: &Run<'_>,
    step: &Step,
    service: Option<&Service>,
    instance: &Instance,
    early: Option<BeforeStop>,
) -> StepOutcome {
    let (driver, desired) = (run.context.driver, run.context.desired);
    if let Some(cancelled) = run.clock.cancelled() {
        return StepOutcome::Cancelled(cancelled);
    }
    let policy = policy(run, step, service).unwrap_or(StopPolicy { signal: None, grace: GRACE_DEFAULT, exec: None });
    let before = match early {
        Some(before) => before,
        None => match run.clock.unless_cancelled(BeforeStop::of(run, step, service, instance)).await {
            Ok(before) => before,
            Err(cancelled) => return StepOutcome::Cancelled(cancelled),
        },
    };
    if let Some(stale) = forbidden(run, step).await {
        return stale;
    }
    let mut cursor = Cursor::at(run, step);
    cursor.walk_while_it_runs().await;
    run.stage(step, Stage::Stop, None);
    run.ledger().changed = true;
    let stop = StopRequest {
        project: &desired.project,
        service: &step.service,
        instance,
        policy: &policy,
        definition: service,
    };
    if let Err(error) = driver.stop(&stop).await {
        cursor.go(State::Error, &error.to_string()).await;
        return StepOutcome::Failed(StepError::new(ReasonCode::StopFailed, error.to_string()));
    }
    run.stage(step, Stage::Release, None);
    let seen = service.filter(|service| can_be_inspected(step, service));
    match released(run, seen, instance, &before).await {
        Ok(()) => {}
        Err(WaitError::Failed(error)) => {
            attempts::not_released(run, step).await;
            cursor.go(State::Error, &error.error).await;
            return StepOutcome::Failed(error);
        }
        Err(WaitError::Cancelled(cancelled)) => return StepOutcome::Cancelled(cancelled),
    }
    cursor.walk_to_last().await;
    if is_of_service(step) {
        attempts::stopped(run, step).await;
    }
    let ports = service.map_or_else(BTreeSet::new, |service| service.ports.clone());
    let mut ledger = run.ledger();
    if is_of_service(step) {
        ledger.reservations.remove(&step.service);
    }
    ledger.freed_ports.extend(ports);
    let moved = Moved { step: step.clone(), instance: Some(instance.clone()) };
    ledger.stopped.push(moved);
    StepOutcome::Done
}

/// Evicts the service before its stop. A failure is only a warning, because the stop frees the memory too.
async fn evict_first(run: &Run<'_>, step: &Step, service: &Service) {
    if service.evict.is_none() || run.clock.cancelled().is_some() {
        return;
    }
    run.stage(step, Stage::Evict, None);
    if let Err(error) = run.context.driver.evict(service).await {
        run.warn(&format!("{} could not be evicted before its stop: {error}", step.service));
    }
}

pub(in crate::apply) async fn remove(run: &Run<'_>, step: &Step) -> StepOutcome {
    let service = run.context.desired.services.get(&step.service).filter(|_| is_of_service(step));
    if let Some(service) = service.filter(|service| can_be_inspected(step, service))
        && let Err(outcome) = check_expectation(run, service, |inspection| of_remove(step, inspection)).await
    {
        return outcome;
    }
    let Some(instance) = &step.expect.instance else {
        return StepOutcome::NotNeeded;
    };
    let mut cursor = Cursor::at(run, step);
    if let Err(outcome) = pending::begin(run, step, None, cursor.counts()).await {
        return outcome;
    }
    run.ledger().changed = true;
    cursor.announce().await;
    match run.context.driver.remove(&run.context.desired.project, instance).await {
        Ok(()) => {
            cursor.walk_to_last().await;
            StepOutcome::Done
        }
        Err(error) => StepOutcome::Failed(StepError::new(ReasonCode::StopFailed, error.to_string())),
    }
}
