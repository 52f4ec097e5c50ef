//! Facts about one engine: its containers and networks.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::endpoint::Endpoint;
use crate::model::facts::{Attribution, EngineHealth, Facts, InstanceCount, Marks, Reading, RuntimeFacts};
use crate::model::names::RuntimeName;
use crate::model::secret::Masker;
use crate::runtime::docker::NAME;
use crate::runtime::docker::network::NetworkSettings;
use crate::runtime::docker::settings::ContainerSettings;

/// Version of [`DockerFacts`].
pub const FORMAT: &str = "docker/1";

/// Facts read from one container engine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DockerFacts {
    /// Engine that the facts were read from.
    #[serde(default)]
    pub engine: Option<EngineFact>,
    /// Reason why the engine is not proven to be this machine's; its GPUs, ports and folders then count as a different
    /// machine's. Absent if the engine is local.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elsewhere: Option<String>,
    /// All containers of the engine, of this project or not: any of them may occupy a name or a port that a service
    /// needs.
    #[serde(default)]
    pub containers: Reading<Vec<ContainerFact>>,
    /// Ids of the engine's networks, keyed by name; read only if the manifest names a network.
    #[serde(default, skip_serializing_if = "Reading::is_not_asked")]
    pub networks: Reading<BTreeMap<String, String>>,
    /// Networks that the manifest defines, and those that lcm made for its project, keyed by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub network_details: BTreeMap<String, NetworkFact>,
}

/// Network as its engine reports it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NetworkFact {
    /// Settings as the engine reports them.
    #[serde(default)]
    pub settings: NetworkSettings,
    /// Marks that lcm writes on the networks that it makes; anyone may copy them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marks: Option<Marks>,
    /// Name of the Compose project, from Compose's label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compose_project: Option<String>,
    /// Containers on the network, running or not: names by id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub users: BTreeMap<String, String>,
}

impl RuntimeFacts for DockerFacts {
    fn runtime(&self) -> RuntimeName {
        NAME
    }

    fn format(&self) -> &'static str {
        FORMAT
    }

    fn to_json(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    fn unread(&self) -> Option<String> {
        Some(format!("the GPU memory that containers use is unknown: {}", self.containers.unknown()?))
    }

    fn endpoint(&self) -> Option<String> {
        self.engine.as_ref().map(|engine| format!("{} {}", engine.endpoint, engine.version))
    }

    fn elsewhere(&self) -> Option<&str> {
        self.elsewhere.as_deref()
    }

    fn keep_local(&mut self) {
        if self.elsewhere.is_none() {
            return;
        }
        for container in self.containers.known_mut().into_iter().flatten() {
            container.gpus = None;
            if let Some(marks) = &mut container.marks {
                (marks.gpus, marks.vram_mib, marks.uneven_mib) = (String::new(), 0, Vec::new());
            }
        }
    }

    fn count(&self) -> Option<InstanceCount> {
        Some(InstanceCount { count: self.containers.known()?.len(), one: "container", several: "containers" })
    }

    fn owned(&self) -> Vec<Attribution> {
        let containers = self.containers.known().into_iter().flatten();
        let running = containers.filter(|container| container.state == ContainerState::Running);
        running.map(|found| Attribution::of_object(&*found.id, found.ports.clone())).collect()
    }

    fn mask(&mut self, masker: &Masker) {
        // Every field by its name, so that a new one is not forgotten here.
        let Self { engine, elsewhere, containers, networks, network_details } = self;
        if let Some(reason) = elsewhere {
            masker.mask_in_place(reason);
        }
        if let Some(engine) = engine {
            masker.mask_in_place(&mut engine.endpoint);
            masker.mask_in_place(&mut engine.version);
        }
        containers.mask_reason(masker);
        networks.mask_reason(masker);
        for network in network_details.values_mut() {
            let NetworkSettings { options, labels, .. } = &mut network.settings;
            options.values_mut().chain(labels.values_mut()).for_each(|text| masker.mask_in_place(text));
        }
        for container in containers.known_mut().into_iter().flatten() {
            container.marks.iter_mut().for_each(|marks| marks.mask(masker));
            container.restart_policy.iter_mut().for_each(|policy| masker.mask_in_place(policy));
        }
    }
}

