//! A store that lasts as long as the command: for simulated worlds, which have no past of this machine.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::past::{self, Change, Reading};
use crate::model::converged::Converged;
use crate::model::facts::{Attempts, HistoryFact, Report};
use crate::model::hooks::RunEvent;
use crate::model::names::{ModeName, ProjectName, ServiceName};
use crate::model::pending::{Due, PendingCall, TRIES_MAX};
use crate::model::words::{Said, Switched, Words};
use crate::store::{
    CONVERGED_MAX, Called, Entry, KILLED_EXIT_CODE, Measure, PENDING_MAX, PendingChange, Run, RunBegun, RunEnd,
    RunNotice, Store, StoreError, ToldMode, Transition,
};

/// What one command wrote down.
#[derive(Debug, Default)]
pub struct Memory {
    transitions: Mutex<Vec<Transition>>,
    measures: Mutex<Vec<Measure>>,
    runs: Mutex<Vec<Run>>,
    words: Mutex<Words>,
    attempts: Mutex<BTreeMap<(ProjectName, ServiceName), Attempts>>,
    reports: Mutex<BTreeMap<(ProjectName, ServiceName), Report>>,
    run_notices: Mutex<Notices>,
    told_modes: Mutex<BTreeMap<String, ToldMode>>,
    converged: Mutex<Vec<Converged>>,
    calls: Mutex<Vec<Called>>,
    begun: Mutex<Vec<RunBegun>>,
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

impl Memory {
    /// All changes so far, the oldest first.
    #[must_use]
    pub fn transitions(&self) -> Vec<Transition> {
        lock(&self.transitions).clone()
    }

    /// All measures that are kept, the oldest first.
    #[must_use]
    pub fn measures(&self) -> Vec<Measure> {
        lock(&self.measures).clone()
    }
}

impl Memory {
    /// All calls of hooks and notifiers so far, the oldest first.
    #[must_use]
    pub fn calls(&self) -> Vec<Called> {
        lock(&self.calls).clone()
    }
}

impl Store for Memory {
    fn write(&self, entry: &Entry<'_>) -> Result<Vec<u64>, StoreError> {
        lock(&self.transitions).extend(entry.transition.cloned());
        lock(&self.calls).extend(entry.call.cloned());
        Ok(lock(&self.pending).change(entry.pending))
    }

    /// One command knows one project, here and below.
    fn pending(&self, _: &ProjectName) -> Result<Vec<PendingCall>, StoreError> {
        Ok(lock(&self.pending).calls.clone())
    }

    /// One command knows one project: its words are kept under no name.
    fn rename_project(&self, _from: &ProjectName, _to: &ProjectName) -> Result<(), StoreError> {
        Ok(())
    }

    fn begin_run(&self, begun: &RunBegun) -> Result<(), StoreError> {
        let mut all = lock(&self.begun);
        all.retain(|other| other.id != begun.id);
        all.push(begun.clone());
        Ok(())
    }

    fn runs_begun(&self, _: &ProjectName) -> Result<Vec<RunBegun>, StoreError> {
        Ok(lock(&self.begun).clone())
    }

    fn close_killed(
        &self,
        project: &ProjectName,
        notices: &dyn Fn(&RunBegun) -> Vec<RunNotice>,
    ) -> Result<(), StoreError> {
        for begun in self.runs_begun(project)? {
            let notices = notices(&begun);
            let RunBegun { id, manifest, project, command, by, began, mode: _ } = begun;
            let changed = lock(&self.transitions).iter().any(|transition| transition.author.run == id);
            let (end, exit_code, first_error) = (RunEnd::Killed, KILLED_EXIT_CODE, None);
            let ended = began;
            let run = Run { id, manifest, project, command, by, began, ended, end, exit_code, changed, first_error };
            self.record_run(&run, &notices)?;
        }
        Ok(())
    }

    fn run_notices(&self, _project: &ProjectName) -> Result<Vec<RunNotice>, StoreError> {
        Ok(lock(&self.run_notices).all.clone())
    }

    fn settle_run_notices(&self, _project: &ProjectName, done: &[u64], tried: &[u64]) -> Result<(), StoreError> {
        let notices = &mut lock(&self.run_notices).all;
        for notice in notices.iter_mut().filter(|notice| tried.contains(&notice.id)) {
            notice.tries += 1;
        }
        notices.retain(|notice| !done.contains(&notice.id) && notice.tries < TRIES_MAX);
        Ok(())
    }

