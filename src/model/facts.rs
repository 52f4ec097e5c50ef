//! Raw readings of a machine, as observers take them and as a snapshot file holds them (`lcm observe --out`).
//!
//! Not here: conclusions. What a reading means for a service is `observe`'s work. Secrets never get this far.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::claim::ClaimFact;
use crate::model::enclosure::EnclosureFact;
use crate::model::endpoint::Endpoint;
use crate::model::holds::{HoldRecord, ModeOverride};
use crate::model::host::HostIdentity;
use crate::model::names::{GpuId, ServiceName};
use crate::model::pending::PendingCall;
use crate::model::reservation::ReservationFact;
use crate::model::size::Mebibytes;

pub use self::history::{Attempts, Estimates, FailureReport, HistoryFact};
pub use self::host_memory::{HostMemoryFact, HostMemoryHolder};
pub use self::instances::{Attribution, InstanceCount, Instances, RuntimeFacts};
pub use self::marks::Marks;
pub use self::owner::ProcessOwner;
pub use self::probes::{BusyReading, EngineHealth, ProbeFacts, ProbeReading};
pub use self::reading::Reading;

mod history;
mod host_memory;
mod instances;
mod marks;
mod owner;
mod probes;
mod reading;

/// Version of a snapshot file.
pub const FORMAT: &str = "lcm.world/2";

/// Snapshot: everything that lcm read of the machine at one time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    #[schemars(extend("const" = FORMAT))]
    pub format: String,
    pub host: String,
    /// Id of this machine, as lcm writes it into container labels; present only if the engine may also run containers
    /// of other machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_id: Option<String>,
    /// Ids of this host. lcm reads the same ids if it runs inside a container of this host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_identity: Option<HostIdentity>,
    /// The container that lcm runs in, if that container ends together with its job (such as a CI job).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enclosure: Option<EnclosureFact>,
    #[schemars(with = "String")]
    pub observed_at: Timestamp,
    /// Instances that each runtime reports, by runtime: this project's and others.
    pub instances: Instances,
    /// Processes and containers with lcm's marks that are not proven to be this project's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<ClaimFact>,
    #[serde(default)]
    pub gpus: Reading<Vec<GpuFact>>,
    /// Memory of the host; read only if the manifest counts it.
    #[serde(default, skip_serializing_if = "Reading::is_not_asked")]
    pub memory: Reading<HostMemoryFact>,
    /// GPU memory that lcm has reserved for starts of other users or other projects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reservations: Vec<ReservationFact>,
    /// Real paths of the services' working folders and of mounted host folders, keyed by the absolute path in the
    /// manifest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub paths: BTreeMap<String, PathFact>,
    /// Listeners on the ports that the manifest needs.
    #[serde(default)]
    pub listeners: Reading<Vec<ListenerFact>>,
    /// Probe results of the services that appear to run.
    #[serde(default)]
    pub probes: BTreeMap<ServiceName, ProbeFacts>,
    /// History from lcm's own store; empty where the store is gone.
    #[serde(default)]
    pub history: BTreeMap<ServiceName, HistoryFact>,
    /// Holds of operators, by service.
    #[serde(rename = "holds", alias = "words", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub holds: BTreeMap<ServiceName, HoldRecord>,
    /// Reason why holds can't be read; it is then unknown which services are held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holds_unknown: Option<String>,
    /// Mode overrides that operators set with `lcm switch`; with `--world`, the snapshot file keeps them for the next
    /// command.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub switches: Vec<ModeOverride>,
    /// Pending hook and notifier calls: earlier runs of this project recorded them, but did not make them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<PendingCall>,
}

impl Facts {
    /// Returns the facts of a machine on which nothing runs and nothing was read.
    #[must_use]
    pub fn empty(host: impl Into<String>, observed_at: Timestamp) -> Self {
        Self {
            format: FORMAT.to_owned(),
            host: host.into(),
            host_id: None,
            host_identity: None,
            enclosure: None,
            observed_at,
            instances: Instances::default(),
            claims: Vec::new(),
            gpus: Reading::NotAsked,
            memory: Reading::NotAsked,
            reservations: Vec::new(),
            paths: BTreeMap::new(),
            listeners: Reading::NotAsked,
            probes: BTreeMap::new(),
            history: BTreeMap::new(),
            holds: BTreeMap::new(),
            holds_unknown: None,
            switches: Vec::new(),
            pending: Vec::new(),
        }
    }

    /// Adds holds of operators to those of the snapshot file; the later one counts.
    pub fn merge_holds(&mut self, holds: BTreeMap<ServiceName, HoldRecord>) {
        self.holds.extend(holds);
    }

    /// Adds the store's history to that of the snapshot file.
    pub fn remember(&mut self, known: BTreeMap<ServiceName, HistoryFact>) {
        for (service, fact) in known {
            self.history.entry(service).or_default().learn(&fact);
        }
    }
}

/// Real path of a path in the manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PathFact {
    /// Path without symbolic links.
    pub real: String,
    /// Device and inode of the folder, as `DEVICE:INODE`.
    pub id: String,
}

/// Identity of a process; the start time distinguishes it from a later process with the same pid.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProcessFact {
    pub pid: i32,
    /// Start of the process, in clock ticks after boot.
    pub start_ticks: u64,
    /// Name of the program, without its arguments, because these may contain secrets.
    pub program: String,
}

/// End of a process or container.
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

/// One GPU as its driver, or the manifest, reports it. Amounts are in MiB.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GpuFact {
    pub id: GpuId,
    pub index: u32,
    #[serde(default)]
    pub name: String,
    pub capacity: Mebibytes,
    /// Memory used by all processes together, without `reserved`; `null` if no driver could be queried.
    #[serde(default)]
    pub used: Option<Mebibytes>,
    /// Memory that the driver keeps for itself.
    #[serde(default)]
    pub reserved: Mebibytes,
    #[serde(default)]
    pub holders: Vec<GpuHolder>,
    /// Reason why the GPU can't be used any more, such as having fallen off the bus; `null` if it can.
    #[serde(default)]
    pub lost: Option<String>,
    /// Reason why the GPU can't be read, such as a missing permission; absent if it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
}

/// A process that uses GPU memory, or a process that has ended and whose memory the driver still counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GpuHolder {
    /// Pid of the process; 0 for processes that the driver could not identify.
    pub pid: i32,
    pub program: String,
    /// Memory that the process uses; `null` if the driver does not report it.
    #[serde(default)]
    pub memory: Option<Mebibytes>,
    pub owner: ProcessOwner,
}

impl GpuHolder {
    /// Program name of a process that has ended while the driver still counts its memory.
    pub const ENDED: &'static str = "a process that has ended";

    /// Returns true if the entry stands for processes that could not be identified.
    #[must_use]
    pub fn is_unidentified(&self) -> bool {
        self.pid == 0
    }
}

/// A listener on a port of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenerFact {
    pub port: u16,
    /// Address that it listens on; absent if it listens on all addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub address: Option<IpAddr>,
    #[serde(default)]
    pub pid: Option<i32>,
    #[serde(default)]
    pub program: Option<String>,
    pub owner: ProcessOwner,
}

impl ListenerFact {
    /// Returns the endpoint that it listens on.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::tcp(self.address, self.port)
    }
}
