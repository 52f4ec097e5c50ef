//! The stages of a stop: evict, drain, stop, release. And the step that is but one effect: remove.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::expect::{Ready, can_be_looked_at, is_of_older, is_of_service, of_remove, of_stop};
use super::health::growing;
use super::measure::Watch;
use super::record::Cursor;
use super::release::{Before, released};
use super::room::Refusal;
use super::run::{Cut, Moved, Run, spoken};
use super::verdict::{Trouble, Verdict, unseen};
use crate::driver::{Life, Look, Stop};
use crate::model::desired::{Service, StopPolicy};
use crate::model::event::Stage;
use crate::model::facts::BusyReading;
use crate::model::lifecycle::State;
use crate::model::observed::Instance;
use crate::model::plan::{ReasonCode, Step};

/// For an orphan that carries no wish of its own: what the engines give by default.
const ORPHAN_GRACE: Duration = Duration::from_secs(10);

pub(super) async fn stop(run: &Run<'_>, step: &Step) -> Verdict {
    let service = run.context.desired.services.get(&step.service).filter(|_| is_of_service(step));
    // What can't be looked up, the driver stops by its instance, or finds it gone.
    // A look at the service says nothing of what was put aside.
    if let Some(service) = service.filter(|service| can_be_looked_at(step, service) && !is_of_older(step))
        && let Err(verdict) = look_first(run, service, |look| of_stop(step, look)).await
    {
        return verdict;
    }
    let Some(instance) = &step.expect.instance else {
        return Verdict::Stale("the plan names nothing to stop".to_owned());
    };
    if let Some(service) = service
        && step.route.first().is_some_and(|state| state.is_operational())
    {
        evict_first(run, step, service).await;
        if let Err(verdict) = drain(run, step, service, instance).await {
            return verdict;
        }
    }
    let watch = Watch::begin(run);
    let verdict = end(run, step, service, instance).await;
    watch.stopped(run, step, &verdict);
    verdict
}

async fn end(run: &Run<'_>, step: &Step, service: Option<&Service>, instance: &Instance) -> Verdict {
    let (driver, desired) = (run.context.driver, run.context.desired);
    if let Some(cut) = run.cut() {
        return Verdict::Cut(cut);
    }
    let policy = service.map(|service| &service.stop).or_else(|| run.context.orphans.get(&step.service)).cloned();
    let policy = policy.unwrap_or(StopPolicy { signal: None, grace: ORPHAN_GRACE, exec: None });
    let before = match run.unless_cut(Before::of(run, step, service, instance)).await {
        Ok(before) => before,
        Err(cut) => return Verdict::Cut(cut),
    };
    let mut cursor = Cursor::at(run, step);
    cursor.walk_while_it_runs();
    run.stage(step, Stage::Stop, None);
    run.ledger().changed = true;
    let stop = Stop { project: &desired.project, service: &step.service, instance, policy: &policy };
    if let Err(error) = driver.stop(&stop).await {
        cursor.go(State::Error, &error.to_string());
        return Verdict::Failed(Trouble::new(ReasonCode::StopFailed, error.to_string()));
    }
    run.stage(step, Stage::Release, None);
    let seen = service.filter(|service| can_be_looked_at(step, service));
    match released(run, seen, instance, &before).await {
        Ok(()) => {}
        Err(Refusal::Trouble(trouble)) => {
            cursor.go(State::Error, &trouble.error);
            return Verdict::Failed(trouble);
        }
        Err(Refusal::Cut(cut)) => return Verdict::Cut(cut),
    }
    cursor.walk_to_last();
    let ports = service.map_or_else(BTreeSet::new, |service| service.ports.clone());
    let mut ledger = run.ledger();
    if is_of_service(step) {
        ledger.promises.remove(&step.service);
    }
    ledger.freed_ports.extend(ports);
    let moved = Moved { step: step.clone(), instance: Some(instance.clone()) };
    ledger.stopped.push(moved);
    Verdict::Done
}

/// Eviction before a stop is a courtesy: the stop frees what this does not.
async fn evict_first(run: &Run<'_>, step: &Step, service: &Service) {
    if service.evict.is_none() || run.cut().is_some() {
        return;
    }
    run.stage(step, Stage::Evict, None);
    if let Err(error) = run.context.driver.evict(service).await {
        run.warn(&format!("{} could not be evicted before its stop: {error}", step.service));
    }
}

/// Waits until it is idle; `Err` where it is not to be stopped now.
async fn drain(run: &Run<'_>, step: &Step, service: &Service, instance: &Instance) -> Result<(), Verdict> {
    if service.busy.is_none() || run.context.options.force {
        return Ok(());
    }
    let (driver, project) = (run.context.driver, &run.context.desired.project);
    let began = Instant::now();
    let mut told = false;
    loop {
        let said = match run.unless_cut(driver.busy(service, instance)).await {
            Ok(BusyReading::Idle) => return Ok(()),
            Ok(BusyReading::Busy(said)) => said,
            Err(cut) => return Err(still_busy(cut, began.elapsed(), None)),
        };
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
        let pause = service.drain.map_or(growing(waited), |bound| growing(waited).min(bound.saturating_sub(waited)));
        if let Err(cut) = run.nap(pause).await {
            return Err(still_busy(cut, began.elapsed(), Some(&said)));
        }
    }
}

fn still_busy(cut: Cut, waited: Duration, said: Option<&str>) -> Verdict {
    match cut {
        Cut::Interrupted => Verdict::Cut(cut),
        Cut::OutOfTime => {
            let said = said.map(|said| format!(" ({said})")).unwrap_or_default();
            let error = format!(
                "still busy after {}{said}, and the run's time is over; set `drain:` or give --force to stop it anyway",
                spoken(waited)
            );
            Verdict::Failed(Trouble::new(ReasonCode::StopFailed, error))
        }
    }
}

pub(super) async fn remove(run: &Run<'_>, step: &Step) -> Verdict {
    let service = run.context.desired.services.get(&step.service).filter(|_| is_of_service(step));
    if let Some(service) = service.filter(|service| can_be_looked_at(step, service))
        && let Err(verdict) = look_first(run, service, |look| of_remove(step, look)).await
    {
        return verdict;
    }
    let Some(instance) = &step.expect.instance else {
        return Verdict::NotNeeded;
    };
    run.ledger().changed = true;
    match run.context.driver.remove(&run.context.desired.project, instance).await {
        Ok(()) => {
            Cursor::at(run, step).walk_to_last();
            Verdict::Done
        }
        Err(error) => Verdict::Failed(Trouble::new(ReasonCode::StopFailed, error.to_string())),
    }
}

/// Goes on where a look says that the step is to be taken; `Err` where it is not.
pub(super) async fn look_first(
    run: &Run<'_>,
    service: &Service,
    judge: impl FnOnce(&Look) -> Ready,
) -> Result<(), Verdict> {
    let look = run.unless_cut(run.context.driver.look(&run.context.desired.project, service)).await;
    match look.map_err(Verdict::Cut)? {
        Ok(look) => match judge(&look) {
            Ready::Yes => Ok(()),
            Ready::Done => Err(Verdict::NotNeeded),
            Ready::Stale(reason) => Err(Verdict::Stale(reason)),
        },
        Err(error) => Err(Verdict::Failed(unseen(&error))),
    }
}
