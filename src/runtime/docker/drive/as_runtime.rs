//! Driver of containers: the contract that all runtimes share, by calls of one engine.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use regex_lite::Regex;
use tokio::time::timeout;

use crate::host::{paths, probes};
use crate::model::desired::{Desired, Service};
use crate::model::doctor::{MachineCheck, RuntimeDemand};
use crate::model::enclosure::MountFact;
use crate::model::endpoint::Endpoint;
use crate::model::facts::{Attribution, EngineHealth, Facts, PathFact, ProbeReading, ProcessFact};
use crate::model::found::Discovered;
use crate::model::instance::Instance;
use crate::model::names::{ProjectName, RuntimeName, ServiceName};
use crate::model::workload::Origin;
use crate::runtime::contract::{ExecOutcome, LogSearch, OuterHost, Runtime, RuntimeReading};
use crate::runtime::docker::drive::lazy::{Docker, MARKED_WAIT};
use crate::runtime::docker::{NAME, checks};
use crate::runtime::{DriverError, Inspection, LogMark, Logged, Pause, Start, StopRequest};

#[async_trait]
impl Runtime for Docker {
    fn name(&self) -> RuntimeName {
        NAME
    }

    async fn read(&self, desired: &Desired) -> RuntimeReading {
        RuntimeReading { facts: Box::new(self.facts(desired).await), claims: Vec::new() }
    }

    async fn examine(&self, demand: RuntimeDemand) -> Vec<MachineCheck> {
        checks::judge(&Self::examine(self).await, demand)
    }

    async fn inspect(&self, project: &ProjectName, service: &Service) -> Result<Inspection, DriverError> {
        self.engine()?.inspect_service(project, service).await
    }

    async fn prepare(&self, project: &ProjectName, service: &Service) -> Result<(), DriverError> {
        self.engine()?.prepare(project, service).await
    }

    async fn start(&self, start: &Start<'_>) -> Result<Instance, DriverError> {
        self.engine()?.start(start).await
    }

    async fn settle(&self, project: &ProjectName, service: &Service) -> Result<(), DriverError> {
        self.engine()?.settle(project, service).await
    }

    async fn restore(&self, project: &ProjectName, service: &Service) -> Result<bool, DriverError> {
        self.engine()?.restore(project, service).await
    }

    async fn stop(&self, stop: &StopRequest<'_>) -> Result<(), DriverError> {
        self.engine()?.stop(stop).await
    }

    async fn pause(&self, pause: &Pause<'_>) -> Result<(), DriverError> {
        self.engine()?.pause(pause).await
    }

    async fn unpause(&self, pause: &Pause<'_>) -> Result<(), DriverError> {
        self.engine()?.unpause(pause).await
    }

    async fn update(&self, project: &ProjectName, service: &Service, instance: &Instance) -> Result<(), DriverError> {
        self.engine()?.update(project, service, instance).await
    }

    async fn remove(&self, project: &ProjectName, instance: &Instance) -> Result<(), DriverError> {
        self.engine()?.remove(project, instance).await
    }

    async fn remove_network(&self, project: &ProjectName, network: &str) -> Result<(), DriverError> {
        self.engine()?.remove_network(project, network).await
    }

    async fn exec(
        &self,
        _: &Service,
        instance: &Instance,
        argv: &[String],
        deadline: Duration,
    ) -> Result<ExecOutcome, DriverError> {
        self.engine()?.exec(&instance.id, argv, deadline).await
    }

    async fn check(&self, _: &ProjectName, _: &Service, instance: &Instance) -> ProbeReading {
        let health = match self.engine() {
            Ok(engine) => engine.health(&instance.id).await,
            Err(error) => Err(error),
        };
        match health {
            Ok(Some(EngineHealth::Healthy) | None) => ProbeReading::Passed,
            Ok(Some(EngineHealth::Starting)) => probes::failed("its own health check has not passed yet"),
            Ok(Some(EngineHealth::Unhealthy)) => probes::failed("its own health check fails"),
            Err(error) => ProbeReading::Unknown(error.to_string()),
        }
    }

    async fn start_id(&self, instance: &Instance) -> Result<String, DriverError> {
        let started_at = self.engine()?.started_at(&instance.id).await?;
        Ok(format!("{} {}", instance.id, started_at.unwrap_or_default()))
    }

