//! GPU memory that a service gives back and takes again while it runs.

use std::time::Duration;

use crate::model::call::Call;
use crate::model::size::Mebibytes;

/// How a service gives GPU memory back without stopping.
#[derive(Clone, Debug, PartialEq)]
pub struct Evict {
    pub calls: Vec<Call>,
    /// Evicted means measured at most this.
    pub resident: Mebibytes,
    /// Deadline of one call.
    pub timeout: Duration,
}

/// How a service takes GPU memory again that it gave back.
#[derive(Clone, Debug, PartialEq)]
pub struct Wake {
    pub calls: Vec<Call>,
    /// Deadline of one call.
    pub timeout: Duration,
}
