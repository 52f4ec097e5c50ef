//! Driver of the skeleton: the contract that all runtimes share, without an endpoint. Nothing is read, each effect is
//! refused, and calls are counted.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use jiff::Timestamp;
use regex_lite::Regex;

use crate::model::desired::{Desired, Service};
use crate::model::facts::{ProbeReading, Reading};
use crate::model::instance::Instance;
use crate::model::names::{ProjectName, RuntimeName};
use crate::runtime::contract::{LogSearch, Runtime, RuntimeReading};
use crate::runtime::skeleton::NAME;
use crate::runtime::skeleton::facts::SkeletonFacts;
use crate::runtime::{DriverError, Inspection, LogMark, Logged, Start, StopRequest};

/// Driver of objects, for one manifest.
#[derive(Debug, Default)]
pub(super) struct SkeletonDriver {
    is_asked: bool,
    calls: AtomicUsize,
}

impl SkeletonDriver {
    pub(super) fn new(desired: &Desired) -> Self {
        let is_asked = desired.services.values().any(|service| service.workload.is_of(&NAME));
        Self { is_asked, ..Self::default() }
    }

    /// Returns the number of calls so far.
    #[cfg(test)]
    pub(super) fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    fn refused<T>(&self, what: &str) -> Result<T, DriverError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        Err(self.unsupported(what))
    }
}

#[async_trait]
impl Runtime for SkeletonDriver {
    fn name(&self) -> RuntimeName {
        NAME
    }

    async fn read(&self, _: &Desired) -> RuntimeReading {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let unknown = Reading::Unknown(format!("the runtime `{NAME}` has no endpoint"));
        let objects = if self.is_asked { unknown } else { Reading::NotAsked };
        RuntimeReading { facts: Box::new(SkeletonFacts { objects }), claims: Vec::new() }
    }

    async fn inspect(&self, _: &ProjectName, _: &Service) -> Result<Inspection, DriverError> {
        self.refused("inspect")
    }

    async fn prepare(&self, _: &ProjectName, _: &Service) -> Result<(), DriverError> {
        self.refused("prepare")
    }

    async fn start(&self, _: &Start<'_>) -> Result<Instance, DriverError> {
        self.refused("start")
    }

    async fn stop(&self, _: &StopRequest<'_>) -> Result<(), DriverError> {
        self.refused("stop")
    }

    async fn check(&self, _: &ProjectName, _: &Service, _: &Instance) -> ProbeReading {
        ProbeReading::Unknown(self.unsupported("check").to_string())
    }

    async fn start_id(&self, instance: &Instance) -> Result<String, DriverError> {
        Ok(instance.id.clone())
    }

    async fn started_at(&self, _: &ProjectName, _: &Service, _: &Instance) -> Option<Timestamp> {
        None
    }

    async fn search_log(
        &self,
        _: &ProjectName,
        _: &Service,
        _: &Instance,
        _: &Regex,
    ) -> Result<LogSearch, DriverError> {
        self.refused("search the log of")
    }

    async fn log_tail(&self, _: &ProjectName, _: &Service, _: usize) -> Vec<String> {
        Vec::new()
    }

    async fn log_from(&self, _: &ProjectName, _: &Service, _: Option<&LogMark>) -> Result<Option<Logged>, DriverError> {
        self.refused("read the log of")
    }
}
