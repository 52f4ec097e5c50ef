//! Behaviour of a simulated service. By default it is healthy at once, never dies, and ends when it is stopped.

use std::time::Duration;

use crate::model::size::Mebibytes;

/// Behaviour of one service from its next start; `busy_for` and the faults apply at once.
#[derive(Clone, Debug, Default)]
pub struct Behaviour {
    /// Time from the start request until the service runs.
    pub begins_after: Duration,
    /// Time from the start until the probe passes.
    pub loading: Duration,
    /// Time from the start until the service exits with 1.
    pub dies_after: Option<Duration>,
    /// Time from the start of a job until it exits; its exit code is `exit_code`.
    pub runs_for: Duration,
    /// Exit code of a job.
    pub exit_code: i32,
    /// True if the service exits with 1 halfway through its loading.
    pub dies_while_loading: bool,
    /// True if other processes of its tree survive its death.
    pub leaves_children: bool,
    /// True if the probe never passes.
    pub never_healthy: bool,
    /// Time from the stop signal to the end.
    pub stop_takes: Duration,
    /// True if the service ends only by the kill after its grace.
    pub ignores_term: bool,
    /// Time from the beginning of the simulation in which the busy probe reports busy.
    pub busy_for: Option<Duration>,
    /// GPU memory that the service takes on each of its GPUs, in steps while it loads; `None`: its declared size.
    pub takes: Option<Mebibytes>,
    /// Host memory that the service takes; `None`: its declared size.
    pub takes_ram: Option<Mebibytes>,
    /// Time after the loading at which the service takes its memory, all at once.
    pub late: Option<Duration>,
    /// Time from its end, or from an eviction, until its memory is free.
    pub release_lag: Duration,
    /// True if its memory is never freed after its end.
    pub leaks: bool,
    /// Memory left after an eviction; `None`: the declared remainder.
    pub evicts_to: Option<Mebibytes>,
    /// Times in which the service gives its memory back by itself, in order.
    pub sleeps: Vec<Sleep>,
    pub prepare_error: Option<String>,
    pub start_error: Option<String>,
    /// Survivors of a kill.
    pub stop_error: Option<String>,
    /// Failure of an eviction.
    pub evict_error: Option<String>,
    /// Failure of an update in place.
    pub update_error: Option<String>,
    /// Failure of a wake.
    pub wake_error: Option<String>,
    /// Lines of its log.
    pub log: Vec<String>,
}

/// Time in which a service holds little GPU memory by itself, from the beginning of the simulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sleep {
    pub from: Duration,
    /// Time at which the service takes its memory again, as far as it is free; `None`: not by itself.
    pub until: Option<Duration>,
    /// Memory that the service holds meanwhile on each GPU.
    pub to: Mebibytes,
}
