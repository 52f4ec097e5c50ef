//! What starts and stops took and what services came to hold, written down for the estimates of later runs. Nothing is
//! decided by it, and a store that fails stops nothing.

use jiff::Timestamp;
use tokio::time::Instant;

use crate::apply::run::{Run, StepOutcome, is_of_previous, is_of_service, millis};
use crate::model::names::ServiceName;
use crate::model::plan::{Request, Step};
use crate::model::size::Mebibytes;
use crate::model::snapshot::Snapshot;
use crate::store::{Measure, Measured};

/// Begun with an effect, read when that has come to its end.
pub(in crate::apply) struct Stopwatch {
    began: Instant,
    began_at: Timestamp,
}

impl Stopwatch {
    pub(in crate::apply) fn begin(run: &Run<'_>) -> Self {
        Self { began: Instant::now(), began_at: run.context.driver.now() }
    }

    /// A start that lcm itself began has come to this.
    pub(in crate::apply) fn started(&self, run: &Run<'_>, step: &Step, verdict: &StepOutcome) {
        self.ended(run, step, verdict, |took_ms| Measured::Ready { took_ms });
    }

    /// A stop has come to this, with its room proved.
    pub(in crate::apply) fn stopped(&self, run: &Run<'_>, step: &Step, verdict: &StepOutcome) {
        self.ended(run, step, verdict, |took_ms| Measured::Stopped { took_ms });
    }

    /// What failed or was cut short tells nothing of how long it takes to succeed.
    fn ended(&self, run: &Run<'_>, step: &Step, verdict: &StepOutcome, measured: impl FnOnce(u64) -> Measured) {
        match verdict {
            StepOutcome::Done => {}
            StepOutcome::NotNeeded | StepOutcome::Stale(_) | StepOutcome::Failed(_) | StepOutcome::Cancelled(_) => {
                return;
            }
        }
        // In a world whose time stands still nothing lasts, and that it took no time is not worth knowing.
        if run.context.driver.now() != self.began_at && is_of_service(step) && !is_of_previous(step) {
            remember(run, &step.service, measured(millis(self.began.elapsed())));
        }
    }
}

/// It was asked to give its memory back, and goes on running.
pub(in crate::apply) fn evicted(run: &Run<'_>, step: &Step) {
    remember(run, &step.service, Measured::Evicted);
}

/// It was woken, so that no eviction is left to be undone.
pub(in crate::apply) fn woken(run: &Run<'_>, step: &Step) {
    remember(run, &step.service, Measured::Woken);
}

/// Keeps in mind the most that each service is measured to hold on one GPU.
pub(in crate::apply) fn weigh(run: &Run<'_>, snapshot: &Snapshot, request: &Request) {
    let room = run.context.planner.capacity(snapshot, request);
    let mut ledger = run.ledger();
    for held in room.gpus.values().flat_map(|gpu| &gpu.holders) {
        let measured = held.measured.filter(|measured| *measured > Mebibytes::ZERO);
        if let (Some(service), Some(measured)) = (&held.service, measured) {
            let most = ledger.heaviest.entry(service.clone()).or_default();
            *most = measured.max(*most);
        }
    }
}

/// Writes down what was kept in mind, once a run.
pub(in crate::apply) fn close(run: &Run<'_>) {
    let heaviest = std::mem::take(&mut run.ledger().heaviest);
    for (service, most) in heaviest {
        remember(run, &service, Measured::Memory(most));
    }
}

fn remember(run: &Run<'_>, service: &ServiceName, what: Measured) {
    let desired = run.context.desired;
    if !desired.services.contains_key(service) {
        // Nobody ever asks how long an orphan takes.
        return;
    }
    let at = run.context.driver.now();
    let measure = Measure { at, project: desired.project.clone(), service: service.clone(), what };
    if let Err(error) = run.context.store.remember(&measure) {
        run.store_failed(&error);
    }
}
