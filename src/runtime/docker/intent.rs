//! Definition of a service that is a container.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use smol_str::SmolStr;

use crate::model::desired::Service;
use crate::model::endpoint::PublishedPort;
use crate::model::environment::EnvValue;
use crate::model::names::ObjectName;
use crate::model::workload::{Capabilities, Capability, Origin, RuntimeSpec, Workload};
use crate::runtime::docker::NAME;
use crate::runtime::docker::network::Attachments;
use crate::runtime::docker::options::ContainerOptions;

const CAPABILITIES: Capabilities = Capabilities(&[
    Capability::Pause,
    Capability::Exec,
    Capability::Logs,
    Capability::KeepsPrevious,
    Capability::LocalGpu,
    Capability::LocalPorts,
    Capability::ChecksItself,
    Capability::Objects,
    Capability::RunsToEnd,
]);

/// Definition of a service that is a container.
#[derive(Clone, Debug)]
pub enum DockerSpec {
    /// lcm creates it, recreates it on change, and removes it on `down`.
    Created(Box<ContainerSpec>),
    /// Created without lcm: started and stopped, never created or removed.
    Existing(ExistingContainer),
}

/// Container that lcm creates.
#[derive(Clone, Debug)]
pub struct ContainerSpec {
    /// Name: `container_name`, else `PROJECT-SERVICE`.
    pub name: ObjectName,
    pub image: String,
    pub pull: PullPolicy,
    pub command: Option<Vec<String>>,
    pub entrypoint: Option<Vec<String>>,
    pub environment: BTreeMap<String, EnvValue>,
    pub ports: Vec<PublishedPort>,
    /// Volumes in the engine's form: `name-or-absolute-path:target[:ro]`.
    pub volumes: Vec<String>,
    /// Networks by their names in the engine.
    pub networks: Vec<String>,
    /// Definitions of those networks, and the container's settings on them.
    pub attachments: Attachments,
    pub user: Option<String>,
    pub shm_size_bytes: Option<u64>,
    pub ipc: Option<String>,
    /// Devices as `host:container[:rwm]`.
    pub devices: Vec<String>,
    pub ulimits: BTreeMap<String, Ulimit>,
    pub labels: BTreeMap<String, String>,
    pub options: ContainerOptions,
    pub healthcheck: Option<ImageHealthcheck>,
    pub gpu_access: GpuAccess,
}

/// Container that was created without lcm.
#[derive(Clone, Debug)]
pub struct ExistingContainer {
    pub container: ObjectName,
    /// True if the container may be stopped though the engine then removes it (`auto_remove: accept`).
    pub accepts_auto_remove: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullPolicy {
    Missing,
    Always,
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ulimit {
    pub soft: i64,
    pub hard: i64,
}

/// Health check that the engine itself runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageHealthcheck {
    /// Command in the engine's form: `["CMD", …]`, `["CMD-SHELL", …]`, `["NONE"]`.
    pub test: Vec<String>,
    pub interval: Option<Duration>,
    pub timeout: Option<Duration>,
    pub retries: Option<u32>,
    pub start_period: Option<Duration>,
}

/// Way in which a container gets its GPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GpuAccess {
    /// A device request by UUID.
    Request,
    /// `NVIDIA_VISIBLE_DEVICES` alone.
    Environment,
    /// Nothing, for containers that only simulate a GPU.
    None,
}

impl ContainerSpec {
    /// Returns the host folders that the container mounts.
    #[must_use]
    pub fn host_folders(&self) -> Vec<PathBuf> {
        let sources = self.volumes.iter().filter_map(|volume| volume.split(':').next());
        sources.filter(|source| source.starts_with('/')).map(PathBuf::from).collect()
    }

    /// Returns a container that runs an image as it is.
    #[must_use]
    pub fn plain(name: impl Into<SmolStr>, image: impl Into<String>) -> Self {
        Self {
            name: ObjectName::new(name),
            image: image.into(),
            pull: PullPolicy::Missing,
            command: None,
            entrypoint: None,
            environment: BTreeMap::new(),
            ports: Vec::new(),
            volumes: Vec::new(),
            networks: Vec::new(),
            attachments: Attachments::default(),
            user: None,
            shm_size_bytes: None,
            ipc: None,
            devices: Vec::new(),
            ulimits: BTreeMap::new(),
            labels: BTreeMap::new(),
            options: ContainerOptions::default(),
            healthcheck: None,
            gpu_access: GpuAccess::Request,
        }
    }
}

impl RuntimeSpec for DockerSpec {
    fn host_paths(&self) -> Vec<PathBuf> {
        match self {
            Self::Created(container) => container.host_folders(),
            Self::Existing(_) => Vec::new(),
        }
    }

    fn shares_with(&self) -> Vec<&str> {
        let Self::Created(container) = self else { return Vec::new() };
        let modes = container.networks.iter().map(String::as_str).chain(container.ipc.as_deref());
        modes.filter_map(|mode| mode.strip_prefix("container:")).collect()
    }

    fn environment(&self) -> Option<&BTreeMap<String, EnvValue>> {
        match self {
            Self::Created(container) => Some(&container.environment),
            Self::Existing(_) => None,
        }
    }
}

impl From<DockerSpec> for Workload {
    fn from(spec: DockerSpec) -> Self {
        let (object, origin) = match &spec {
            DockerSpec::Created(container) => (container.name.clone(), Origin::Created),
            DockerSpec::Existing(existing) => (existing.container.clone(), Origin::Existing),
        };
        Self {
            runtime: NAME,
            target: None,
            object: Some(object),
            origin,
            capabilities: CAPABILITIES,
            spec: Box::new(spec),
        }
    }
}

impl From<ContainerSpec> for Workload {
    fn from(container: ContainerSpec) -> Self {
        DockerSpec::Created(Box::new(container)).into()
    }
}

impl From<ExistingContainer> for Workload {
    fn from(existing: ExistingContainer) -> Self {
        DockerSpec::Existing(existing).into()
    }
}

/// Returns the definition of a service that is a container; `None`: the service is another runtime's.
#[must_use]
pub fn spec_of(service: &Service) -> Option<&DockerSpec> {
    service.workload.spec()
}

/// Returns true if the container may be stopped though the engine then removes it.
#[must_use]
pub fn accepts_auto_remove(service: &Service) -> bool {
    match spec_of(service) {
        Some(DockerSpec::Existing(existing)) => existing.accepts_auto_remove,
        Some(DockerSpec::Created(_)) | None => false,
    }
}
