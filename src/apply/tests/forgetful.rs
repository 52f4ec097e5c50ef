//! A store that can't be written, and may not be readable either.

use std::collections::BTreeMap;

use crate::model::converged::Converged;
use crate::model::facts::{Attempts, HistoryFact, Report};
use crate::model::names::{ModeName, ProjectName, ServiceName};
use crate::model::pending::PendingCall;
use crate::model::words::{Said, Switched, Words};
use crate::store::{Entry, Measure, Run, RunBegun, RunNotice, Store, StoreError, ToldMode};

/// A store on a full disk, which can be read unless it hides holds.
pub(super) struct Forgetful {
    pub(super) hides_holds: bool,
}

impl Forgetful {
    fn full<T>() -> Result<T, StoreError> {
        let (what, path) = ("can't write the store".to_owned(), "lcm.db".to_owned());
        Err(StoreError::Full { what, path })
    }
}

impl Store for Forgetful {
    fn write(&self, _: &Entry<'_>) -> Result<Vec<u64>, StoreError> {
        Self::full()
    }

    fn pending(&self, _: &ProjectName) -> Result<Vec<PendingCall>, StoreError> {
        Self::full()
    }

    fn rename_project(&self, _: &ProjectName, _: &ProjectName) -> Result<(), StoreError> {
        Self::full()
    }

    fn begin_run(&self, _: &RunBegun) -> Result<(), StoreError> {
        Self::full()
    }

    fn runs_begun(&self, _: &ProjectName) -> Result<Vec<RunBegun>, StoreError> {
        Self::full()
    }

    fn close_killed(&self, _: &ProjectName, _: &dyn Fn(&RunBegun) -> Vec<RunNotice>) -> Result<(), StoreError> {
        Self::full()
    }

    fn run_notices(&self, _: &ProjectName) -> Result<Vec<RunNotice>, StoreError> {
        Self::full()
    }

    fn settle_run_notices(&self, _: &ProjectName, _: &[u64], _: &[u64]) -> Result<(), StoreError> {
        Self::full()
    }

    fn remember(&self, _: &Measure) -> Result<(), StoreError> {
        Self::full()
    }

    fn last_known(&self, _: &ProjectName) -> Result<BTreeMap<ServiceName, HistoryFact>, StoreError> {
        Self::full()
    }

    fn record_run(&self, _: &Run, _: &[RunNotice]) -> Result<(), StoreError> {
        Self::full()
    }

    fn last_run(&self, _: &ProjectName) -> Result<Option<Run>, StoreError> {
        Self::full()
    }

    fn words(&self, _: &ProjectName) -> Result<Words, StoreError> {
        if self.hides_holds { Self::full() } else { Ok(Words::default()) }
    }

    fn say(&self, _: &ProjectName, _: &ServiceName, _: Option<&Said>) -> Result<(), StoreError> {
        Self::full()
    }

    fn switch(&self, _: &ProjectName, _: Option<&Switched>) -> Result<(), StoreError> {
        Self::full()
    }

    fn told_mode(&self, _: &ProjectName, _: &str) -> Result<Option<ToldMode>, StoreError> {
        Self::full()
    }

    fn set_told_mode(&self, _: &ProjectName, _: &str, _: Option<&ModeName>) -> Result<(), StoreError> {
        Self::full()
    }

    fn keep_converged(&self, _: &ProjectName, _: &Converged) -> Result<(), StoreError> {
        Self::full()
    }

    fn converged(&self, _: &ProjectName) -> Result<Vec<Converged>, StoreError> {
        Self::full()
    }

    fn set_report(&self, _: &ProjectName, _: &ServiceName, _: Option<&Report>) -> Result<(), StoreError> {
        Self::full()
    }

    fn set_attempts(&self, _: &ProjectName, _: &ServiceName, _: Option<&Attempts>) -> Result<(), StoreError> {
        Self::full()
    }
}
