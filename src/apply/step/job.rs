//! Start of a job, after its instance runs: the step ends there, or with the job where other services wait for its end.
//!
//! A job that fails leaves nothing to restore: an earlier revision of a job is not run again.

use std::time::Duration;

use tokio::time::Instant;

use super::health::status;
use super::log::log_tail;
use crate::apply::admission::release::{BeforeStop, released};
use crate::apply::gate::hooks::{self, HookPoint};
use crate::apply::journal::record::Cursor;
use crate::apply::run::{Cancelled, Run, StepError, StepOutcome, WaitError, duration_text, poll_interval};
use crate::model::desired::Service;
use crate::model::event::Stage;
use crate::model::facts::ExitFact;
use crate::model::hooks::Point;
use crate::model::instance::Instance;
use crate::model::lifecycle::State;
use crate::model::plan::{ReasonCode, Step};
use crate::runtime::{RunState, StopRequest};

/// Result of one look at a job.
enum JobProgress {
    Running,
    /// It exited with 0.
    Completed,
    Failed(String),
}

/// Reason for which the wait for a job's end is over without its completion.
enum JobError {
    Failed(String),
    /// It still runs, past its limit.
    OverTime(Duration),
    Cancelled(Cancelled),
}

/// Job under way, with the step that waits for it.
struct JobRun<'a> {
    run: &'a Run<'a>,
    step: &'a Step,
    service: &'a Service,
    instance: &'a Instance,
}

/// Completes the start of a job that this step began, and waits for its end where the step does.
pub(in crate::apply) async fn run(
    run: &Run<'_>,
    step: &Step,
    service: &Service,
    instance: &Instance,
    mut cursor: Cursor<'_, '_>,
) -> StepOutcome {
    let began = Instant::now();
    run.stage(step, Stage::Health, None);
    let job = JobRun { run, step, service, instance };
    let progress = match job.look().await {
        Ok(JobProgress::Failed(error)) => return job.fail(cursor, error).await,
        Ok(progress) => progress,
        Err(cancelled) => return StepOutcome::Cancelled(cancelled),
    };
    cursor.walk_to(State::Online).await;
    run.ledger().came_up.insert(step.service.clone());
    if let Err(error) = run.context.driver.settle(&run.context.desired.project, service).await {
        run.warn(&format!("{} runs, but its previous revision could not be removed: {error}", step.service));
    }
    hooks::after(run, HookPoint { step, service, point: Point::PostStart, instance: Some(instance) }).await;
    job.finish(began, progress, cursor).await
}

/// Waits for the end of a job that runs already.
pub(in crate::apply) async fn resume(
    run: &Run<'_>,
    step: &Step,
    service: &Service,
    instance: &Instance,
) -> StepOutcome {
    run.stage(step, Stage::Health, None);
    let mut cursor = Cursor::at(run, step);
    cursor.state = State::Online;
    let job = JobRun { run, step, service, instance };
    job.finish(Instant::now(), JobProgress::Running, cursor).await
}

