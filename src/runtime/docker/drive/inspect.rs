//! One container in full: what inspecting tells, reduced to what lcm needs, and whose it is.

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
use crate::runtime::docker::drive::settings::Details;
use crate::runtime::docker::drive::{devices, marks};
use crate::runtime::docker::facts::Devices;
use crate::runtime::docker::intent::DockerSpec;
use crate::runtime::docker::ownership::Evidence;
use crate::runtime::docker::settings::tidy;
use crate::runtime::{DriverError, Inspection, RunState};

/// A container as it is now.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) marks: Option<Marks>,
    /// Its image carries the same marks.
    pub(super) inherited: bool,
    /// It carries the salt of another container that is the original.
    pub(super) is_copy: bool,
    /// The image by the name that it was made from, and as lcm's label has it.
    pub(super) image_name: String,
    pub(super) image_label: Option<String>,
    /// The image that it was made from, by its content.
    pub(super) image_id: String,
    pub(super) state: ContainerActivity,
    pub(super) exit_code: Option<i64>,
    pub(super) oom_killed: bool,
    pub(super) health: Option<EngineHealth>,
    pub(super) started_at: Option<Timestamp>,
    pub(super) finished_at: Option<Timestamp>,
    pub(super) restart_policy: Option<String>,
    /// `None`: it can't be told.
    pub(super) devices: Option<Devices>,
    /// A log that has lost its beginning holds so much at least; `None`: it loses nothing.
    pub(super) log_kept_bytes: Option<u64>,
    pub(super) stop_signal: Option<String>,
    pub(super) created_at: Option<Timestamp>,
    /// How often its restart policy has brought it back.
    pub(super) restart_count: u32,
    /// The engine removes it when it ends.
    pub(super) auto_remove: bool,
    pub(super) details: Box<Details>,
}

/// Whether anything of it can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ContainerActivity {
    /// Never started.
    Created,
    Yes,
    Paused,
    /// Between two lives, by its restart policy.
    Restarting,
    Ended,
}

impl Seen {
    /// It runs, or may at any moment.
    pub(super) fn is_up(&self) -> bool {
        match self.state {
            ContainerActivity::Yes | ContainerActivity::Paused | ContainerActivity::Restarting => true,
            ContainerActivity::Created | ContainerActivity::Ended => false,
        }
    }

    pub(super) fn instance(&self) -> Instance {
        crate::runtime::docker::instance(self.id.clone(), self.name.as_str())
    }