/// Access to the engine's part of a machine's facts.
pub trait DockerReading {
    /// Returns the facts of the engine; empty ones if the engine was not read.
    fn docker(&self) -> &DockerFacts;

    /// Returns the facts of the engine for changes.
    fn docker_mut(&mut self) -> &mut DockerFacts;
}

impl DockerReading for Facts {
    fn docker(&self) -> &DockerFacts {
        static NOT_ASKED: DockerFacts = DockerFacts {
            engine: None,
            elsewhere: None,
            containers: Reading::NotAsked,
            networks: Reading::NotAsked,
            network_details: BTreeMap::new(),
        };
        self.instances.get().unwrap_or(&NOT_ASKED)
    }

    fn docker_mut(&mut self) -> &mut DockerFacts {
        self.instances.get_mut()
    }
}

/// Returns the known containers.
pub(crate) fn known_containers(facts: &Facts) -> impl Iterator<Item = &ContainerFact> {
    facts.docker().containers.known().into_iter().flatten()
}

/// Address and version of the engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EngineFact {
    /// Address, such as `unix:///var/run/docker.sock`.
    pub endpoint: String,
    pub version: String,
}

/// Container as its engine reports it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContainerFact {
    pub id: String,
    /// Name without the engine's leading slash.
    pub name: String,
    /// Name of the image at the time when the container was created.
    pub image: String,
    /// True if the name in `image` now refers to a different image.
    #[serde(default)]
    pub image_moved: bool,
    pub state: ContainerState,
    #[serde(default)]
    pub exit_code: Option<i64>,
    #[serde(default)]
    pub oom_killed: bool,
    /// State of the container's health check, if it has one.
    #[serde(default)]
    pub health: Option<EngineHealth>,
    /// Time of the last start; known only if lcm inspected this container.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub started_at: Option<Timestamp>,
    #[serde(default)]
    pub marks: Option<Marks>,
    /// True if the image carries the same marks: the container then got them from the image, so they do not prove that
    /// lcm created it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub marks_inherited: bool,
    /// Name of the Compose project, from Compose's label.
    #[serde(default)]
    pub compose_project: Option<String>,
    /// Published host ports.
    #[serde(default)]
    pub ports: Vec<Endpoint>,
    /// Restart policy: `always`, `unless-stopped`, `on-failure`; known only if lcm inspected this container.
    #[serde(default)]
    pub restart_policy: Option<String>,
    /// GPUs that an existing container was created with; absent if lcm did not inspect it, or if the GPUs are unknown.
    #[serde(rename = "devices", default, skip_serializing_if = "Option::is_none")]
    pub gpus: Option<VisibleGpus>,
    /// Time at which the container last ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub finished_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub created_at: Option<Timestamp>,
    /// Number of times that the engine has restarted the container under its restart policy.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub restart_count: u32,
    /// True if the engine removes the container, with its anonymous volumes, when it ends (`docker run --rm`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub auto_remove: bool,
    /// Settings as the engine reports them; absent unless lcm inspected the container of a service that has an `image`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<Box<ContainerSettings>>,
}

impl ContainerFact {
    /// Returns a container of which nothing else is known.
    #[must_use]
    pub fn plain(id: impl Into<String>, name: impl Into<String>, state: ContainerState) -> Self {
        Self {
            id: id.into(),
            name: name.into(),
            image: String::new(),
            image_moved: false,
            state,
            exit_code: None,
            oom_killed: false,
            health: None,
            started_at: None,
            marks: None,
            marks_inherited: false,
            compose_project: None,
            ports: Vec::new(),
            restart_policy: None,
            gpus: None,
            finished_at: None,
            created_at: None,
            restart_count: 0,
            auto_remove: false,
            settings: None,
        }
    }
}

/// GPUs that a container was created with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Devices")]
pub enum VisibleGpus {
    All,
    None,
    /// GPUs by index or UUID.
    These(Vec<String>),
}

/// State of a container, as its engine reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ContainerState {
    Created,
    Running,
    Paused,
    Restarting,
    Removing,
    Exited,
    Dead,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}
