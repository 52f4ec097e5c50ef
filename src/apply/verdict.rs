//! How a step came out, in words that its executor and its parts share.

use super::run::Cut;
use crate::model::plan::ReasonCode;
use crate::runtime::DriverError;

/// How one step came to its end.
#[derive(Debug)]
pub(super) enum Verdict {
    Done,
    NotNeeded,
    /// The world is another than the plan was made for.
    Stale(String),
    Failed(Trouble),
    Cut(Cut),
}

/// Why a step failed.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) code: ReasonCode,
    pub(super) error: String,
    pub(super) log: Vec<String>,
}

impl Trouble {
    pub(super) fn new(code: ReasonCode, error: String) -> Self {
        Self { code, error, log: Vec::new() }
    }
}

/// Nothing is done on the strength of an unknown.
pub(super) fn unseen(error: &DriverError) -> Trouble {
    Trouble::new(ReasonCode::Unknown, format!("it can't be looked at, so it is left alone: {error}"))
}