    pub(super) fn evidence(&self) -> Evidence<'_> {
        Evidence { name: &self.name, marks: self.marks.as_ref(), inherited: self.inherited }
    }

    fn life(&self) -> RunState {
        match self.state {
            ContainerActivity::Created => RunState::Ended(None),
            ContainerActivity::Yes | ContainerActivity::Restarting => RunState::Running,
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
    /// What is there of a service: a stranger's container under its name is not, and counts as absent.
    pub async fn look(&self, project: &ProjectName, service: &Service) -> Result<Inspection, DriverError> {
        let absent = Inspection { instance: None, life: RunState::Absent, previous: false, spec: None, copies: None };
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
                life: seen.life(),
                previous,
                spec: seen.marks.map(|marks| marks.spec),
                copies: None,
            },
            None => Inspection { previous, ..absent },
        })
    }

    /// What the image's own health check says; `None`: it has none, or the container is gone.
    pub async fn health(&self, id: &str) -> Result<Option<EngineHealth>, DriverError> {
        Ok(self.inspect(id).await?.and_then(|seen| seen.health))
    }

    /// The container of a name, and the one put aside for it.
    pub(super) async fn both(&self, name: &str) -> Result<(Option<Seen>, Option<Seen>), DriverError> {
        let aside = format!("{name}{ASIDE_SUFFIX}");
        let (current, aside) = tokio::join!(self.named(name), self.named(&aside));
        Ok((current?, aside?))
    }

    /// By its whole name: the engine would also take the beginning of an id.
    pub(super) async fn named(&self, name: &str) -> Result<Option<Seen>, DriverError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        if name.is_empty() || !name.bytes().all(plain) {
            return Err(DriverError::Refused(format!(
                "{name:?} can't be a container's name: letters, digits, `_`, `.` and `-` make one"
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

    /// What an image's name means now; `None`: there is no such image here.
    pub(super) async fn image_id(&self, image: &str) -> Result<Option<String>, DriverError> {
        // The name becomes a part of a URL.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-/:@".contains(&byte);
        if image.is_empty() || image.contains("..") || !image.bytes().all(plain) {
            return Err(DriverError::Missing(format!("{image:?} is not an image's name")));
        }
        let found = self.find(format!("inspect image {image}"), self.docker.inspect_image(image)).await?;
        Ok(found.and_then(|image| image.id))
    }

    /// Whether the container is there and up, at this moment.
    pub(super) async fn is_up(&self, id: &str) -> Result<bool, DriverError> {
        let call = self.docker.inspect_container(id, None);
        let found = self.find(format!("inspect container {}", short(id)), call).await?;
        Ok(found.map(seen).is_some_and(|seen| seen.is_up()))
    }
}

/// Ids are 64 digits long; names are shown whole.
fn short_or_name(reference: &str) -> &str {
    if reference.len() == 64 && reference.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        short(reference)
    } else {
        reference
    }
}

pub(super) fn not_a_container(service: &Service) -> DriverError {
    DriverError::Refused(format!("service {} is no container", service.name))
}

fn seen(response: ContainerInspectResponse) -> Seen {
    let state = response.state.unwrap_or_default();
    let config = response.config.unwrap_or_default();
    let host = response.host_config.unwrap_or_default();
    let devices = devices::devices(&host, config.env.as_deref().unwrap_or_default());
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
        devices,
        log_kept_bytes,
        stop_signal: config.stop_signal.clone(),
        created_at: response.created.as_deref().and_then(moment),
        restart_count: response.restart_count.and_then(|count| u32::try_from(count).ok()).unwrap_or_default(),
        auto_remove: host.auto_remove.unwrap_or_default(),
        details: Box::new(Details { config, host, mounts, networks, deleted }),
    }
}

/// Mount points of a running container whose host folder was deleted since: the container goes on with the old one,
/// also where another stands at its path by now. Nothing where its process is not proven to be here, or is not lcm's to look at.
fn deleted_mounts(pid: i32, id: &str) -> BTreeSet<String> {
    if proc::container(pid).as_deref() != Some(id) {
        return BTreeSet::new();
    }
    let mounts = kernel::table(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
    mounts.lines().filter_map(deleted_mount).map(|target| tidy(&target)).collect()
}

/// `1203 1177 254:0 /srv/conf//deleted /conf rw,relatime …`: its fourth field is the folder, the fifth where it is.
fn deleted_mount(line: &str) -> Option<String> {
    let mut fields = line.split(' ').skip(3);
    let is_deleted = fields.next()?.ends_with("//deleted");
    // The kernel writes blanks and the like as octal digits.
    let target = fields.next()?.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\");
    is_deleted.then_some(target)
}

/// What a rotation leaves of the engine's plain files; `None`: they grow for ever. Of other logs nothing is known.
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
        Some(Status::RUNNING | Status::STOPPING) => ContainerActivity::Yes,
        Some(Status::PAUSED) => ContainerActivity::Paused,
        Some(Status::RESTARTING) => ContainerActivity::Restarting,
        // Engines that leave the word out still tell whether it runs.
        Some(Status::EMPTY) | None if state.running == Some(true) => ContainerActivity::Yes,
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

/// The engine writes the year 1 for "never".
fn moment(text: &str) -> Option<Timestamp> {
    text.parse().ok().filter(|moment: &Timestamp| *moment > Timestamp::UNIX_EPOCH)
}
