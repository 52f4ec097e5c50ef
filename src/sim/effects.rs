//! Starts and stops of the simulated machine: the part that is the same for all runtimes.

use std::time::Duration;

use tokio::time::Instant;

use super::lives::KILLED;
use super::world::{InstanceLife, ScheduledEnd, World, key_of};
use super::{Deed, Sim, runtime_of};
use crate::model::instance::Instance;
use crate::runtime::{DriverError, Start, StopRequest};

impl Sim {
    pub(super) async fn bring_up(&self, start: &Start<'_>) -> Result<Instance, DriverError> {
        let service = start.service;
        let begins_after = {
            let mut world = self.machine.lock();
            world.serve(start.project);
            world.learn(service);
            world.tick();
            world.behaviour(&service.name).begins_after
        };
        if !begins_after.is_zero() {
            tokio::time::sleep(begins_after).await;
        }
        runtime_of(&service.workload.runtime)?.start(&self.machine, start).await
    }

    pub(super) async fn end(&self, stop: &StopRequest<'_>) -> Result<(), DriverError> {
        let key = key_of(stop.instance);
        let ends_at = self
            .machine
            .effect(Deed::Stop, stop.service, |world, _| {
                world.serve(stop.project);
                world.may_touch(stop.project, stop.service, stop.instance, "stopped")?;
                let behaviour = world.behaviour(stop.service);
                if let Some(survivors) = behaviour.stop_error {
                    return Err(DriverError::Survivors { survivors, waited: stop.policy.grace });
                }
                let killed = behaviour.ignores_term || behaviour.stop_takes > stop.policy.grace;
                let takes = if killed { stop.policy.grace } else { behaviour.stop_takes };
                world.end_after(stop, takes, killed)
            })
            .await?;
        let Some(ends_at) = ends_at else { return Ok(()) };
        tokio::time::sleep_until(ends_at).await;
        let mut world = self.machine.lock();
        world.tick();
        if world.is_alive(key) {
            let survivors = format!("{} in {key}", stop.service);
            return Err(DriverError::Survivors { survivors, waited: stop.policy.grace });
        }
        Ok(())
    }
}

impl World {
    /// Schedules the end of an instance; `None`: it has ended already.
    fn end_after(
        &mut self,
        stop: &StopRequest<'_>,
        takes: Duration,
        killed: bool,
    ) -> Result<Option<Instant>, DriverError> {
        let key = key_of(stop.instance);
        if !self.is_alive(key) {
            return Ok(None);
        }
        let runtime = self.runtime(&stop.instance.runtime)?;
        let at = Instant::now() + takes;
        let exit = if killed { KILLED } else { runtime.exit_of_stop() };
        let end = ScheduledEnd { at, exit, leaves_children: false };
        let began = self.began;
        runtime.set_stopping(&mut self.facts, key);
        let life = self.lives.entry(key.to_owned()).or_insert_with(|| InstanceLife {
            service: stop.service.clone(),
            since: began,
            holds: Vec::new(),
            well: false,
            end: None,
        });
        life.end = Some(end);
        Ok(Some(at))
    }
}
