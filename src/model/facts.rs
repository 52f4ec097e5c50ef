//! Raw readings of a machine, as the driver takes them and as a world file holds them (`lcm observe --out`).
//!
//! Nothing is concluded here: what a reading means for a service is `observe`'s work. Secrets never get this far.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::claim::ClaimFact;
use crate::model::enclosure::EnclosureFact;
use crate::model::endpoint::Endpoint;
use crate::model::host::HostIdentity;
use crate::model::instance::Instance;
use crate::model::names::{GpuId, ProjectName, ServiceName};
use crate::model::pending::PendingCall;
use crate::model::reservation::ReservationFact;
use crate::model::size::Mebibytes;
use crate::model::words::{Said, Switched};

pub use self::container::{ContainerFact, ContainerState, Devices, EngineHealth};
pub use self::history::{Attempts, Estimates, HistoryFact, Report};
pub use self::probes::{BusyReading, ProbeFacts, ProbeReading};

mod container;
mod history;
mod probes;

/// The version of a world file.
pub const FORMAT: &str = "lcm.world/1";

/// Everything read at one time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    #[schemars(extend("const" = FORMAT))]
    pub format: String,
    pub host: String,
    /// This machine as labels name it, where the engine may hold other machines' containers too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_id: Option<String>,
    /// This host's ids, which do not depend on the container that lcm may run in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_identity: Option<HostIdentity>,
    /// The container that lcm runs in, where that ends with its job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enclosure: Option<EnclosureFact>,
    /// Reason why the engine is not proven to be this machine's: its GPUs, ports and folders are another's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine_elsewhere: Option<String>,
    #[schemars(with = "String")]
    pub observed_at: Timestamp,
    /// The engine that was asked.
    #[serde(default)]
    pub engine: Option<EngineFact>,
    /// All containers of the engine, ours or not: names and ports are room.
    #[serde(default)]
    pub containers: Reading<Vec<ContainerFact>>,
    /// Process trees that carry lcm's marks, and the ends of those that are gone.
    #[serde(default)]
    pub trees: Reading<Vec<TreeFact>>,
    /// Processes and containers with lcm's marks that are not proven to be ours.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<ClaimFact>,
    /// Pid files that are not believed, by service, and why: another user could have written them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pid_files: BTreeMap<ServiceName, String>,
    #[serde(default)]
    pub gpus: Reading<Vec<GpuFact>>,
    /// GPU memory that starts of other users' lcm were let in with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reservations: Vec<ReservationFact>,
    /// Ids of the engine's networks, by name; asked where the manifest names any.
    #[serde(default, skip_serializing_if = "Reading::is_not_asked")]
    pub networks: Reading<BTreeMap<String, String>>,
    /// Where paths of the manifest lead now: working folders and host folders of mounts, by their absolute path there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub paths: BTreeMap<String, PathFact>,
    /// Who listens on the ports that the manifest needs.
    #[serde(default)]
    pub listeners: Reading<Vec<ListenerFact>>,
    /// Probes of what appears to run.
    #[serde(default)]
    pub probes: BTreeMap<ServiceName, ProbeFacts>,
    /// What lcm's own store remembers; empty where the store is gone.
    #[serde(default)]
    pub history: BTreeMap<ServiceName, HistoryFact>,
    /// What operators said, and did not take back.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub words: BTreeMap<ServiceName, Said>,
    /// Reason for which holds can't be read; then none is known of any service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holds_unknown: Option<String>,
    /// Modes that operators switched to: a world file keeps them for the next command.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub switches: Vec<Switched>,
    /// Calls that runs of this project committed themselves to and did not make.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<PendingCall>,
}

