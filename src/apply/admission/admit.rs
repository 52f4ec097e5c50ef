//! Admission of a start, one start at a time: its ports are free, the services that it replaces have ended, and its
//! memory, on GPUs and of the host, is measured to be free. The memory is then reserved for that start until its service is healthy.

use std::collections::BTreeSet;

use tokio::time::Instant;

use super::host_memory::shortfall_of_any;
use super::memory::{Need, Shortfall, capacity_for, is_measured};
use crate::apply::run::{
    ReservationState, Run, StartReservation, StepError, WaitError, duration_text, needed_stops, poll_interval,
};
use crate::model::capacity::HostCapacity;
use crate::model::endpoint::Endpoint;
use crate::model::event::Stage;
use crate::model::lifecycle::Action;
use crate::model::plan::{Plan, ReasonCode, Step};
use crate::model::size::Mebibytes;
use crate::runtime::RunState;

/// Obstacle to an admission.
struct AdmissionBlock {
    error: StepError,
    retry: Retry,
}

/// Prospect of an admission that is blocked now.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Retry {
    /// The obstacle stays.
    Never,
    /// The obstacle may pass.
    Maybe,
    /// The obstacle passes: a service of this run is loading, and its own timeout bounds that.
    Certain,
}

/// Evidence for free memory.
pub(in crate::apply) enum MemoryProof {
    NotNeeded,
    Measured,
    /// No driver measures: the sizes in the manifest are the only evidence.
    NotMeasured,
}

/// Admits a start as soon as its resources are free. Waits for memory whichever process holds it, because any process
/// may be ending; waits only for ports that this run has freed.
pub(in crate::apply) async fn admit(run: &Run<'_>, plan: &Plan, step: &Step, need: &Need<'_>) -> Result<(), WaitError> {
    match readmit(run, plan, step, need).await? {
        MemoryProof::NotNeeded | MemoryProof::Measured => {}
        MemoryProof::NotMeasured => {
            if needed_stops(plan, step).next().is_some() {
                let detail = "not measured: no GPU driver found; using the sizes in the manifest";
                run.stage(step, Stage::Release, Some(detail.to_owned()));
            }
        }
    }
    Ok(())
}

/// Admits a start once more after a wait. A missing measurement is not reported a second time.
pub(in crate::apply) async fn readmit(
    run: &Run<'_>,
    plan: &Plan,
    step: &Step,
    need: &Need<'_>,
) -> Result<MemoryProof, WaitError> {
    let (began, wait_max) = (Instant::now(), run.context.options.release_timeout);
    let mut certain_since = began;
    let mut reported = false;
    loop {
        let asked_at;
        let mut block = {
            let _one_at_a_time =
                run.clock.unless_cancelled(run.admission.lock()).await.map_err(WaitError::Cancelled)?;
            asked_at = Instant::now();
            match run.clock.unless_cancelled(prove(run, plan, step, need)).await.map_err(WaitError::Cancelled)? {
                Ok(proof) => {
                    reserve(run, need);
                    return Ok(proof);
                }
                Err(block) => block,
            }
        };
        match block.retry {
            Retry::Never => return Err(WaitError::Failed(block.error)),
            Retry::Certain => certain_since = Instant::now(),
            Retry::Maybe => {}
        }
        let waited = certain_since.elapsed();
        if waited >= wait_max {
            block.error.error = format!("{}; waited {} for it", block.error.error, duration_text(wait_max));
            return Err(WaitError::Failed(block.error));
        }
        if !reported {
            run.stage(step, Stage::Release, Some(block.error.error));
            reported = true;
        }
        run.clock
            .sleep(poll_interval(began.elapsed(), asked_at.elapsed()).min(wait_max.saturating_sub(waited)))
            .await
            .map_err(WaitError::Cancelled)?;
    }
}

/// Reserves the memory of a start, until its service is healthy or has ended.
pub(in crate::apply) fn reserve(run: &Run<'_>, need: &Need<'_>) {
    if !takes_memory(need) {
        return;
    }
    let reservation = StartReservation {
        gpus: need.gpus.to_vec(),
        amount: need.amount,
        by_gpu: need.by_gpu.clone(),
        ram: need.ram,
        state: ReservationState::Loading,
    };
    run.ledger().reservations.insert(need.service.name.clone(), reservation);
}

