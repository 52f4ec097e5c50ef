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
use crate::model::holds::{HoldRecord, ModeOverride};
use crate::model::host::HostIdentity;
use crate::model::names::{GpuId, ServiceName};
use crate::model::pending::PendingCall;
use crate::model::reservation::ReservationFact;
use crate::model::size::Mebibytes;

pub use self::history::{Attempts, Estimates, FailureReport, HistoryFact};
pub use self::instances::{Attribution, InstanceCount, Instances, RuntimeFacts};
pub use self::marks::Marks;
pub use self::owner::ProcessOwner;
pub use self::probes::{BusyReading, EngineHealth, ProbeFacts, ProbeReading};
pub use self::reading::Reading;

mod history;
mod instances;
mod marks;
mod owner;
mod probes;
mod reading;

/// The version of a world file.
pub const FORMAT: &str = "lcm.world/2";

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
    #[schemars(with = "String")]
    pub observed_at: Timestamp,
    /// Instances that each runtime knows of, ours or not.
    #[serde(default)]
    pub instances: Instances,
    /// Processes and containers with lcm's marks that are not proven to be ours.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<ClaimFact>,
    #[serde(default)]
    pub gpus: Reading<Vec<GpuFact>>,
    /// GPU memory that starts of other users' lcm were let in with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reservations: Vec<ReservationFact>,
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
    /// Holds of operators, by service.
    #[serde(rename = "words", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub holds: BTreeMap<ServiceName, HoldRecord>,
    /// Reason for which holds can't be read; then none is known of any service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holds_unknown: Option<String>,
    /// Modes that operators switched to: a world file keeps them for the next command.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub switches: Vec<ModeOverride>,
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
            observed_at,
            instances: Instances::default(),
            claims: Vec::new(),
            gpus: Reading::NotAsked,
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

    /// Adds holds of operators to those that a world file brings along; the later one counts.
    pub fn merge_holds(&mut self, holds: BTreeMap<ServiceName, HoldRecord>) {
        self.holds.extend(holds);
    }

    /// Adds what a store remembers to the past that a world file brings along.
    pub fn remember(&mut self, known: BTreeMap<ServiceName, HistoryFact>) {
        for (service, fact) in known {
            self.history.entry(service).or_default().learn(&fact);
        }
    }
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
    pub owner: ProcessOwner,
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
    pub owner: ProcessOwner,
}

impl ListenerFact {
    /// Where it listens.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::tcp(self.address, self.port)
    }
}
