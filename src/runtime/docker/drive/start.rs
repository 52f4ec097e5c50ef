//! Start of a container, creating it first where needed, and restore: the previous revision is put aside under another
//! name until the new one is known to be healthy.
//!
//! Each step leaves names and labels from which the next run knows what happened, so that a crash between any two of
//! them is repaired by starting again.

use bollard::query_parameters::{CreateContainerOptionsBuilder, RenameContainerOptionsBuilder, StartContainerOptions};

use crate::model::desired::Service;
use crate::model::facts::Marks;
use crate::model::instance::Instance;
use crate::model::names::ProjectName;
use crate::model::observed::ASIDE_SUFFIX;
use crate::runtime::docker::drive::engine::{CHANGE_DEADLINE, Engine};
use crate::runtime::docker::drive::inspect::{Seen, not_a_container};
use crate::runtime::docker::drive::prepare::missing_container;
use crate::runtime::docker::drive::{create, marks};
use crate::runtime::docker::intent::{ContainerSpec, DockerSpec};
use crate::runtime::docker::settings::{COMPARED, ContainerSetting, Difference, NOT_COMPARED};
use crate::runtime::{DriverError, Start};

impl Engine {
    /// Starts the present container if it matches the service, else a new one.
    pub async fn start(&self, start: &Start<'_>) -> Result<Instance, DriverError> {
        match start.service.workload.spec::<DockerSpec>() {
            None => Err(not_a_container(start.service)),
            Some(DockerSpec::Existing(existing)) => {
                let seen = self.named(existing.container.as_str()).await?;
                let seen = seen.ok_or_else(|| missing_container(start.service, &existing.container))?;
                if self.is_anothers(&seen, start.project) {
                    return Err(self.refusal(&seen, start.project, "start"));
                }
                self.run(&seen.id, &seen.name).await
            }
            Some(DockerSpec::Created(container)) => self.start_own(start, container).await,
        }
    }

    /// Removes the previous revision, since the new one is healthy. Without a new one it is all there is, and stays.
    pub async fn settle(&self, project: &ProjectName, service: &Service) -> Result<(), DriverError> {
        let Some(DockerSpec::Created(container)) = service.workload.spec::<DockerSpec>() else { return Ok(()) };
        let (current, aside) = self.pair(project, service, container).await?;
        let ours = |seen: &Seen| self.is_ours(seen, project, service);
        match aside.filter(ours) {
            Some(aside) if current.as_ref().is_some_and(ours) => self.delete(&aside).await,
            Some(_) | None => Ok(()),
        }
    }

    /// Removes the new revision, which is not healthy, and starts the previous one again under its name. If a failed
    /// start has renamed it back already, it is only started. Returns `false` if there was no previous revision.
    pub async fn restore(&self, project: &ProjectName, service: &Service) -> Result<bool, DriverError> {
        let Some(DockerSpec::Created(container)) = service.workload.spec::<DockerSpec>() else { return Ok(false) };
        let (current, aside) = self.pair(project, service, container).await?;
        let ours = |seen: &Seen| self.is_ours(seen, project, service);
        let Some(aside) = aside.filter(ours) else {
            let Some(old) = current.filter(ours) else { return Ok(false) };
            if old.is_up() || self.as_wanted(&old, service, container).await?.is_some() {
                return Ok(false);
            }
            return self.run(&old.id, &old.name).await.map(|_| true);
        };
        match current {
            Some(foreign) if !ours(&foreign) => return Err(self.refusal(&foreign, project, "replace")),
            Some(failed) => {
                self.halt(&failed, &service.stop).await?;
                self.delete(&failed).await?;
            }
            None => {}
        }
        self.rename(&aside, container.name.as_str()).await?;
        self.run(&aside.id, container.name.as_str()).await.map(|_| true)
    }

    async fn start_own(&self, start: &Start<'_>, container: &ContainerSpec) -> Result<Instance, DriverError> {
        let (current, aside) = self.pair(start.project, start.service, container).await?;
        let ours = |seen: &Seen| self.is_ours(seen, start.project, start.service);
        if let Some(foreign) = current.as_ref().filter(|seen| !ours(seen)) {
            return Err(self.refusal(foreign, start.project, "replace"));
        }
        if let Some(current) = &current {
            if let Some(mendable) = self.fits(current, start, container).await? {
                self.mend(current, (start.service, container), &mendable).await?;
                self.join_networks(current, start.service, container).await?;
                return self.run(&current.id, &current.name).await;
            }
            if current.is_up() {
                return Err(DriverError::Refused(format!(
                    "container {} still runs with another spec: stop it before it is replaced",
                    current.name
                )));
            }
        }
        let fallback = match (current, aside) {
            (None, None) => None,
            (Some(_), Some(foreign)) if !ours(&foreign) => {
                return Err(self.refusal(&foreign, start.project, "replace"));
            }
            // Left by an aborted run: the container aside is known to have worked, the one after it is not.
            (Some(current), Some(aside)) => {
                self.delete(&current).await?;
                Some(aside)
            }
            (Some(current), None) => {
                self.rename(&current, &format!("{}{ASIDE_SUFFIX}", container.name)).await?;
                Some(current)
            }
            (None, Some(aside)) if !ours(&aside) => None,
            (None, Some(aside)) if aside.is_up() => Some(aside),
            (None, Some(aside)) => {
                let Some(mendable) = self.fits(&aside, start, container).await? else {
                    return self.create_and_run(start, container, Some(&aside)).await;
                };
                self.rename(&aside, container.name.as_str()).await?;
                self.mend(&aside, (start.service, container), &mendable).await?;
                return self.run(&aside.id, container.name.as_str()).await;
            }
        };
        self.create_and_run(start, container, fallback.as_ref()).await
    }

