//! Drain of a busy service before its stop: it is probed until it is idle, its `drain` is over, or the run ends.
//!
//! Not here: the stop itself (`stop`), which goes ahead once the drain has returned `Ok`.

use std::time::Duration;

use tokio::time::Instant;

use crate::apply::gate::permission::forbidden;
use crate::apply::run::{Cancelled, Run, StepError, StepOutcome, duration_text, poll_interval};
use crate::model::desired::Service;
use crate::model::event::Stage;
use crate::model::facts::BusyReading;
use crate::model::instance::Instance;
use crate::model::plan::{ReasonCode, Step};
use crate::runtime::RunState;

/// Waits until the service is idle, or for at most its `drain`; `Err`: outcome of a stop that is not carried out now.
pub(super) async fn wait_until_idle(
    run: &Run<'_>,
    step: &Step,
    service: &Service,
    instance: &Instance,
) -> Result<(), StepOutcome> {
    if service.busy.is_none() || run.context.options.force {
        return Ok(());
    }
    let (driver, project) = (run.context.driver, &run.context.desired.project);
    let began = Instant::now();
    let mut reported = false;
    loop {
        let asked_at = Instant::now();
        let detail = match run.clock.unless_cancelled(driver.busy(service, instance)).await {
            Ok(BusyReading::Idle) => return Ok(()),
            Ok(BusyReading::Busy(detail)) => detail,
            Err(cancelled) => return Err(still_busy(cancelled, began.elapsed(), None)),
        };
        if let Some(stale) = forbidden(run, step).await {
            return Err(stale);
        }
        let waited = began.elapsed();
        if let Some(wait_max) = service.drain.filter(|wait_max| waited >= *wait_max) {
            run.warn(&format!(
                "{} is still busy after {} ({detail}); it is stopped anyway",
                step.service,
                duration_text(wait_max)
            ));
            return Ok(());
        }
        // A service that has ended meanwhile answers no probe, and would be waited for until the timeout.
        if let Ok(inspection) = driver.inspect(project, service).await
            && matches!(inspection.run_state, RunState::Absent | RunState::Ended(_))
        {
            return Ok(());
        }
        if !reported {
            run.stage(step, Stage::Drain, Some(detail.clone()));
            reported = true;
        }
        let pause = poll_interval(waited, asked_at.elapsed());
        let pause = service.drain.map_or(pause, |wait_max| pause.min(wait_max.saturating_sub(waited)));
        if let Err(cancelled) = run.clock.sleep(pause).await {
            return Err(still_busy(cancelled, began.elapsed(), Some(&detail)));
        }
    }
}

fn still_busy(cancelled: Cancelled, waited: Duration, detail: Option<&str>) -> StepOutcome {
    match cancelled {
        Cancelled::Interrupted => StepOutcome::Cancelled(cancelled),
        Cancelled::OutOfTime => {
            let detail = detail.map(|detail| format!(" ({detail})")).unwrap_or_default();
            let error = format!(
                "still busy after {}{detail} when the run timed out; set `drain:` or use --force to stop it anyway",
                duration_text(waited)
            );
            StepOutcome::Failed(StepError::new(ReasonCode::StopFailed, error))
        }
    }
}
