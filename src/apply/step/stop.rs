//! The stages of a stop: evict, drain, hooks, stop, release, hooks again. And the step that is but one effect: remove.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use crate::apply::admission::release::{BeforeStop, released};
use crate::apply::gate::expect::{check_expectation, of_remove, of_stop};
use crate::apply::gate::hooks;
use crate::apply::gate::hooks::HookPoint;
use crate::apply::gate::permission::forbidden;
use crate::apply::journal::measure::Stopwatch;
use crate::apply::journal::record::Cursor;
use crate::apply::journal::{attempts, pending};
use crate::apply::run::{
    Cancelled, Moved, Run, StepError, StepOutcome, WaitError, can_be_inspected, is_of_previous, is_of_service,
    poll_interval, spoken,
};
use crate::model::desired::{Service, StopPolicy};
use crate::model::event::Stage;
use crate::model::facts::BusyReading;
use crate::model::hooks::Point;
use crate::model::lifecycle::State;
use crate::model::observed::Instance;
use crate::model::plan::{ReasonCode, Step};
use crate::runtime::{Life, Stop};

/// For an orphan that carries no wish of its own: what the engines give by default.
const ORPHAN_GRACE: Duration = Duration::from_secs(10);

pub(in crate::apply) async fn stop(run: &Run<'_>, step: &Step) -> StepOutcome {
    let service = run.context.desired.services.get(&step.service).filter(|_| is_of_service(step));
    // What can't be looked up, the driver stops by its instance, or finds it gone.
    // A look at the service says nothing of what was put aside.
    let looked_at = service.filter(|service| can_be_inspected(step, service) && !is_of_previous(step));
    let look = async {
        match looked_at {
            Some(service) => check_expectation(run, service, |look| of_stop(step, look)).await,
            None => Ok(()),
        }
    };
    // The readings take about as long as each other, and a switch waits for all of them.
    let (ready, early) = tokio::join!(look, early(run, step, service));
    if let Err(verdict) = ready {
        return verdict;
    }
    let Some(instance) = &step.expect.instance else {
        return StepOutcome::Stale("the plan names nothing to stop".to_owned());
    };
    if let Some(service) = service
        && step.route.first().is_some_and(|state| state.is_operational())
    {
        evict_first(run, step, service).await;
        if let Err(verdict) = drain(run, step, service, instance).await {
            return verdict;
        }
    }
    let hooked = service.filter(|_| !is_of_previous(step));
    let scene = |point| hooked.map(|service| HookPoint { step, service, point, instance: Some(instance) });
    if let Err(verdict) = pending::begin(run, step, hooked, Cursor::at(run, step).counts()) {
        return verdict;
    }
    if let Some(scene) = scene(Point::PreStop).filter(|scene| !scene.service.hooks.pre_stop.is_empty()) {
        // Nobody is asked about a stop that is not going to be.
        if let Some(stale) = forbidden(run, step) {
            return stale;
        }
        if let Err(verdict) = hooks::before(run, scene).await {
            return verdict;
        }
    }
    let watch = Stopwatch::begin(run);
    let verdict = end(run, step, service, instance, early).await;
    watch.stopped(run, step, &verdict);
    if let Some(scene) = scene(Point::PostStop)
        && matches!(verdict, StepOutcome::Done)
    {
        hooks::after(run, scene).await;
    }
    verdict
}

/// What is worth knowing before the stop, where nothing comes between that would change it.
async fn early(run: &Run<'_>, step: &Step, service: Option<&Service>) -> Option<BeforeStop> {
    let instance = step.expect.instance.as_ref()?;
    if service.is_some_and(|service| service.evict.is_some() || service.busy.is_some()) {
        return None;
    }
    run.clock.unless_cancelled(BeforeStop::of(run, step, service, instance)).await.ok()
}

