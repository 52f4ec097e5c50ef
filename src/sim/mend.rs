//! Settings of simulated containers: compared as the engine's are, and mended in place where an engine could.

use super::world::{World, key_of};
use super::{Deed, Sim};
use crate::model::desired::Service;
use crate::model::instance::Instance;
use crate::model::names::ProjectName;
use crate::runtime::DriverError;
use crate::runtime::docker::facts::ContainerFact;
use crate::runtime::docker::settings::{COMPARED, Difference, Settings};

impl Sim {
    pub(super) async fn mend(
        &self,
        project: &ProjectName,
        service: &Service,
        instance: &Instance,
    ) -> Result<(), DriverError> {
        self.effect(Deed::Update, &service.name, |world, _| {
            world.serve(project);
            let found = world.container_mut(key_of(instance)).cloned();
            let found =
                found.ok_or_else(|| DriverError::Missing(format!("the container of {} is gone", service.name)))?;
            world.may_touch(project, &service.name, &found, "updated")?;
            if let Some(error) = world.behaviour(&service.name).update_error {
                return Err(DriverError::Refused(error));
            }
            world.set_as_wanted(service, &found.id);
            Ok(())
        })
        .await
    }
}

impl World {
    /// Nothing of it differs that an engine could not change.
    pub(super) fn can_be_mended(&self, service: &Service, found: &ContainerFact) -> bool {
        let Some(expected) = self.expected(service, found) else { return true };
        let Some(settings) = &found.settings else { return true };
        settings.differences(&expected).iter().all(Difference::is_mendable)
    }

    /// Gives a container the settings that can be changed in place.
    pub(super) fn set_as_wanted(&mut self, service: &Service, id: &str) {
        let Some(found) = self.container_mut(id).cloned() else { return };
        if !self.can_be_mended(service, &found) {
            return;
        }
        let expected = self.expected(service, &found);
        if let (Some(expected), Some(container)) = (expected, self.container_mut(id)) {
            container.settings = Some(Box::new(expected));
        }
    }

    fn expected(&self, service: &Service, found: &ContainerFact) -> Option<Settings> {
        let marks = found.marks.as_ref().filter(|marks| marks.compared >= COMPARED)?;
        Settings::expected(service, marks, &self.facts)
    }
}