impl JobRun<'_> {
    /// Waits for the end where the step does, and returns the outcome of the step.
    async fn finish(&self, began: Instant, progress: JobProgress, cursor: Cursor<'_, '_>) -> StepOutcome {
        let result = match progress {
            JobProgress::Running if self.step.is_until_end() => self.wait(began).await,
            JobProgress::Running => return StepOutcome::Done,
            JobProgress::Completed => Ok(()),
            JobProgress::Failed(error) => Err(JobError::Failed(error)),
        };
        match result {
            Ok(()) => {
                self.run.ledger().reservations.remove(&self.step.service);
                self.run.ledger().changed = true;
                StepOutcome::Done
            }
            Err(JobError::Failed(error)) => self.fail(cursor, error).await,
            Err(JobError::OverTime(limit)) => self.end(cursor, limit).await,
            Err(JobError::Cancelled(cancelled)) => StepOutcome::Cancelled(cancelled),
        }
    }

    /// Waits until the job has ended, at most for the time that it has left.
    async fn wait(&self, began: Instant) -> Result<(), JobError> {
        let clock = &self.run.clock;
        let left = self.step.job.and_then(|job| job.left_ms).map(Duration::from_millis);
        loop {
            let asked_at = Instant::now();
            match self.look().await.map_err(JobError::Cancelled)? {
                JobProgress::Completed => return Ok(()),
                JobProgress::Failed(error) => return Err(JobError::Failed(error)),
                JobProgress::Running => {}
            }
            let elapsed = began.elapsed();
            if left.is_some_and(|left| elapsed >= left) {
                let limit = self.service.job.and_then(|job| job.timeout).unwrap_or(elapsed);
                return Err(JobError::OverTime(limit));
            }
            let pause = poll_interval(elapsed, asked_at.elapsed()).max(Duration::from_millis(1));
            let pause = left.map_or(pause, |left| pause.min(left.saturating_sub(elapsed)));
            clock.sleep(pause).await.map_err(JobError::Cancelled)?;
        }
    }

    /// Inspects the job once. An inspection that fails proves nothing, and a job that is paused has not ended.
    async fn look(&self) -> Result<JobProgress, Cancelled> {
        let (driver, project) = (self.run.context.driver, &self.run.context.desired.project);
        let Ok(inspection) = self.run.clock.unless_cancelled(driver.inspect(project, self.service)).await? else {
            return Ok(JobProgress::Running);
        };
        if inspection.instance.as_ref().is_some_and(|found| found != self.instance) {
            return Ok(JobProgress::Failed("another instance has taken its place".to_owned()));
        }
        Ok(match inspection.run_state {
            RunState::Running | RunState::Suspended => JobProgress::Running,
            RunState::Ended(Some(ExitFact { code: Some(0), signal: None, .. })) => JobProgress::Completed,
            RunState::Ended(exit) => JobProgress::Failed(format!("the job failed{}", status(exit.as_ref()))),
            RunState::Degraded(exit) => {
                let status = status(Some(&exit));
                JobProgress::Failed(format!("the first process of the job failed{status}; others are left"))
            }
            RunState::Absent => JobProgress::Failed("the job is gone, and left no exit status".to_owned()),
        })
    }

    /// Stops a job that ran longer than its limit, and fails it.
    async fn end(&self, mut cursor: Cursor<'_, '_>, limit: Duration) -> StepOutcome {
        let run = self.run;
        let mut error = format!("the job ran longer than its `timeout` of {}", duration_text(limit));
        // Recorded before the stop: an exit code of 0 after it is no completion.
        cursor.go(State::Error, &error).await;
        run.stage(self.step, Stage::Stop, None);
        let before = BeforeStop::of(run, self.step, Some(self.service), self.instance).await;
        let stop = StopRequest {
            project: &run.context.desired.project,
            service: &self.step.service,
            instance: self.instance,
            policy: &self.service.stop,
            definition: Some(self.service),
        };
        match run.context.driver.stop(&stop).await {
            Ok(()) => match released(run, Some(self.service), self.instance, &before).await {
                Ok(()) => error.push_str(", and was stopped"),
                Err(WaitError::Failed(cause)) => error = format!("{error}; {}", cause.error),
                Err(WaitError::Cancelled(_)) => {}
            },
            Err(cause) => error = format!("{error}, and could not be stopped: {cause}"),
        }
        self.fail(cursor, error).await
    }

    /// Records a failed job with its cause and its last output.
    async fn fail(&self, mut cursor: Cursor<'_, '_>, error: String) -> StepOutcome {
        let log = log_tail(self.run, &self.step.service).await;
        if cursor.state.is_operational() {
            cursor.go(State::Error, &error).await;
        }
        cursor.go(State::Failed, &error).await;
        self.run.ledger().reservations.remove(&self.step.service);
        StepOutcome::Failed(StepError { code: ReasonCode::StartFailed, error, log })
    }
}
