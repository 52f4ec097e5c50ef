//! Inspection of one container: the engine's answer, reduced to what lcm needs, and the container's owner.

use std::collections::BTreeSet;

use bollard::models::{ContainerInspectResponse, ContainerStateStatusEnum, HealthStatusEnum, HostConfigLogConfig};
use jiff::Timestamp;

use crate::files::kernel;
use crate::host::proc;
use crate::model::desired::Service;
use crate::model::facts::{EngineHealth, ExitFact, Marks};
use crate::model::instance::Instance;
use crate::model::names::ProjectName;
use crate::model::observed::ASIDE_SUFFIX;
use crate::runtime::docker::drive::engine::{Engine, short};
use crate::runtime::docker::drive::real_settings::Details;
use crate::runtime::docker::drive::{gpus, marks};
use crate::runtime::docker::facts::VisibleGpus;
use crate::runtime::docker::intent::DockerSpec;
use crate::runtime::docker::ownership::Evidence;
use crate::runtime::docker::settings::tidy;
use crate::runtime::{DriverError, Inspection, RunState};

/// Inspected container.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) marks: Option<Marks>,
    /// True if the image carries the same marks.
    pub(super) inherited: bool,
    /// True if the container carries the salt of another container, the original.
    pub(super) is_copy: bool,
    /// Name of the image that the container was created from; the label is lcm's record of it.
    pub(super) image_name: String,
    pub(super) image_label: Option<String>,
    /// Id of the image that the container was created from, by content.
    pub(super) image_id: String,
    pub(super) state: ContainerActivity,
    pub(super) exit_code: Option<i64>,
    pub(super) oom_killed: bool,
    pub(super) health: Option<EngineHealth>,
    pub(super) started_at: Option<Timestamp>,
    pub(super) finished_at: Option<Timestamp>,
    pub(super) restart_policy: Option<String>,
    /// GPUs; `None`: unknown.
    pub(super) gpus: Option<VisibleGpus>,
    /// Bytes that a log holds at least once it has lost its beginning; `None`: it loses nothing.
    pub(super) log_kept_bytes: Option<u64>,
    pub(super) stop_signal: Option<String>,
    pub(super) created_at: Option<Timestamp>,
    /// Number of restarts by the restart policy.
    pub(super) restart_count: u32,
    /// True if the engine removes the container when it ends.
    pub(super) auto_remove: bool,
    pub(super) details: Box<Details>,
}

/// Activity of a container's processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ContainerActivity {
    /// Never started.
    Created,
    Running,
    Paused,
    /// Between two runs, by its restart policy.
    Restarting,
    Ended,
}

impl Seen {
    /// Returns true if the container runs, or may run at any moment.
    pub(super) fn is_up(&self) -> bool {
        match self.state {
            ContainerActivity::Running | ContainerActivity::Paused | ContainerActivity::Restarting => true,
            ContainerActivity::Created | ContainerActivity::Ended => false,
        }
    }

    pub(super) fn instance(&self) -> Instance {
        crate::runtime::docker::instance(self.id.clone(), self.name.as_str())
    }

    pub(super) fn evidence(&self) -> Evidence<'_> {
        Evidence { name: &self.name, marks: self.marks.as_ref(), inherited: self.inherited }
    }

    fn run_state(&self) -> RunState {
        match self.state {
            ContainerActivity::Created => RunState::Ended(None),
            ContainerActivity::Running | ContainerActivity::Restarting => RunState::Running,
            ContainerActivity::Paused => RunState::Suspended,
            ContainerActivity::Ended => RunState::Ended(Some(ExitFact {
                code: self.exit_code.and_then(|code| i32::try_from(code).ok()),
                signal: None,
                at: self.finished_at,
            })),
        }
    }
}

impl Engine {
    /// Inspects a service. A foreign container under its name counts as absent.
    pub async fn inspect_service(&self, project: &ProjectName, service: &Service) -> Result<Inspection, DriverError> {
        let absent =
            Inspection { instance: None, run_state: RunState::Absent, previous: false, spec: None, copies: None };
        let (seen, previous) = match service.workload.spec::<DockerSpec>() {
            None => return Err(not_a_container(service)),
            Some(DockerSpec::Existing(existing)) => {
                (self.named(existing.container.as_str()).await?.filter(|seen| !self.is_anothers(seen, project)), false)
            }
            Some(DockerSpec::Created(container)) => {
                let (current, aside) = self.pair(project, service, container).await?;
                let ours = |seen: &Seen| self.is_ours(seen, project, service);
                (current.filter(ours), aside.as_ref().is_some_and(ours))
            }
        };
        Ok(match seen {
            Some(seen) => Inspection {
                instance: Some(seen.instance()),
                run_state: seen.run_state(),
                previous,
                spec: seen.marks.map(|marks| marks.spec),
                copies: None,
            },
            None => Inspection { previous, ..absent },
        })
    }

