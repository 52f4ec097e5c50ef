//! Preparation of a start, for all that can fail beforehand: image and disk space for it, networks, devices, mounted
//! paths, GPU access. No running container is touched.

use std::path::Path;
use std::time::Duration;

use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::StreamExt as _;

use crate::host::disk;
use crate::model::desired::Service;
use crate::model::names::{ObjectName, ProjectName};
use crate::runtime::DriverError;
use crate::runtime::docker::drive::engine::{Engine, PULL_FREE_BYTES_MIN, READ_DEADLINE, failure};
use crate::runtime::docker::drive::gpus::GPU_HOOKS;
use crate::runtime::docker::drive::inspect::{Seen, not_a_container};
use crate::runtime::docker::drive::real_settings::Details;
use crate::runtime::docker::drive::{EngineLocation, create};
use crate::runtime::docker::intent::{ContainerSpec, DockerSpec, GpuAccess, PullPolicy};
use crate::runtime::docker::options::NANOS_PER_CPU;

/// Deadline of a pull without progress: it may take hours, but reports several times a second unless it is stuck.
const PULL_SILENCE_MAX: Duration = Duration::from_mins(5);

impl Engine {
    /// Checks all that is known beforehand to be needed by a start, and pulls the image.
    pub async fn prepare(&self, project: &ProjectName, service: &Service) -> Result<(), DriverError> {
        match service.workload.spec::<DockerSpec>() {
            None => Err(not_a_container(service)),
            Some(DockerSpec::Existing(existing)) => match self.named(existing.container.as_str()).await? {
                Some(seen) if self.is_anothers(&seen, project) => Err(self.refusal(&seen, project, "start")),
                Some(seen) => self.prepare_existing(service, &seen.details).await,
                None => Err(missing_container(service, &existing.container)),
            },
            Some(DockerSpec::Created(container)) => {
                create::check_labels(service, container)?;
                self.prepare_names(project, service, container).await?;
                self.prepare_devices(service, container).await?;
                self.prepare_volumes(service, container).await?;
                self.provide_networks(project, service, container).await?;
                self.prepare_gpus(service, container).await?;
                self.prepare_limits(service, container).await?;
                self.prepare_image(service, container).await
            }
        }
    }

    /// Checks that the service's name, and the one under which its previous revision is put aside, are its own or free.
    async fn prepare_names(
        &self,
        project: &ProjectName,
        service: &Service,
        container: &ContainerSpec,
    ) -> Result<(), DriverError> {
        let (current, aside) = self.pair(project, service, container).await?;
        let foreign = |seen: &Seen| !self.is_ours(seen, project, service);
        if let Some(foreign) = current.filter(foreign) {
            return Err(self.refusal(&foreign, project, "replace"));
        }
        match aside.filter(foreign) {
            Some(foreign) => Err(DriverError::Refused(format!(
                "{}, and {} could not be put aside under that name: rename or remove it",
                self.describe(&foreign, project),
                container.name
            ))),
            None => Ok(()),
        }
    }

    /// Checks that the devices and host folders that a container was created with still exist.
    async fn prepare_existing(&self, service: &Service, details: &Details) -> Result<(), DriverError> {
        if !self.is_here().await? {
            return Ok(());
        }
        let mut devices = details.host.devices.iter().flatten().filter_map(|device| device.path_on_host.as_deref());
        let device = devices.find(|path| is_missing(path)).map(|path| format!("device {path}"));
        let binds = details.mounts.iter().filter(|mount| mount.typ.as_deref() == Some("bind"));
        let mut sources = binds.filter_map(|mount| mount.source.as_deref());
        let source = || sources.find(|path| is_missing(path)).map(|path| format!("the mounted path {path}"));
        match device.or_else(source) {
            Some(missing) => Err(DriverError::Missing(format!(
                "the container of service {} was created with {missing}, which no longer exists on this machine",
                service.name
            ))),
            None => Ok(()),
        }
    }

    async fn prepare_devices(&self, service: &Service, container: &ContainerSpec) -> Result<(), DriverError> {
        // The devices of another machine, and those of the host around a container, can't be seen from here.
        if !self.is_here().await? {
            return Ok(());
        }
        // Not a path: a device by its CDI name, which the engine resolves.
        let paths =
            container.devices.iter().map(|device| create::host_device(device)).filter(|path| path.starts_with('/'));
        match paths.into_iter().find(|path| !Path::new(path).exists()) {
            Some(path) => {
                Err(DriverError::Missing(format!("service {} needs device {path}, which does not exist", service.name)))
            }
            None => Ok(()),
        }
    }

    /// Checks that mounted paths exist: the engine would create an empty folder owned by root in place of the data.
    async fn prepare_volumes(&self, service: &Service, container: &ContainerSpec) -> Result<(), DriverError> {
        if let EngineLocation::Elsewhere(_) = self.place().await? {
            return Ok(());
        }
        // If lcm runs in a container, these are the host's folders, visible here through its mounts.
        self.host_volumes(service, container).await?;
        for volume in &container.volumes {
            if let Some(path) = create::host_path(volume).filter(|path| is_missing(path)) {
                return Err(DriverError::Missing(format!(
                    "service {} needs volume {volume}: there is no {path} on this machine; create it (the engine would \
                     create an empty folder owned by root)",
                    service.name
                )));
            }
        }
        Ok(())
    }