/// How it wishes to be stopped. An orphan may bear the name of a service, and has a wish of its own.
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
    if let Some(cut) = run.clock.cancelled() {
        return StepOutcome::Cancelled(cut);
    }
    let policy = policy(run, step, service).unwrap_or(StopPolicy { signal: None, grace: ORPHAN_GRACE, exec: None });
    let before = match early {
        Some(before) => before,
        None => match run.clock.unless_cancelled(BeforeStop::of(run, step, service, instance)).await {
            Ok(before) => before,
            Err(cut) => return StepOutcome::Cancelled(cut),
        },
    };
    if let Some(stale) = forbidden(run, step) {
        return stale;
    }
    let mut cursor = Cursor::at(run, step);
    cursor.walk_while_it_runs();
    run.stage(step, Stage::Stop, None);
    run.ledger().changed = true;
    let stop =
        Stop { project: &desired.project, service: &step.service, instance, policy: &policy, definition: service };
    if let Err(error) = driver.stop(&stop).await {
        cursor.go(State::Error, &error.to_string());
        return StepOutcome::Failed(StepError::new(ReasonCode::StopFailed, error.to_string()));
    }
    run.stage(step, Stage::Release, None);
    let seen = service.filter(|service| can_be_inspected(step, service));
    match released(run, seen, instance, &before).await {
        Ok(()) => {}
        Err(WaitError::Failed(trouble)) => {
            attempts::no_room_from(run, step);
            cursor.go(State::Error, &trouble.error);
            return StepOutcome::Failed(trouble);
        }
        Err(WaitError::Cancelled(cut)) => return StepOutcome::Cancelled(cut),
    }
    cursor.walk_to_last();
    if is_of_service(step) {
        attempts::stopped(run, step);
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

/// Eviction before a stop is a courtesy: the stop frees what this does not.
async fn evict_first(run: &Run<'_>, step: &Step, service: &Service) {
    if service.evict.is_none() || run.clock.cancelled().is_some() {
        return;
    }
    run.stage(step, Stage::Evict, None);
    if let Err(error) = run.context.driver.evict(service).await {
        run.warn(&format!("{} could not be evicted before its stop: {error}", step.service));
    }
}

/// Waits until it is idle; `Err` where it is not to be stopped now.
async fn drain(run: &Run<'_>, step: &Step, service: &Service, instance: &Instance) -> Result<(), StepOutcome> {
    if service.busy.is_none() || run.context.options.force {
        return Ok(());
    }
    let (driver, project) = (run.context.driver, &run.context.desired.project);
    let began = Instant::now();
    let mut told = false;
    loop {
        let asked_at = Instant::now();
        let said = match run.clock.unless_cancelled(driver.busy(service, instance)).await {
            Ok(BusyReading::Idle) => return Ok(()),
            Ok(BusyReading::Busy(said)) => said,
            Err(cut) => return Err(still_busy(cut, began.elapsed(), None)),
        };
        if let Some(stale) = forbidden(run, step) {
            return Err(stale);
        }
        let waited = began.elapsed();
        if let Some(bound) = service.drain.filter(|bound| waited >= *bound) {
            run.warn(&format!("{} is still busy after {} ({said}); it is stopped anyway", step.service, spoken(bound)));
            return Ok(());
        }
        // What has died meanwhile answers no probe, and would be waited for to the end.
        if let Ok(look) = driver.look(project, service).await
            && matches!(look.life, Life::Absent | Life::Ended(_))
        {
            return Ok(());
        }
        if !told {
            run.stage(step, Stage::Drain, Some(said.clone()));
            told = true;
        }
        let pause = poll_interval(waited, asked_at.elapsed());
        let pause = service.drain.map_or(pause, |bound| pause.min(bound.saturating_sub(waited)));
        if let Err(cut) = run.clock.sleep(pause).await {
            return Err(still_busy(cut, began.elapsed(), Some(&said)));
        }
    }
}

fn still_busy(cut: Cancelled, waited: Duration, said: Option<&str>) -> StepOutcome {
    match cut {
        Cancelled::Interrupted => StepOutcome::Cancelled(cut),
        Cancelled::OutOfTime => {
            let said = said.map(|said| format!(" ({said})")).unwrap_or_default();
            let error = format!(
                "still busy after {}{said}, and the run's time is over; set `drain:` or give --force to stop it anyway",
                spoken(waited)
            );
            StepOutcome::Failed(StepError::new(ReasonCode::StopFailed, error))
        }
    }
}

pub(in crate::apply) async fn remove(run: &Run<'_>, step: &Step) -> StepOutcome {
    let service = run.context.desired.services.get(&step.service).filter(|_| is_of_service(step));
    if let Some(service) = service.filter(|service| can_be_inspected(step, service))
        && let Err(verdict) = check_expectation(run, service, |look| of_remove(step, look)).await
    {
        return verdict;
    }
    let Some(instance) = &step.expect.instance else {
        return StepOutcome::NotNeeded;
    };
    let mut cursor = Cursor::at(run, step);
    if let Err(verdict) = pending::begin(run, step, None, cursor.counts()) {
        return verdict;
    }
    run.ledger().changed = true;
    cursor.announce();
    match run.context.driver.remove(&run.context.desired.project, instance).await {
        Ok(()) => {
            cursor.walk_to_last();
            StepOutcome::Done
        }
        Err(error) => StepOutcome::Failed(StepError::new(ReasonCode::StopFailed, error.to_string())),
    }
}