    /// Returns the state of the image's own health check; `None`: there is none, or the container is gone.
    pub async fn health(&self, id: &str) -> Result<Option<EngineHealth>, DriverError> {
        Ok(self.inspect(id).await?.and_then(|seen| seen.health))
    }

    /// Returns the container of a name, and the one put aside for it.
    pub(super) async fn both(&self, name: &str) -> Result<(Option<Seen>, Option<Seen>), DriverError> {
        let aside = format!("{name}{ASIDE_SUFFIX}");
        let (current, aside) = tokio::join!(self.named(name), self.named(&aside));
        Ok((current?, aside?))
    }

    /// Returns the container of this whole name: the engine would also accept the beginning of an id.
    pub(super) async fn named(&self, name: &str) -> Result<Option<Seen>, DriverError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        if name.is_empty() || !name.bytes().all(plain) {
            return Err(DriverError::Refused(format!(
                "invalid container name {name:?}: use letters, digits, `_`, `.` and `-`"
            )));
        }
        Ok(self.inspect(name).await?.filter(|seen| seen.name == name))
    }

    pub(super) async fn inspect(&self, id: &str) -> Result<Option<Seen>, DriverError> {
        let what = format!("inspect container {}", short_or_name(id));
        let Some(mut seen) = self.find(what, self.docker.inspect_container(id, None)).await?.map(seen) else {
            return Ok(None);
        };
        seen.inherited = self.inherits(&seen).await?;
        Ok(Some(seen))
    }

    /// Returns the id of the image that has this name now; `None`: there is no such image here.
    pub(super) async fn image_id(&self, image: &str) -> Result<Option<String>, DriverError> {
        // The name becomes a part of a URL.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-/:@".contains(&byte);
        if image.is_empty() || image.contains("..") || !image.bytes().all(plain) {
            return Err(DriverError::Missing(format!("{image:?} is not an image's name")));
        }
        let found = self.find(format!("inspect image {image}"), self.docker.inspect_image(image)).await?;
        Ok(found.and_then(|image| image.id))
    }

    /// Returns true if the container exists and is up at this moment.
    pub(super) async fn is_up(&self, id: &str) -> Result<bool, DriverError> {
        let call = self.docker.inspect_container(id, None);
        let found = self.find(format!("inspect container {}", short(id)), call).await?;
        Ok(found.map(seen).is_some_and(|seen| seen.is_up()))
    }
}

/// Returns a short id (whole ones have 64 digits), or a whole name.
fn short_or_name(reference: &str) -> &str {
    if reference.len() == 64 && reference.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        short(reference)
    } else {
        reference
    }
}

pub(super) fn not_a_container(service: &Service) -> DriverError {
    DriverError::Refused(format!("service {} is not a container", service.name))
}

fn seen(response: ContainerInspectResponse) -> Seen {
    let state = response.state.unwrap_or_default();
    let config = response.config.unwrap_or_default();
    let host = response.host_config.unwrap_or_default();
    let gpus = gpus::visible(&host, config.env.as_deref().unwrap_or_default());
    let log_kept_bytes = kept_bytes(host.log_config.as_ref());
    let policy = host.restart_policy.as_ref().and_then(|policy| policy.name);
    let labels = config.labels.clone().unwrap_or_default();
    let networks = response.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
    let (id, mounts) = (response.id.unwrap_or_default(), response.mounts.unwrap_or_default());
    let is_bound = mounts.iter().any(|mount| mount.typ.as_deref() == Some("bind"));
    let pid = state.pid.and_then(|pid| i32::try_from(pid).ok()).filter(|pid| is_bound && *pid > 0);
    let deleted = pid.map(|pid| deleted_mounts(pid, &id)).unwrap_or_default();
    Seen {
        id,
        name: response.name.unwrap_or_default().trim_start_matches('/').to_owned(),
        marks: marks::read(&labels),
        inherited: false,
        is_copy: false,
        image_name: config.image.clone().unwrap_or_default(),
        image_label: labels.get(marks::IMAGE).cloned(),
        image_id: response.image.unwrap_or_default(),
        state: running(&state),
        exit_code: state.exit_code,
        oom_killed: state.oom_killed.unwrap_or_default(),
        health: state.health.as_ref().and_then(|health| health.status).and_then(health),
        started_at: state.started_at.as_deref().and_then(moment),
        finished_at: state.finished_at.as_deref().and_then(moment),
        restart_policy: policy.map(|name| name.to_string()).filter(|name| !name.is_empty() && name != "no"),
        gpus,
        log_kept_bytes,
        stop_signal: config.stop_signal.clone(),
        created_at: response.created.as_deref().and_then(moment),
        restart_count: response.restart_count.and_then(|count| u32::try_from(count).ok()).unwrap_or_default(),
        auto_remove: host.auto_remove.unwrap_or_default(),
        details: Box::new(Details { config, host, mounts, networks, deleted }),
    }
}

