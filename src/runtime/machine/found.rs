//! A look at a machine without a manifest: all that runs, whoever started it. Nothing is asked anything, but whether
//! published ports take connections.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::model::desired::Desired;
use crate::model::facts::Facts;
use crate::model::found::{FoundContainer, MachineSurvey};
use crate::runtime::Driver as _;
use crate::runtime::docker::drive::Docker;
use crate::runtime::docker::facts::{ContainerState, DockerReading as _};
use crate::runtime::machine::{Machine, PROBES_MAX};
use crate::runtime::process::drive::found::programs;

/// A port of this machine answers within a millisecond.
const CONNECT_DEADLINE: Duration = Duration::from_millis(500);

impl Machine {
    /// `desired` says only that there is use for an engine and for GPUs.
    pub async fn found(&self, desired: &Desired) -> MachineSurvey {
        let facts = self.survey(desired).await;
        let gpus = facts.gpus.known().cloned().unwrap_or_default();
        let trust = self.processes.trust();
        let (containers, programs) =
            tokio::join!(self.found_containers(&facts), spawn_blocking(move || programs(&gpus, &trust)));
        MachineSurvey { facts, containers, programs: programs.unwrap_or_default() }
    }

    /// What can't be inspected is described by the list alone.
    async fn found_containers(&self, facts: &Facts) -> BTreeMap<String, FoundContainer> {
        let containers = facts.docker().containers.known().map_or(&[][..], Vec::as_slice);
        let ids: Vec<String> = containers.iter().map(|container| container.id.clone()).collect();
        let Some(Ok(engine)) = self.docker().map(Docker::engine) else { return BTreeMap::new() };
        let mut found = engine.found(&ids).await.unwrap_or_default();
        let running = containers.iter().filter(|container| container.state == ContainerState::Running);
        let asked =
            running.filter_map(|container| Some((container.id.clone(), found.get(&container.id)?.ports.clone())));
        let asked: Vec<(String, u16, String)> = asked
            .flat_map(|(id, ports)| ports.into_iter().map(move |(port, address)| (id.clone(), port, address)))
            .collect();
        let answers: BTreeSet<(String, u16)> = stream::iter(asked.into_iter().map(answers))
            .buffer_unordered(PROBES_MAX)
            .filter_map(|answer| async move { answer })
            .collect()
            .await;
        for (id, port) in answers {
            if let Some(container) = found.get_mut(&id) {
                container.answering.insert(port);
            }
        }
        found
    }
}

async fn answers((id, port, address): (String, u16, String)) -> Option<(String, u16)> {
    let connected = timeout(CONNECT_DEADLINE, TcpStream::connect((address.as_str(), port))).await;
    connected.is_ok_and(|connected| connected.is_ok()).then_some((id, port))
}
