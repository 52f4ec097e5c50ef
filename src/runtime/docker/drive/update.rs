//! Update of a container: settings that the engine can change while it runs, and their comparison with the expected
//! ones.

use bollard::models::{
    ContainerUpdateBody, NetworkConnectRequest, NetworkDisconnectRequest, RestartPolicy, RestartPolicyNameEnum,
};

use crate::host::paths;
use crate::model::desired::Service;
use crate::model::facts::{Facts, Reading};
use crate::model::instance::Instance;
use crate::model::names::ProjectName;
use crate::runtime::DriverError;
use crate::runtime::docker::drive::create;
use crate::runtime::docker::drive::engine::{CHANGE_DEADLINE, Engine};
use crate::runtime::docker::drive::inspect::{Seen, not_a_container};
use crate::runtime::docker::facts::DockerReading as _;
use crate::runtime::docker::facts::{ContainerFact, ContainerState};
use crate::runtime::docker::intent::{ContainerSpec, DockerSpec};
use crate::runtime::docker::network::is_user_defined;
use crate::runtime::docker::settings::{
    ContainerSetting, ContainerSettings, Difference, MEMORY, NANO_CPUS, PIDS_LIMIT, SWAP_FACTOR,
};

/// Value that removes the limit on processes.
const PIDS_UNLIMITED: i64 = -1;

impl Engine {
    /// Changes the settings that can be changed while the container runs, and checks that the engine has applied them.
    pub async fn update(
        &self,
        project: &ProjectName,
        service: &Service,
        instance: &Instance,
    ) -> Result<(), DriverError> {
        let Some(DockerSpec::Created(container)) = service.workload.spec::<DockerSpec>() else {
            return Err(not_a_container(service));
        };
        let gone = || DriverError::Missing(format!("the container of `{}` is gone", service.name));
        let seen = self.instance(instance).await?.ok_or_else(gone)?;
        self.may_act(&seen, (project, &service.name), instance, "update")?;
        let differences = self.differences(&seen, service, container).await?;
        self.provide_networks(project, service, container).await?;
        self.mend(&seen, (service, container), &differences).await?;
        let now = self.instance(instance).await?.ok_or_else(gone)?;
        let left = self.differences(&now, service, container).await?;
        match left.iter().find(|difference| difference.can_update_in_place()) {
            None => Ok(()),
            Some(difference) => Err(DriverError::Engine {
                what: format!("update container {}", seen.name),
                reason: format!("the engine accepted the change, but {} still differs", difference.setting),
            }),
        }
    }

    /// Returns real settings that differ from those that lcm would create the container with now. Of a container that an
    /// earlier lcm created, limits alone: another setting that it was not created for is no reason to recreate it.
    pub(super) async fn differences(
        &self,
        seen: &Seen,
        service: &Service,
        container: &ContainerSpec,
    ) -> Result<Vec<Difference>, DriverError> {
        let Some(marks) = &seen.marks else { return Ok(Vec::new()) };
        let surroundings = self.surroundings(container).await?;
        let Some(expected) = ContainerSettings::expected(service, marks, &surroundings) else { return Ok(Vec::new()) };
        Ok(seen.details.settings(container, &marks.salt).drift(&expected, marks.compared))
    }