/// Returns mount points of a running container whose host folder was deleted since its start: the container keeps the
/// old folder, even if its path leads to another by now. Empty if its process is not proven to be here, or not readable
/// by lcm.
fn deleted_mounts(pid: i32, id: &str) -> BTreeSet<String> {
    if proc::container(pid).as_deref() != Some(id) {
        return BTreeSet::new();
    }
    let mounts = kernel::table(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
    mounts.lines().filter_map(deleted_mount).map(|target| tidy(&target)).collect()
}

/// Parses `1203 1177 254:0 /srv/conf//deleted /conf rw,relatime …`: the fourth field is the folder, the fifth its
/// target.
fn deleted_mount(line: &str) -> Option<String> {
    let mut fields = line.split(' ').skip(3);
    let is_deleted = fields.next()?.ends_with("//deleted");
    // The kernel escapes blanks and the like as octal digits.
    let target = fields.next()?.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\");
    is_deleted.then_some(target)
}

/// Returns the bytes that a rotation leaves of the engine's plain files; `None`: they are never rotated. 0 for other
/// logs, of which nothing is known.
fn kept_bytes(log: Option<&HostConfigLogConfig>) -> Option<u64> {
    let Some(log) = log else { return Some(0) };
    if log.typ.as_deref() != Some("json-file") {
        return Some(0);
    }
    let option = |name: &str| log.config.as_ref().and_then(|config| config.get(name));
    let size = option("max-size")?.to_ascii_lowercase();
    let digits = size.bytes().take_while(u8::is_ascii_digit).count();
    let unit: u64 = match size[digits..].bytes().next() {
        Some(b'k') => 1_000,
        Some(b'm') => 1_000_000,
        Some(b'g') => 1_000_000_000,
        Some(_) | None => 1,
    };
    let files: u64 = option("max-file").and_then(|files| files.parse().ok()).unwrap_or(1);
    let size: u64 = size[..digits].parse().unwrap_or(0);
    Some(size.saturating_mul(unit).saturating_mul(files.saturating_sub(1)))
}

fn running(state: &bollard::models::ContainerState) -> ContainerActivity {
    use ContainerStateStatusEnum as Status;
    match state.status {
        Some(Status::CREATED) => ContainerActivity::Created,
        Some(Status::RUNNING | Status::STOPPING) => ContainerActivity::Running,
        Some(Status::PAUSED) => ContainerActivity::Paused,
        Some(Status::RESTARTING) => ContainerActivity::Restarting,
        // Engines that leave the status out still report whether the container runs.
        Some(Status::EMPTY) | None if state.running == Some(true) => ContainerActivity::Running,
        Some(Status::EXITED | Status::DEAD | Status::REMOVING | Status::EMPTY) | None => ContainerActivity::Ended,
    }
}

fn health(status: HealthStatusEnum) -> Option<EngineHealth> {
    match status {
        HealthStatusEnum::STARTING => Some(EngineHealth::Starting),
        HealthStatusEnum::HEALTHY => Some(EngineHealth::Healthy),
        HealthStatusEnum::UNHEALTHY => Some(EngineHealth::Unhealthy),
        HealthStatusEnum::EMPTY | HealthStatusEnum::NONE => None,
    }
}

/// Parses a time; the engine writes the year 1 for "never".
fn moment(text: &str) -> Option<Timestamp> {
    text.parse().ok().filter(|moment: &Timestamp| *moment > Timestamp::UNIX_EPOCH)
}
