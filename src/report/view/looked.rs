//! What a plan was made from, counted: the evidence behind "nothing to do".

use std::fmt;

use crate::model::facts::{Facts, Reading};
use crate::report::table::{counted, listed};

/// How many things were looked at; `None` where the manifest has no use for them, or they could not be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    pub containers: Option<usize>,
    pub trees: Option<usize>,
    pub gpus: Option<usize>,
}

impl Looked {
    #[must_use]
    pub fn at(facts: &Facts) -> Self {
        fn count<T>(reading: &Reading<Vec<T>>) -> Option<usize> {
            reading.known().map(Vec::len)
        }
        Self { containers: count(&facts.containers), trees: count(&facts.trees), gpus: count(&facts.gpus) }
    }
}

impl fmt::Display for Looked {
    /// `looked at 3 containers, 2 process trees and 1 GPU`
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let things = [
            self.containers.map(|count| counted(count, "container", "containers")),
            self.trees.map(|count| counted(count, "process tree", "process trees")),
            self.gpus.map(|count| counted(count, "GPU", "GPUs")),
        ];
        let things: Vec<String> = things.into_iter().flatten().collect();
        if things.is_empty() {
            formatter.write_str("nothing to look at")
        } else {
            write!(formatter, "looked at {}", listed(&things))
        }
    }
}
