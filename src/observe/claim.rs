//! Claims on this project: carried from the facts to the report, judged by nothing.

use crate::model::claim::ClaimFact;
use crate::model::desired::Desired;
use crate::model::facts::Facts;

/// Claims on this project, by service and thing. A claim on another project is that project's affair.
pub(super) fn claimed(facts: &Facts, desired: &Desired) -> Vec<ClaimFact> {
    let mut claimed: Vec<ClaimFact> =
        facts.claims.iter().filter(|claim| claim.project == desired.project).cloned().collect();
    claimed.sort_by(|a, b| (&a.service, &a.claimant).cmp(&(&b.service, &b.claimant)));
    claimed
}
