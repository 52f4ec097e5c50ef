//! Pausing in the simulated world: what is paused keeps all that it holds, and answers nobody.

use super::world::{World, key_of};
use super::{Deed, Sim};
use crate::model::instance::Instance;
use crate::runtime::docker::facts::ContainerState;
use crate::runtime::{DriverError, Pause};

impl Sim {
    pub(super) async fn freeze(&self, pause: &Pause<'_>, frozen: bool) -> Result<(), DriverError> {
        let deed = if frozen { Deed::Pause } else { Deed::Unpause };
        self.effect(deed, pause.service, |world, _| {
            world.serve(pause.project);
            world.may_pause(pause)?;
            if !world.is_alive(key_of(pause.instance)) {
                return Err(DriverError::Missing(format!("{} does not run any more", pause.service)));
            }
            match pause.instance {
                Instance { id, name: Some(_), .. } => {
                    if let Some(container) = world.container_mut(id) {
                        container.state = if frozen { ContainerState::Paused } else { ContainerState::Running };
                    }
                }
                Instance { id, name: None, .. } => {
                    if let Some(tree) = world.tree_mut(id) {
                        tree.suspended = frozen;
                    }
                }
            }
            Ok(())
        })
        .await
    }
}

impl World {
    fn may_pause(&mut self, pause: &Pause<'_>) -> Result<(), DriverError> {
        match pause.instance {
            Instance { id, name: Some(_), .. } => match self.container_mut(id).cloned() {
                Some(found) => self.may_touch(pause.project, pause.service, &found, "paused"),
                None => Ok(()),
            },
            Instance { id, name: None, .. } => {
                let others = self.tree_mut(id).is_some_and(|tree| !tree.marks.are_of(pause.project, pause.service));
                if others {
                    Err(self.violate(format!("paused tree {id}, which is not {}", pause.service)))
                } else {
                    Ok(())
                }
            }
        }
    }
}
