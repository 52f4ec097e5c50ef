//! Eviction as a step of its own: the service goes on, and what it held is measured to be gone. A call that was answered
//! well proves nothing.

use tokio::time::Instant;

use super::expect::of_stop;
use super::health::growing;
use super::measure;
use super::memory::{room_now, unreadable};
use super::run::{Run, spoken};
use super::stop::look_first;
use super::verdict::{Trouble, Verdict};
use crate::model::event::Stage;
use crate::model::names::ServiceName;
use crate::model::plan::{ReasonCode, Step};
use crate::model::room::{GpuRoom, Room};
use crate::model::size::Mebibytes;

pub(super) async fn evict(run: &Run<'_>, step: &Step) -> Verdict {
    let context = &run.context;
    let Some(service) = context.desired.services.get(&step.service) else {
        return Verdict::Stale("the manifest does not know it".to_owned());
    };
    let Some(evict) = &service.evict else {
        return Verdict::Stale("the manifest does not say how to evict it".to_owned());
    };
    if let Err(verdict) = look_first(run, service, |look| of_stop(step, look)).await {
        return verdict;
    }
    if let Some(cut) = run.cut() {
        return Verdict::Cut(cut);
    }
    run.stage(step, Stage::Evict, None);
    run.ledger().changed = true;
    // Before the answer: a run that is cut short here leaves it to the next one to stop what can't be evicted.
    measure::evicted(run, step);
    let verdict = match context.driver.evict(service).await {
        Ok(()) => {
            run.stage(step, Stage::Release, None);
            shrunk(run, step, evict.resident).await
        }
        Err(error) => Verdict::Failed(Trouble::new(ReasonCode::StopFailed, error.to_string())),
    };
    if matches!(verdict, Verdict::Failed(_)) {
        run.ledger().unevicted.insert(step.id.clone(), step.service.clone());
    }
    verdict
}

/// Waits until it holds no more than it may keep, on every GPU.
async fn shrunk(run: &Run<'_>, step: &Step, resident: Mebibytes) -> Verdict {
    let began = Instant::now();
    let patience = run.context.options.release_timeout;
    loop {
        let asked_at = Instant::now();
        let room = match run.unless_cut(room_now(run)).await {
            Ok(room) => room,
            Err(cut) => return Verdict::Cut(cut),
        };
        let Some(left) = left(&room, step, resident) else { return Verdict::Done };
        let waited = began.elapsed();
        if waited >= patience {
            let error = format!("evicted, but after {} {left}", spoken(patience));
            return Verdict::Failed(Trouble::new(ReasonCode::StopFailed, error));
        }
        if let Err(cut) = run.nap(growing(waited, asked_at.elapsed()).min(patience.saturating_sub(waited))).await {
            return Verdict::Cut(cut);
        }
    }
}

/// What it still holds beyond that, or why nobody can tell.
fn left(room: &Room, step: &Step, resident: Mebibytes) -> Option<String> {
    if let Some(reason) = &room.unknown {
        return Some(format!("what it holds can't be told: {reason}"));
    }
    if let Some(reason) = step.gpus.iter().find_map(|id| unreadable(room, id)) {
        return Some(format!("what it holds can't be told: {reason}"));
    }
    let lines = room.gpus.iter().filter_map(|(id, gpu)| {
        let held = held(gpu, &step.service);
        if held.is_none() && step.gpus.contains(id) {
            return Some(format!("nobody tells what it holds on {}", gpu.called));
        }
        let over = held.unwrap_or_default() - resident;
        let beyond = || format!("it still holds {} on {}, {over} more than it may keep", resident + over, gpu.called);
        (over > Mebibytes::ZERO).then(beyond)
    });
    let lines: Vec<String> = lines.collect();
    (!lines.is_empty()).then(|| lines.join("; "))
}

/// What is measured of a service; nothing, where all that is there is told and it is not among that.
fn held(gpu: &GpuRoom, service: &ServiceName) -> Option<Mebibytes> {
    match gpu.holders.iter().find(|holder| holder.is(service)) {
        Some(holder) => holder.measured,
        None => gpu.told.then_some(Mebibytes::ZERO),
    }
}
