//! Records of the journal: state changes, calls, runs, measurements, and the notices of runs that notifiers get.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::model::hooks::RunPayload;
use crate::model::lifecycle::State;
use crate::model::mode_set::ModeSet;
use crate::model::names::{ProjectName, ServiceName};
use crate::model::size::Mebibytes;

/// Exit code recorded of a run that was killed: the one that a shell reports of a program that KILL ended.
pub const KILLED_EXIT_CODE: u8 = 128 + 9;

/// One change of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    pub at: Timestamp,
    pub project: ProjectName,
    pub service: ServiceName,
    pub from: State,
    pub to: State,
    pub reason: String,
    /// True where lcm made the change, false where it only observed it.
    pub made: bool,
    pub author: Author,
    /// Pairs given with `--meta key=value`.
    pub metadata: BTreeMap<String, String>,
}

/// Author of a record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Author {
    /// User, for messages: `kim as root`.
    pub by: String,
    /// Id of the run that it is part of; empty: none.
    pub run: String,
}

/// One call of a hook or a notifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Called {
    pub at: Timestamp,
    pub project: ProjectName,
    pub service: ServiceName,
    pub run: String,
    /// Point or kind of the call: `pre_stop`, `notify`.
    pub hook: String,
    /// Program or URL: `./warm.sh`, `POST http://localhost:9000/lcm`.
    pub call: String,
    pub took_ms: u64,
    /// `None`: it succeeded.
    pub error: Option<String>,
    /// Output, masked and bounded.
    pub output: String,
}

/// One measurement of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measure {
    pub at: Timestamp,
    pub project: ProjectName,
    pub service: ServiceName,
    pub what: Measured,
}

/// Value of a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measured {
    /// Time of a start until the service was healthy.
    Ready { took_ms: u64 },
    /// Time of a stop until the memory was free.
    Stopped { took_ms: u64 },
    /// Memory that the service held on one of its GPUs.
    Memory(Mebibytes),
    /// The GPU memory of the service was evicted, and it goes on running.
    Evicted,
    /// The service was woken, which undoes an eviction.
    Woken,
}

/// A run at its begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunBegun {
    /// Id, as in [`Author`].
    pub id: String,
    /// The entry file.
    pub manifest: String,
    pub project: ProjectName,
    pub command: String,
    pub by: String,
    pub began: Timestamp,
    pub mode: Option<ModeSet>,
}

/// One run of an apply or a down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRecord {
    /// Id, as in [`Author`].
    pub id: String,
    /// The entry file.
    pub manifest: String,
    pub project: ProjectName,
    pub command: String,
    pub by: String,
    pub began: Timestamp,
    pub ended: Timestamp,
    pub end: RunEnd,
    pub exit_code: u8,
    pub changed: bool,
    pub first_error: Option<String>,
}

/// Way in which a run ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RunEnd {
    /// By itself, with or without success.
    #[default]
    Completed,
    /// INT.
    Interrupted,
    /// TERM.
    Terminated,
    /// HUP: its terminal was closed.
    HungUp,
    /// Without a record: it was killed, or the machine went down.
    Killed,
}

impl RunEnd {
    pub const ALL: [Self; 5] = [Self::Completed, Self::Interrupted, Self::Terminated, Self::HungUp, Self::Killed];

    /// Returns the end as written in JSON and in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Interrupted => "interrupted",
            Self::Terminated => "terminated",
            Self::HungUp => "hung_up",
            Self::Killed => "killed",
        }
    }
}

/// Notice of an event of a run, for one notifier.
#[derive(Clone, Debug, PartialEq)]
pub struct RunNotice {
    /// Key of its record, given by the store.
    pub id: u64,
    /// Digest of the notifier's call.
    pub notifier: String,
    pub payload: RunPayload,
    /// Number of runs that failed to deliver it.
    pub tries: u32,
}

/// Mode that a notifier was informed of; `None`: the manifest had none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotifiedMode(pub Option<ModeSet>);
