//! Journal on disk: each write is one job of the store's thread, and one transaction.

use std::collections::BTreeMap;

use async_trait::async_trait;
use rusqlite::Connection;

use super::fence;
use super::format::{self, FORMAT, WITH_HOLDS, WITH_JOBS, WITH_MEASURES, WITH_PENDING};
use super::store::Sqlite;
use super::{attempts, converged, history, job_ends, measures, notices, pending, runs};
use crate::model::converged::Converged;
use crate::model::facts::HistoryFact;
use crate::model::job::JobEnd;
use crate::model::mode_set::ModeSet;
use crate::model::names::{ProjectName, ServiceName};
use crate::model::pending::PendingCall;
use crate::store::error::StoreError;
use crate::store::journal::{Journal, JournalEntry, PendingChange};
use crate::store::lease::FencingToken;
use crate::store::past;
use crate::store::record::{Measure, NotifiedMode, RunBegun, RunNotice, RunRecord};

#[async_trait]
impl Journal for Sqlite {
    async fn write(&self, entry: &JournalEntry<'_>) -> Result<Vec<u64>, StoreError> {
        let (project, transition, call) = (entry.project.clone(), entry.transition.cloned(), entry.call.cloned());
        let PendingChange { add, due, done, tried } = entry.pending;
        let (add, due, done, tried) = (add.to_vec(), due.to_vec(), done.to_vec(), tried.to_vec());
        self.transact(move |connection| {
            if let Some(transition) = &transition {
                history::record(connection, transition)?;
            }
            if let Some(call) = &call {
                runs::record_call(connection, call)?;
            }
            pending::change(connection, &project, PendingChange { add: &add, due: &due, done: &done, tried: &tried })
        })
        .await
    }

    async fn rename_project(&self, from: &ProjectName, to: &ProjectName) -> Result<(), StoreError> {
        let (from, to) = (from.clone(), to.clone());
        self.run(move |file| {
            // A project that was renamed long ago must not cost a write. In an older format, the change below finds
            // out.
            let is_known =
                file.read(
                    |connection, format| {
                        if format < FORMAT { Ok(true) } else { format::knows_project(connection, from.as_str()) }
                    },
                )?;
            if !is_known.unwrap_or_default() {
                return Ok(());
            }
            file.transact(|connection| format::rename_project(connection, from.as_str(), to.as_str()))
        })
        .await
    }

    async fn pending(&self, project: &ProjectName) -> Result<Vec<PendingCall>, StoreError> {
        let project = project.clone();
        self.read_since(WITH_PENDING, move |connection| pending::read(connection, &project)).await
    }

    async fn newest_token(&self) -> Result<FencingToken, StoreError> {
        self.read(|connection, _| fence::newest(connection)).await
    }

    async fn begin_run(&self, token: FencingToken, begun: &RunBegun) -> Result<(), StoreError> {
        let begun = begun.clone();
        self.run(move |file| file.fenced(token, |connection| runs::begin(connection, &begun))).await
    }

    async fn runs_begun(&self, project: &ProjectName) -> Result<Vec<RunBegun>, StoreError> {
        let project = project.clone();
        self.read_since(WITH_PENDING, move |connection| runs::begun(connection, &project)).await
    }

    async fn close_killed(
        &self,
        token: FencingToken,
        project: &ProjectName,
        notices: &[RunNotice],
    ) -> Result<(), StoreError> {
        let (project, notices) = (project.clone(), notices.to_vec());
        self.run(move |file| {
            // A run that finds none must not cost a write.
            let begun = |connection: &_, format| {
                if format < WITH_PENDING { Ok(Vec::new()) } else { runs::begun(connection, &project) }
            };
            if file.read(begun)?.unwrap_or_default().is_empty() {
                return Ok(());
            }
            file.fenced(token, |connection| {
                runs::close_killed(connection, &project)?;
                notices::add(connection, &project, &notices)
            })
        })
        .await
    }

    async fn record_run(&self, token: FencingToken, run: &RunRecord, notices: &[RunNotice]) -> Result<(), StoreError> {
        let (run, notices) = (run.clone(), notices.to_vec());
        self.run(move |file| {
            file.fenced(token, |connection| {
                runs::record(connection, &run)?;
                notices::add(connection, &run.project, &notices)
            })
        })
        .await
    }

