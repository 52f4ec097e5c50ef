//! Store and lease that last as long as the command: for simulations, which have no history on this machine.

mod lease;

pub use lease::MemoryLease;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::attempts::AttemptStore;
use super::error::StoreError;
use super::holds::HoldStore;
use super::journal::{CONVERGED_MAX, Journal, JournalEntry, PENDING_MAX, PendingChange};
use super::lease::FencingToken;
use super::past::{self, Change, MeasureReading};
use super::record::{
    Called, KILLED_EXIT_CODE, Measure, NotifiedMode, RunBegun, RunEnd, RunNotice, RunRecord, Transition,
};
use crate::model::converged::Converged;
use crate::model::facts::{self, FailureReport, HistoryFact};
use crate::model::holds::{HoldRecord, Holds, ModeOverride};
use crate::model::hooks::RunEvent;
use crate::model::job::JobEnd;
use crate::model::mode_set::ModeSet;
use crate::model::names::{ProjectName, ServiceName};
use crate::model::pending::{Due, PendingCall, TRIES_MAX};

/// Records of one command.
#[derive(Debug, Default)]
pub struct MemoryStore {
    transitions: Mutex<Vec<Transition>>,
    measures: Mutex<Vec<Measure>>,
    runs: Mutex<Vec<RunRecord>>,
    holds: Mutex<Holds>,
    attempts: Mutex<BTreeMap<(ProjectName, ServiceName), facts::Attempts>>,
    reports: Mutex<BTreeMap<(ProjectName, ServiceName), FailureReport>>,
    job_ends: Mutex<BTreeMap<(ProjectName, ServiceName), JobEnd>>,
    run_notices: Mutex<Notices>,
    told_modes: Mutex<BTreeMap<String, NotifiedMode>>,
    converged: Mutex<Vec<Converged>>,
    calls: Mutex<Vec<Called>>,
    begun: Mutex<Vec<RunBegun>>,
    newest_token: Mutex<FencingToken>,
    pending: Mutex<Pending>,
}

#[derive(Debug, Default)]
struct Notices {
    all: Vec<RunNotice>,
    last_id: u64,
}

#[derive(Debug, Default)]
struct Pending {
    calls: Vec<PendingCall>,
    last_id: u64,
}

impl Pending {
    fn change(&mut self, change: PendingChange<'_>) -> Vec<u64> {
        let PendingChange { add, due, done, tried } = change;
        for call in &mut self.calls {
            call.due = if due.contains(&call.id) { Due::Now } else { call.due };
            call.tries += u32::from(tried.contains(&call.id));
        }
        self.calls.retain(|call| !done.contains(&call.id) && call.tries < TRIES_MAX);
        let begin = self.last_id;
        for call in add {
            self.last_id += 1;
            self.calls.push(PendingCall { id: self.last_id, ..call.clone() });
        }
        self.calls.drain(..self.calls.len().saturating_sub(PENDING_MAX));
        (begin + 1..=self.last_id).collect()
    }
}

impl MemoryStore {
    /// Returns all changes so far, the oldest first.
    #[must_use]
    pub fn transitions(&self) -> Vec<Transition> {
        lock(&self.transitions).clone()
    }

    /// Returns all measures that are kept, the oldest first.
    #[must_use]
    pub fn measures(&self) -> Vec<Measure> {
        lock(&self.measures).clone()
    }
}

impl MemoryStore {
    /// Returns all calls of hooks and notifiers so far, the oldest first.
    #[must_use]
    pub fn calls(&self) -> Vec<Called> {
        lock(&self.calls).clone()
    }
}

impl MemoryStore {
    /// Refuses a record of a run under an older token than the newest.
    fn fence(&self, token: FencingToken) -> Result<(), StoreError> {
        let mut newest = lock(&self.newest_token);
        if token < *newest {
            return Err(StoreError::Fenced { token, newest: *newest });
        }
        *newest = token;
        Ok(())
    }

    fn end_run(&self, run: &RunRecord) {
        lock(&self.begun).retain(|begun| begun.id != run.id);
        lock(&self.runs).push(run.clone());
    }

