//! The older self of a recreated service: whether it has room to come back to, and its way back. It is a start like any
//! other: where memory is measured, what the newer one held must be back first.

use crate::apply::admission::admit::admit;
use crate::apply::admission::memory::{Need, is_measured, room_now, unreadable};
use crate::apply::admission::release::{BeforeStop, released};
use crate::apply::run::{ReservationState, Run, WaitError};
use crate::model::desired::{Runtime, Service};
use crate::model::lifecycle::Action;
use crate::model::plan::{Plan, Step};
use crate::runtime::{Life, Stop};

/// Whether what ran before has room to come back to.
pub(in crate::apply) enum Older<'p> {
    /// This plan stopped nothing under this name: whatever stands aside did not run.
    NeverStopped,
    /// Another start draws on the room that the stop freed.
    GivenAway(String),
    /// This stop freed its room, and nobody else draws on it.
    Free(&'p Step),
}

pub(in crate::apply) fn room_of<'p>(plan: &'p Plan, step: &Step) -> Older<'p> {
    let stop = plan.steps.iter().find(|other| other.action == Action::Stop && other.service == step.service);
    let Some(stop) = stop else { return Older::NeverStopped };
    let others = plan.steps.iter().filter(|other| other.action == Action::Start && other.id != step.id);
    match others.into_iter().find(|other| other.needs.contains(&stop.id)) {
        Some(other) => Older::GivenAway(other.service.to_string()),
        None => Older::Free(stop),
    }
}

/// `false`: there was none. `Err`: why it could not be brought back.
pub(in crate::apply) async fn bring_back(
    run: &Run<'_>,
    plan: &Plan,
    step: &Step,
    service: &Service,
    stop: &Step,
) -> Result<bool, String> {
    let (driver, project) = (run.context.driver, &run.context.desired.project);
    let is_made_by_lcm = matches!(service.runtime, Runtime::Container(_));
    if is_made_by_lcm && !stop.gpus.is_empty() {
        let room = room_now(run).await;
        let unreadable = stop.gpus.iter().any(|id| unreadable(&room, id).is_some());
        if room.unknown.is_some() || unreadable || is_measured(&room, &stop.gpus) {
            end_newer(run, step, service).await?;
            let need = Need { service, gpus: &stop.gpus, amount: stop.vram_mib };
            admit(run, plan, step, &need).await.map_err(told)?;
        }
    }
    let restored = driver.restore(project, service).await.map_err(|trouble| trouble.to_string());
    let mut ledger = run.ledger();
    match restored {
        // It loads, and nobody waits for it.
        Ok(true) => {
            if let Some(reservation) = ledger.reservations.get_mut(&service.name) {
                reservation.state = ReservationState::Detached;
            }
        }
        Ok(false) | Err(_) => drop(ledger.reservations.remove(&service.name)),
    }
    restored
}

/// The newer one holds what the older one needs.
async fn end_newer(run: &Run<'_>, step: &Step, service: &Service) -> Result<(), String> {
    let (driver, project) = (run.context.driver, &run.context.desired.project);
    let look = driver.look(project, service).await.map_err(|trouble| trouble.to_string())?;
    let instance = match look.life {
        Life::Running | Life::Suspended | Life::Crippled(_) => look.instance,
        Life::Absent | Life::Ended(_) => None,
    };
    let Some(instance) = instance else { return Ok(()) };
    let before = BeforeStop::of(run, step, Some(service), &instance).await;
    let stop =
        Stop { project, service: &service.name, instance: &instance, policy: &service.stop, definition: Some(service) };
    driver.stop(&stop).await.map_err(|trouble| trouble.to_string())?;
    released(run, Some(service), &instance, &before).await.map_err(told)
}

fn told(refusal: WaitError) -> String {
    match refusal {
        WaitError::Failed(trouble) => trouble.error,
        WaitError::Cancelled(_) => "this run was cut short".to_owned(),
    }
}
