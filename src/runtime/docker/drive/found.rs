//! Discovered containers, which no manifest names yet: each is inspected, since the list is incomplete for foreign
//! ones. Their ports are probed by a connection only. No environment is read.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use bollard::models::{ContainerInspectResponse, HostConfig, PortBinding};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::model::facts::Facts;
use crate::model::found::FoundContainer;
use crate::runtime::DriverError;
use crate::runtime::docker::drive::engine::{Engine, short};
use crate::runtime::docker::drive::lazy::Docker;
use crate::runtime::docker::drive::list::PARALLEL_MAX;
use crate::runtime::docker::facts::{ContainerState, DockerReading as _};

/// Labels of Compose.
const COMPOSE_SERVICE: &str = "com.docker.compose.service";
const COMPOSE_DEPENDS_ON: &str = "com.docker.compose.depends_on";

/// Deadline of one connection; a port of this machine answers within a millisecond.
const CONNECT_DEADLINE: Duration = Duration::from_millis(500);
/// Ports probed at once: enough for every service of one machine, few enough for its sockets.
const CONNECTS_MAX: usize = 32;

impl Docker {
    /// Inspects the containers of these facts. A container that can't be inspected is described by the list alone.
    pub(super) async fn found_containers(&self, facts: &Facts) -> BTreeMap<String, FoundContainer> {
        let containers = facts.docker().containers.known().map_or(&[][..], Vec::as_slice);
        let ids: Vec<String> = containers.iter().map(|container| container.id.clone()).collect();
        let Ok(engine) = self.engine() else { return BTreeMap::new() };
        let mut found = engine.found(&ids).await.unwrap_or_default();
        let running = containers.iter().filter(|container| container.state == ContainerState::Running);
        let published =
            running.filter_map(|container| Some((container.id.clone(), found.get(&container.id)?.ports.clone())));
        let published: Vec<(String, u16, String)> = published
            .flat_map(|(id, ports)| ports.into_iter().map(move |(port, address)| (id.clone(), port, address)))
            .collect();
        let answers: BTreeSet<(String, u16)> = stream::iter(published.into_iter().map(answers))
            .buffer_unordered(CONNECTS_MAX)
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

impl Engine {
    /// Inspects containers, by id. Containers that are gone by then are left out.
    pub async fn found(&self, ids: &[String]) -> Result<BTreeMap<String, FoundContainer>, DriverError> {
        let inspections = ids.iter().cloned().map(|id| async move {
            let call = self.docker.inspect_container(&id, None);
            let seen = self.find(format!("inspect container {}", short(&id)), call).await?;
            Ok::<_, DriverError>(seen.map(|seen| (id, found(seen))))
        });
        let found: Vec<Option<(String, FoundContainer)>> =
            stream::iter(inspections).buffered(PARALLEL_MAX).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }
}

fn found(response: ContainerInspectResponse) -> FoundContainer {
    let labels = response.config.and_then(|config| config.labels).unwrap_or_default();
    let host = response.host_config.unwrap_or_default();
    let policy = host.restart_policy.as_ref().and_then(|policy| policy.name).map(|name| name.to_string());
    FoundContainer {
        compose_service: labels.get(COMPOSE_SERVICE).cloned(),
        depends_on: labels.get(COMPOSE_DEPENDS_ON).map(|text| depends_on(text)).unwrap_or_default(),
        restart_policy: policy.filter(|name| !name.is_empty() && name != "no"),
        requests_gpu: requests_gpu(&host),
        ports: host.port_bindings.map(ports).unwrap_or_default(),
        answering: BTreeSet::new(),
    }
}

/// Returns the names in `db:service_healthy:true,cache:service_started:false`.
fn depends_on(text: &str) -> BTreeSet<String> {
    let names = text.split(',').filter_map(|entry| entry.split(':').next());
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn requests_gpu(host: &HostConfig) -> bool {
    let requests = host.device_requests.iter().flatten();
    let by_request = requests.flat_map(|request| request.capabilities.iter().flatten().flatten());
    by_request.into_iter().any(|capability| capability == "gpu") || host.runtime.as_deref() == Some("nvidia")
}

/// Returns the fixed TCP ports of the host; a port that the engine picks anew at each start is no stable address.
fn ports(bindings: HashMap<String, Option<Vec<PortBinding>>>) -> BTreeMap<u16, String> {
    bindings
        .into_iter()
        .filter(|(container, _)| !container.ends_with("/udp") && !container.ends_with("/sctp"))
        .flat_map(|(_, bindings)| bindings.unwrap_or_default())
        .filter_map(|binding| {
            let port = binding.host_port?.parse().ok().filter(|port| *port > 0)?;
            let address = binding.host_ip.filter(|address| !["", "0.0.0.0", "::"].contains(&address.as_str()));
            Some((port, address.unwrap_or_else(|| "localhost".to_owned())))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::depends_on;

    #[test]
    fn composes_label_of_dependencies_is_read() {
        let needs: Vec<String> =
            depends_on("db:service_healthy:true,cache:service_started:false").into_iter().collect();
        assert_eq!(needs, ["cache", "db"]);
        assert!(depends_on("").is_empty());
    }
}