    fn add_notices(&self, added: &[RunNotice]) {
        for notice in added {
            if notice.payload.hook == RunEvent::ModeChanged {
                let mode = NotifiedMode(notice.payload.mode.clone());
                lock(&self.told_modes).insert(notice.notifier.clone(), mode);
            }
            let mut notices = lock(&self.run_notices);
            notices.last_id += 1;
            let id = notices.last_id;
            notices.all.push(RunNotice { id, ..notice.clone() });
        }
    }
}

#[async_trait]
impl Journal for MemoryStore {
    async fn write(&self, entry: &JournalEntry<'_>) -> Result<Vec<u64>, StoreError> {
        lock(&self.transitions).extend(entry.transition.cloned());
        lock(&self.calls).extend(entry.call.cloned());
        Ok(lock(&self.pending).change(entry.pending))
    }

    /// One command has one project, here and below.
    async fn pending(&self, _: &ProjectName) -> Result<Vec<PendingCall>, StoreError> {
        Ok(lock(&self.pending).calls.clone())
    }

    /// One command has one project: its records are kept under no name.
    async fn rename_project(&self, _from: &ProjectName, _to: &ProjectName) -> Result<(), StoreError> {
        Ok(())
    }

    async fn newest_token(&self) -> Result<FencingToken, StoreError> {
        Ok(*lock(&self.newest_token))
    }

    async fn begin_run(&self, token: FencingToken, begun: &RunBegun) -> Result<(), StoreError> {
        self.fence(token)?;
        let mut all = lock(&self.begun);
        all.retain(|other| other.id != begun.id);
        all.push(begun.clone());
        Ok(())
    }

    async fn runs_begun(&self, _: &ProjectName) -> Result<Vec<RunBegun>, StoreError> {
        Ok(lock(&self.begun).clone())
    }

    async fn close_killed(
        &self,
        token: FencingToken,
        _: &ProjectName,
        notices: &[RunNotice],
    ) -> Result<(), StoreError> {
        let killed = lock(&self.begun).clone();
        if killed.is_empty() {
            return Ok(());
        }
        self.fence(token)?;
        for begun in killed {
            let RunBegun { id, manifest, project, command, by, began, mode: _ } = begun;
            let changed = lock(&self.transitions).iter().any(|transition| transition.author.run == id);
            let (end, exit_code, first_error) = (RunEnd::Killed, KILLED_EXIT_CODE, None);
            let ended = began;
            let run =
                RunRecord { id, manifest, project, command, by, began, ended, end, exit_code, changed, first_error };
            self.end_run(&run);
        }
        self.add_notices(notices);
        Ok(())
    }

    async fn run_notices(&self, _project: &ProjectName) -> Result<Vec<RunNotice>, StoreError> {
        Ok(lock(&self.run_notices).all.clone())
    }

    async fn settle_run_notices(&self, _project: &ProjectName, done: &[u64], tried: &[u64]) -> Result<(), StoreError> {
        let notices = &mut lock(&self.run_notices).all;
        for notice in notices.iter_mut().filter(|notice| tried.contains(&notice.id)) {
            notice.tries += 1;
        }
        notices.retain(|notice| !done.contains(&notice.id) && notice.tries < TRIES_MAX);
        Ok(())
    }

    async fn record_measure(&self, measure: &Measure) -> Result<(), StoreError> {
        let mut measures = lock(&self.measures);
        measures.push(measure.clone());
        let alike = |other: &Measure| {
            let of_kind = std::mem::discriminant(&other.what) == std::mem::discriminant(&measure.what);
            of_kind && other.service == measure.service && other.project == measure.project
        };
        if measures.iter().filter(|other| alike(other)).count() > past::KEPT
            && let Some(oldest) = measures.iter().position(alike)
        {
            measures.remove(oldest);
        }
        Ok(())
    }

    async fn last_known(&self, project: &ProjectName) -> Result<BTreeMap<ServiceName, HistoryFact>, StoreError> {
        let changes = self.transitions().into_iter().filter(|transition| transition.project == *project);
        let changes =
            changes.map(|transition| Change { service: transition.service, to: transition.to, made: transition.made });
        let measures = self.measures().into_iter().filter(|measure| measure.project == *project);
        let readings =
            measures.map(|measure| MeasureReading { at: measure.at, service: measure.service, what: measure.what });
        let mut known = past::known(changes, readings);
        for ((_, service), end) in lock(&self.job_ends).iter().filter(|((of, _), _)| of == project) {
            known.entry(service.clone()).or_default().job = Some(end.clone());
        }
        for ((_, service), attempts) in lock(&self.attempts).iter().filter(|((of, _), _)| of == project) {
            known.entry(service.clone()).or_default().attempts = Some(attempts.clone());
        }
        for ((_, service), report) in lock(&self.reports).iter().filter(|((of, _), _)| of == project) {
            known.entry(service.clone()).or_default().report = Some(report.clone());
        }
        Ok(known)
    }

