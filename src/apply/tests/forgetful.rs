//! A store that can't be written, and may not be readable either.

use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::model::converged::Converged;
use crate::model::facts::{self, FailureReport, HistoryFact};
use crate::model::holds::{HoldRecord, Holds, ModeOverride};
use crate::model::job::JobEnd;
use crate::model::mode_set::ModeSet;
use crate::model::names::{ProjectName, ServiceName};
use crate::model::pending::PendingCall;
use crate::store::{
    AttemptStore, FencingToken, HoldStore, Journal, JournalEntry, Measure, NotifiedMode, RunBegun, RunNotice,
    RunRecord, StoreError,
};

/// A store on a full disk; of its content, only holds can be read, unless it hides them.
pub(super) struct Forgetful {
    pub(super) hides_holds: bool,
}

impl Forgetful {
    fn full<T>() -> Result<T, StoreError> {
        let (what, path) = ("can't write the store".to_owned(), "lcm.db".to_owned());
        Err(StoreError::Full { what, path })
    }
}

#[async_trait]
impl Journal for Forgetful {
    async fn write(&self, _: &JournalEntry<'_>) -> Result<Vec<u64>, StoreError> {
        Self::full()
    }

    async fn pending(&self, _: &ProjectName) -> Result<Vec<PendingCall>, StoreError> {
        Self::full()
    }

    async fn rename_project(&self, _: &ProjectName, _: &ProjectName) -> Result<(), StoreError> {
        Self::full()
    }

    async fn begin_run(&self, _: FencingToken, _: &RunBegun) -> Result<(), StoreError> {
        Self::full()
    }

    async fn runs_begun(&self, _: &ProjectName) -> Result<Vec<RunBegun>, StoreError> {
        Self::full()
    }

    async fn close_killed(&self, _: FencingToken, _: &ProjectName, _: &[RunNotice]) -> Result<(), StoreError> {
        Self::full()
    }

    async fn run_notices(&self, _: &ProjectName) -> Result<Vec<RunNotice>, StoreError> {
        Self::full()
    }

    async fn settle_run_notices(&self, _: &ProjectName, _: &[u64], _: &[u64]) -> Result<(), StoreError> {
        Self::full()
    }

    async fn record_measure(&self, _: &Measure) -> Result<(), StoreError> {
        Self::full()
    }

    async fn last_known(&self, _: &ProjectName) -> Result<BTreeMap<ServiceName, HistoryFact>, StoreError> {
        Self::full()
    }

    async fn record_run(&self, _: FencingToken, _: &RunRecord, _: &[RunNotice]) -> Result<(), StoreError> {
        Self::full()
    }

    async fn last_run(&self, _: &ProjectName) -> Result<Option<RunRecord>, StoreError> {
        Self::full()
    }

    async fn notified_mode(&self, _: &ProjectName, _: &str) -> Result<Option<NotifiedMode>, StoreError> {
        Self::full()
    }

    async fn set_notified_mode(&self, _: &ProjectName, _: &str, _: Option<&ModeSet>) -> Result<(), StoreError> {
        Self::full()
    }

    async fn record_job_end(&self, _: &ProjectName, _: &ServiceName, _: &JobEnd) -> Result<(), StoreError> {
        Self::full()
    }

    async fn keep_converged(&self, _: &ProjectName, _: &Converged) -> Result<(), StoreError> {
        Self::full()
    }

    async fn converged(&self, _: &ProjectName) -> Result<Vec<Converged>, StoreError> {
        Self::full()
    }

    async fn newest_token(&self) -> Result<FencingToken, StoreError> {
        Self::full()
    }
}

#[async_trait]
impl HoldStore for Forgetful {
    async fn holds(&self, _: &ProjectName) -> Result<Holds, StoreError> {
        if self.hides_holds { Self::full() } else { Ok(Holds::default()) }
    }

    async fn set_hold(&self, _: &ProjectName, _: &ServiceName, _: Option<&HoldRecord>) -> Result<(), StoreError> {
        Self::full()
    }

    async fn set_mode_override(&self, _: &ProjectName, _: Option<&ModeOverride>) -> Result<(), StoreError> {
        Self::full()
    }
}

#[async_trait]
impl AttemptStore for Forgetful {
    async fn attempts(&self, _: &ProjectName) -> Result<BTreeMap<ServiceName, facts::Attempts>, StoreError> {
        Self::full()
    }

    async fn set_report(&self, _: &ProjectName, _: &ServiceName, _: Option<&FailureReport>) -> Result<(), StoreError> {
        Self::full()
    }

    async fn set_attempts(
        &self,
        _: &ProjectName,
        _: &ServiceName,
        _: Option<&facts::Attempts>,
    ) -> Result<(), StoreError> {
        Self::full()
    }
}