impl Facts {
    /// A machine on which nothing runs and nothing was asked.
    #[must_use]
    pub fn empty(host: impl Into<String>, observed_at: Timestamp) -> Self {
        Self {
            format: FORMAT.to_owned(),
            host: host.into(),
            host_id: None,
            host_identity: None,
            enclosure: None,
            engine_elsewhere: None,
            observed_at,
            engine: None,
            containers: Reading::NotAsked,
            trees: Reading::NotAsked,
            claims: Vec::new(),
            pid_files: BTreeMap::new(),
            gpus: Reading::NotAsked,
            reservations: Vec::new(),
            networks: Reading::NotAsked,
            paths: BTreeMap::new(),
            listeners: Reading::NotAsked,
            probes: BTreeMap::new(),
            history: BTreeMap::new(),
            words: BTreeMap::new(),
            holds_unknown: None,
            switches: Vec::new(),
            pending: Vec::new(),
        }
    }

    /// Adds what operators said to what a world file brings along; the later word counts.
    pub fn heed(&mut self, words: BTreeMap<ServiceName, Said>) {
        self.words.extend(words);
    }

    /// Adds what a store remembers to the past that a world file brings along.
    pub fn remember(&mut self, known: BTreeMap<ServiceName, HistoryFact>) {
        for (service, fact) in known {
            self.history.entry(service).or_default().learn(&fact);
        }
    }
}

/// A reading that failed is not an absence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reading<T> {
    /// The manifest has no use for it.
    #[default]
    NotAsked,
    Known(T),
    /// Why it could not be read.
    Unknown(String),
}

impl<T> Reading<T> {
    /// What was read, if it was.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::NotAsked | Self::Unknown(_) => None,
        }
    }

    pub fn known_mut(&mut self) -> Option<&mut T> {
        match self {
            Self::Known(value) => Some(value),
            Self::NotAsked | Self::Unknown(_) => None,
        }
    }

    /// For serde.
    fn is_not_asked(&self) -> bool {
        matches!(self, Self::NotAsked)
    }

    /// Why it is unknown, if it is.
    pub fn unknown(&self) -> Option<&str> {
        match self {
            Self::Unknown(reason) => Some(reason),
            Self::NotAsked | Self::Known(_) => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EngineFact {
    /// `unix:///var/run/docker.sock`.
    pub endpoint: String,
    pub version: String,
}

/// What lcm wrote on a thing that it started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Marks {
    pub project: String,
    pub service: String,
    /// [`crate::model::spec::Spec::hash`] at that time.
    #[serde(default)]
    pub spec: String,
    /// [`crate::model::spec::Spec::secret_digest`] under `salt`.
    #[serde(default)]
    pub secrets: String,
    /// Random, new at each creation: it salts the digest, and tells one start of a process from the next.
    #[serde(default)]
    pub salt: String,
    /// Masked JSON `{"spec": …, "stop": …}`: what it was made from, and how it wishes to be stopped.
    #[serde(default)]
    pub config: String,
    /// GPUs that it was placed on, by comma.
    #[serde(default)]
    pub gpus: String,
    /// GPU memory declared for it, on each of them.
    #[serde(default)]
    pub vram_mib: u64,
    /// Container only: the name that it was created under; empty where an older lcm created it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Machine of the lcm that started it, as `HOSTNAME/DIGEST`; empty where that is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub host_id: String,
    /// User whose lcm started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Container only: [`crate::model::settings::COMPARED`] of the lcm that created it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub compared: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Marks {
    /// Whether the thing that carries them was made for just this service: the one question that decides what may be
    /// touched.
    #[must_use]
    pub fn are_of(&self, project: &ProjectName, service: &ServiceName) -> bool {
        self.project == project.as_str() && self.service == service.as_str()
    }

    /// GPUs that it was placed on, by the ids that they had then.
    pub fn placed_on(&self) -> impl Iterator<Item = &str> {
        self.gpus.split(',').filter(|id| !id.is_empty())
    }
}

/// One process tree of one service, alive or ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TreeFact {
    pub marks: Marks,
    /// Named by `pid_file` or `lcm adopt`: not started by lcm.
    #[serde(default)]
    pub adopted: bool,
    /// The shim, while it lives.
    #[serde(default)]
    pub shim: Option<ProcessFact>,
    /// All living processes of the service, without the shim; empty: ended.
    #[serde(default)]
    pub members: Vec<ProcessFact>,
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub started_at: Option<Timestamp>,
    /// How the first process ended, where its shim could record it.
    #[serde(default)]
    pub exit: Option<ExitFact>,
    /// Every member is stopped by a signal (STOP).
    #[serde(default)]
    pub suspended: bool,
    /// User of the first member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// The shim that ended before the service; absent while it lives, and of adopted trees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_shim: Option<LostShim>,
    /// Working folder and program that its shim was given and holds open; absent where an earlier lcm started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<HeldFact>,
    /// The project that its marks name, where that is a former name of this one (`renamed_from`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former_project: Option<String>,
}

