//! How a simulated service behaves. The default is well at once, dies never, and ends when it is told.

use std::time::Duration;

use crate::model::size::Mebibytes;

/// What one service does from its next start on; `busy_for` and the faults count at once.
#[derive(Clone, Debug, Default)]
pub struct Behaviour {
    /// From the order to start it until it runs.
    pub begins_after: Duration,
    /// From its start until its probe passes.
    pub loading: Duration,
    /// Ends with 1, so long after its start.
    pub dies_after: Option<Duration>,
    /// Ends with 1, halfway through its loading.
    pub dies_while_loading: bool,
    /// Where it dies, others of its tree live on.
    pub leaves_children: bool,
    /// Its probe never passes.
    pub never_healthy: bool,
    /// From the signal to the end.
    pub stop_takes: Duration,
    /// Ends only when its grace is over and it is killed.
    pub ignores_term: bool,
    /// Its busy probe says so for this long, from the world's beginning.
    pub busy_for: Option<Duration>,
    /// GPU memory that it takes on each of its GPUs, in steps while it loads; what is declared for it where nothing else
    /// is said.
    pub takes: Option<Mebibytes>,
    /// It takes its memory only so long after it answers, all at once.
    pub late: Option<Duration>,
    /// From its end, or from an eviction, until its memory is back.
    pub release_lag: Duration,
    /// Its memory never comes back after its end.
    pub leaks: bool,
    /// What an eviction leaves it, where that is not what is declared.
    pub evicts_to: Option<Mebibytes>,
    /// When it gives its memory back by itself, by the times at which that begins.
    pub sleeps: Vec<Sleep>,
    pub prepare_error: Option<String>,
    pub start_error: Option<String>,
    /// It survives being killed.
    pub stop_error: Option<String>,
    /// It can't be evicted.
    pub evict_error: Option<String>,
    /// Its settings can't be changed in place.
    pub update_error: Option<String>,
    /// It can't be woken.
    pub wake_error: Option<String>,
    /// What it wrote.
    pub log: Vec<String>,
}

/// A time in which a service holds little GPU memory, without being asked to. Times are from the world's beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sleep {
    pub from: Duration,
    /// Then it takes its memory again, or what is free of it; `None`: not by itself.
    pub until: Option<Duration>,
    /// All that it holds meanwhile, on each GPU.
    pub to: Mebibytes,
}
