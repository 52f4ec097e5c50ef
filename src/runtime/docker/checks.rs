//! Checks of `lcm doctor` for containers: the engine, its location, its GPUs and its disk. Pure.

use std::path::PathBuf;

use crate::model::doctor::{CheckLevel, Demand, MachineCheck, RuntimeDemand, shell_word};

const ENGINE: &str = "docker_engine";
const GPUS: &str = "docker_gpus";

/// Oldest API that lcm is tested with: Docker 20.10.
const API_MIN: (u32, u32) = (1, 41);
/// First version of Docker that reads CDI specifications.
const CDI_VERSION_MIN: u32 = 25;

/// Engine as it answers to this user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EngineReading {
    pub(crate) endpoint: String,
    /// True if the manifest names this engine.
    pub(crate) is_named: bool,
    pub(crate) user: String,
    pub(crate) outcome: Result<EngineAnswers, EngineFault>,
}

/// Reason why no engine answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EngineFault {
    /// The endpoint is refused before any request, for this reason.
    Refused(String),
    NoSocket,
    /// This user may not connect.
    Denied,
    /// Nothing listens at the socket.
    NotRunning,
    /// The connection is accepted and not answered.
    Silent {
        deadline_s: u64,
    },
    Other(String),
}

/// Answers of an engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EngineAnswers {
    /// `Docker Engine`, `Podman Engine`.
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) api: String,
    pub(crate) location: Location,
    pub(crate) is_rootless: bool,
    /// Names of its runtimes of OCI.
    pub(crate) runtimes: Vec<String>,
    /// True if it lists NVIDIA's GPUs as devices.
    pub(crate) has_gpu_devices: bool,
    /// True if NVIDIA's hook for containers is installed beside it.
    pub(crate) has_gpu_hook: bool,
    /// Files with specifications of GPUs (CDI) on this host.
    pub(crate) gpu_specifications: Vec<PathBuf>,
    /// Folder of its images, and the free space there in MiB; `None`: not on this host.
    pub(crate) images: Option<(PathBuf, u64)>,
    /// Free space that a pull needs, in MiB.
    pub(crate) pull_free_mib_min: u64,
}

/// Location of an engine, with the reason where it is not proven to be this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Location {
    #[default]
    Here,
    Outside,
    Elsewhere(String),
}

/// Returns the checks of an engine.
pub(crate) fn judge(reading: &EngineReading, demand: RuntimeDemand) -> Vec<MachineCheck> {
    let answers = match &reading.outcome {
        Ok(answers) => answers,
        Err(fault) => return vec![judge_fault(reading, fault, demand.runtime)],
    };
    let mut checks = vec![judge_engine(reading, answers, demand.runtime)];
    checks.extend(judge_rootless(reading, answers, demand.gpus));
    checks.push(judge_gpus(answers, demand));
    checks.extend(judge_images(answers));
    checks
}

fn judge_fault(reading: &EngineReading, fault: &EngineFault, demand: Demand) -> MachineCheck {
    let EngineReading { endpoint, user, is_named, .. } = reading;
    let broken = |found: String| MachineCheck::new(ENGINE, demand.broken(), found);
    match fault {
        EngineFault::Refused(reason) => broken(reason.clone()),
        EngineFault::NoSocket if *is_named => {
            broken(format!("there is no engine at {endpoint}, which the manifest names"))
                .help("is it running, and its socket forwarded? `docker: { host: … }` in the manifest names the engine")
        }
        EngineFault::NoSocket => MachineCheck::new(
            ENGINE,
            demand.absent(),
            format!("no container engine found: there is no socket at {endpoint}"),
        )
        .help("containers need one: https://docs.docker.com/engine/install; then `sudo systemctl enable --now docker`")
        .help("an engine at another socket: set DOCKER_HOST=unix:///PATH, or `docker: { host: … }` in the manifest"),
        EngineFault::Denied => broken(format!("{user} may not connect to the engine at {endpoint}"))
            .help(format!(
                "sudo usermod -aG docker {user}, then log in again; this gives {user} all rights of root on this host"
            ))
            .help("or run lcm as root, or use a rootless engine: https://docs.docker.com/engine/security/rootless"),
        EngineFault::NotRunning => broken(format!("nothing listens at {endpoint}: the engine is not running"))
            .help("sudo systemctl start docker; if it fails, see `journalctl -u docker -n 50`"),
        EngineFault::Silent { deadline_s } => broken(format!(
            "the engine at {endpoint} does not answer within {deadline_s} s"
        ))
        .help(
            "does `docker version` answer? If not: `sudo systemctl restart docker`, and `journalctl -u docker -n 50`",
        ),
        EngineFault::Other(reason) => broken(format!("the engine at {endpoint} can't be used: {reason}"))
            .help("does `docker version` work with the same user and the same DOCKER_HOST?"),
    }
}

