//! Record of the members of one start, as it is written down.

use jiff::Timestamp;
use serde::Deserialize;
use serde::Serialize;

use crate::host::proc::Stat;
use crate::model::facts::Marks;

/// Members in one record. Those nearest to the shim come first: what descends from a recorded member counts as well,
/// so only a service that leaves thousands of orphans behind could exceed it to any effect.
pub(crate) const MEMBERS_MAX: usize = 4096;

/// No record is longer: each member takes about sixty bytes.
pub(crate) const BYTES_MAX: u64 = 1 << 20;

/// Written by the shim, and by a changing lcm for a shim that does not record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MembersNote {
    /// The boot in which the pids and start times hold.
    pub(crate) boot: String,
    /// Of the start, without its config.
    pub(crate) marks: Marks,
    pub(crate) started_at: Timestamp,
    pub(crate) shim: Member,
    /// Inode of the pipe that the service was given for its output; `None`: recorded by an earlier lcm.
    #[serde(default)]
    pub(crate) output: Option<u64>,
    pub(crate) members: Vec<Member>,
}

/// One process of one boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Member {
    pub(crate) pid: i32,
    pub(crate) start_ticks: u64,
    /// Its session, where that was created within the tree; then all of the session is.
    #[serde(default)]
    pub(crate) session: Option<i32>,
}

impl Member {
    /// The member as recorded. A session is taken only where the shim leads one of its own: else the session of the
    /// shim's caller would count.
    pub(crate) fn of(stat: &Stat, shim: &Stat) -> Self {
        let is_within = shim.session == shim.pid || stat.session != shim.session;
        Self { pid: stat.pid, start_ticks: stat.start_ticks, session: is_within.then_some(stat.session) }
    }

    pub(crate) fn is(&self, stat: &Stat) -> bool {
        (stat.pid, stat.start_ticks) == (self.pid, self.start_ticks) && stat.is_alive()
    }
}
