//! Changes of the copies of a running service: another number of them, or each replaced by one of another spec. Memory of
//! further copies is admitted as that of a start. A rollout that fails is rolled back.

use std::time::Duration;

use tokio::time::Instant;

use super::log::log_tail;
use crate::apply::admission::admit::admit;
use crate::apply::admission::memory::Need;
use crate::apply::gate::permission::forbidden;
use crate::apply::journal::pending;
use crate::apply::journal::record::Cursor;
use crate::apply::run::{
    Cancelled, Moved, ReservationState, Run, StepError, StepOutcome, duration_text, poll_interval,
};
use crate::model::copies::{Copies, CopiesChange, number_of};
use crate::model::desired::Service;
use crate::model::event::Stage;
use crate::model::instance::Instance;
use crate::model::lifecycle::State;
use crate::model::plan::{Plan, ReasonCode, Step};
use crate::runtime::{DriverError, Inspection, RunState};

/// One rollout under way.
struct CopiesRollout<'a> {
    run: &'a Run<'a>,
    step: &'a Step,
    service: &'a Service,
    instance: &'a Instance,
    change: CopiesChange,
}

/// Reason for which a rollout did not complete.
enum RolloutError {
    Failed(String),
    Cancelled(Cancelled),
}

/// Scales a service, or replaces its copies one by one, and returns when all of them are ready and up to date.
pub(in crate::apply) async fn roll_out(run: &Run<'_>, plan: &Plan, step: &Step) -> StepOutcome {
    let desired = run.context.desired;
    let (Some(service), Some(instance)) = (desired.services.get(&step.service), &step.expect.instance) else {
        return StepOutcome::Stale("the plan names no instance of it".to_owned());
    };
    let Some(change) = step.copies else {
        return StepOutcome::Stale("the plan names no number of copies".to_owned());
    };
    let rollout = CopiesRollout { run, step, service, instance, change };
    match rollout.readiness().await {
        Ok(true) => {}
        Ok(false) => return StepOutcome::NotNeeded,
        Err(outcome) => return outcome,
    }
    if change.added() > 0 {
        // Its own memory does not count against it: that of all copies has to be free beside the other services.
        let held = service.vram_of(change.from);
        let need = Need::beside(step, service, (service.vram_of(change.most()), held));
        if let Err(error) = admit(run, plan, step, &need).await {
            return error.into();
        }
    }
    let mut refused = forbidden(run, step).await.or_else(|| run.clock.cancelled().map(StepOutcome::Cancelled));
    if refused.is_none() {
        refused = pending::begin(run, step, None, true).await.err();
    }
    if let Some(outcome) = refused {
        run.ledger().reservations.remove(&step.service);
        return outcome;
    }
    rollout.carry_out().await
}

