//! File format of the record of a start's members.

use jiff::Timestamp;
use serde::Deserialize;
use serde::Serialize;

use crate::host::proc::Stat;
use crate::model::facts::Marks;

/// Bound for members in one record. Those nearest to the shim come first: descendants of a recorded member count as
/// well, so the bound matters only to a service that leaves thousands of orphans behind.
pub(crate) const MEMBERS_MAX: usize = 4096;

/// Bound for a record: each member takes about sixty bytes.
pub(crate) const BYTES_MAX: u64 = 1 << 20;

/// Record of one start, which the shim writes, or for a shim that does not record, a changing command of lcm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MembersNote {
    /// Id of the boot in which pids and start times are valid.
    pub(crate) boot: String,
    /// Marks of the start, without its config.
    pub(crate) marks: Marks,
    pub(crate) started_at: Timestamp,
    pub(crate) shim: Member,
    /// Inode of the service's output pipe; `None`: an earlier lcm wrote the record.
    #[serde(default)]
    pub(crate) output: Option<u64>,
    pub(crate) members: Vec<Member>,
}

/// Process, identified within one boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Member {
    pub(crate) pid: i32,
    pub(crate) start_ticks: u64,
    /// Session of the process, if that was created within the tree; then all processes of the session belong to it.
    #[serde(default)]
    pub(crate) session: Option<i32>,
}

impl Member {
    /// Creates the entry of a process. The session is recorded only if the shim leads its own session or the process is
    /// in another one: else the session of the shim's caller would count.
    pub(crate) fn of(stat: &Stat, shim: &Stat) -> Self {
        let is_within = shim.session == shim.pid || stat.session != shim.session;
        Self { pid: stat.pid, start_ticks: stat.start_ticks, session: is_within.then_some(stat.session) }
    }

    pub(crate) fn is(&self, stat: &Stat) -> bool {
        (stat.pid, stat.start_ticks) == (self.pid, self.start_ticks) && stat.is_alive()
    }
}
