//! GPU memory that a service gives back and takes again while it runs.

use std::time::Duration;

use crate::model::call::Call;
use crate::model::size::Mebibytes;

/// Eviction: how a service gives GPU memory back without stopping.
#[derive(Clone, Debug, PartialEq)]
pub struct Evict {
    pub calls: Vec<Call>,
    /// Memory that a service may keep: it is evicted once at most this much is measured.
    pub resident: Mebibytes,
    /// Deadline of one call.
    pub timeout: Duration,
}

/// Wake: how a service takes the GPU memory again that it gave back.
#[derive(Clone, Debug, PartialEq)]
pub struct Wake {
    pub calls: Vec<Call>,
    /// Deadline of one call.
    pub timeout: Duration,
}
