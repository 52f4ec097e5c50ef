//! Counts of the objects that a plan was made from: the evidence behind "nothing to do".

use std::fmt;

use crate::model::facts::{Facts, InstanceCount, RuntimeFacts};
use crate::report::table::{counted, joined};

/// Counts of inspected objects. Objects that the manifest does not involve, or that could not be read, are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InspectedCounts(Vec<InstanceCount>);

impl InspectedCounts {
    /// Returns these counts, each with its words for one and for several.
    #[must_use]
    pub fn of(counts: &[(usize, &'static str, &'static str)]) -> Self {
        Self(counts.iter().map(|&(count, one, several)| InstanceCount { count, one, several }).collect())
    }

    #[must_use]
    pub fn at(facts: &Facts) -> Self {
        let gpus = facts.gpus.known().map(|gpus| InstanceCount { count: gpus.len(), one: "GPU", several: "GPUs" });
        Self(facts.instances.all().filter_map(RuntimeFacts::count).chain(gpus).collect())
    }
}

impl fmt::Display for InspectedCounts {
    /// Formats `inspected 3 containers, 2 process trees and 1 GPU`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let things: Vec<String> = self.0.iter().map(|of| counted(of.count, of.one, of.several)).collect();
        if things.is_empty() {
            formatter.write_str("nothing to inspect")
        } else {
            write!(formatter, "inspected {}", joined(&things))
        }
    }
}
