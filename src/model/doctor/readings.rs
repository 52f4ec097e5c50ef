//! Readings of the machine for `lcm doctor`.

use std::path::PathBuf;

use crate::model::desired::DeclaredGpu;
use crate::model::doctor::Demand;
use crate::model::enclosure::EnclosureFact;
use crate::model::facts::{GpuFact, Reading};

/// Readings that no runtime takes. `Err`: the reading did not end in time.
#[derive(Clone, Debug)]
pub struct MachineReadings {
    pub gpus: GpuReadings,
    pub lock: Result<LockReading, Overdue>,
    pub state: Result<StateReading, Overdue>,
    pub system: Result<SystemReading, Overdue>,
    /// Container that lcm runs in, with the options that it lacks; `None`: lcm runs on a machine.
    pub enclosure: Option<EnclosureFact>,
}

/// Reading that did not end within its deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overdue {
    pub deadline_s: u64,
}

/// GPUs, their drivers, and the use that the manifest has for them.
#[derive(Clone, Debug)]
pub struct GpuReadings {
    /// False if `LCM_NVML_LIB` is empty: then no driver is queried.
    pub is_queried: bool,
    pub gpus: Reading<Vec<GpuFact>>,
    /// NVIDIA's driver; `None`: not loaded, or not readable.
    pub driver: Option<NvidiaDriver>,
    /// Boards that the machine has, with or without a driver.
    pub boards: Vec<GpuBoard>,
    pub demand: Demand,
    /// GPUs that the manifest declares.
    pub declared: Vec<DeclaredGpu>,
}

/// NVIDIA's driver.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NvidiaDriver {
    pub version: Option<String>,
    /// Newest version of CUDA that it supports, such as `12.4`.
    pub cuda: Option<String>,
    /// Indices of GPUs on which only one process may compute.
    pub exclusive: Vec<u32>,
    /// Indices of GPUs on which no process may compute.
    pub prohibited: Vec<u32>,
}

/// Vendor of a board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GpuVendor {
    Nvidia,
    Amd,
}

/// Board on the PCI bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuBoard {
    pub vendor: GpuVendor,
    /// `0000:01:00.0`.
    pub address: String,
    /// Kernel driver that is bound to it, such as `nvidia`, `nouveau` or `vfio-pci`; `None`: none is.
    pub driver: Option<String>,
}

/// The host's lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockReading {
    pub path: PathBuf,
    pub state: LockState,
}

/// State of the lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LockState {
    Free,
    /// No lcm has created the file yet, and this user can.
    Absent,
    /// Held by this process, in words.
    Held(String),
    /// Reason why this user can't take it.
    Unusable(String),
}

/// State folder and the store in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateReading {
    pub folder: FolderReading,
    pub store: StoreReading,
    /// Format that this lcm writes.
    pub format: u32,
}

/// Folder, and the file system that it is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderReading {
    pub path: PathBuf,
    pub state: FolderState,
    /// Free space for this user, in MiB; `None`: unknown.
    pub free_mib: Option<u64>,
}

/// State of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FolderState {
    Usable {
        mode: u32,
    },
    /// Missing, and this user can create it.
    Absent,
    /// Missing, and this user can't create it, for this reason.
    Uncreatable(String),
    /// Owned by this other user.
    Foreign(String),
    /// Writable by other users.
    Open {
        mode: u32,
    },
    /// Not writable for this user, for this reason.
    Unwritable(String),
    /// Not usable for another reason.
    Unusable(String),
}

/// File of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreReading {
    Absent,
    Format(u32),
    /// Not a database of lcm's, or an emptied one.
    NotAStore,
    Unreadable(String),
}

/// Clock, limits and folders of the system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemReading {
    pub clock: ClockReading,
    /// Soft and hard limit of open files; `None`: no limit.
    pub open_files: (Option<u64>, Option<u64>),
    pub temp: FolderReading,
}

/// Clock of the system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClockReading {
    /// Program that synchronises the clock, such as `chronyd`; `None`: none is visible.
    pub synchronizer: Option<String>,
    /// True or false as systemd-timesyncd has it; `None`: another program keeps the clock.
    pub is_synchronised: Option<bool>,
    /// True in a container or another pid namespace, where the host's programs are not visible.
    pub is_enclosed: bool,
    /// Name of the local time zone; `None`: unknown, and then times are in UTC.
    pub zone: Option<String>,
}

/// Method by which a process that lcm starts outlives lcm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Survival {
    /// No systemd manages this session.
    Unmanaged,
    /// lcm runs outside of any unit that would end its processes: in a login session, or in a terminal's scope.
    Session {
        /// True if logind ends all processes of a session at logout.
        kills_processes: bool,
    },
    /// The unit that lcm runs in leaves its processes alone.
    Spared { unit: String, kill_mode: String },
    /// systemd-run moves processes out of the unit.
    Scope {
        unit: String,
        program: PathBuf,
        /// True if the scope belongs to the user's own systemd, which ends with the user's last session.
        of_user: bool,
        /// False if that systemd has no socket, so that systemd-run fails.
        is_reachable: bool,
    },
    /// The unit ends its processes, and systemd-run is missing.
    Killed { unit: String },
    /// lcm runs in a container, which ends its processes.
    Enclosed,
}

/// Survival of processes, and the user that they belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SurvivalReading {
    pub survival: Survival,
    pub user: String,
    /// True if the user's systemd runs without a session (`loginctl enable-linger`).
    pub lingers: bool,
}
