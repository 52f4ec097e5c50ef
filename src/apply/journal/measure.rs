//! Measurements for the estimates of later runs: the time that starts and stops took, and the memory that services held.
//! No decision depends on them, and a store that fails stops nothing.

use jiff::Timestamp;
use tokio::time::Instant;

use crate::apply::run::{Run, StepOutcome, is_of_previous, is_of_service, millis};
use crate::model::names::ServiceName;
use crate::model::plan::{Request, Step};
use crate::model::size::Mebibytes;
use crate::model::snapshot::Snapshot;
use crate::store::{Measure, Measured};

/// Measures the time of an effect.
pub(in crate::apply) struct Stopwatch {
    began: Instant,
    began_at: Timestamp,
}

impl Stopwatch {
    pub(in crate::apply) fn begin(run: &Run<'_>) -> Self {
        Self { began: Instant::now(), began_at: run.context.driver.now() }
    }

    /// Records the time of a start that lcm itself began.
    pub(in crate::apply) async fn started(&self, run: &Run<'_>, step: &Step, outcome: &StepOutcome) {
        self.ended(run, step, outcome, |took_ms| Measured::Ready { took_ms }).await;
    }

    /// Records the time of a stop, release included.
    pub(in crate::apply) async fn stopped(&self, run: &Run<'_>, step: &Step, outcome: &StepOutcome) {
        self.ended(run, step, outcome, |took_ms| Measured::Stopped { took_ms }).await;
    }

    /// Records the time of a step that succeeded; a failed or cancelled one is no measure of success.
    async fn ended(&self, run: &Run<'_>, step: &Step, outcome: &StepOutcome, measured: impl FnOnce(u64) -> Measured) {
        match outcome {
            StepOutcome::Done => {}
            StepOutcome::NotNeeded | StepOutcome::Stale(_) | StepOutcome::Failed(_) | StepOutcome::Cancelled(_) => {
                return;
            }
        }
        // In a simulation whose time stands still every step takes no time, which is not worth recording.
        if run.context.driver.now() != self.began_at && is_of_service(step) && !is_of_previous(step) {
            remember(run, &step.service, measured(millis(self.began.elapsed()))).await;
        }
    }
}

/// Records the eviction of a service, which goes on running.
pub(in crate::apply) async fn evicted(run: &Run<'_>, step: &Step) {
    remember(run, &step.service, Measured::Evicted).await;
}

/// Records that a service was woken, so that no eviction is left to undo.
pub(in crate::apply) async fn woken(run: &Run<'_>, step: &Step) {
    remember(run, &step.service, Measured::Woken).await;
}

/// Keeps the largest memory that each service is measured to hold on one GPU.
pub(in crate::apply) fn keep_largest(run: &Run<'_>, snapshot: &Snapshot, request: &Request) {
    let headroom = run.context.planner.capacity(snapshot, request);
    let mut ledger = run.ledger();
    for held in headroom.gpus.values().flat_map(|gpu| &gpu.holders) {
        let measured = held.measured.filter(|measured| *measured > Mebibytes::ZERO);
        if let (Some(service), Some(measured)) = (&held.service, measured) {
            let most = ledger.heaviest.entry(service.clone()).or_default();
            *most = measured.max(*most);
        }
    }
}

/// Records the largest memory of each service, once a run.
pub(in crate::apply) async fn close(run: &Run<'_>) {
    let heaviest = std::mem::take(&mut run.ledger().heaviest);
    for (service, most) in heaviest {
        remember(run, &service, Measured::Memory(most)).await;
    }
}

async fn remember(run: &Run<'_>, service: &ServiceName, what: Measured) {
    let desired = run.context.desired;
    if !desired.services.contains_key(service) {
        // Estimates of orphans are never needed.
        return;
    }
    let at = run.context.driver.now();
    let measure = Measure { at, project: desired.project.clone(), service: service.clone(), what };
    if let Err(error) = run.context.store.record_measure(&measure).await {
        run.store_failed(&error);
    }
}
