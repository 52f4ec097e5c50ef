//! Raw facts to one picture per service and GPU. Pure.

use crate::model::desired::Desired;
use crate::model::facts::Facts;
use crate::model::observed::Observed;

/// What the facts mean for this manifest.
#[must_use]
pub fn observe(facts: &Facts, desired: &Desired) -> Observed {
    let _ = (facts, desired);
    unimplemented!()
}
