//! List of all containers: one list call, and an inspection of those of this manifest, for their real settings.

use std::collections::BTreeMap;
use std::pin::pin;

use bollard::models::{ContainerSummary, ContainerSummaryStateEnum, PortSummary, PortSummaryTypeEnum};
use bollard::query_parameters::ListContainersOptionsBuilder;
use futures_util::stream::{self, FuturesUnordered};
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _};

use crate::model::desired::{Desired, Service};
use crate::model::endpoint::{Endpoint, Protocol};
use crate::model::facts::{EngineHealth, Reading};
use crate::runtime::DriverError;
use crate::runtime::docker::drive::engine::{Engine, READ_DEADLINE};
use crate::runtime::docker::drive::inspect::{ContainerActivity, Seen};
use crate::runtime::docker::drive::marks;
use crate::runtime::docker::drive::scope::ImageMarks;
use crate::runtime::docker::facts::{ContainerFact, ContainerState};
use crate::runtime::docker::intent::{ContainerSpec, DockerSpec};

/// Inspections at once: enough to hide their latency, few enough not to slow down other users of the engine.
pub(super) const PARALLEL_MAX: usize = 8;

/// Exit code after KILL, sent by lcm or by the kernel when memory runs out: only an inspection shows which.
const KILLED: i64 = 137;

/// Compose's label, for the owner of a container in messages.
const COMPOSE_PROJECT: &str = "com.docker.compose.project";

impl Engine {
    /// Reads all containers, sorted by name.
    pub async fn containers(&self, desired: &Desired) -> Reading<Vec<ContainerFact>> {
        match self.read_containers(desired).await {
            Ok(facts) => Reading::Known(facts),
            Err(error) => Reading::Unknown(error.to_string()),
        }
    }

    /// Reads containers with lcm's marks, of any project.
    pub async fn marked(&self, desired: &Desired) -> Result<Vec<ContainerFact>, DriverError> {
        let mut facts = self.read_containers(desired).await?;
        facts.retain(|fact| fact.marks.is_some());
        Ok(facts)
    }

    /// Returns the host ports that running containers publish, with the container's id.
    pub async fn published(&self) -> Result<Vec<(Endpoint, String)>, DriverError> {
        let mut published = Vec::new();
        for summary in self.list(false).await? {
            let id = summary.id.clone().unwrap_or_default();
            published.extend(host_ports(&summary).into_iter().map(|port| (port, id.clone())));
        }
        Ok(published)
    }

    /// Returns the ids of running containers.
    pub(super) async fn running_ids(&self) -> Result<Vec<String>, DriverError> {
        Ok(self.list(false).await?.into_iter().filter_map(|summary| summary.id).collect())
    }

    async fn list(&self, all: bool) -> Result<Vec<ContainerSummary>, DriverError> {
        let options = ListContainersOptionsBuilder::new().all(all).build();
        self.call("list containers", READ_DEADLINE, self.docker.list_containers(Some(options))).await
    }

    async fn read_containers(&self, desired: &Desired) -> Result<Vec<ContainerFact>, DriverError> {
        let services = desired.services.values();
        let services: BTreeMap<&str, &Service> =
            services.filter_map(|service| Some((service.object()?.as_str(), service))).collect();
        let names: Vec<String> = services.keys().map(ToString::to_string).collect();
        let (found, mut ahead) = self.list_and_inspect(&names).await?;
        let found = found.into_iter().map(listed).collect::<Result<Vec<_>, _>>()?;
        let completed = found.into_iter().map(|listed| {
            let service = services.get(listed.fact.name.as_str()).copied();
            let seen = ahead.remove(&listed.fact.id).filter(|seen| agrees(seen, listed.fact.state));
            self.complete(listed, seen, service, desired)
        });
        let mut facts: Vec<ContainerFact> = stream::iter(completed)
            .buffered(PARALLEL_MAX)
            .try_filter_map(|fact| async move { Ok(fact) })
            .try_collect()
            .await?;
        facts.sort_unstable_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        Ok(facts)
    }