    async fn prepare_gpus(&self, service: &Service, container: &ContainerSpec) -> Result<(), DriverError> {
        let is_requested = match container.gpu_access {
            GpuAccess::Request => service.wants_gpu(),
            GpuAccess::Environment | GpuAccess::None => false,
        };
        if !is_requested {
            return Ok(());
        }
        let info = self.call("describe itself", READ_DEADLINE, self.docker.info()).await?;
        let by_runtime = info.runtimes.is_some_and(|runtimes| runtimes.contains_key("nvidia"));
        let by_device = info.discovered_devices.is_some_and(|devices| {
            devices.iter().filter_map(|device| device.id.as_deref()).any(|id| id.starts_with("nvidia.com/gpu"))
        });
        let by_hook = self.is_here().await? && GPU_HOOKS.iter().any(|hook| Path::new(hook).exists());
        if by_runtime || by_device || by_hook {
            return Ok(());
        }
        Err(DriverError::Missing(format!(
            "service {} needs a GPU, but the engine at {} can't provide one: it has neither the nvidia runtime nor \
             GPU devices (install the NVIDIA Container Toolkit, or set `gpu_access: environment` or `none`)",
            service.name, self.endpoint
        )))
    }

    /// Checks that the engine can set the stated limits. It would create the container without one that its kernel does
    /// not support, and refuse one that its machine is too small for.
    async fn prepare_limits(&self, service: &Service, container: &ContainerSpec) -> Result<(), DriverError> {
        let (memory, nano_cpus) = (container.options.mem_limit_bytes, container.options.nano_cpus);
        if memory.is_none() && nano_cpus.is_none() {
            return Ok(());
        }
        let info = self.call("describe itself", READ_DEADLINE, self.docker.info()).await?;
        let service = &service.name;
        let unsupported = |key: &str, what: &str| {
            DriverError::Missing(format!(
                "service {service} sets `{key}`, but the kernel of the engine at {} can't limit {what}: enable its \
                 cgroup controller, or remove the key",
                self.endpoint
            ))
        };
        if memory.is_some() && info.memory_limit == Some(false) {
            return Err(unsupported("mem_limit", "memory"));
        }
        let Some(nano_cpus) = nano_cpus else { return Ok(()) };
        if info.cpu_cfs_quota == Some(false) {
            return Err(unsupported("cpus", "CPU time"));
        }
        match info.ncpu.and_then(|cpus| u64::try_from(cpus).ok()) {
            Some(cpus) if cpus > 0 && nano_cpus > cpus.saturating_mul(NANOS_PER_CPU) => {
                Err(DriverError::Missing(format!(
                    "service {service} sets `cpus` to more than the {cpus} CPUs of the engine's machine; the engine \
                     refuses that"
                )))
            }
            Some(_) | None => Ok(()),
        }
    }

    async fn prepare_image(&self, service: &Service, container: &ContainerSpec) -> Result<(), DriverError> {
        let image = &container.image;
        let is_there = self.image_id(image).await?.is_some();
        match container.pull {
            PullPolicy::Missing | PullPolicy::Never if is_there => Ok(()),
            PullPolicy::Missing | PullPolicy::Always => {
                if !is_there {
                    self.require_capacity(image).await?;
                }
                self.pull(image).await
            }
            PullPolicy::Never => Err(DriverError::Missing(format!(
                "service {} needs image {image}, which is missing here, and `pull_policy: never` forbids pulling it",
                service.name
            ))),
        }
    }

    /// Checks the free disk space: a disk that a pull has filled stops every other service on it too.
    async fn require_capacity(&self, image: &str) -> Result<(), DriverError> {
        // The disk of another machine can't be read from here, nor the host's from a container.
        if !self.is_here().await? {
            return Ok(());
        }
        let info = self.call("describe itself", READ_DEADLINE, self.docker.info()).await?;
        match info.docker_root_dir {
            Some(root) => disk::require(Path::new(&root), PULL_FREE_BYTES_MIN, &format!("image {image}")),
            None => Ok(()),
        }
    }

    async fn pull(&self, image: &str) -> Result<(), DriverError> {
        let what = || format!("pull image {image}");
        let login = self.logins.for_image(image).await;
        // Without a tag the engine would pull all of them.
        let options = CreateImageOptionsBuilder::new().from_image(&with_tag(image)).build();
        let mut progress = std::pin::pin!(self.docker.create_image(Some(options), None, login.credentials()));
        loop {
            match tokio::time::timeout(PULL_SILENCE_MAX, progress.next()).await {
                Ok(None) => break,
                Ok(Some(Ok(_))) => {}
                Ok(Some(Err(error))) => return Err(login.explain(failure(&self.endpoint, what(), &error))),
                Err(_elapsed) => {
                    let reason = format!("no progress for {} s", PULL_SILENCE_MAX.as_secs());
                    return Err(DriverError::Engine { what: what(), reason });
                }
            }
        }
        match self.image_id(image).await? {
            Some(_) => Ok(()),
            None => Err(DriverError::Missing(format!("image {image} was pulled, but is missing"))),
        }
    }
}

/// Returns true if a path is known not to exist; one that this user can't read may be readable for the engine.
fn is_missing(path: &str) -> bool {
    path.starts_with('/') && matches!(Path::new(path).try_exists(), Ok(false))
}

pub(super) fn missing_container(service: &Service, container: &ObjectName) -> DriverError {
    DriverError::Missing(format!(
        "container {container} of service {} does not exist, and lcm does not create it: the manifest names it as an \
         existing one (`docker: {{ container }}`)",
        service.name
    ))
}

/// Adds the tag `latest` if neither tag nor digest is named.
fn with_tag(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    if last.contains([':', '@']) { image.to_owned() } else { format!("{image}:latest") }
}

#[cfg(test)]
mod tests {
    use super::with_tag;

    #[test]
    fn only_one_tag_is_ever_pulled() {
        assert_eq!(with_tag("localhost:5000/web"), "localhost:5000/web:latest");
        assert_eq!(with_tag("ollama/ollama:0.12"), "ollama/ollama:0.12");
        assert_eq!(with_tag("web@sha256:00"), "web@sha256:00");
    }
}