    async fn last_run(&self, project: &ProjectName) -> Result<Option<RunRecord>, StoreError> {
        let project = project.clone();
        self.read(move |connection, format| runs::last(connection, format, &project)).await
    }

    async fn run_notices(&self, project: &ProjectName) -> Result<Vec<RunNotice>, StoreError> {
        let project = project.clone();
        self.read_since(WITH_PENDING, move |connection| notices::read(connection, &project)).await
    }

    async fn settle_run_notices(&self, project: &ProjectName, done: &[u64], tried: &[u64]) -> Result<(), StoreError> {
        let (project, done, tried) = (project.clone(), done.to_vec(), tried.to_vec());
        self.transact(move |connection| notices::settle(connection, &project, &done, &tried)).await
    }

    async fn notified_mode(&self, project: &ProjectName, notifier: &str) -> Result<Option<NotifiedMode>, StoreError> {
        let (project, notifier) = (project.clone(), notifier.to_owned());
        self.read_since(WITH_PENDING, move |connection| notices::notified_mode(connection, &project, &notifier)).await
    }

    async fn set_notified_mode(
        &self,
        project: &ProjectName,
        notifier: &str,
        mode: Option<&ModeSet>,
    ) -> Result<(), StoreError> {
        let (project, notifier, mode) = (project.clone(), notifier.to_owned(), mode.cloned());
        self.change(move |connection| notices::set_notified_mode(connection, &project, &notifier, mode.as_ref())).await
    }

    async fn record_measure(&self, measure: &Measure) -> Result<(), StoreError> {
        let measure = measure.clone();
        self.transact(move |connection| measures::write(connection, &measure)).await
    }

    async fn last_known(&self, project: &ProjectName) -> Result<BTreeMap<ServiceName, HistoryFact>, StoreError> {
        let project = project.clone();
        self.read(move |connection, format| last_known(connection, format, &project)).await
    }

    async fn record_job_end(
        &self,
        project: &ProjectName,
        service: &ServiceName,
        end: &JobEnd,
    ) -> Result<(), StoreError> {
        let (project, service, end) = (project.clone(), service.clone(), end.clone());
        self.transact(move |connection| job_ends::write(connection, &project, &service, &end)).await
    }

    async fn keep_converged(&self, project: &ProjectName, converged: &Converged) -> Result<(), StoreError> {
        let (project, converged) = (project.clone(), converged.clone());
        self.run(move |file| {
            // A run that changed nothing must not cost a write.
            let kept = |connection: &_, format| {
                if format < WITH_PENDING { Ok(Vec::new()) } else { converged::read(connection, &project) }
            };
            if file.read(kept)?.unwrap_or_default().first().is_some_and(|newest| newest.is_like(&converged)) {
                return Ok(());
            }
            file.transact(|connection| converged::keep(connection, &project, &converged))
        })
        .await
    }

    async fn converged(&self, project: &ProjectName) -> Result<Vec<Converged>, StoreError> {
        let project = project.clone();
        self.read_since(WITH_PENDING, move |connection| converged::read(connection, &project)).await
    }
}

fn last_known(
    connection: &Connection,
    format: u32,
    project: &ProjectName,
) -> rusqlite::Result<BTreeMap<ServiceName, HistoryFact>> {
    let changes = history::last_changes(connection, project)?;
    let readings = if format >= WITH_MEASURES { measures::read(connection, project)? } else { Vec::new() };
    let mut known = past::known(changes, readings);
    if format >= WITH_HOLDS {
        for (service, attempts) in attempts::attempts(connection, project)? {
            known.entry(service).or_default().attempts = Some(attempts);
        }
    }
    if format >= WITH_PENDING {
        for (service, report) in attempts::reports(connection, project)? {
            known.entry(service).or_default().report = Some(report);
        }
    }
    if format >= WITH_JOBS {
        for (service, end) in job_ends::read(connection, project)? {
            known.entry(service).or_default().job = Some(end);
        }
    }
    Ok(known)
}