impl CopiesRollout<'_> {
    /// Returns false if the rollout is done already. `Err`: outcome of a step that is not carried out.
    async fn readiness(&self) -> Result<bool, StepOutcome> {
        let inspection = self.run.clock.unless_cancelled(self.inspect()).await.map_err(StepOutcome::Cancelled)?;
        let inspection = inspection.map_err(|error| StepOutcome::Failed(StepError::unreadable(&error)))?;
        if !self.runs(&inspection) {
            return Err(StepOutcome::Stale("it has ended or was replaced since the plan was made".to_owned()));
        }
        // Copies of the newer revision prove nothing about the previous one.
        let restores = self.step.is_rolling() && !self.rolls_forward();
        Ok(restores || !self.is_done(&inspection))
    }

    async fn inspect(&self) -> Result<Inspection, DriverError> {
        self.run.context.driver.inspect(&self.run.context.desired.project, self.service).await
    }

    /// Returns true if the service runs as the instance that the plan names.
    fn runs(&self, inspection: &Inspection) -> bool {
        inspection.run_state == RunState::Running && inspection.instance.as_ref() == Some(self.instance)
    }

    /// Returns true if all copies exist, are ready, and have the spec that the step rolls out.
    fn is_done(&self, inspection: &Inspection) -> bool {
        let is_of_spec = || inspection.spec.as_ref().is_none_or(|carried| self.service.spec.has_hash(carried));
        inspection.copies.is_some_and(|copies| copies.is_settled(self.change.to))
            && (!self.rolls_forward() || is_of_spec())
    }

    /// Returns true if the step writes the spec of the manifest. A rolling step without a spec writes the previous one.
    fn rolls_forward(&self) -> bool {
        self.step.is_rolling() && self.step.spec.is_some()
    }

    async fn carry_out(&self) -> StepOutcome {
        let (run, step) = (self.run, self.step);
        let mut cursor = Cursor::at(run, step);
        cursor.walk_to(if step.is_rolling() { State::Updating } else { State::Scaling }).await;
        run.stage(step, Stage::Start, None);
        run.ledger().changed = true;
        run.ledger().rolled_out.push(Moved { step: step.clone(), instance: Some(self.instance.clone()) });
        let written = self.write().await.map_err(|error| RolloutError::Failed(error.to_string()));
        let outcome = match written {
            Ok(()) => self.settled().await,
            Err(error) => Err(error),
        };
        match outcome {
            Ok(()) => {
                self.keep_reservation(ReservationState::Settled);
                cursor.walk_to_last().await;
                StepOutcome::Done
            }
            Err(RolloutError::Cancelled(cancelled)) => StepOutcome::Cancelled(cancelled),
            Err(RolloutError::Failed(error)) => self.roll_back(cursor, error).await,
        }
    }

    async fn write(&self) -> Result<(), DriverError> {
        let (driver, project) = (self.run.context.driver, &self.run.context.desired.project);
        if self.rolls_forward() {
            driver.update(project, self.service, self.instance).await
        } else if self.step.is_rolling() {
            let is_back = driver.restore(project, self.service).await?;
            let missing = || DriverError::Missing("its previous revision no longer exists".to_owned());
            is_back.then_some(()).ok_or_else(missing)
        } else {
            driver.scale(project, self.service, self.instance, self.change.to).await
        }
    }

    /// Waits until all copies are as wanted. The deadline of a start counts from the last copy that became ready.
    async fn settled(&self) -> Result<(), RolloutError> {
        let (run, wait_max) = (self.run, self.service.health.start_time_max());
        let mut progress = CopiesProgress::new();
        run.stage(self.step, Stage::Health, None);
        loop {
            let asked_at = Instant::now();
            let inspection = run.clock.unless_cancelled(self.inspect()).await.map_err(RolloutError::Cancelled)?;
            match inspection {
                Ok(inspection) => {
                    if !self.runs(&inspection) {
                        let error = format!("it ended while its copies changed; {}", progress.detail);
                        return Err(RolloutError::Failed(error));
                    }
                    if self.is_done(&inspection) {
                        return Ok(());
                    }
                    if progress.moves(inspection.copies) {
                        run.stage(self.step, Stage::Health, Some(progress.detail.clone()));
                    }
                }
                Err(error) => progress.detail = format!("its copies can't be read: {error}"),
            }
            let waited = progress.since.elapsed();
            if waited >= wait_max {
                let error = format!("{}; no progress for {}", progress.detail, duration_text(wait_max));
                return Err(RolloutError::Failed(error));
            }
            let pause = poll_interval(waited, asked_at.elapsed()).min(wait_max.saturating_sub(waited));
            run.clock.sleep(pause.max(Duration::from_millis(1))).await.map_err(RolloutError::Cancelled)?;
        }
    }

    /// Rolls back a rollout that failed: to the previous number of copies, or to their previous revision.
    async fn roll_back(&self, mut cursor: Cursor<'_, '_>, error: String) -> StepOutcome {
        let log = log_tail(self.run, &self.step.service).await;
        cursor.go(State::Error, &error).await;
        self.keep_reservation(ReservationState::Detached);
        let (driver, project) = (self.run.context.driver, &self.run.context.desired.project);
        let CopiesChange { from, .. } = self.change;
        let back = if self.rolls_forward() {
            let restored = driver.restore(project, self.service).await;
            restored.map(|restored| restored.then(|| "the previous revision was restored".to_owned()))
        } else if self.step.is_rolling() || self.step.is_scale_down() {
            // Copies that are not wanted are ending, and a restore has nothing behind it.
            Ok(None)
        } else {
            let scaled = driver.scale(project, self.service, self.instance, from).await;
            scaled.map(|()| Some(format!("it was scaled back to {}", number_of(from))))
        };
        let error = match back {
            Ok(None) => error,
            Ok(Some(back)) => {
                self.run.ledger().rolled_out.retain(|moved| moved.step.id != self.step.id);
                cursor.go(State::Online, &back).await;
                format!("{error}; {back}")
            }
            Err(cause) => format!("{error}; it could not be rolled back: {cause}"),
        };
        StepOutcome::Failed(StepError { code: ReasonCode::StartFailed, error, log })
    }

    fn keep_reservation(&self, state: ReservationState) {
        if let Some(reservation) = self.run.ledger().reservations.get_mut(&self.step.service) {
            reservation.state = state;
        }
    }
}

/// Copies as last read, and the time of their last progress.
struct CopiesProgress {
    detail: String,
    since: Instant,
    seen: Option<Copies>,
    best: (u32, u32),
}

impl CopiesProgress {
    fn new() -> Self {
        Self { detail: "its copies are not reported".to_owned(), since: Instant::now(), seen: None, best: (0, 0) }
    }

    /// Records a reading, and returns true if it differs from the last one. The deadline moves only with a copy that
    /// became ready or was replaced, so that copies which come and go do not move it for ever.
    fn moves(&mut self, copies: Option<Copies>) -> bool {
        let Some(copies) = copies.filter(|copies| self.seen != Some(*copies)) else { return false };
        self.seen = Some(copies);
        self.detail = copies.to_string();
        let best = (self.best.0.max(copies.ready), self.best.1.max(copies.updated));
        if best != self.best {
            (self.best, self.since) = (best, Instant::now());
        }
        true
    }
}