/// Files that a shim holds open on behalf of its service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeldFact {
    pub folder: HeldPath,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<HeldPath>,
}

/// A file or folder that is held open, and what is at its path now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeldPath {
    pub path: String,
    /// `DEVICE:INODE`.
    pub id: String,
    /// What is at its path now, as `DEVICE:INODE`; `None`: nothing.
    #[serde(default)]
    pub now: Option<String>,
}

/// Where a path of the manifest leads now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PathFact {
    /// Without symbolic links.
    pub real: String,
    /// `DEVICE:INODE`.
    pub id: String,
}

/// A shim that was killed: how the service ends is not recorded any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LostShim {
    /// Its former pid, where it was recorded.
    pub pid: Option<i32>,
}

/// A process that can't be mistaken for a later one with the same pid.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProcessFact {
    pub pid: i32,
    /// Clock ticks after boot.
    pub start_ticks: u64,
    /// The program's name alone; arguments may hold secrets.
    pub program: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExitFact {
    #[serde(default)]
    pub code: Option<i32>,
    #[serde(default)]
    pub signal: Option<i32>,
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub at: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GpuFact {
    pub id: GpuId,
    pub index: u32,
    #[serde(default)]
    pub name: String,
    pub capacity: Mebibytes,
    /// By all processes together, without `reserved`. `None`: nobody could be asked.
    #[serde(default)]
    pub used: Option<Mebibytes>,
    /// What the driver keeps for itself.
    #[serde(default)]
    pub reserved: Mebibytes,
    #[serde(default)]
    pub holders: Vec<GpuHolder>,
    /// Why it can't be used though it is known: it fell off the bus.
    #[serde(default)]
    pub lost: Option<String>,
    /// Why nothing can be said of it, though it is there: lcm may not ask for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
}

/// A process that holds GPU memory, or held it when it ended and has not given it back yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GpuHolder {
    /// 0: there are some, and nobody can say which.
    pub pid: i32,
    pub program: String,
    /// `None`: the driver does not tell.
    #[serde(default)]
    pub memory: Option<Mebibytes>,
    pub owner: Owner,
}

impl GpuHolder {
    /// The program of one that has ended while the driver still counts its memory.
    pub const ENDED: &'static str = "a process that has ended";

    /// It stands for any that could not be told apart.
    #[must_use]
    pub fn is_anybody(&self) -> bool {
        self.pid == 0
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenerFact {
    pub port: u16,
    /// Address that it listens on; absent where that is every one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub address: Option<IpAddr>,
    #[serde(default)]
    pub pid: Option<i32>,
    #[serde(default)]
    pub program: Option<String>,
    pub owner: Owner,
}

/// Whose a process is, as far as its marks tell.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// A process tree that carries lcm's marks.
    Service {
        project: ProjectName,
        service: ServiceName,
    },
    /// A container, by its id.
    Container(String),
    Stranger,
}

impl Owner {
    /// Owner of what belongs to an instance: an object by its id, else the service.
    #[must_use]
    pub fn of(project: &ProjectName, service: &ServiceName, instance: &Instance) -> Self {
        match &instance.name {
            Some(_) => Self::Container(instance.id.clone()),
            None => Self::Service { project: project.clone(), service: service.clone() },
        }
    }
}

impl ListenerFact {
    /// Where it listens.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::tcp(self.address, self.port)
    }
}