    /// Returns the list, and by id those of the named containers that could be inspected while the engine made the
    /// list: it has a core for each.
    async fn list_and_inspect(
        &self,
        names: &[String],
    ) -> Result<(Vec<ContainerSummary>, BTreeMap<String, Seen>), DriverError> {
        let (mut names, mut listed, mut ahead) = (names.iter(), None, BTreeMap::new());
        let mut list = pin!(self.list(true));
        let mut inspections = FuturesUnordered::new();
        // Each turn ends one call: the list, or an inspection, of which there are at most as many as names.
        loop {
            // Once the list is there, it shows which containers need an inspection.
            while listed.is_none() && inspections.len() < PARALLEL_MAX {
                let Some(name) = names.next() else { break };
                inspections.push(self.inspect(name).boxed());
            }
            tokio::select! {
                biased;
                found = &mut list, if listed.is_none() => listed = Some(found),
                // A container that can't be inspected here is inspected after the list, which reports the error.
                Some(one) = inspections.next() => ahead.extend(one.ok().flatten().map(|seen| (seen.id.clone(), seen))),
                else => break,
            }
        }
        Ok((listed.transpose()?.unwrap_or_default(), ahead))
    }

    /// Adds what the list leaves out, where it is needed. `inspected`: the container, if inspected already. `None`: the
    /// container is gone by now.
    async fn complete(
        &self,
        listed: Listed,
        mut inspected: Option<Seen>,
        service: Option<&Service>,
        desired: &Desired,
    ) -> Result<Option<ContainerFact>, DriverError> {
        let Listed { mut fact, image_id, image_label } = listed;
        let identity = self.identity(&desired.project);
        let is_own = fact.marks.as_ref().is_some_and(|marks| identity.is_own(&marks.project));
        if let Some(marks) = fact.marks.as_ref().filter(|_| is_own || service.is_some()) {
            fact.marks_inherited = match self.image_marks(&image_id).await? {
                ImageMarks::Salt(salt) => salt == marks.salt,
                ImageMarks::None => false,
                ImageMarks::Gone => match inspected.take() {
                    Some(seen) => inspected.insert(seen).inherited,
                    None => match self.inspect(&fact.id).await? {
                        Some(seen) => inspected.insert(seen).inherited,
                        None => return Ok(None),
                    },
                },
            };
        }
        let ours = is_own && !fact.marks_inherited;
        if ours && let Some(name) = image_label {
            // The engine shows an id in place of a name that no longer means the container's image.
            fact.image_moved = fact.image != name
                && service.is_some_and(|service| own(service).is_some())
                && self.image_id(&name).await?.is_some_and(|now| now != image_id);
            fact.image = name;
        }
        // The list has neither limits, restart policy and environment, nor the time and the cause of the end.
        let is_known = service.is_some_and(|service| ours || own(service).is_none());
        let is_unclear = ours && (fact.exit_code == Some(KILLED) || fact.state == ContainerState::Restarting);
        if !is_known && !is_unclear {
            return Ok(Some(fact));
        }
        let seen = match inspected {
            Some(seen) => seen,
            None => match self.inspect(&fact.id).await? {
                Some(seen) => seen,
                None => return Ok(None),
            },
        };
        Ok(Some(inspected_fact(fact, seen, service)))
    }
}

/// Returns true if an inspection agrees with the list: the container did not change in between.
fn agrees(seen: &Seen, state: ContainerState) -> bool {
    match state {
        ContainerState::Running => seen.state == ContainerActivity::Running,
        ContainerState::Created => seen.state == ContainerActivity::Created,
        ContainerState::Exited => seen.state == ContainerActivity::Ended,
        ContainerState::Paused | ContainerState::Restarting | ContainerState::Removing | ContainerState::Dead => false,
    }
}

/// Adds an inspection to an entry of the list.
fn inspected_fact(fact: ContainerFact, seen: Seen, service: Option<&Service>) -> ContainerFact {
    let is_existing = service.is_some_and(|service| own(service).is_none());
    let settings = service.and_then(own).map(|container| {
        let salt = seen.marks.as_ref().map_or("", |marks| marks.salt.as_str());
        Box::new(seen.details.settings(container, salt))
    });
    ContainerFact {
        exit_code: fact.exit_code.and(seen.exit_code),
        oom_killed: seen.oom_killed,
        health: seen.health,
        started_at: seen.started_at,
        finished_at: seen.finished_at,
        created_at: seen.created_at,
        restart_policy: seen.restart_policy,
        restart_count: seen.restart_count,
        auto_remove: seen.auto_remove,
        gpus: seen.gpus.filter(|_| is_existing),
        settings,
        ..fact
    }
}

fn own(service: &Service) -> Option<&ContainerSpec> {
    match service.workload.spec::<DockerSpec>() {
        Some(DockerSpec::Created(container)) => Some(container),
        None | Some(DockerSpec::Existing(_)) => None,
    }
}

