//! A stop: evict, drain, hooks, stop, release, hooks again; and the removal of an instance that has ended.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use crate::apply::admission::release::{BeforeStop, released};
use crate::apply::gate::expect::{check_expectation, of_remove, of_stop};
use crate::apply::gate::hooks::{self, HookPoint};
use crate::apply::gate::permission::forbidden;
use crate::apply::journal::measure::Stopwatch;
use crate::apply::journal::record::Cursor;
use crate::apply::journal::{attempts, pending};
use crate::apply::run::{
    Cancelled, Moved, Run, StepError, StepOutcome, WaitError, can_be_inspected, duration_text, is_of_previous,
    is_of_service, poll_interval,
};
use crate::model::desired::{Service, StopPolicy};
use crate::model::event::Stage;
use crate::model::facts::BusyReading;
use crate::model::hooks::Point;
use crate::model::instance::Instance;
use crate::model::lifecycle::State;
use crate::model::plan::{ReasonCode, Step};
use crate::runtime::{RunState, StopRequest};

/// Grace of an orphan without a stop policy: the default of container engines.
const ORPHAN_GRACE: Duration = Duration::from_secs(10);

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
    if let Some(service) = service
        && step.route.first().is_some_and(|state| state.is_operational())
    {
        evict_first(run, step, service).await;
        if let Err(outcome) = drain(run, step, service, instance).await {
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
    let policy = policy(run, step, service).unwrap_or(StopPolicy { signal: None, grace: ORPHAN_GRACE, exec: None });
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

/// Waits until the service is idle; `Err`: outcome of a stop that is not carried out now.
async fn drain(run: &Run<'_>, step: &Step, service: &Service, instance: &Instance) -> Result<(), StepOutcome> {
    if service.busy.is_none() || run.context.options.force {
        return Ok(());
    }
    let (driver, project) = (run.context.driver, &run.context.desired.project);
    let began = Instant::now();
    let mut reported = false;
    loop {
        let asked_at = Instant::now();
        let detail = match run.clock.unless_cancelled(driver.busy(service, instance)).await {
            Ok(BusyReading::Idle) => return Ok(()),
            Ok(BusyReading::Busy(detail)) => detail,
            Err(cancelled) => return Err(still_busy(cancelled, began.elapsed(), None)),
        };
        if let Some(stale) = forbidden(run, step).await {
            return Err(stale);
        }
        let waited = began.elapsed();
        if let Some(bound) = service.drain.filter(|bound| waited >= *bound) {
            run.warn(&format!(
                "{} is still busy after {} ({detail}); it is stopped anyway",
                step.service,
                duration_text(bound)
            ));
            return Ok(());
        }
        // A service that has ended meanwhile answers no probe, and would be waited for until the timeout.
        if let Ok(inspection) = driver.inspect(project, service).await
            && matches!(inspection.run_state, RunState::Absent | RunState::Ended(_))
        {
            return Ok(());
        }
        if !reported {
            run.stage(step, Stage::Drain, Some(detail.clone()));
            reported = true;
        }
        let pause = poll_interval(waited, asked_at.elapsed());
        let pause = service.drain.map_or(pause, |bound| pause.min(bound.saturating_sub(waited)));
        if let Err(cancelled) = run.clock.sleep(pause).await {
            return Err(still_busy(cancelled, began.elapsed(), Some(&detail)));
        }
    }
}

fn still_busy(cancelled: Cancelled, waited: Duration, detail: Option<&str>) -> StepOutcome {
    match cancelled {
        Cancelled::Interrupted => StepOutcome::Cancelled(cancelled),
        Cancelled::OutOfTime => {
            let detail = detail.map(|detail| format!(" ({detail})")).unwrap_or_default();
            let error = format!(
                "still busy after {}{detail} when the run timed out; set `drain:` or use --force to stop it anyway",
                duration_text(waited)
            );
            StepOutcome::Failed(StepError::new(ReasonCode::StopFailed, error))
        }
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
