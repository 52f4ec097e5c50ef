//! Approval of a proposal: without one, no proposal is applied.

use crate::model::snapshot::Proposal;

/// Proof that a proposal was approved, and by what.
#[derive(Clone, Debug)]
pub struct Approval {
    proposal: Proposal,
    by: ApprovedBy,
}

/// Ground on which a proposal is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApprovedBy {
    /// An operator approved this proposal at a prompt.
    Operator,
    /// The command itself: no running service is stopped, an option approves in advance, or there is no operator to
    /// prompt.
    Call,
}

impl Approval {
    #[must_use]
    pub fn new(proposal: Proposal, by: ApprovedBy) -> Self {
        Self { proposal, by }
    }

    #[must_use]
    pub fn proposal(&self) -> &Proposal {
        &self.proposal
    }

    #[must_use]
    pub fn by(&self) -> ApprovedBy {
        self.by
    }
}
