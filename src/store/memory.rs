//! A store that lasts as long as the command: for simulated worlds, which have no past of this machine.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::model::facts::{Estimates, HistoryFact};
use crate::model::names::{ProjectName, ServiceName};
use crate::store::{Run, Store, StoreError, Transition};

/// What one command wrote down.
#[derive(Debug, Default)]
pub struct Memory {
    transitions: Mutex<Vec<Transition>>,
    runs: Mutex<Vec<Run>>,
}

impl Memory {
    /// All changes so far, the oldest first.
    #[must_use]
    pub fn transitions(&self) -> Vec<Transition> {
        self.transitions.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Store for Memory {
    fn record(&self, transition: &Transition) -> Result<(), StoreError> {
        self.transitions.lock().unwrap_or_else(PoisonError::into_inner).push(transition.clone());
        Ok(())
    }

    fn last_known(&self, project: &ProjectName) -> Result<BTreeMap<ServiceName, HistoryFact>, StoreError> {
        let of_project = self.transitions().into_iter().filter(|transition| transition.project == *project);
        // A later change of a service replaces the earlier one.
        Ok(of_project
            .map(|transition| {
                (
                    transition.service,
                    HistoryFact {
                        state: transition.to,
                        made: transition.made,
                        evicted_at: None,
                        estimates: Estimates::default(),
                    },
                )
            })
            .collect())
    }

    fn record_run(&self, run: &Run) -> Result<(), StoreError> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner).push(run.clone());
        Ok(())
    }

    fn last_run(&self, project: &ProjectName) -> Result<Option<Run>, StoreError> {
        let runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(runs.iter().rev().find(|run| run.project == *project).cloned())
    }
}