/// Entry of the list.
struct Listed {
    fact: ContainerFact,
    image_id: String,
    image_label: Option<String>,
}

fn listed(summary: ContainerSummary) -> Result<Listed, DriverError> {
    let ports = host_ports(&summary);
    let status = summary.status.unwrap_or_default();
    let mut labels = summary.labels.unwrap_or_default();
    // Links add names of the form /other/alias; the container's own has one slash.
    let names = summary.names.unwrap_or_default();
    let name = names.iter().filter_map(|name| name.strip_prefix('/')).find(|name| !name.contains('/'));
    let name = name.or(names.first().map(String::as_str)).unwrap_or_default().to_owned();
    let Some(state) = summary.state.and_then(state) else {
        let reason = format!("its list has no state for container {name} ({status})");
        return Err(DriverError::Engine { what: "list containers".to_owned(), reason });
    };
    let fact = ContainerFact {
        image: summary.image.unwrap_or_default(),
        exit_code: exit_code(&status),
        health: health(&status),
        marks: marks::read(&labels),
        compose_project: labels.remove(COMPOSE_PROJECT),
        ports,
        ..ContainerFact::plain(summary.id.unwrap_or_default(), name, state)
    };
    Ok(Listed { fact, image_id: summary.image_id.unwrap_or_default(), image_label: labels.remove(marks::IMAGE) })
}

/// Returns the state; `None`: the engine does not report one.
fn state(state: ContainerSummaryStateEnum) -> Option<ContainerState> {
    match state {
        ContainerSummaryStateEnum::EMPTY => None,
        ContainerSummaryStateEnum::CREATED => Some(ContainerState::Created),
        ContainerSummaryStateEnum::RUNNING | ContainerSummaryStateEnum::STOPPING => Some(ContainerState::Running),
        ContainerSummaryStateEnum::PAUSED => Some(ContainerState::Paused),
        ContainerSummaryStateEnum::RESTARTING => Some(ContainerState::Restarting),
        ContainerSummaryStateEnum::EXITED => Some(ContainerState::Exited),
        ContainerSummaryStateEnum::REMOVING => Some(ContainerState::Removing),
        ContainerSummaryStateEnum::DEAD => Some(ContainerState::Dead),
    }
}

/// Parses the exit code in `Exited (137) 3 seconds ago` and `Restarting (1) 2 seconds ago`.
fn exit_code(status: &str) -> Option<i64> {
    let rest = status.strip_prefix("Exited (").or_else(|| status.strip_prefix("Restarting ("))?;
    rest.split_once(')')?.0.parse().ok()
}

/// Parses the health in `Up 2 minutes (healthy)` and `Up 1 second (health: starting)`.
fn health(status: &str) -> Option<EngineHealth> {
    let words = [
        ("(healthy)", EngineHealth::Healthy),
        ("(unhealthy)", EngineHealth::Unhealthy),
        ("(health: starting)", EngineHealth::Starting),
    ];
    words.into_iter().find(|(word, _)| status.ends_with(word)).map(|(_, health)| health)
}

/// Returns host ports, once each, in order.
fn host_ports(summary: &ContainerSummary) -> Vec<Endpoint> {
    let endpoint = |port: &PortSummary| {
        let protocol = match port.typ {
            Some(PortSummaryTypeEnum::UDP) => Protocol::Udp,
            _ => Protocol::Tcp,
        };
        let address = port.ip.as_deref().and_then(|address| address.parse().ok());
        Some(Endpoint { protocol, ..Endpoint::tcp(address, port.public_port.filter(|port| *port != 0)?) })
    };
    let mut ports: Vec<Endpoint> = summary.ports.iter().flatten().filter_map(endpoint).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

#[cfg(test)]
mod tests {
    use super::{exit_code, health};
    use crate::model::facts::EngineHealth;

    #[test]
    fn exit_code_and_health_are_read_from_the_status_line() {
        assert_eq!(exit_code("Exited (137) 3 seconds ago"), Some(137));
        assert_eq!(exit_code("Restarting (1) Less than a second ago"), Some(1));
        assert_eq!(exit_code("Up 2 minutes (healthy)"), None);
        assert_eq!(health("Up 2 minutes (healthy)"), Some(EngineHealth::Healthy));
        assert_eq!(health("Up 2 minutes (unhealthy)"), Some(EngineHealth::Unhealthy));
        assert_eq!(health("Up 1 second (health: starting)"), Some(EngineHealth::Starting));
        assert_eq!(health("Up 1 second (Paused)"), None);
    }
}
