//! What a plan was made from, counted: the evidence behind "nothing to do".

use std::fmt;

use crate::model::facts::{Facts, InstanceCount, RuntimeFacts};
use crate::report::table::{counted, listed};

/// How many things were looked at. What the manifest has no use for, or could not be read, is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InspectedCounts(Vec<InstanceCount>);

impl InspectedCounts {
    /// These counts, each with its words for one and for several.
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
    /// `looked at 3 containers, 2 process trees and 1 GPU`
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let things: Vec<String> = self.0.iter().map(|of| counted(of.count, of.one, of.several)).collect();
        if things.is_empty() {
            formatter.write_str("nothing to look at")
        } else {
            write!(formatter, "looked at {}", listed(&things))
        }
    }
}
