//! What is wanted and what is there, to what will be done. Pure: same input, same bytes out.

use crate::model::desired::Desired;
use crate::model::observed::Observed;
use crate::model::plan::{Plan, Request};

/// The plan.
#[must_use]
pub fn plan(desired: &Desired, observed: &Observed, request: &Request) -> Plan {
    let _ = (desired, observed, request);
    unimplemented!()
}

/// Everything that is wrong with a plan; empty for every plan that [`plan`] makes.
#[must_use]
pub fn audit(plan: &Plan, desired: &Desired, observed: &Observed) -> Vec<String> {
    let _ = (plan, desired, observed);
    unimplemented!()
}