/// Returns true if the memory of GPUs or of the host has to be read.
fn takes_memory(need: &Need<'_>) -> bool {
    !need.gpus.is_empty() || need.ram > Mebibytes::ZERO
}

async fn prove(run: &Run<'_>, plan: &Plan, step: &Step, need: &Need<'_>) -> Result<MemoryProof, AdmissionBlock> {
    // A reservation that is made before the reading begins counts: its memory may be too new to be measured.
    let reservations = run.ledger().reservations.clone();
    let headroom = async {
        if takes_memory(need) {
            Some(capacity_for(run, plan, |headroom| shortfall_of_any(headroom, need, &reservations).is_none()).await)
        } else {
            None
        }
    };
    let busy = async {
        // A service that runs on has its ports already.
        let runs_on = matches!(step.action, Action::Wake | Action::Scale | Action::Update);
        if runs_on { None } else { busy_port(run, need).await }
    };
    let (busy, there, headroom) = tokio::join!(busy, still_there(run, plan, step), headroom);
    if let Some(error) = busy {
        let ports = &need.service.ports;
        let freed = needed_stops(plan, step).next().is_some() || is_freed(run, ports);
        return Err(AdmissionBlock { error, retry: if freed { Retry::Maybe } else { Retry::Never } });
    }
    if let Some(error) = there {
        return Err(AdmissionBlock { error, retry: Retry::Maybe });
    }
    let Some(headroom): Option<HostCapacity> = headroom else { return Ok(MemoryProof::NotNeeded) };
    match shortfall_of_any(&headroom, need, &reservations) {
        None if is_measured(&headroom, need.gpus) => Ok(MemoryProof::Measured),
        None => Ok(MemoryProof::NotMeasured),
        Some(shortfall) => Err(block(shortfall)),
    }
}

fn block(shortfall: Shortfall) -> AdmissionBlock {
    let (code, error, retry) = match shortfall {
        Shortfall::Lost(error) => (ReasonCode::GpuLost, error, Retry::Never),
        Shortfall::Unknown(error) => (ReasonCode::Unknown, error, Retry::Maybe),
        Shortfall::Short { line, passes: false } => (ReasonCode::NoCapacity, line, Retry::Maybe),
        Shortfall::Short { line, passes: true } => (ReasonCode::NoCapacity, line, Retry::Certain),
    };
    AdmissionBlock { error: StepError::new(code, error), retry }
}

async fn busy_port(run: &Run<'_>, need: &Need<'_>) -> Option<StepError> {
    match run.context.driver.port_holder(&run.context.desired.project, need.service).await {
        Ok(None) => None,
        Ok(Some(holder)) => Some(StepError::new(ReasonCode::PortTaken, format!("port in use: {holder}"))),
        Err(error) => Some(StepError::new(ReasonCode::Unknown, format!("its ports can't be read: {error}"))),
    }
}

/// Returns true if this run has freed one of these ports, or one that clashes with it.
fn is_freed(run: &Run<'_>, ports: &BTreeSet<Endpoint>) -> bool {
    let ledger = run.ledger();
    ports.iter().any(|port| ledger.freed_ports.iter().any(|freed| freed.clashes(port)))
}

/// Returns the error of a service that should have ended for this start, and still runs.
async fn still_there(run: &Run<'_>, plan: &Plan, step: &Step) -> Option<StepError> {
    let (driver, desired) = (run.context.driver, run.context.desired);
    for stop in needed_stops(plan, step) {
        // A service that this plan starts again may run by now.
        let returns = plan.steps.iter().any(|other| other.action == Action::Start && other.service == stop.service);
        let Some(gone) = desired.services.get(&stop.service).filter(|_| !returns) else { continue };
        let inspection = match driver.inspect(&desired.project, gone).await {
            Ok(inspection) => inspection,
            Err(error) => {
                let error = format!("can't verify that {} has ended: {error}", stop.service);
                return Some(StepError::new(ReasonCode::Unknown, error));
            }
        };
        let is_there = match inspection.run_state {
            RunState::Running | RunState::Suspended | RunState::Degraded(_) => true,
            RunState::Absent | RunState::Ended(_) => false,
        };
        if is_there {
            return Some(StepError::new(ReasonCode::NoCapacity, format!("{} is still running", stop.service)));
        }
    }
    None
}
