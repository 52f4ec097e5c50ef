//! Results of steps, in the ledger and as events: done, failed or skipped.

use crate::apply::run::{Failure, Run, StepError};
use crate::model::event::{EventKind, Outcome};
use crate::model::names::{ServiceName, StepId};
use crate::model::plan::{Reason, Step};

/// Id of a step, and its service.
pub(in crate::apply) type StepKey<'a> = (&'a StepId, &'a ServiceName);

pub(in crate::apply) fn key(step: &Step) -> StepKey<'_> {
    (&step.id, &step.service)
}

/// Records and reports a step that was carried out or not needed.
pub(in crate::apply) fn succeed(run: &Run<'_>, step: &Step, outcome: Outcome, took_ms: u64) {
    {
        let mut ledger = run.ledger();
        ledger.skipped.remove(&step.id);
        ledger.done += u32::from(outcome == Outcome::Done);
    }
    let (id, service, stages) = (step.id.clone(), step.service.clone(), run.stage_times(&step.id));
    run.emit(EventKind::StepDone { step: id, service, outcome, took_ms, stages });
}

/// Records and reports a failed step. Its service is prevented in later rounds of the run.
pub(in crate::apply) fn fail(run: &Run<'_>, (step, service): StepKey<'_>, failure: &StepError, took_ms: u64) {
    let error = run.mask(&failure.error);
    let (id, service, log) = (step.clone(), service.clone(), failure.log.clone());
    {
        let mut ledger = run.ledger();
        ledger.failed.insert(id.clone());
        ledger.skipped.remove(&id);
        if !ledger.not_evicted.contains_key(&id) {
            let reason = Reason { code: failure.code, message: error.clone(), by: None };
            ledger.prevented.insert(service.clone(), reason);
        }
        let failure = Failure { step: id.clone(), service: service.clone(), error: error.clone(), log: log.clone() };
        ledger.failures.push(failure);
    }
    let stages = run.stage_times(&id);
    run.emit(EventKind::StepFailed { step: id, service, error, log, took_ms, stages });
}

/// Records and reports a step that was not carried out.
pub(in crate::apply) fn skip(run: &Run<'_>, step: &Step, reason: &str) {
    run.ledger().skipped.insert(step.id.clone());
    let (id, service) = (step.id.clone(), step.service.clone());
    run.emit(EventKind::StepSkipped { step: id, service, reason: run.mask(reason) });
}
