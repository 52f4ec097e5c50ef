//! Probes of a service: whether it answers, and whether it is busy.

use std::collections::BTreeSet;
use std::time::Duration;

/// How a service is seen to answer, and how long that may take.
#[derive(Clone, Debug, PartialEq)]
pub struct Health {
    /// `None`: being alive is enough, and for an image that checks itself, healthy.
    pub probe: Option<Probe>,
    /// A listener that is not the service's may answer at a port of this host: a proxy stands before it.
    pub any_listener: bool,
    /// Deadline of one probe.
    pub probe_timeout: Duration,
    /// `None`: grows with the wait, between 50 ms and 2 s.
    pub interval: Option<Duration>,
    /// Failures before it count for nothing.
    pub warm_time: Duration,
    /// Starts after the warm time.
    pub timeout: Duration,
    /// So many in a row, within one observation, make a running service unhealthy.
    pub failures: u32,
    pub successes: u32,
    /// Must have answered for so long.
    pub stable_for: Duration,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Probe {
    Http(HttpProbe),
    Tcp {
        host: String,
        port: u16,
    },
    /// Exits 0; in the container for containers.
    Exec(Vec<String>),
    /// A regular expression, in the output since this start.
    Log(String),
    /// The runtime's own health check: for a container, the image's.
    Runtime,
}

#[derive(Clone, Debug, PartialEq)]
pub struct HttpProbe {
    pub url: String,
    /// Empty: any 2xx.
    pub status: BTreeSet<u16>,
    /// Must stand in the body.
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
    /// Busy while it exits 0.
    Exec(Vec<String>),
}
