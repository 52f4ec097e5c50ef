//! Networks of an engine: read, made for the services that join them, and removed once no container uses them.
//!
//! lcm makes only networks that the manifest defines, and changes and removes only those that are proven to be its own.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bollard::models::{Ipam, IpamConfig, Network, NetworkCreateRequest};
use bollard::query_parameters::{ListContainersOptionsBuilder, ListNetworksOptions};

use crate::model::desired::{Desired, Service};
use crate::model::facts::{Marks, Reading};
use crate::model::names::ProjectName;
use crate::runtime::DriverError;
use crate::runtime::docker::drive::engine::{CHANGE_DEADLINE, Engine, READ_DEADLINE};
use crate::runtime::docker::drive::marks;
use crate::runtime::docker::facts::NetworkFact;
use crate::runtime::docker::intent::{ContainerSpec, DockerSpec};
use crate::runtime::docker::network::{AddressRange, NetworkSettings, NetworkSpec, is_user_defined};
use crate::runtime::docker::ownership::OwnershipProof;

/// Compose's label, for the owner of a network in messages.
const COMPOSE_PROJECT: &str = "com.docker.compose.project";
/// Driver of addresses that an engine uses by default.
const IPAM_DEFAULT: &str = "default";

/// Networks of an engine: ids by name, and those that concern a manifest.
pub(super) struct NetworkReading {
    pub(super) ids: Reading<BTreeMap<String, String>>,
    pub(super) details: BTreeMap<String, NetworkFact>,
}

impl Engine {
    /// Reads the ids of all networks by name.
    pub async fn networks(&self, desired: &Desired) -> Reading<BTreeMap<String, String>> {
        self.read_networks(desired).await.ids
    }

    /// Reads all networks; not read if the manifest has no container for lcm to create.
    pub(super) async fn read_networks(&self, desired: &Desired) -> NetworkReading {
        let nothing = |ids| NetworkReading { ids, details: BTreeMap::new() };
        let containers = || desired.services.values().filter_map(created);
        if containers().next().is_none() {
            return nothing(Reading::NotAsked);
        }
        let listed = match self.list_networks().await {
            Ok(listed) => listed,
            Err(error) => return nothing(Reading::Unknown(error.to_string())),
        };
        let defined: BTreeSet<&str> =
            containers().flat_map(|container| container.attachments.defined.keys().map(String::as_str)).collect();
        let identity = self.identity(&desired.project);
        let concerns = |network: &Network| {
            let marks = network.labels.as_ref().and_then(marks::read);
            let is_own = marks.is_some_and(|marks| identity.is_own(&marks.project));
            is_own || network.name.as_ref().is_some_and(|name| defined.contains(name.as_str()))
        };
        let (mut details, ids) = (BTreeMap::new(), ids(&listed));
        for network in listed.into_iter().filter(concerns) {
            let name = network.name.clone().unwrap_or_default();
            // Of two networks with one name the listed id decides.
            if network.id.is_some() && network.id.as_ref() == ids.get(&name) {
                details.insert(name, fact(network));
            }
        }
        let is_named = containers().flat_map(|container| &container.networks).any(|network| is_user_defined(network));
        if details.is_empty() && !is_named {
            return nothing(Reading::NotAsked);
        }
        match self.add_users(&ids, &mut details).await {
            Ok(()) => NetworkReading { ids: Reading::Known(ids), details },
            Err(error) => nothing(Reading::Unknown(error.to_string())),
        }
    }

    pub(super) async fn network_ids(&self) -> Result<BTreeMap<String, String>, DriverError> {
        Ok(ids(&self.list_networks().await?))
    }

    async fn list_networks(&self) -> Result<Vec<Network>, DriverError> {
        let call = self.docker.list_networks(None::<ListNetworksOptions>);
        self.call("list networks", READ_DEADLINE, call).await
    }

    /// Adds the containers on these networks. A network's own list has only those that run.
    async fn add_users(
        &self,
        ids: &BTreeMap<String, String>,
        details: &mut BTreeMap<String, NetworkFact>,
    ) -> Result<(), DriverError> {
        // By name too: a container that was never started has no id of its network.
        let wanted = details.keys().flat_map(|name| [Some(name), ids.get(name)]);
        let wanted: Vec<String> = wanted.flatten().cloned().collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let filters = HashMap::from([("network".to_owned(), wanted)]);
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        let call = self.docker.list_containers(Some(options));
        for container in self.call("list containers of networks", READ_DEADLINE, call).await? {
            let name = container.names.iter().flatten().next().map(|name| name.trim_start_matches('/').to_owned());
            let (Some(id), Some(name)) = (container.id, name) else { continue };
            let joined = container.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
            for network in joined.keys() {
                if let Some(fact) = details.get_mut(network) {
                    fact.users.insert(id.clone(), name.clone());
                }
            }
        }
        Ok(())
    }

