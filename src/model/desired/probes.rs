//! Probes of a service: for health, and for being busy.

use std::collections::BTreeSet;
use std::time::Duration;

/// Health check of a service, and its deadlines.
#[derive(Clone, Debug, PartialEq)]
pub struct Health {
    /// `None`: being alive is enough; for an image with a health check of its own, being healthy.
    pub probe: Option<Probe>,
    /// True if another program may answer at a port of this host in place of the service, as a proxy does.
    pub any_listener: bool,
    /// Deadline of one probe.
    pub probe_timeout: Duration,
    /// `None`: the interval grows with the wait, between 50 ms and 2 s.
    pub interval: Option<Duration>,
    /// Time in which failures do not count.
    pub warm_time: Duration,
    /// Longest time until the first success, from the end of the warm time on.
    pub timeout: Duration,
    /// Failures in a row, within one observation, that make a running service unhealthy.
    pub failures: u32,
    pub successes: u32,
    /// Time that the service must have answered.
    pub stable_for: Duration,
}

/// Kind of a health check.
#[derive(Clone, Debug, PartialEq)]
pub enum Probe {
    Http(HttpProbe),
    Tcp {
        host: String,
        port: u16,
    },
    /// A command that exits with 0; run in the container for containers.
    Exec(Vec<String>),
    /// A regular expression that matches the output since this start.
    Log(String),
    /// The runtime's own health check: for a container, the image's.
    Runtime,
}

#[derive(Clone, Debug, PartialEq)]
pub struct HttpProbe {
    pub url: String,
    /// Accepted statuses; empty: any 2xx.
    pub status: BTreeSet<u16>,
    /// Text that the body must contain.
    pub body: Option<String>,
    pub pointer: Option<Pointer>,
}

/// A JSON pointer into the body.
#[derive(Clone, Debug, PartialEq)]
pub struct Pointer {
    pub path: String,
    /// `None`: anything but false, 0, null or empty.
    pub equals: Option<serde_json::Value>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Busy {
    pub probe: BusyProbe,
    pub probe_timeout: Duration,
}

#[derive(Clone, Debug, PartialEq)]
pub enum BusyProbe {
    /// Busy while the pointer yields anything but false, 0, null or empty.
    Http { url: String, pointer: String },
    /// Busy while the command exits with 0.
    Exec(Vec<String>),
}
