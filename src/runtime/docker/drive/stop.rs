//! Stop of a container: by its policy, and after the grace period by force. Returns once nothing of it runs. And pause
//! of a container, which ends nothing.

use std::time::Duration;

use bollard::query_parameters::{
    KillContainerOptionsBuilder, RemoveContainerOptionsBuilder, StopContainerOptionsBuilder,
    WaitContainerOptionsBuilder,
};
use futures_util::StreamExt as _;

use crate::model::desired::StopPolicy;
use crate::model::instance::Instance;
use crate::model::names::{ProjectName, ServiceName};
use crate::runtime::docker::NAME;
use crate::runtime::docker::drive::create;
use crate::runtime::docker::drive::engine::{CHANGE_DEADLINE, Engine, short};
use crate::runtime::docker::drive::inspect::{ContainerActivity, Seen};
use crate::runtime::docker::ownership::{self, OwnershipProof};
use crate::runtime::{DriverError, Pause, StopRequest};

/// Time beyond the grace period, for the engine's own kill (it waits 10 s and tries again), network and mounts.
const STOP_MARGIN: Duration = Duration::from_mins(1);

impl Engine {
    /// Stops a container that is proven to be this project's, or that the manifest names. Does nothing if it has ended.
    pub async fn stop(&self, stop: &StopRequest<'_>) -> Result<(), DriverError> {
        let Some(seen) = self.instance(stop.instance).await? else { return Ok(()) };
        self.may_act(&seen, (stop.project, stop.service), stop.instance, "stop")?;
        self.halt(&seen, stop.policy).await
    }

    /// Removes a stopped container that is proven to be this project's. Its volumes stay.
    pub async fn remove(&self, project: &ProjectName, instance: &Instance) -> Result<(), DriverError> {
        let Some(seen) = self.instance(instance).await? else { return Ok(()) };
        let name = ownership::base_name(&seen.name);
        let is_ours = self.identity(project).standing(seen.evidence(), Some(name)) == OwnershipProof::Ours;
        let service = seen.marks.as_ref().filter(|_| is_ours).map(|marks| ServiceName::from(marks.service.as_str()));
        let Some(service) = service else { return Err(self.refusal(&seen, project, "remove")) };
        self.may_act(&seen, (project, &service), instance, "remove")?;
        self.delete(&seen).await
    }

    /// Pauses a container that is proven to be this project's, or that the manifest names. Does nothing if it is
    /// paused.
    pub async fn pause(&self, pause: &Pause<'_>) -> Result<(), DriverError> {
        let seen = self.may_be_paused(pause, "pause").await?;
        match seen.state {
            ContainerActivity::Paused => Ok(()),
            ContainerActivity::Running => {
                let what = format!("pause container {}", seen.name);
                self.call(what, CHANGE_DEADLINE, self.docker.pause_container(&seen.id)).await
            }
            ContainerActivity::Created | ContainerActivity::Ended | ContainerActivity::Restarting => {
                Err(DriverError::Refused(format!("container {} does not run, so it can't be paused", seen.name)))
            }
        }
    }

    /// Resumes a paused container. Does nothing if it is not paused.
    pub async fn unpause(&self, pause: &Pause<'_>) -> Result<(), DriverError> {
        let seen = self.may_be_paused(pause, "unpause").await?;
        if seen.state == ContainerActivity::Paused { self.unpause_by_id(&seen.id).await } else { Ok(()) }
    }

    async fn may_be_paused(&self, pause: &Pause<'_>, verb: &str) -> Result<Seen, DriverError> {
        let gone = || DriverError::Missing(format!("the container of `{}` is gone", pause.service));
        let seen = self.instance(pause.instance).await?.ok_or_else(gone)?;
        self.may_act(&seen, (pause.project, pause.service), pause.instance, verb)?;
        Ok(seen)
    }

    async fn unpause_by_id(&self, id: &str) -> Result<(), DriverError> {
        let what = format!("unpause container {}", short(id));
        self.call(what, CHANGE_DEADLINE, self.docker.unpause_container(id)).await
    }

    /// Inspects an instance; `None`: it is gone.
    pub(super) async fn instance(&self, instance: &Instance) -> Result<Option<Seen>, DriverError> {
        match instance {
            // The engine would also accept a name or the beginning of an id.
            Instance { runtime, id, .. } if *runtime == NAME => {
                Ok(self.inspect(id).await?.filter(|seen| seen.id == *id))
            }
            Instance { runtime, id, .. } => Err(DriverError::Refused(format!("{runtime} {id} is not a container"))),
        }
    }

