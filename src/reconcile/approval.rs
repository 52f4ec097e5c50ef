//! Approval of a proposal: without one nothing is carried out.

use crate::model::snapshot::Proposal;

/// Proof that a proposal was approved, and by what.
#[derive(Clone, Debug)]
pub struct Approval {
    proposal: Proposal,
    by: ApprovedBy,
}

/// Ground on which a proposal is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApprovedBy {
    /// An operator answered a question about this proposal.
    Operator,
    /// The call itself: nothing that runs is stopped, an option approves in advance, or no operator can be asked.
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
