//! Evidence of a container's ownership beside its labels: the manifest's names, this machine, and the labels of the
//! container's image. Checked before each effect, on the container as it is then.

use std::sync::{Arc, PoisonError};

use crate::model::desired::Service;
use crate::model::instance::Instance;
use crate::model::names::{ObjectName, ProjectName, ServiceName};
use crate::model::observed::ASIDE_SUFFIX;
use crate::runtime::DriverError;
use crate::runtime::docker::drive::engine::{Engine, short};
use crate::runtime::docker::drive::inspect::Seen;
use crate::runtime::docker::drive::login::Logins;
use crate::runtime::docker::drive::marks;
use crate::runtime::docker::drive::scope::{ImageMarks, OwnershipScope};
use crate::runtime::docker::intent::ContainerSpec;
use crate::runtime::docker::ownership::{self, OwnershipProof, ProjectIdentity};

/// Images remembered: far more than the containers of one project have. The image of an id never changes.
const IMAGES_MAX: usize = 4096;

impl Engine {
    /// Returns the same engine, for this manifest.
    #[must_use]
    pub fn scoped(self, scope: OwnershipScope) -> Self {
        Self { scope, ..self }
    }

    /// Returns the same engine, which pulls images with these logins.
    #[must_use]
    pub fn with_logins(self, logins: Logins) -> Self {
        Self { logins: Arc::new(logins), ..self }
    }

    /// Returns the id of this machine, if the engine may hold other machines' containers too.
    #[must_use]
    pub fn compared_host_id(&self) -> Option<&str> {
        // The engine that runs lcm's own container is this host's.
        self.host_id.as_deref().filter(|_| self.is_shared && self.outside().is_none())
    }

    pub(super) fn identity<'a>(&'a self, project: &'a ProjectName) -> ProjectIdentity<'a> {
        let OwnershipScope { aliases, take_over, adopted: _ } = &self.scope;
        ProjectIdentity { project, aliases, host_id: self.compared_host_id(), take_over: *take_over }
    }

    /// Returns true if the container is proven to be this service's.
    pub(super) fn is_ours(&self, seen: &Seen, project: &ProjectName, service: &Service) -> bool {
        let identity = self.identity(project);
        let expected = service.object().map(ObjectName::as_str);
        !seen.is_copy
            && seen.marks.as_ref().is_some_and(|marks| identity.are_of(marks, &service.name))
            && identity.standing(seen.evidence(), expected) == OwnershipProof::Ours
    }

    /// Returns true if a container that the manifest names is foreign, so that it is not adopted.
    pub(super) fn is_anothers(&self, seen: &Seen, project: &ProjectName) -> bool {
        match self.identity(project).standing(seen.evidence(), None) {
            OwnershipProof::OtherProject | OwnershipProof::OtherHost => true,
            OwnershipProof::Unmarked
            | OwnershipProof::Inherited
            | OwnershipProof::Ours
            | OwnershipProof::Renamed
            | OwnershipProof::Copied => false,
        }
    }

    /// Returns the container of a service and the one put aside for it, foreign ones too; under a former project name
    /// only those that are proven to be this service's.
    pub(super) async fn pair(
        &self,
        project: &ProjectName,
        service: &Service,
        container: &ContainerSpec,
    ) -> Result<(Option<Seen>, Option<Seen>), DriverError> {
        let own = container.name.as_str();
        let (mut current, mut aside) = self.both(own).await?;
        for former in self.identity(project).names(&service.name, own).iter().skip(1) {
            let ours = |seen: &Seen| self.is_ours(seen, project, service);
            if current.is_none() {
                current = self.named(former).await?.filter(ours);
            }
            if aside.is_none() {
                aside = self.named(&format!("{former}{ASIDE_SUFFIX}")).await?.filter(ours);
            }
        }
        // No two containers get the same salt: the one under the whole name is the original.
        if let (Some(current), Some(aside)) = (&current, &mut aside)
            && self.is_ours(current, project, service)
            && current.marks.as_ref().map(|marks| &marks.salt) == aside.marks.as_ref().map(|marks| &marks.salt)
        {
            aside.is_copy = true;
        }
        Ok((current, aside))
    }

