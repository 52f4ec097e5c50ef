//! The engine behind the contract that all runtimes share.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use regex_lite::Regex;

use crate::host::probes;
use crate::model::desired::Service;
use crate::model::facts::{EngineHealth, Owner, ProbeReading};
use crate::model::instance::Instance;
use crate::model::names::{ProjectName, RuntimeName};
use crate::runtime::contract::{Attribution, ExecOutcome, LogSearch, Runtime};
use crate::runtime::docker::NAME;
use crate::runtime::docker::drive::engine::Engine;
use crate::runtime::{DriverError, LogMark, Logged, Look, Pause, Start, Stop};

#[async_trait]
impl Runtime for Engine {
    fn name(&self) -> RuntimeName {
        NAME
    }

    async fn inspect(&self, project: &ProjectName, service: &Service) -> Result<Look, DriverError> {
        self.look(project, service).await
    }

    async fn prepare(&self, project: &ProjectName, service: &Service) -> Result<(), DriverError> {
        Self::prepare(self, project, service).await
    }

    async fn start(&self, start: &Start<'_>) -> Result<Instance, DriverError> {
        Self::start(self, start).await
    }

    async fn settle(&self, project: &ProjectName, service: &Service) -> Result<(), DriverError> {
        Self::settle(self, project, service).await
    }

    async fn restore(&self, project: &ProjectName, service: &Service) -> Result<bool, DriverError> {
        Self::restore(self, project, service).await
    }

    async fn stop(&self, stop: &Stop<'_>) -> Result<(), DriverError> {
        Self::stop(self, stop).await
    }

    async fn pause(&self, pause: &Pause<'_>) -> Result<(), DriverError> {
        Self::pause(self, pause).await
    }

    async fn unpause(&self, pause: &Pause<'_>) -> Result<(), DriverError> {
        Self::unpause(self, pause).await
    }

    async fn update(&self, project: &ProjectName, service: &Service, instance: &Instance) -> Result<(), DriverError> {
        Self::update(self, project, service, instance).await
    }

    async fn remove(&self, project: &ProjectName, instance: &Instance) -> Result<(), DriverError> {
        Self::remove(self, project, instance).await
    }

    async fn exec(
        &self,
        _: &Service,
        instance: &Instance,
        argv: &[String],
        deadline: Duration,
    ) -> Result<ExecOutcome, DriverError> {
        Self::exec(self, &instance.id, argv, deadline).await
    }

    async fn check(&self, _: &ProjectName, _: &Service, instance: &Instance) -> ProbeReading {
        match self.health(&instance.id).await {
            Ok(Some(EngineHealth::Healthy) | None) => ProbeReading::Passed,
            Ok(Some(EngineHealth::Starting)) => probes::failed("its own health check has not passed yet"),
            Ok(Some(EngineHealth::Unhealthy)) => probes::failed("its own health check fails"),
            Err(error) => ProbeReading::Unknown(error.to_string()),
        }
    }

    async fn start_id(&self, instance: &Instance) -> Result<String, DriverError> {
        let started_at = Self::started_at(self, &instance.id).await?;
        Ok(format!("{} {}", instance.id, started_at.unwrap_or_default()))
    }

    async fn started_at(&self, _: &ProjectName, _: &Service, instance: &Instance) -> Option<Timestamp> {
        Self::started_at(self, &instance.id).await.ok().flatten()
    }

    async fn search_log(
        &self,
        _: &ProjectName,
        service: &Service,
        instance: &Instance,
        pattern: &Regex,
    ) -> Result<LogSearch, DriverError> {
        let found = |text: &str| pattern.is_match(text);
        Self::search_log(self, &instance.id, found, service.health.probe_timeout).await
    }

    async fn log_tail(&self, project: &ProjectName, service: &Service, lines: usize) -> Vec<String> {
        match self.look(project, service).await.map(|look| look.instance) {
            Ok(Some(instance)) => Self::log_tail(self, &instance.id, lines).await,
            Ok(None) | Err(_) => Vec::new(),
        }
    }

    async fn log_from(
        &self,
        project: &ProjectName,
        service: &Service,
        mark: Option<&LogMark>,
    ) -> Result<Option<Logged>, DriverError> {
        match self.look(project, service).await?.instance {
            Some(instance) => Self::log_from(self, &instance.id, mark).await.map(Some),
            None => Ok(None),
        }
    }

    async fn forwarded(&self) -> Vec<Attribution> {
        let published = self.published().await.unwrap_or_default();
        let of = |(port, id)| Attribution { owner: Owner::Container(id), pids: Vec::new(), ports: vec![port] };
        published.into_iter().map(of).collect()
    }
}