    /// Returns the network of this name as it is now, with its id; `None`: there is none.
    async fn network(&self, name: &str) -> Result<Option<(String, NetworkFact)>, DriverError> {
        let listed = self.list_networks().await?;
        let found = listed.into_iter().find(|network| network.name.as_deref() == Some(name));
        let Some((id, network)) = found.and_then(|network| Some((network.id.clone()?, network))) else {
            return Ok(None);
        };
        let ids = BTreeMap::from([(name.to_owned(), id.clone())]);
        let mut details = BTreeMap::from([(name.to_owned(), fact(network))]);
        self.add_users(&ids, &mut details).await?;
        Ok(details.remove(name).map(|fact| (id, fact)))
    }

    /// Makes the networks that the manifest defines for this container, and checks that the others exist.
    pub(super) async fn provide_networks(
        &self,
        project: &ProjectName,
        service: &Service,
        container: &ContainerSpec,
    ) -> Result<(), DriverError> {
        let wanted: Vec<&String> = container.networks.iter().filter(|network| is_user_defined(network)).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        // Services are prepared in parallel, and an engine may make two networks of one name.
        let _only = self.networks_made.lock().await;
        for (name, spec) in &container.attachments.defined {
            self.provide(project, service, (name, spec)).await?;
        }
        let listed = self.list_networks().await?;
        let is_there = |wanted: &String| {
            listed.iter().any(|network| network.name.as_ref() == Some(wanted) || network.id.as_ref() == Some(wanted))
        };
        match wanted.into_iter().find(|network| !is_there(network)) {
            Some(network) => Err(DriverError::Missing(format!(
                "service {} needs network {network}, which does not exist: run `docker network create {network}`, or \
                 define it under `networks:` in the manifest for lcm to make it",
                service.name
            ))),
            None => Ok(()),
        }
    }

    /// Makes one network, unless it exists. One whose settings differ is made anew if no container uses it.
    async fn provide(
        &self,
        project: &ProjectName,
        service: &Service,
        (name, spec): (&str, &NetworkSpec),
    ) -> Result<(), DriverError> {
        if let Some((id, fact)) = self.network(name).await? {
            if self.network_proof(project, name, &fact) != OwnershipProof::Ours {
                return Err(DriverError::Refused(format!(
                    "service {} needs network {name}, and a foreign one has that name: write `external: true` in the \
                     network `{}` to use it as it is, or give yours another `name`",
                    service.name, spec.key
                )));
            }
            if spec.settings.differences(&fact.settings).is_empty() || !fact.users.is_empty() {
                return Ok(());
            }
            self.delete_network(&id, name).await?;
        }
        let request = request(project, (name, spec), self.own_host_id());
        self.call(format!("create network {name}"), CHANGE_DEADLINE, self.docker.create_network(request)).await?;
        Ok(())
    }

    /// Removes a network that lcm made for this project and that no container uses. Does nothing if it is gone.
    pub async fn remove_network(&self, project: &ProjectName, name: &str) -> Result<(), DriverError> {
        let Some((id, fact)) = self.network(name).await? else { return Ok(()) };
        if self.network_proof(project, name, &fact) != OwnershipProof::Ours {
            return Err(DriverError::Refused(format!(
                "network {name} was not made by lcm for project {project}: lcm does not remove it"
            )));
        }
        if let Some(user) = fact.users.values().next() {
            return Err(DriverError::Refused(format!(
                "network {name} is used by container {user}: lcm does not remove it"
            )));
        }
        self.delete_network(&id, name).await
    }

    async fn delete_network(&self, id: &str, name: &str) -> Result<(), DriverError> {
        self.call(format!("remove network {name}"), CHANGE_DEADLINE, self.docker.remove_network(id)).await
    }

    fn network_proof(&self, project: &ProjectName, name: &str, fact: &NetworkFact) -> OwnershipProof {
        self.identity(project).network_standing(name, fact.marks.as_ref())
    }
}

fn created(service: &Service) -> Option<&ContainerSpec> {
    match service.workload.spec::<DockerSpec>()? {
        DockerSpec::Created(container) => Some(container),
        DockerSpec::Existing(_) => None,
    }
}

fn ids(listed: &[Network]) -> BTreeMap<String, String> {
    listed.iter().filter_map(|network| Some((network.name.clone()?, network.id.clone()?))).collect()
}