    /// Creates and starts a container. If that fails, the previous revision gets its name back.
    async fn create_and_run(
        &self,
        start: &Start<'_>,
        container: &ContainerSpec,
        fallback: Option<&Seen>,
    ) -> Result<Instance, DriverError> {
        let error = match self.create(start, container).await {
            Ok(made) => match self.bring_up(&made, start.service, container).await {
                Ok(instance) => return Ok(instance),
                Err(error) if fallback.is_none() => return Err(error),
                Err(error) => self.delete(&made).await.err().unwrap_or(error),
            },
            Err(error) => error,
        };
        match fallback {
            // The first error is more useful than one of renaming back.
            Some(old) => Err(self.rename(old, container.name.as_str()).await.err().map_or(error, |second| {
                DriverError::Refused(format!("{second}, after the start of its successor failed"))
            })),
            None => Err(error),
        }
    }

    /// Creates a container whose settings can be compared. An engine may have defaults of its own, or write a setting
    /// in another way. A setting that differs right after creation would differ forever: such a container is created
    /// once more, with a mark that excludes it from the comparison.
    async fn create(&self, start: &Start<'_>, container: &ContainerSpec) -> Result<Seen, DriverError> {
        let made = self.create_compared(start, container, COMPARED).await?;
        let differences = self.differences(&made, start.service, container).await?;
        // Further networks are joined later.
        if differences.iter().all(|difference| matches!(difference.setting, ContainerSetting::Network(_))) {
            return Ok(made);
        }
        self.delete(&made).await?;
        self.create_compared(start, container, NOT_COMPARED).await
    }

    async fn create_compared(
        &self,
        start: &Start<'_>,
        container: &ContainerSpec,
        compared: u32,
    ) -> Result<Seen, DriverError> {
        let volumes = self.host_volumes(start.service, container).await?;
        let container = &ContainerSpec { volumes, ..container.clone() };
        let body = create::body(start, container, self.own_host_id(), compared)?;
        let options = CreateContainerOptionsBuilder::new().name(container.name.as_str()).build();
        let call = self.docker.create_container(Some(options), body);
        let made = self.call(format!("create container {}", container.name), CHANGE_DEADLINE, call).await?;
        let seen = self.inspect(&made.id).await?;
        seen.ok_or_else(|| DriverError::Missing(format!("container {} was created, but is missing", container.name)))
    }

    async fn bring_up(
        &self,
        seen: &Seen,
        service: &Service,
        container: &ContainerSpec,
    ) -> Result<Instance, DriverError> {
        self.join_networks(seen, service, container).await?;
        self.run(&seen.id, &seen.name).await
    }

    /// Joins the networks after the first, which is given at creation; the engine takes the others one by one.
    async fn join_networks(
        &self,
        seen: &Seen,
        service: &Service,
        container: &ContainerSpec,
    ) -> Result<(), DriverError> {
        let missing = container.networks.iter().skip(1).filter(|network| !seen.details.networks.contains_key(*network));
        for network in missing {
            self.join(seen, (service, container), network).await?;
        }
        Ok(())
    }

    /// Returns the settings left to change in place on a container that matches this start: spec, secrets, real
    /// settings, image, its GPUs, and the memory that it counts for there. Both of the last are labels of the
    /// container, where the next plan reads them. `None`: it must be recreated.
    async fn fits(
        &self,
        seen: &Seen,
        start: &Start<'_>,
        container: &ContainerSpec,
    ) -> Result<Option<Vec<Difference>>, DriverError> {
        let memory = Marks::vram_text(start.service);
        let placed = seen
            .marks
            .as_ref()
            .filter(|marks| !self.identity(start.project).is_taken_over(marks))
            .is_some_and(|marks| marks.gpus == marks::gpus(start.gpus) && marks.figures() == memory);
        if !placed {
            return Ok(None);
        }
        self.as_wanted(seen, start.service, container).await
    }

    /// Returns the same, regardless of its placement.
    async fn as_wanted(
        &self,
        seen: &Seen,
        service: &Service,
        container: &ContainerSpec,
    ) -> Result<Option<Vec<Difference>>, DriverError> {
        let Some(marks) = &seen.marks else { return Ok(None) };
        if !service.spec.has_hash(&marks.spec) || !service.spec.has_secrets(&marks.secrets, &marks.salt) {
            return Ok(None);
        }
        let differences = self.differences(seen, service, container).await?;
        if !differences.iter().all(Difference::can_update_in_place) {
            return Ok(None);
        }
        // An image whose name is gone has not moved.
        let has_image = self.image_id(&container.image).await?.is_none_or(|now| now == seen.image_id);
        Ok(has_image.then_some(differences))
    }

    async fn run(&self, id: &str, name: &str) -> Result<Instance, DriverError> {
        let call = self.docker.start_container(id, None::<StartContainerOptions>);
        self.call(format!("start container {name}"), CHANGE_DEADLINE, call).await?;
        Ok(crate::runtime::docker::instance(id.to_owned(), name))
    }

    async fn rename(&self, seen: &Seen, name: &str) -> Result<(), DriverError> {
        let options = RenameContainerOptionsBuilder::new().name(name).build();
        let what = format!("rename container {} to {name}", seen.name);
        self.call(what, CHANGE_DEADLINE, self.docker.rename_container(&seen.id, options)).await
    }
}
