//! Reasons of a plan: why a step is taken, and why a service is kept, blocked or held.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Reason for a step, or for taking none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    pub code: ReasonCode,
    /// A whole sentence for people.
    pub message: String,
    /// The mode, goal or service that is the cause.
    pub by: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReasonCode {
    WantedByMode,
    WantedByGoal,
    WantedByDependency,
    NotInMode,
    StoppedByMode,
    Preempted,
    Moved,
    Scaled,
    SpecChanged,
    SecretChanged,
    ImageChanged,
    Unhealthy,
    Exited,
    GpuLost,
    WrongGpu,
    Orphaned,
    Requested,
    #[serde(alias = "no_room")]
    NoCapacity,
    Rule,
    Unknown,
    ContainerMissing,
    PortTaken,
    NotOurs,
    /// The container was renamed by hand.
    Renamed,
    SecretMissing,
    Dependency,
    Maintenance,
    Suspended,
    /// An operator terminated the service.
    Terminated,
    /// The service did not stay up, and its next attempt is due later.
    Backoff,
    BudgetSpent,
    /// Something that a start needs is missing: image, executable, folder.
    PrepareFailed,
    /// The start already failed in this run; a start is tried only once per run.
    StartFailed,
    StopFailed,
    /// A required hook failed.
    Vetoed,
    /// The actual settings of the service's container or process differ from the manifest.
    SettingsChanged,
    /// The service released GPU memory and needs it again: others have taken it, or lcm evicted the service and has not
    /// woken it since.
    MemoryGivenBack,
    /// A stop would remove the container.
    AutoRemove,
    /// The service is a process, and lcm runs in a container.
    InContainer,
    /// The service needs a GPU, and its engine belongs to a different machine.
    RemoteEngine,
}

impl ReasonCode {
    /// Returns true if the recovery budget is the reason.
    #[must_use]
    pub fn is_of_budget(self) -> bool {
        matches!(self, Self::Backoff | Self::BudgetSpent)
    }

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WantedByMode => "wanted_by_mode",
            Self::WantedByGoal => "wanted_by_goal",
            Self::WantedByDependency => "wanted_by_dependency",
            Self::NotInMode => "not_in_mode",
            Self::StoppedByMode => "stopped_by_mode",
            Self::Preempted => "preempted",
            Self::Moved => "moved",
            Self::Scaled => "scaled",
            Self::SpecChanged => "spec_changed",
            Self::SecretChanged => "secret_changed",
            Self::ImageChanged => "image_changed",
            Self::Unhealthy => "unhealthy",
            Self::Exited => "exited",
            Self::GpuLost => "gpu_lost",
            Self::WrongGpu => "wrong_gpu",
            Self::Orphaned => "orphaned",
            Self::Requested => "requested",
            Self::NoCapacity => "no_capacity",
            Self::Rule => "rule",
            Self::Unknown => "unknown",
            Self::ContainerMissing => "container_missing",
            Self::PortTaken => "port_taken",
            Self::NotOurs => "not_ours",
            Self::Renamed => "renamed",
            Self::SecretMissing => "secret_missing",
            Self::Dependency => "dependency",
            Self::Maintenance => "maintenance",
            Self::Suspended => "suspended",
            Self::Terminated => "terminated",
            Self::Backoff => "backoff",
            Self::BudgetSpent => "budget_spent",
            Self::PrepareFailed => "prepare_failed",
            Self::StartFailed => "start_failed",
            Self::StopFailed => "stop_failed",
            Self::Vetoed => "vetoed",
            Self::SettingsChanged => "settings_changed",
            Self::MemoryGivenBack => "memory_given_back",
            Self::AutoRemove => "auto_remove",
            Self::InContainer => "in_container",
            Self::RemoteEngine => "remote_engine",
        }
    }
}
