//! Room is proved before a start, one start at a time: needed ports are free, what was to end for it has ended, and its
//! GPU memory is measured to be there. What this run lets in is promised to that start until it is healthy.

use std::collections::BTreeSet;

use tokio::time::Instant;

use super::memory::{Lack, Need, is_measured, lack, room_for};
use crate::apply::run::{
    ReservationState, Run, StartReservation, StepError, WaitError, needed_stops, poll_interval, spoken,
};
use crate::model::endpoint::Endpoint;
use crate::model::event::Stage;
use crate::model::lifecycle::Action;
use crate::model::plan::{Plan, ReasonCode, Step};
use crate::model::room::Room;
use crate::runtime::Life;

/// Something that is in the way.
struct Hindrance {
    trouble: StepError,
    hope: Hope,
}

/// Whether what is in the way is going to pass.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hope {
    /// It is not.
    None,
    /// It may.
    Some,
    /// It will: a service of this run is loading, and its own time bounds that.
    Sure,
}

/// How the memory was found.
pub(in crate::apply) enum Proof {
    NotNeeded,
    Measured,
    /// No driver measures: the plan's arithmetic stands alone.
    Unproven,
}

/// Lets a start in as soon as its room is proved. Memory is waited for whoever holds it: it may be on its way out. Of
/// ports only those are waited for that this run has freed.
pub(in crate::apply) async fn admit(run: &Run<'_>, plan: &Plan, step: &Step, need: &Need<'_>) -> Result<(), WaitError> {
    match admit_again(run, plan, step, need).await? {
        Proof::NotNeeded | Proof::Measured => {}
        Proof::Unproven => {
            if needed_stops(plan, step).next().is_some() {
                let detail = "UNPROVEN: no driver measures what came back";
                run.stage(step, Stage::Release, Some(detail.to_owned()));
            }
        }
    }
    Ok(())
}

/// The same for one that was let in a while ago: that nothing measures is said already.
pub(in crate::apply) async fn admit_again(
    run: &Run<'_>,
    plan: &Plan,
    step: &Step,
    need: &Need<'_>,
) -> Result<Proof, WaitError> {
    let (began, patience) = (Instant::now(), run.context.options.release_timeout);
    let mut hopeful_since = began;
    let mut told = false;
    loop {
        let asked_at;
        let mut hindrance = {
            let _one_at_a_time =
                run.clock.unless_cancelled(run.admission.lock()).await.map_err(WaitError::Cancelled)?;
            asked_at = Instant::now();
            match run.clock.unless_cancelled(prove(run, plan, step, need)).await.map_err(WaitError::Cancelled)? {
                Ok(proof) => {
                    reserve(run, need);
                    return Ok(proof);
                }
                Err(hindrance) => hindrance,
            }
        };
        match hindrance.hope {
            Hope::None => return Err(WaitError::Failed(hindrance.trouble)),
            Hope::Sure => hopeful_since = Instant::now(),
            Hope::Some => {}
        }
        let waited = hopeful_since.elapsed();
        if waited >= patience {
            hindrance.trouble.error = format!("{}; waited {} for it", hindrance.trouble.error, spoken(patience));
            return Err(WaitError::Failed(hindrance.trouble));
        }
        if !told {
            run.stage(step, Stage::Release, Some(hindrance.trouble.error));
            told = true;
        }
        run.clock
            .sleep(poll_interval(began.elapsed(), asked_at.elapsed()).min(patience.saturating_sub(waited)))
            .await
            .map_err(WaitError::Cancelled)?;
    }
}

/// Its memory is spoken for, from now until it is healthy or over.
pub(in crate::apply) fn reserve(run: &Run<'_>, need: &Need<'_>) {
    if need.gpus.is_empty() {
        return;
    }
    let reservation =
        StartReservation { gpus: need.gpus.to_vec(), amount: need.amount, state: ReservationState::Loading };
    run.ledger().reservations.insert(need.service.name.clone(), reservation);
}

async fn prove(run: &Run<'_>, plan: &Plan, step: &Step, need: &Need<'_>) -> Result<Proof, Hindrance> {
    // What is promised before the reading begins, counts: it may have come too late for it.
    let reservations = run.ledger().reservations.clone();
    let room = async {
        if need.gpus.is_empty() {
            None
        } else {
            Some(room_for(run, plan, |room| lack(room, need, &reservations).is_none()).await)
        }
    };
    let busy = async {
        // What is woken has its ports.
        if step.action == Action::Wake { None } else { busy_port(run, need).await }
    };
    let (busy, there, room) = tokio::join!(busy, still_there(run, plan, step), room);
    if let Some(trouble) = busy {
        let ports = &need.service.ports;
        let freed = needed_stops(plan, step).next().is_some() || is_freed(run, ports);
        return Err(Hindrance { trouble, hope: if freed { Hope::Some } else { Hope::None } });
    }
    if let Some(trouble) = there {
        return Err(Hindrance { trouble, hope: Hope::Some });
    }
    let Some(room): Option<Room> = room else { return Ok(Proof::NotNeeded) };
    match lack(&room, need, &reservations) {
        None if is_measured(&room, need.gpus) => Ok(Proof::Measured),
        None => Ok(Proof::Unproven),
        Some(lack) => Err(hindrance(lack)),
    }
}

fn hindrance(lack: Lack) -> Hindrance {
    let (code, error, hope) = match lack {
        Lack::Lost(error) => (ReasonCode::GpuLost, error, Hope::None),
        Lack::Unknown(error) => (ReasonCode::Unknown, error, Hope::Some),
        Lack::Short { line, passes: false } => (ReasonCode::NoRoom, line, Hope::Some),
        Lack::Short { line, passes: true } => (ReasonCode::NoRoom, line, Hope::Sure),
    };
    Hindrance { trouble: StepError::new(code, error), hope }
}

async fn busy_port(run: &Run<'_>, need: &Need<'_>) -> Option<StepError> {
    match run.context.driver.port_holder(&run.context.desired.project, need.service).await {
        Ok(None) => None,
        Ok(Some(holder)) => Some(StepError::new(ReasonCode::PortTaken, format!("port {holder} is held"))),
        Err(error) => Some(StepError::new(ReasonCode::Unknown, format!("its ports can't be looked at: {error}"))),
    }
}

/// This run has freed one of these ports, or one that clashes with it.
fn is_freed(run: &Run<'_>, ports: &BTreeSet<Endpoint>) -> bool {
    let ledger = run.ledger();
    ports.iter().any(|port| ledger.freed_ports.iter().any(|freed| freed.clashes(port)))
}

/// Something of what was to end for it.
async fn still_there(run: &Run<'_>, plan: &Plan, step: &Step) -> Option<StepError> {
    let (driver, desired) = (run.context.driver, run.context.desired);
    for stop in needed_stops(plan, step) {
        // One that is started again by this plan may run by now, and rightly so.
        let returns = plan.steps.iter().any(|other| other.action == Action::Start && other.service == stop.service);
        let Some(gone) = desired.services.get(&stop.service).filter(|_| !returns) else { continue };
        let look = match driver.look(&desired.project, gone).await {
            Ok(look) => look,
            Err(error) => {
                let error = format!("whether {} is gone can't be told: {error}", stop.service);
                return Some(StepError::new(ReasonCode::Unknown, error));
            }
        };
        let is_there = match look.life {
            Life::Running | Life::Suspended | Life::Crippled(_) => true,
            Life::Absent | Life::Ended(_) => false,
        };
        if is_there {
            return Some(StepError::new(ReasonCode::NoRoom, format!("{} still runs", stop.service)));
        }
    }
    None
}