    fn remember(&self, measure: &Measure) -> Result<(), StoreError> {
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

    fn last_known(&self, project: &ProjectName) -> Result<BTreeMap<ServiceName, HistoryFact>, StoreError> {
        let changes = self.transitions().into_iter().filter(|transition| transition.project == *project);
        let changes =
            changes.map(|transition| Change { service: transition.service, to: transition.to, made: transition.made });
        let measures = self.measures().into_iter().filter(|measure| measure.project == *project);
        let readings = measures.map(|measure| Reading { at: measure.at, service: measure.service, what: measure.what });
        let mut known = past::known(changes, readings);
        for ((_, service), attempts) in lock(&self.attempts).iter().filter(|((of, _), _)| of == project) {
            known.entry(service.clone()).or_default().attempts = Some(attempts.clone());
        }
        for ((_, service), report) in lock(&self.reports).iter().filter(|((of, _), _)| of == project) {
            known.entry(service.clone()).or_default().report = Some(report.clone());
        }
        Ok(known)
    }

    fn record_run(&self, run: &Run, notices: &[RunNotice]) -> Result<(), StoreError> {
        for notice in notices {
            if notice.payload.hook == RunEvent::ModeChanged {
                self.set_told_mode(&run.project, &notice.notifier, notice.payload.mode.as_ref())?;
            }
            let mut notices = lock(&self.run_notices);
            notices.last_id += 1;
            let id = notices.last_id;
            notices.all.push(RunNotice { id, ..notice.clone() });
        }
        lock(&self.begun).retain(|begun| begun.id != run.id);
        lock(&self.runs).push(run.clone());
        Ok(())
    }

    fn last_run(&self, project: &ProjectName) -> Result<Option<Run>, StoreError> {
        Ok(lock(&self.runs).iter().rev().find(|run| run.project == *project).cloned())
    }

    /// One command knows one project: the words are its own.
    fn words(&self, _project: &ProjectName) -> Result<Words, StoreError> {
        Ok(lock(&self.words).clone())
    }

    fn say(&self, _project: &ProjectName, service: &ServiceName, said: Option<&Said>) -> Result<(), StoreError> {
        let services = &mut lock(&self.words).services;
        match said {
            Some(said) => services.insert(service.clone(), said.clone()),
            None => services.remove(service),
        };
        Ok(())
    }

    fn switch(&self, _project: &ProjectName, switched: Option<&Switched>) -> Result<(), StoreError> {
        lock(&self.words).mode = switched.cloned();
        Ok(())
    }

    fn told_mode(&self, _project: &ProjectName, notifier: &str) -> Result<Option<ToldMode>, StoreError> {
        Ok(lock(&self.told_modes).get(notifier).cloned())
    }

    fn set_told_mode(&self, _project: &ProjectName, notifier: &str, mode: Option<&ModeName>) -> Result<(), StoreError> {
        lock(&self.told_modes).insert(notifier.to_owned(), ToldMode(mode.cloned()));
        Ok(())
    }

    fn keep_converged(&self, _project: &ProjectName, converged: &Converged) -> Result<(), StoreError> {
        let mut kept = lock(&self.converged);
        if kept.first().is_some_and(|newest| newest.is_like(converged)) {
            return Ok(());
        }
        kept.retain(|other| !other.is_like(converged));
        kept.insert(0, converged.clone());
        kept.truncate(CONVERGED_MAX);
        Ok(())
    }

    fn converged(&self, _project: &ProjectName) -> Result<Vec<Converged>, StoreError> {
        Ok(lock(&self.converged).clone())
    }

    fn set_report(
        &self,
        project: &ProjectName,
        service: &ServiceName,
        report: Option<&Report>,
    ) -> Result<(), StoreError> {
        let key = (project.clone(), service.clone());
        match report {
            Some(report) => lock(&self.reports).insert(key, report.clone()),
            None => lock(&self.reports).remove(&key),
        };
        Ok(())
    }

    fn set_attempts(
        &self,
        project: &ProjectName,
        service: &ServiceName,
        attempts: Option<&Attempts>,
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
mod tests {
    use jiff::Timestamp;

    use super::Memory;
    use crate::store::{Called, Measure, Measured, Store as _, checks};

    #[test]
    fn words_hold_until_they_are_taken_back() {
        let store = Memory::default();
        checks::words(&store, &store);
    }

    #[test]
    fn attempts_are_kept_until_all_is_well() {
        let store = Memory::default();
        checks::attempts(&store, &store);
    }

    #[test]
    fn pending_calls_are_kept_until_they_are_made() {
        let store = Memory::default();
        checks::pending(&store, &store);
    }

    #[test]
    fn a_run_without_an_end_is_recorded_as_killed() {
        let store = Memory::default();
        checks::runs_begun(&store, &store);
    }

    #[test]
    fn calls_are_kept_in_their_order() {
        let store = Memory::default();
        let call = |hook: &str| Called {
            at: Timestamp::UNIX_EPOCH,
            project: "studio".into(),
            service: "a".into(),
            run: String::new(),
            hook: hook.to_owned(),
            call: "./warm.sh".to_owned(),
            took_ms: 7,
            error: None,
            output: String::new(),
        };
        store.record_call(&call("pre_start")).expect("kept");
        store.record_call(&call("post_start")).expect("kept");
        assert_eq!(store.calls(), [call("pre_start"), call("post_start")]);
    }

    #[test]
    fn of_each_kind_and_service_the_newest_twenty_are_kept() {
        let store = Memory::default();
        let measure = |service: &str, what| Measure {
            at: Timestamp::UNIX_EPOCH,
            project: "studio".into(),
            service: service.into(),
            what,
        };
        store.remember(&measure("a", Measured::Evicted)).expect("kept");
        for took_ms in 1..=23 {
            store.remember(&measure("b", Measured::Ready { took_ms })).expect("kept");
        }
        let measures = store.measures();
        assert_eq!(measures.len(), 21);
        assert_eq!(measures[0].what, Measured::Evicted, "another kind does not drive it out");
        assert_eq!(measures[1].what, Measured::Ready { took_ms: 4 });
    }
}