fn judge_engine(reading: &EngineReading, answers: &EngineAnswers, demand: Demand) -> MachineCheck {
    let EngineAnswers { name, version, api, location, .. } = answers;
    let title = format!("{name} {version} (API {api}) at {}", reading.endpoint);
    if api_of(api).is_some_and(|api| api < API_MIN) {
        return MachineCheck::warn(
            ENGINE,
            format!("{title} is older than Docker 20.10, the oldest that lcm is tested with"),
        )
        .help("upgrade the engine: https://docs.docker.com/engine/install");
    }
    match location {
        Location::Here => MachineCheck::ok(ENGINE, format!("{title}, proven to be this machine's")),
        Location::Outside => MachineCheck::ok(ENGINE, format!("{title}, proven to run the container that lcm is in")),
        Location::Elsewhere(reason) if reading.is_named => MachineCheck::ok(
            ENGINE,
            format!("{title}, which counts as another machine's ({reason}): its GPUs and ports are not this host's"),
        ),
        Location::Elsewhere(reason) => {
            MachineCheck::new(ENGINE, demand.broken(), format!("{title} is not proven to be this machine's: {reason}"))
                .help(format!(
                    "to use it as another machine's, name it in the manifest: `docker: {{ host: \"{}\" }}`",
                    reading.endpoint
                ))
        }
    }
}

/// A rootless engine ends with its user's last session, and gives GPUs only without control groups.
fn judge_rootless(reading: &EngineReading, answers: &EngineAnswers, gpus: Demand) -> Option<MachineCheck> {
    if !answers.is_rootless {
        return None;
    }
    let user = &reading.user;
    let check = MachineCheck::warn(
        "docker_rootless",
        format!("the engine is rootless: it ends with the last session of {user}"),
    )
    .help(format!("sudo loginctl enable-linger {user}, unless that is set already"));
    if gpus != Demand::Needed {
        return Some(check);
    }
    Some(check.help("for GPUs: `sudo nvidia-ctk config --set nvidia-container-cli.no-cgroups --in-place`"))
}

fn judge_gpus(answers: &EngineAnswers, demand: RuntimeDemand) -> MachineCheck {
    let has_runtime = answers.runtimes.iter().any(|name| name == "nvidia");
    let ways = [
        (has_runtime, "the nvidia runtime"),
        (answers.has_gpu_devices, "its list of devices (CDI)"),
        (answers.has_gpu_hook, "NVIDIA's hook for containers"),
    ];
    if let Some((_, way)) = ways.iter().find(|(is_there, _)| *is_there) {
        return MachineCheck::ok(GPUS, format!("containers can get GPUs, by {way}"));
    }
    if demand.gpus != Demand::Needed {
        return MachineCheck::skip(GPUS, "containers can't get GPUs, and nothing here needs that");
    }
    let level = if demand.runtime == Demand::Needed { CheckLevel::Fail } else { CheckLevel::Warn };
    let major = answers.version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    let found = "the engine can't give GPUs to containers: it has neither the nvidia runtime nor GPU devices";
    let check = match (answers.gpu_specifications.first(), major) {
        (Some(file), Some(major)) if major < CDI_VERSION_MIN => {
            let found = format!(
                "{found}; it does not read {}, since only Docker {CDI_VERSION_MIN} and newer use such files",
                file.display()
            );
            MachineCheck::new(GPUS, level, found)
        }
        (Some(file), _) => {
            let found = format!("{found}; {} is there, and the engine does not use it", file.display());
            MachineCheck::new(GPUS, level, found).help(
                "in /etc/docker/daemon.json: `\"features\": { \"cdi\": true }`, then `sudo systemctl restart docker`",
            )
        }
        (None, _) => MachineCheck::new(GPUS, level, found),
    };
    check
        .help("install the NVIDIA Container Toolkit: `sudo apt-get install nvidia-container-toolkit` (from NVIDIA's repository)")
        .help("sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker")
}

/// Returns a line only where the disk is nearly full.
fn judge_images(answers: &EngineAnswers) -> Option<MachineCheck> {
    let (folder, free_mib) = answers.images.as_ref()?;
    if *free_mib >= answers.pull_free_mib_min {
        return None;
    }
    let found = format!(
        "{} has {free_mib} MiB free, and lcm pulls no image with less than {} MiB",
        folder.display(),
        answers.pull_free_mib_min
    );
    let help =
        "docker system df shows what takes the space; `docker image prune -a` removes images that no container uses";
    Some(MachineCheck::warn("docker_disk", found).help(help).help(format!("df -h {}", shell_word(folder))))
}

/// Parses `1.41`.
fn api_of(api: &str) -> Option<(u32, u32)> {
    let (major, minor) = api.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests;