    /// Changes the differing settings that can be changed in place.
    pub(super) async fn mend(
        &self,
        seen: &Seen,
        (service, container): (&Service, &ContainerSpec),
        differences: &[Difference],
    ) -> Result<(), DriverError> {
        let mendable: Vec<&Difference> =
            differences.iter().filter(|difference| difference.can_update_in_place()).collect();
        self.change_limits(seen, &mendable).await?;
        // A recreated network has the name of the one before, which must be disconnected first. The names on a network
        // are set when it is joined.
        let on_network = |difference: &Difference| match &difference.setting {
            ContainerSetting::Network(name) | ContainerSetting::Endpoint(name) => Some(name.clone()),
            ContainerSetting::Digest(_)
            | ContainerSetting::Mount(_)
            | ContainerSetting::NetworkOf
            | ContainerSetting::Port(_)
            | ContainerSetting::Restart
            | ContainerSetting::Limit(_)
            | ContainerSetting::Option(_)
            | ContainerSetting::Device(_)
            | ContainerSetting::Gpu(_) => None,
        };
        for difference in mendable.iter().filter(|difference| difference.is.is_some()) {
            if let Some(name) = on_network(difference) {
                self.disconnect(seen, &name).await?;
            }
        }
        for difference in mendable.iter().filter(|difference| difference.should.is_some()) {
            if let Some(name) = on_network(difference) {
                self.join(seen, (service, container), &name).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn join(
        &self,
        seen: &Seen,
        (service, container): (&Service, &ContainerSpec),
        network: &str,
    ) -> Result<(), DriverError> {
        let endpoint_config = create::endpoint(network, service, container);
        let request = NetworkConnectRequest { container: seen.id.clone(), endpoint_config };
        let call = self.docker.connect_network(network, request);
        self.call(format!("connect container {} to network {network}", seen.name), CHANGE_DEADLINE, call).await
    }

    async fn disconnect(&self, seen: &Seen, network: &str) -> Result<(), DriverError> {
        let request = NetworkDisconnectRequest { container: seen.id.clone(), force: Some(true) };
        let call = self.docker.disconnect_network(network, request);
        self.call(format!("disconnect container {} from network {network}", seen.name), CHANGE_DEADLINE, call).await
    }

    async fn change_limits(&self, seen: &Seen, differences: &[&Difference]) -> Result<(), DriverError> {
        let restart = differences.iter().any(|difference| difference.setting == ContainerSetting::Restart);
        let limit = |name: &str| {
            let is_it = |setting: &ContainerSetting| matches!(setting, ContainerSetting::Limit(limit) if limit == name);
            differences.iter().find(|difference| is_it(&difference.setting)).map(|difference| &difference.should)
        };
        let number = |name: &str| limit(name)?.as_deref()?.parse::<i64>().ok();
        let (memory, pids) = (number(MEMORY), limit(PIDS_LIMIT).is_some());
        let nano_cpus = number(NANO_CPUS);
        if !restart && !pids && memory.is_none() && nano_cpus.is_none() {
            return Ok(());
        }
        let none = RestartPolicy { name: Some(RestartPolicyNameEnum::NO), maximum_retry_count: None };
        let body = ContainerUpdateBody {
            restart_policy: restart.then_some(none),
            pids_limit: pids.then_some(PIDS_UNLIMITED),
            memory,
            // As at creation; an engine refuses a limit of memory above that of memory and swap.
            memory_swap: memory.and_then(|memory| memory.checked_mul(SWAP_FACTOR)),
            nano_cpus,
            ..ContainerUpdateBody::default()
        };
        let what = format!("update container {}", seen.name);
        self.call(what, CHANGE_DEADLINE, self.docker.update_container(&seen.id, body)).await
    }

    /// Reads the facts that the expected settings of one container depend on beside the manifest.
    async fn surroundings(&self, container: &ContainerSpec) -> Result<Facts, DriverError> {
        let mut facts = Facts::empty("", jiff::Timestamp::UNIX_EPOCH);
        if container.networks.iter().any(|network| is_user_defined(network)) {
            facts.docker_mut().networks = Reading::Known(self.network_ids().await?);
        }
        self.place().await?;
        facts.paths = self.on_its_host(paths::read(&container.host_folders()));
        let shared = container.networks.iter().find_map(|network| network.strip_prefix("container:"));
        if let Some(shared) = shared
            && let Some(found) = self.named(shared).await?
        {
            let fact = ContainerFact::plain(found.id, found.name, ContainerState::Running);
            facts.docker_mut().containers = Reading::Known(vec![fact]);
        }
        Ok(facts)
    }
}
