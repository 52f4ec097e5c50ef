//! Pauses in the simulation: a paused instance keeps its memory and ports, and does not answer.

use super::world::key_of;
use super::{Deed, Sim};
use crate::runtime::{DriverError, Pause};

impl Sim {
    pub(super) async fn freeze(&self, pause: &Pause<'_>, frozen: bool) -> Result<(), DriverError> {
        let deed = if frozen { Deed::Pause } else { Deed::Unpause };
        self.machine
            .effect(deed, pause.service, |world, _| {
                world.serve(pause.project);
                world.may_touch(pause.project, pause.service, pause.instance, "paused")?;
                let key = key_of(pause.instance);
                if !world.is_alive(key) {
                    return Err(DriverError::Missing(format!("{} does not run any more", pause.service)));
                }
                world.runtime(&pause.instance.runtime)?.set_paused(&mut world.facts, key, frozen);
                Ok(())
            })
            .await
    }
}