    async fn started_at(&self, _: &ProjectName, _: &Service, instance: &Instance) -> Option<Timestamp> {
        self.engine().ok()?.started_at(&instance.id).await.ok().flatten()
    }

    async fn search_log(
        &self,
        _: &ProjectName,
        service: &Service,
        instance: &Instance,
        pattern: &Regex,
    ) -> Result<LogSearch, DriverError> {
        let found = |text: &str| pattern.is_match(text);
        self.engine()?.search_log(&instance.id, found, service.health.probe_timeout).await
    }

    async fn log_tail(&self, project: &ProjectName, service: &Service, lines: usize) -> Vec<String> {
        let Ok(engine) = self.engine() else { return Vec::new() };
        match engine.inspect_service(project, service).await.map(|inspection| inspection.instance) {
            Ok(Some(instance)) => engine.log_tail(&instance.id, lines).await,
            Ok(None) | Err(_) => Vec::new(),
        }
    }

    async fn log_from(
        &self,
        project: &ProjectName,
        service: &Service,
        mark: Option<&LogMark>,
    ) -> Result<Option<Logged>, DriverError> {
        match self.engine()?.inspect_service(project, service).await?.instance {
            Some(instance) => self.engine()?.log_from(&instance.id, mark).await.map(Some),
            None => Ok(None),
        }
    }

    /// Returns the published ports. Without an answer of the engine, the processes that forward for it stay foreign.
    async fn forwarded(&self) -> Vec<Attribution> {
        let Some(engine) = self.wanted() else { return Vec::new() };
        let published = engine.published().await.unwrap_or_default();
        let of = |(port, id): (Endpoint, String)| Attribution::of_object(id, vec![port]);
        published.into_iter().map(of).collect()
    }

    fn elsewhere(&self) -> Option<&str> {
        self.connected()?.elsewhere()
    }

    fn paths(&self, desired: &Desired) -> BTreeMap<String, PathFact> {
        let mounted = paths::of_runtime(desired, &NAME);
        match self.connected() {
            Some(engine) => engine.on_its_host(mounted),
            None => mounted,
        }
    }

    fn outer_host(&self) -> OuterHost {
        let Some(engine) = self.connected() else { return OuterHost::default() };
        let hostname = engine.outside().map(|outside| outside.host.clone()).filter(|host| !host.is_empty());
        OuterHost { hostname, id: engine.compared_host_id().map(str::to_owned) }
    }

    async fn own_mounts(&self) -> Option<Vec<MountFact>> {
        let engine = self.engine().ok()?;
        let place = timeout(MARKED_WAIT, engine.place()).await.ok()?.ok();
        place.and_then(|_| engine.outside()?.mounts.clone())
    }

    async fn discover(&self, facts: &Facts) -> Discovered {
        Discovered { containers: self.found_containers(facts).await, programs: Vec::new() }
    }

    fn disownable(&self, desired: &Desired, service: &ServiceName) -> Result<ProcessFact, DriverError> {
        Err(kept_by_manifest(desired, service))
    }

    fn disown(&self, desired: &Desired, service: &ServiceName) -> Result<ProcessFact, DriverError> {
        Err(kept_by_manifest(desired, service))
    }
}

/// Returns the refusal to give a container back: the manifest alone decides on containers.
fn kept_by_manifest(desired: &Desired, service: &ServiceName) -> DriverError {
    let workload = desired.services.get(service).map(|service| &service.workload);
    let container = workload.and_then(|workload| workload.object.as_ref()).map(ToString::to_string);
    let container = container.map_or_else(|| "a container".to_owned(), |name| format!("container {name}"));
    DriverError::Refused(match workload.map(|workload| workload.origin) {
        Some(Origin::Existing) => format!(
            "can't give back `{service}`: the manifest adopts {container} by `docker: {{ container: .. }}`; remove the \
             service from the manifest, and lcm leaves the container as it is"
        ),
        Some(Origin::Created) | None => format!(
            "can't give back `{service}`: lcm creates {container}; stop it with `lcm stop {service}`, or leave it \
             alone with `lcm maintain {service}`"
        ),
    })
}
