//! Previous revision of a recreated service, and its restoration after the newer one failed. Restoration is admitted as a
//! start is: where memory is measured, the memory of the newer revision must be free first.

use crate::apply::admission::admit::admit;
use crate::apply::admission::memory::{Need, capacity_now, is_measured, unreadable};
use crate::apply::admission::release::{BeforeStop, released};
use crate::apply::run::{ReservationState, Run, WaitError};
use crate::model::desired::Service;
use crate::model::lifecycle::Action;
use crate::model::plan::{Plan, Step};
use crate::model::size::Mebibytes;
use crate::model::workload::{Capability, Origin};
use crate::runtime::{RunState, StopRequest};

/// Prospect of restoring the previous revision.
pub(in crate::apply) enum Restorable<'p> {
    /// This plan stopped nothing under this name: a container that was put aside did not run.
    NeverStopped,
    /// Another start uses the resources that the stop freed.
    Displaced(String),
    /// This stop freed its resources, and no other start uses them.
    Free(&'p Step),
}

/// Judges whether the previous revision can be restored after this start has failed.
pub(in crate::apply) fn restorable<'p>(plan: &'p Plan, step: &Step) -> Restorable<'p> {
    let stop = plan.steps.iter().find(|other| other.action == Action::Stop && other.service == step.service);
    let Some(stop) = stop else { return Restorable::NeverStopped };
    let others = plan.steps.iter().filter(|other| other.action == Action::Start && other.id != step.id);
    match others.into_iter().find(|other| other.needs.contains(&stop.id)) {
        Some(other) => Restorable::Displaced(other.service.to_string()),
        None => Restorable::Free(stop),
    }
}

/// Restores the previous revision, and returns false if there was none. `Err`: reason for which it can't be restored.
pub(in crate::apply) async fn restore(
    run: &Run<'_>,
    plan: &Plan,
    step: &Step,
    service: &Service,
    stop: &Step,
) -> Result<bool, String> {
    let (driver, project) = (run.context.driver, &run.context.desired.project);
    let is_made_by_lcm =
        service.workload.capabilities.has(Capability::KeepsPrevious) && service.workload.origin == Origin::Created;
    if is_made_by_lcm && (!stop.gpus.is_empty() || stop.ram_mib > Mebibytes::ZERO) {
        let headroom = capacity_now(run).await;
        let unreadable = stop.gpus.iter().any(|id| unreadable(&headroom, id).is_some());
        let draws_on_host = stop.ram_mib > Mebibytes::ZERO && headroom.memory.is_some();
        if headroom.unknown.is_some() || unreadable || draws_on_host || is_measured(&headroom, &stop.gpus) {
            stop_newer(run, step, service).await?;
            let need = Need { amount: stop.vram_mib, ..Need::of_start(stop, service) };
            admit(run, plan, step, &need).await.map_err(message)?;
        }
    }
    let restored = driver.restore(project, service).await.map_err(|error| error.to_string());
    let mut ledger = run.ledger();
    match restored {
        // The previous revision loads, and no step waits for it.
        Ok(true) => {
            if let Some(reservation) = ledger.reservations.get_mut(&service.name) {
                reservation.state = ReservationState::Detached;
            }
        }
        Ok(false) | Err(_) => drop(ledger.reservations.remove(&service.name)),
    }
    restored
}

/// Stops the newer revision, which holds the memory that the previous one needs.
async fn stop_newer(run: &Run<'_>, step: &Step, service: &Service) -> Result<(), String> {
    let (driver, project) = (run.context.driver, &run.context.desired.project);
    let inspection = driver.inspect(project, service).await.map_err(|error| error.to_string())?;
    let instance = match inspection.run_state {
        RunState::Running | RunState::Suspended | RunState::Degraded(_) => inspection.instance,
        RunState::Absent | RunState::Ended(_) => None,
    };
    let Some(instance) = instance else { return Ok(()) };
    let before = BeforeStop::of(run, step, Some(service), &instance).await;
    let stop = StopRequest {
        project,
        service: &service.name,
        instance: &instance,
        policy: &service.stop,
        definition: Some(service),
    };
    driver.stop(&stop).await.map_err(|error| error.to_string())?;
    released(run, Some(service), &instance, &before).await.map_err(message)
}

fn message(refusal: WaitError) -> String {
    match refusal {
        WaitError::Failed(error) => error.error,
        WaitError::Cancelled(_) => "this run was cancelled".to_owned(),
    }
}