/// Returns the network without its users.
fn fact(network: Network) -> NetworkFact {
    let labels = network.labels.unwrap_or_default();
    let marks: Option<Marks> = marks::read(&labels);
    let ipam = network.ipam.unwrap_or_default();
    let pools = ipam.config.unwrap_or_default().into_iter().filter_map(|pool| {
        let some = |text: Option<String>| text.filter(|text| !text.is_empty());
        Some(AddressRange { subnet: pool.subnet?, ip_range: some(pool.ip_range), gateway: some(pool.gateway) })
    });
    let settings = NetworkSettings {
        driver: network.driver,
        options: network.options.unwrap_or_default().into_iter().collect(),
        internal: network.internal.unwrap_or_default(),
        attachable: network.attachable.unwrap_or_default(),
        ipv6: Some(network.enable_ipv6.unwrap_or_default()),
        ipam_driver: ipam.driver.filter(|driver| driver != IPAM_DEFAULT),
        pools: pools.collect(),
        labels: labels
            .iter()
            .filter(|(name, _)| !name.starts_with(marks::PREFIX))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
    };
    let compose_project = labels.get(COMPOSE_PROJECT).cloned();
    NetworkFact { settings, marks, compose_project, users: BTreeMap::new() }
}

fn request(project: &ProjectName, (name, spec): (&str, &NetworkSpec), host_id: Option<&str>) -> NetworkCreateRequest {
    // Every field by its name, so that a new one is not forgotten here.
    let NetworkSettings { driver, options, internal, attachable, ipv6, labels, ipam_driver, pools } = &spec.settings;
    let ours = marks::of_network(project, (name, &spec.key), host_id);
    let labels = labels.iter().map(|(name, value)| (name.clone(), value.clone())).chain(ours).collect();
    let config = pools.iter().map(|pool| IpamConfig {
        subnet: Some(pool.subnet.clone()),
        ip_range: pool.ip_range.clone(),
        gateway: pool.gateway.clone(),
        auxiliary_addresses: None,
    });
    let has_ipam = ipam_driver.is_some() || !pools.is_empty();
    NetworkCreateRequest {
        name: name.to_owned(),
        driver: driver.clone(),
        internal: internal.then_some(true),
        attachable: attachable.then_some(true),
        enable_ipv6: *ipv6,
        options: (!options.is_empty()).then(|| options.clone().into_iter().collect()),
        labels: Some(labels),
        ipam: has_ipam.then(|| Ipam { driver: ipam_driver.clone(), config: Some(config.collect()), options: None }),
        ..NetworkCreateRequest::default()
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::Network;
    use serde_json::{from_value, to_value};

    use super::{fact, request};
    use crate::model::names::ProjectName;
    use crate::runtime::docker::network::{AddressRange, NetworkSettings, NetworkSpec};
    use crate::runtime::docker::ownership::{OwnershipProof, ProjectIdentity};

    #[test]
    fn every_setting_is_read_back_as_it_was_requested_and_the_network_is_ours() {
        let pool = AddressRange {
            subnet: "172.28.0.0/16".to_owned(),
            ip_range: Some("172.28.5.0/24".to_owned()),
            gateway: Some("172.28.0.1".to_owned()),
        };
        let settings = NetworkSettings {
            driver: Some("bridge".to_owned()),
            options: [("com.docker.network.driver.mtu".to_owned(), "1400".to_owned())].into(),
            internal: true,
            attachable: true,
            ipv6: Some(true),
            labels: [("team".to_owned(), "audio".to_owned())].into(),
            ipam_driver: Some("custom".to_owned()),
            pools: [pool].into(),
        };
        let (project, spec) = (ProjectName::new("shop"), NetworkSpec { key: "front".to_owned(), settings });
        let body = request(&project, ("shop_front", &spec), Some("box/1"));
        // Both have the engine's names for the same fields, so that a new one needs no line here.
        let network: Network = from_value(to_value(body).expect("JSON")).expect("a network");
        let real = fact(network);
        assert_eq!(real.settings, spec.settings);
        assert!(spec.settings.differences(&real.settings).is_empty());

        let identity = |project, host_id, take_over| {
            let aliases = &std::collections::BTreeSet::new();
            ProjectIdentity { project, aliases, host_id, take_over }.network_standing("shop_front", real.marks.as_ref())
        };
        let other = ProjectName::new("other");
        assert_eq!(identity(&project, Some("box/1"), false), OwnershipProof::Ours);
        assert_eq!(identity(&project, Some("box/2"), false), OwnershipProof::OtherHost);
        assert_eq!(identity(&project, Some("box/2"), true), OwnershipProof::Ours);
        assert_eq!(identity(&other, Some("box/1"), false), OwnershipProof::OtherProject);
        let aliases = std::collections::BTreeSet::new();
        let ours = ProjectIdentity { project: &project, aliases: &aliases, host_id: None, take_over: false };
        assert_eq!(ours.network_standing("shop_back", real.marks.as_ref()), OwnershipProof::Copied);
        assert_eq!(ours.network_standing("shop_front", None), OwnershipProof::Unmarked);
    }
}
