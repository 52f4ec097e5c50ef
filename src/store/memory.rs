//! A store that lasts as long as the command: for simulated worlds, which have no past of this machine.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::past::{self, Change, Reading};
use crate::model::facts::{Attempts, HistoryFact};
use crate::model::names::{ProjectName, ServiceName};
use crate::model::words::{Said, Switched, Words};
use crate::store::{Called, Measure, Run, Store, StoreError, Transition};

/// What one command wrote down.
#[derive(Debug, Default)]
pub struct Memory {
    transitions: Mutex<Vec<Transition>>,
    measures: Mutex<Vec<Measure>>,
    runs: Mutex<Vec<Run>>,
    words: Mutex<Words>,
    attempts: Mutex<BTreeMap<(ProjectName, ServiceName), Attempts>>,
    calls: Mutex<Vec<Called>>,
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
    fn record(&self, transition: &Transition) -> Result<(), StoreError> {
        lock(&self.transitions).push(transition.clone());
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
        Ok(known)
    }

    fn record_run(&self, run: &Run) -> Result<(), StoreError> {
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

    fn switch(&self, _project: &ProjectName, entry: &str, switched: Option<&Switched>) -> Result<(), StoreError> {
        let modes = &mut lock(&self.words).modes;
        modes.retain(|other| other.entry != entry);
        modes.extend(switched.cloned());
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

    fn record_call(&self, call: &Called) -> Result<(), StoreError> {
        lock(&self.calls).push(call.clone());
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