    async fn record_run(&self, token: FencingToken, run: &RunRecord, notices: &[RunNotice]) -> Result<(), StoreError> {
        self.fence(token)?;
        self.end_run(run);
        self.add_notices(notices);
        Ok(())
    }

    async fn last_run(&self, project: &ProjectName) -> Result<Option<RunRecord>, StoreError> {
        Ok(lock(&self.runs).iter().rev().find(|run| run.project == *project).cloned())
    }

    async fn notified_mode(&self, _project: &ProjectName, notifier: &str) -> Result<Option<NotifiedMode>, StoreError> {
        Ok(lock(&self.told_modes).get(notifier).cloned())
    }

    async fn set_notified_mode(
        &self,
        _project: &ProjectName,
        notifier: &str,
        mode: Option<&ModeSet>,
    ) -> Result<(), StoreError> {
        lock(&self.told_modes).insert(notifier.to_owned(), NotifiedMode(mode.cloned()));
        Ok(())
    }

    async fn record_job_end(
        &self,
        project: &ProjectName,
        service: &ServiceName,
        end: &JobEnd,
    ) -> Result<(), StoreError> {
        lock(&self.job_ends).insert((project.clone(), service.clone()), end.clone());
        Ok(())
    }

    async fn keep_converged(&self, _project: &ProjectName, converged: &Converged) -> Result<(), StoreError> {
        let mut kept = lock(&self.converged);
        if kept.first().is_some_and(|newest| newest.is_like(converged)) {
            return Ok(());
        }
        kept.retain(|other| !other.is_like(converged));
        kept.insert(0, converged.clone());
        kept.truncate(CONVERGED_MAX);
        Ok(())
    }

    async fn converged(&self, _project: &ProjectName) -> Result<Vec<Converged>, StoreError> {
        Ok(lock(&self.converged).clone())
    }
}

#[async_trait]
impl HoldStore for MemoryStore {
    /// One command has one project: the holds are its own.
    async fn holds(&self, _project: &ProjectName) -> Result<Holds, StoreError> {
        Ok(lock(&self.holds).clone())
    }

    async fn set_hold(
        &self,
        _project: &ProjectName,
        service: &ServiceName,
        hold: Option<&HoldRecord>,
    ) -> Result<(), StoreError> {
        let services = &mut lock(&self.holds).services;
        match hold {
            Some(hold) => services.insert(service.clone(), hold.clone()),
            None => services.remove(service),
        };
        Ok(())
    }

    async fn set_mode_override(
        &self,
        _project: &ProjectName,
        switched: Option<&ModeOverride>,
    ) -> Result<(), StoreError> {
        lock(&self.holds).mode = switched.cloned();
        Ok(())
    }
}

#[async_trait]
impl AttemptStore for MemoryStore {
    async fn attempts(&self, project: &ProjectName) -> Result<BTreeMap<ServiceName, facts::Attempts>, StoreError> {
        let all = lock(&self.attempts);
        let of_project = all.iter().filter(|((of, _), _)| of == project);
        Ok(of_project.map(|((_, service), attempts)| (service.clone(), attempts.clone())).collect())
    }

    async fn set_report(
        &self,
        project: &ProjectName,
        service: &ServiceName,
        report: Option<&FailureReport>,
    ) -> Result<(), StoreError> {
        let key = (project.clone(), service.clone());
        match report {
            Some(report) => lock(&self.reports).insert(key, report.clone()),
            None => lock(&self.reports).remove(&key),
        };
        Ok(())
    }

    async fn set_attempts(
        &self,
        project: &ProjectName,
        service: &ServiceName,
        attempts: Option<&facts::Attempts>,
    ) -> Result<(), StoreError> {
        let key = (project.clone(), service.clone());
        match attempts {
            Some(attempts) => lock(&self.attempts).insert(key, attempts.clone()),
            None => lock(&self.attempts).remove(&key),
        };
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
