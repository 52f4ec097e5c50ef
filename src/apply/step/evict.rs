//! Eviction as a step of its own: the service goes on running, and its memory is measured to be free. The result of the
//! call proves nothing.

use tokio::time::Instant;

use crate::apply::admission::memory::{capacity_now, unreadable};
use crate::apply::gate::expect::{check_expectation, of_stop};
use crate::apply::journal::measure;
use crate::apply::run::{Run, StepError, StepOutcome, duration_text, poll_interval};
use crate::model::capacity::{GpuCapacity, HostCapacity};
use crate::model::event::Stage;
use crate::model::names::ServiceName;
use crate::model::plan::{ReasonCode, Step};
use crate::model::size::Mebibytes;

pub(in crate::apply) async fn evict(run: &Run<'_>, step: &Step) -> StepOutcome {
    let context = &run.context;
    let Some(service) = context.desired.services.get(&step.service) else {
        return StepOutcome::Stale("it is not in the manifest".to_owned());
    };
    let Some(evict) = &service.evict else {
        return StepOutcome::Stale("the manifest has no `evict` for it".to_owned());
    };
    if let Err(outcome) = check_expectation(run, service, |inspection| of_stop(step, inspection)).await {
        return outcome;
    }
    if let Some(cancelled) = run.clock.cancelled() {
        return StepOutcome::Cancelled(cancelled);
    }
    run.stage(step, Stage::Evict, None);
    run.ledger().changed = true;
    // Recorded before the result: after a run that is cancelled here, the next one may stop the service instead.
    measure::evicted(run, step).await;
    let outcome = match context.driver.evict(service).await {
        Ok(()) => {
            run.stage(step, Stage::Release, None);
            shrunk(run, step, evict.resident).await
        }
        Err(error) => StepOutcome::Failed(StepError::new(ReasonCode::StopFailed, error.to_string())),
    };
    if matches!(outcome, StepOutcome::Failed(_)) {
        run.ledger().not_evicted.insert(step.id.clone(), step.service.clone());
    }
    outcome
}

/// Waits until the service holds no more than `resident`, on every GPU.
async fn shrunk(run: &Run<'_>, step: &Step, resident: Mebibytes) -> StepOutcome {
    let began = Instant::now();
    let wait_max = run.context.options.release_timeout;
    loop {
        let asked_at = Instant::now();
        let headroom = match run.clock.unless_cancelled(capacity_now(run)).await {
            Ok(headroom) => headroom,
            Err(cancelled) => return StepOutcome::Cancelled(cancelled),
        };
        let Some(left) = left(&headroom, step, resident) else { return StepOutcome::Done };
        let waited = began.elapsed();
        if waited >= wait_max {
            let error = format!("evicted, but after {} {left}", duration_text(wait_max));
            return StepOutcome::Failed(StepError::new(ReasonCode::StopFailed, error));
        }
        if let Err(cancelled) =
            run.clock.sleep(poll_interval(waited, asked_at.elapsed()).min(wait_max.saturating_sub(waited))).await
        {
            return StepOutcome::Cancelled(cancelled);
        }
    }
}

/// Describes the memory that the service holds beyond `resident`, or the reason for which that is unknown.
fn left(headroom: &HostCapacity, step: &Step, resident: Mebibytes) -> Option<String> {
    if let Some(reason) = &headroom.unknown {
        return Some(format!("its memory can't be read: {reason}"));
    }
    if let Some(reason) = step.gpus.iter().find_map(|id| unreadable(headroom, id)) {
        return Some(format!("its memory can't be read: {reason}"));
    }
    let lines = headroom.gpus.iter().filter_map(|(id, gpu)| {
        let held = held(gpu, &step.service);
        if held.is_none() && step.gpus.contains(id) {
            return Some(format!("its memory on {} is not measured", gpu.called));
        }
        let over = held.unwrap_or_default() - resident;
        let beyond = || format!("it still holds {} on {}, {over} more than it may keep", resident + over, gpu.called);
        (over > Mebibytes::ZERO).then(beyond)
    });
    let lines: Vec<String> = lines.collect();
    (!lines.is_empty()).then(|| lines.join("; "))
}

/// Returns the measured memory of a service: zero where the driver measures every process and none is its own.
fn held(gpu: &GpuCapacity, service: &ServiceName) -> Option<Mebibytes> {
    match gpu.holders.iter().find(|holder| holder.is(service)) {
        Some(holder) => holder.measured,
        None => gpu.told.then_some(Mebibytes::ZERO),
    }
}
