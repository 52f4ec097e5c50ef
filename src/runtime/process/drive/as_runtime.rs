//! Implementation of the runtime contract for process trees.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use regex_lite::Regex;
use tokio::task::spawn_blocking;

use crate::host::ports::ServiceProcesses;
use crate::host::program::command::{self, CommandExit};
use crate::host::program::survival;
use crate::host::{examine, probes};
use crate::model::desired::{Desired, Service};
use crate::model::doctor::{MachineCheck, RuntimeDemand};
use crate::model::facts::{Attribution, Facts, ProbeReading, ProcessFact};
use crate::model::found::Discovered;
use crate::model::instance::Instance;
use crate::model::names::{ProjectName, RuntimeName, ServiceName};
use crate::runtime::contract::{Adoption, ExecOutcome, LogSearch, ProcessReader, Runtime, RuntimeReading};
use crate::runtime::process::drive::processes::{Processes, process_of};
use crate::runtime::process::drive::survey::Survey;
use crate::runtime::process::drive::{adopt, disown, found, inspection_of, invocation};
use crate::runtime::process::facts::ProcessFacts;
use crate::runtime::process::{NAME, checks, facts};
use crate::runtime::{DriverError, Inspection, LogMark, Logged, Pause, Start, StopRequest, not_alive};

/// Bytes of a log that are searched for a pattern: what a chatty server writes in some minutes.
const LOG_BYTES_MAX: usize = 4 << 20;

#[async_trait]
impl Runtime for Processes {
    fn name(&self) -> RuntimeName {
        NAME
    }

    async fn read(&self, desired: &Desired) -> RuntimeReading {
        let Survey { trees, claims, pid_files } = self.survey(desired).await;
        RuntimeReading { facts: Box::new(ProcessFacts { trees, pid_files }), claims }
    }

    async fn examine(&self, demand: RuntimeDemand) -> Vec<MachineCheck> {
        let environment = self.environment.clone();
        vec![match examine::within(move || survival::read(&environment)).await {
            Ok(reading) => checks::survival(&reading, demand.runtime),
            Err(_overdue) => checks::overdue(demand.runtime),
        }]
    }

    async fn record(&self, project: &ProjectName) {
        Self::record(self, project).await;
    }

    async fn inspect(&self, project: &ProjectName, service: &Service) -> Result<Inspection, DriverError> {
        self.inspect_service(project, service).await
    }

    async fn inspect_owned(
        &self,
        project: &ProjectName,
        service: &Service,
    ) -> Result<(Inspection, Vec<Attribution>), DriverError> {
        let tree = self.tree(project, service).await?;
        let owned = tree.iter().map(facts::owned).collect();
        Ok((inspection_of(tree), owned))
    }

    async fn prepare(&self, _: &ProjectName, service: &Service) -> Result<(), DriverError> {
        Self::prepare(self, service).await
    }

    async fn start(&self, start: &Start<'_>) -> Result<Instance, DriverError> {
        Self::start(self, start).await
    }

    async fn stop(&self, stop: &StopRequest<'_>) -> Result<(), DriverError> {
        Self::stop(self, stop).await
    }

    async fn pause(&self, pause: &Pause<'_>) -> Result<(), DriverError> {
        Self::pause(self, pause).await
    }

    async fn unpause(&self, pause: &Pause<'_>) -> Result<(), DriverError> {
        Self::unpause(self, pause).await
    }

    async fn exec(
        &self,
        service: &Service,
        _: &Instance,
        argv: &[String],
        deadline: Duration,
    ) -> Result<ExecOutcome, DriverError> {
        let invocation = invocation::beside(service, process_of(service)?, &self.environment, argv)?;
        match command::run(&self.shim_program, &invocation, deadline).await? {
            CommandExit::Code(code) => Ok(ExecOutcome::Ended(code.into())),
            CommandExit::TimedOut => Ok(ExecOutcome::TimedOut),
        }
    }

    async fn check(&self, project: &ProjectName, service: &Service, instance: &Instance) -> ProbeReading {
        match self.inspect_service(project, service).await {
            Ok(inspection) => not_alive(&inspection, instance).map_or(ProbeReading::Passed, probes::failed),
            Err(error) => ProbeReading::Unknown(error.to_string()),
        }
    }

    async fn start_id(&self, instance: &Instance) -> Result<String, DriverError> {
        Ok(instance.id.clone())
    }

    async fn started_at(&self, project: &ProjectName, service: &Service, _: &Instance) -> Option<Timestamp> {
        self.tree(project, service).await.ok().flatten()?.started_at
    }

    async fn search_log(
        &self,
        project: &ProjectName,
        service: &Service,
        instance: &Instance,
        pattern: &Regex,
    ) -> Result<LogSearch, DriverError> {
        let id = &instance.id;
        let written = self.written(project, &service.name, Some(id), LOG_BYTES_MAX).await?;
        if pattern.is_match(&written.text) {
            return Ok(LogSearch::Found);
        }
        // The relay searches all output, and would have noted the pattern.
        if written.is_whole || self.is_awaited(project, &service.name, id, pattern.as_str()) {
            return Ok(LogSearch::Absent);
        }
        Ok(LogSearch::Incomplete { missing_bytes: written.missing_bytes })
    }

    async fn log_tail(&self, project: &ProjectName, service: &Service, lines: usize) -> Vec<String> {
        Self::log_tail(self, project, &service.name, lines).await
    }

    async fn log_from(
        &self,
        project: &ProjectName,
        service: &Service,
        mark: Option<&LogMark>,
    ) -> Result<Option<Logged>, DriverError> {
        Self::log_from(self, project, &service.name, mark).await
    }
    fn processes(&self) -> Option<ProcessReader> {
        let read = self.reader();
        Some(Box::new(move || Ok(Box::new(read()?) as Box<dyn ServiceProcesses>)))
    }

    async fn discover(&self, facts: &Facts) -> Discovered {
        let gpus = facts.gpus.known().cloned().unwrap_or_default();
        let trust = self.trust();
        let programs = spawn_blocking(move || found::programs(&gpus, &trust)).await.unwrap_or_default();
        Discovered { containers: BTreeMap::new(), programs }
    }

    fn adoptable(&self, adoption: &Adoption<'_>) -> Result<ProcessFact, DriverError> {
        adopt::adoptable(self, adoption)
    }

    fn adopt(&self, adoption: &Adoption<'_>) -> Result<ProcessFact, DriverError> {
        adopt::adopt(self, adoption)
    }

    fn disownable(&self, desired: &Desired, service: &ServiceName) -> Result<ProcessFact, DriverError> {
        disown::disownable(self, desired, service)
    }

    fn disown(&self, desired: &Desired, service: &ServiceName) -> Result<ProcessFact, DriverError> {
        disown::disown(self, desired, service)
    }
}