    /// Checks that the container observed as this instance may be changed now. A container is the same by its id; its
    /// labels can't change, its name can.
    pub(super) fn may_act(
        &self,
        seen: &Seen,
        (project, service): (&ProjectName, &ServiceName),
        instance: &Instance,
        verb: &str,
    ) -> Result<(), DriverError> {
        let Some(name) = &instance.name else { return Err(self.refusal(seen, project, verb)) };
        let name = ownership::base_name(name.as_str());
        if ownership::base_name(&seen.name) != name {
            return Err(DriverError::Refused(format!(
                "container {name} ({}) was renamed to {} since it was inspected: lcm does not {verb} it",
                short(&seen.id),
                seen.name
            )));
        }
        let adopted = self.scope.adopted.as_ref();
        let is_adopted = adopted.is_some_and(|adopted| adopted.contains(&seen.name));
        let identity = self.identity(project);
        let of_service = seen.marks.as_ref().is_some_and(|marks| identity.are_of(marks, service));
        let allowed = match identity.standing(seen.evidence(), Some(name)) {
            OwnershipProof::Ours => of_service || is_adopted,
            OwnershipProof::Unmarked => adopted.is_none() || is_adopted,
            OwnershipProof::Inherited | OwnershipProof::Renamed | OwnershipProof::Copied => is_adopted,
            OwnershipProof::OtherProject | OwnershipProof::OtherHost => false,
        };
        if allowed { Ok(()) } else { Err(self.refusal(seen, project, verb)) }
    }

    pub(super) fn refusal(&self, seen: &Seen, project: &ProjectName, verb: &str) -> DriverError {
        DriverError::Refused(format!("{}: lcm does not {verb} it", self.describe(seen, project)))
    }

    /// Describes a container for messages: `container web (3f2a…) belongs to service web of lcm project studio`.
    pub(super) fn describe(&self, seen: &Seen, project: &ProjectName) -> String {
        let owner = match (&seen.marks, self.identity(project).standing(seen.evidence(), None)) {
            (None, _) | (_, OwnershipProof::Unmarked) => "was not made by lcm".to_owned(),
            (_, OwnershipProof::Inherited) => "carries lcm's marks from its image, but was not made by lcm".to_owned(),
            (Some(marks), OwnershipProof::OtherHost) => format!(
                "was made for lcm project {} by lcm on host {}, which shares this engine",
                marks.project,
                ownership::hostname(&marks.host_id)
            ),
            (
                Some(marks),
                OwnershipProof::OtherProject | OwnershipProof::Ours | OwnershipProof::Renamed | OwnershipProof::Copied,
            ) => {
                format!("belongs to service {} of lcm project {}", marks.service, marks.project)
            }
        };
        format!("container {} ({}) {owner}", seen.name, short(&seen.id))
    }

    /// Returns true if the marks came with the image. If the image is gone, the name by which the container was created
    /// decides: lcm creates each container from the image that it writes into the label.
    pub(super) async fn inherits(&self, seen: &Seen) -> Result<bool, DriverError> {
        let Some(marks) = &seen.marks else { return Ok(false) };
        Ok(match self.image_marks(&seen.image_id).await? {
            ImageMarks::Salt(salt) => salt == marks.salt,
            ImageMarks::None => false,
            ImageMarks::Gone => seen.image_label.as_ref().is_some_and(|label| *label != seen.image_name),
        })
    }

    /// Returns the marks of an image, by its id.
    pub(super) async fn image_marks(&self, id: &str) -> Result<ImageMarks, DriverError> {
        let is_id =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b':');
        if !is_id(id) {
            return Ok(ImageMarks::Gone);
        }
        let cell = {
            let mut images = self.images.lock().unwrap_or_else(PoisonError::into_inner);
            if images.len() >= IMAGES_MAX {
                images.clear();
            }
            Arc::clone(images.entry(id.to_owned()).or_default())
        };
        // An image that is gone may be pulled again under its id, so that its absence is not remembered.
        match cell.get_or_try_init(|| self.read_image_marks(id)).await {
            Ok(found) => Ok(found.clone()),
            Err(None) => Ok(ImageMarks::Gone),
            Err(Some(error)) => Err(error),
        }
    }

    /// Reads the marks of an image. `Err(None)`: the image is gone.
    async fn read_image_marks(&self, id: &str) -> Result<ImageMarks, Option<DriverError>> {
        let found = self.find(format!("inspect image {}", short(id)), self.docker.inspect_image(id)).await;
        let image = found.map_err(Some)?.ok_or(None)?;
        let labels = image.config.and_then(|config| config.labels).unwrap_or_default();
        let is_marked = labels.keys().any(|name| name.starts_with(marks::PREFIX));
        let salt = labels.get(marks::SALT).cloned().unwrap_or_default();
        Ok(if is_marked { ImageMarks::Salt(salt) } else { ImageMarks::None })
    }
}