    pub(super) async fn halt(&self, seen: &Seen, policy: &StopPolicy) -> Result<(), DriverError> {
        let id = seen.id.as_str();
        match seen.state {
            ContainerActivity::Created | ContainerActivity::Ended => return Ok(()),
            // Paused processes handle no signal, and answer no command.
            ContainerActivity::Paused => self.unpause_by_id(id).await?,
            ContainerActivity::Running | ContainerActivity::Restarting => {}
        }
        match StopMethod::of(seen, policy) {
            StopMethod::Engine => self.engine_stop(seen, policy.grace).await?,
            StopMethod::Signal(signal) => {
                self.kill(seen, signal).await?;
                self.wait_for_end(id, policy.grace).await;
            }
            StopMethod::Command(command) => {
                // Its result is ignored: what is left after the grace period is killed all the same.
                let _ = self.exec(id, command, policy.grace).await;
                self.wait_for_end(id, policy.grace).await;
            }
        }
        if !self.is_up(id).await? {
            return Ok(());
        }
        // Also for a container that its restart policy has restarted: only the engine's stop ends that.
        self.engine_stop(seen, Duration::ZERO).await?;
        self.wait_for_end(id, STOP_MARGIN).await;
        if self.is_up(id).await? {
            return Err(DriverError::Survivors { survivors: format!("container {}", seen.name), waited: STOP_MARGIN });
        }
        Ok(())
    }

    /// Removes a container, and no volume. The container must not run: nothing is forced.
    pub(super) async fn delete(&self, seen: &Seen) -> Result<(), DriverError> {
        let options = RemoveContainerOptionsBuilder::new().v(false).force(false).build();
        let what = format!("remove container {}", seen.name);
        self.call(what, CHANGE_DEADLINE, self.docker.remove_container(&seen.id, Some(options))).await
    }

    /// Stops by the engine, which signals, waits, and kills.
    async fn engine_stop(&self, seen: &Seen, grace: Duration) -> Result<(), DriverError> {
        let seconds = i32::try_from(create::seconds(grace)).unwrap_or(i32::MAX);
        let options = StopContainerOptionsBuilder::new().t(seconds).build();
        let deadline = grace.saturating_add(STOP_MARGIN);
        let call = self.docker.stop_container(&seen.id, Some(options));
        self.call(format!("stop container {}", seen.name), deadline, call).await
    }

    async fn kill(&self, seen: &Seen, signal: &str) -> Result<(), DriverError> {
        let options = KillContainerOptionsBuilder::new().signal(signal).build();
        let call = self.docker.kill_container(&seen.id, Some(options));
        let sent = self.call(format!("send {signal} to container {}", seen.name), CHANGE_DEADLINE, call).await;
        match sent {
            // The container ended in between, which is what the signal was for.
            Err(_) if !self.is_up(&seen.id).await? => Ok(()),
            sent => sent,
        }
    }

    /// Waits until the container does not run, but no longer than `bound`. The answer is ignored: callers inspect
    /// again.
    async fn wait_for_end(&self, id: &str, bound: Duration) {
        let options = WaitContainerOptionsBuilder::new().condition("not-running").build();
        let mut ends = std::pin::pin!(self.docker.wait_container(id, Some(options)));
        let _ = tokio::time::timeout(bound, ends.next()).await;
    }
}

/// Way of ending a container.
enum StopMethod<'a> {
    /// By the engine, with the signal that the container was created with.
    Engine,
    Signal(&'a str),
    Command(&'a [String]),
}

impl<'a> StopMethod<'a> {
    fn of(seen: &Seen, policy: &'a StopPolicy) -> Self {
        if let Some(command) = &policy.exec {
            return Self::Command(command);
        }
        let own = seen.stop_signal.as_deref().unwrap_or("TERM");
        match &policy.signal {
            Some(signal) if bare(signal) != bare(own) => Self::Signal(signal),
            Some(_) | None => Self::Engine,
        }
    }
}

/// Returns the signal without its prefix: `SIGTERM` and `TERM` are the same.
fn bare(signal: &str) -> String {
    let upper = signal.to_ascii_uppercase();
    upper.strip_prefix("SIG").map_or_else(|| upper.clone(), str::to_owned)
}
