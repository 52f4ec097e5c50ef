//! Engine of one manifest, connected at its first use.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

use tokio::time::timeout;

use crate::model::desired::Desired;
use crate::model::facts::Reading;
use crate::runtime::DriverError;
use crate::runtime::docker::NAME;
use crate::runtime::docker::checks::EngineReading;
use crate::runtime::docker::drive::connect::connect;
use crate::runtime::docker::drive::engine::Engine;
use crate::runtime::docker::drive::examine;
use crate::runtime::docker::drive::login::Logins;
use crate::runtime::docker::drive::networks::NetworkReading;
use crate::runtime::docker::drive::scope::OwnershipScope;
use crate::runtime::docker::facts::{ContainerFact, DockerFacts, EngineFact};
use crate::runtime::registration::DriverContext;

/// Deadline of optional readings: an engine of this machine answers within milliseconds, and one that hangs must not
/// delay manifests that don't need it.
pub(crate) const MARKED_WAIT: Duration = Duration::from_secs(2);

/// Driver of containers, for one manifest.
#[derive(Debug)]
pub struct Docker {
    host: Option<String>,
    environment: BTreeMap<String, String>,
    logins: Logins,
    /// True if the manifest has a use for an engine, or everything is read.
    is_asked: bool,
    engine: OnceLock<Engine>,
    scope: OwnershipScope,
}

impl Docker {
    /// Creates the driver of one manifest. Sends no request yet.
    #[must_use]
    pub fn new(context: &DriverContext<'_>) -> Self {
        let DriverContext { desired, environment, shim_program, discovers } = context;
        Self {
            host: desired.endpoints.get(&NAME).cloned(),
            environment: (*environment).clone(),
            logins: Logins::new(environment, shim_program),
            is_asked: *discovers || desired.services.values().any(|service| service.workload.is_of(&NAME)),
            engine: OnceLock::new(),
            scope: OwnershipScope::of(desired),
        }
    }

    /// Returns the engine; connects to it first if needed.
    pub(crate) fn engine(&self) -> Result<&Engine, DriverError> {
        if let Some(engine) = self.engine.get() {
            return Ok(engine);
        }
        let engine = connect(self.host.as_deref(), &self.environment)?;
        let engine = engine.scoped(self.scope.clone()).with_logins(self.logins.clone());
        Ok(self.engine.get_or_init(|| engine))
    }

    /// Reads the engine for `lcm doctor`, over connections of its own.
    pub(super) async fn examine(&self) -> EngineReading {
        examine::read(self.host.as_deref(), &self.environment).await
    }

    /// Returns the engine, if it was connected before.
    pub(crate) fn connected(&self) -> Option<&Engine> {
        self.engine.get()
    }

    /// Returns the engine, if the manifest has any use for one.
    pub(super) fn wanted(&self) -> Option<&Engine> {
        if self.is_asked { self.engine().ok() } else { None }
    }

    /// Reads every container that this manifest can touch, and every other holder of capacity.
    pub(super) async fn facts(&self, desired: &Desired) -> DockerFacts {
        let ((engine, containers), networks) = tokio::join!(self.containers(desired), self.networks(desired));
        let NetworkReading { ids: networks, details: network_details } = networks;
        let elsewhere = self.connected().and_then(Engine::elsewhere).map(str::to_owned);
        DockerFacts { engine, elsewhere, containers, networks, network_details }
    }

    async fn containers(&self, desired: &Desired) -> (Option<EngineFact>, Reading<Vec<ContainerFact>>) {
        if !self.is_asked {
            return self.marked(desired).await;
        }
        match self.engine() {
            Ok(engine) => {
                // An engine that does not answer gets no further request.
                let containers = engine.containers(desired).await;
                let Reading::Known(found) = containers else { return (None, containers) };
                let version = engine.fact().await.ok();
                let meant = engine.require_meant().await;
                (version, meant.map_or_else(|error| Reading::Unknown(error.to_string()), |()| Reading::Known(found)))
            }
            Err(error) => (None, Reading::Unknown(error.to_string())),
        }
    }

    /// Reads containers with lcm's marks for a manifest that names none: those that it left behind, and other
    /// projects', which may take all that they declare at any time. An engine that does not answer in time counts as
    /// not read.
    async fn marked(&self, desired: &Desired) -> (Option<EngineFact>, Reading<Vec<ContainerFact>>) {
        let reading = async {
            let engine = self.engine().ok()?;
            let found = engine.marked(desired).await.ok().filter(|found| !found.is_empty())?;
            engine.require_meant().await.ok()?;
            Some((engine.fact().await.ok(), Reading::Known(found)))
        };
        timeout(MARKED_WAIT, reading).await.ok().flatten().unwrap_or((None, Reading::NotAsked))
    }

    async fn networks(&self, desired: &Desired) -> NetworkReading {
        match self.wanted() {
            Some(engine) => engine.read_networks(desired).await,
            None => NetworkReading { ids: Reading::NotAsked, details: BTreeMap::new() },
        }
    }
}
