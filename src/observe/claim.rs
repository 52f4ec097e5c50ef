//! Claims on this project: processes and objects that name it without proof. They affect no decision and no count.

use std::collections::BTreeMap;

use crate::model::claim::{CLAIMS_MAX, ClaimFact};
use crate::model::names::ServiceName;
use crate::model::observed::ObservedService;
use crate::observe::contract::{ObserverInput, Observers};

/// Returns the claims on this project, sorted by service and claimant. Claims on other projects are not reported.
pub(super) fn claimed(
    view: ObserverInput<'_>,
    observers: Observers<'_>,
    services: &BTreeMap<ServiceName, ObservedService>,
) -> Vec<ClaimFact> {
    let read = view.facts.claims.iter().filter(|claim| view.desired.is_own_project(claim.project.as_str())).cloned();
    let observed = observers.iter().flat_map(|observer| observer.claims(view, services));
    let mut claimed: Vec<ClaimFact> = read.chain(observed).collect();
    claimed.sort_by(|a, b| (&a.service, &a.claimant).cmp(&(&b.service, &b.claimant)));
    claimed.truncate(CLAIMS_MAX);
    claimed
}
