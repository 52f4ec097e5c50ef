//! Preparation before the first stop: everything that can fail and needs no free resources. A failure here leaves the old
//! service running.

use futures_util::stream::{self, StreamExt};
use tokio::time::Instant;

use crate::apply::journal::result::fail;
use crate::apply::run::{Cancelled, Run, StepError, millis};
use crate::model::event::{EventKind, Stage};
use crate::model::lifecycle::Action;
use crate::model::plan::{Plan, ReasonCode, Step};

/// Prepares every start of the plan that this run has not prepared yet, and returns the number of failures.
pub(in crate::apply) async fn prepare(run: &Run<'_>, plan: &Plan) -> Result<usize, Cancelled> {
    let steps: Vec<&Step> = plan.steps.iter().filter(|step| is_due(run, step)).collect();
    let work: Vec<_> = steps.iter().map(|step| prepare_one(run, step)).collect();
    run.ledger().under_way = steps.iter().map(|step| step.id.clone()).collect();
    let at_once = run.context.options.parallelism.max(1);
    let results: Result<Vec<_>, Cancelled> =
        run.clock.unless_cancelled(stream::iter(work).buffered(at_once).collect::<Vec<_>>()).await;
    run.ledger().under_way.clear();
    let mut failed = 0;
    for (step, result) in steps.into_iter().zip(results?) {
        match result {
            Ok(()) => {
                run.ledger().prepared.insert(step.service.clone());
            }
            Err(error) => {
                failed += 1;
                fail(run, (&step.id, &step.service), &error, 0);
            }
        }
    }
    Ok(failed)
}

async fn prepare_one(run: &Run<'_>, step: &Step) -> Result<(), StepError> {
    let Some(service) = run.context.desired.services.get(&step.service) else { return Ok(()) };
    let began = Instant::now();
    run.stage(step, Stage::Prepare, None);
    let prepared = run.context.driver.prepare(service).await;
    prepared.map_err(|error| StepError::new(ReasonCode::PrepareFailed, error.to_string()))?;
    let (id, service) = (step.id.clone(), step.service.clone());
    run.emit(EventKind::Prepared { step: id, service, took_ms: millis(began.elapsed()) });
    Ok(())
}

/// Returns true for a start that is not under way already, and was neither prepared nor failed in this run.
fn is_due(run: &Run<'_>, step: &Step) -> bool {
    let ledger = run.ledger();
    let writes_spec = step.action == Action::Start || (step.is_rolling() && step.spec.is_some());
    writes_spec && !step.is_await() && !ledger.prepared.contains(&step.service) && !ledger.failed.contains(&step.id)
}
