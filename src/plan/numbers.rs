//! The services of a manifest by number. A plan asks after each of them many times: by its number the answer is at
//! hand, where a name would have to be looked for. Decides nothing.

use std::ops::Range;

use crate::model::desired::{Desired, Service};
use crate::model::names::ServiceName;

/// Where a service stands among those of its manifest, in the order of their names.
pub(super) type Number = usize;

#[derive(Debug)]
pub(super) struct Numbers<'a> {
    /// Copies, which lie side by side: a search touches little memory.
    names: Vec<ServiceName>,
    services: Vec<&'a Service>,
    bases: Vec<Vec<Number>>,
    dependents: Vec<Vec<Number>>,
}

impl<'a> Numbers<'a> {
    pub(super) fn of(desired: &'a Desired) -> Self {
        let (names, services): (Vec<_>, Vec<_>) =
            desired.services.iter().map(|(name, service)| (name.clone(), service)).unzip();
        let nobody = vec![Vec::new(); names.len()];
        let mut numbers = Self { names, services, bases: nobody.clone(), dependents: nobody };
        for number in numbers.all() {
            let bases = numbers.services[number].depends_on.keys();
            let bases: Vec<Number> = bases.filter_map(|base| numbers.find(base)).collect();
            for base in &bases {
                numbers.dependents[*base].push(number);
            }
            numbers.bases[number] = bases;
        }
        numbers
    }

    pub(super) fn all(&self) -> Range<Number> {
        0..self.names.len()
    }

    pub(super) fn find(&self, name: &ServiceName) -> Option<Number> {
        self.names.binary_search(name).ok()
    }

    pub(super) fn name(&self, number: Number) -> &ServiceName {
        &self.names[number]
    }

    pub(super) fn service(&self, number: Number) -> &'a Service {
        self.services[number]
    }

    /// What it depends on directly, by name.
    pub(super) fn bases(&self, number: Number) -> &[Number] {
        &self.bases[number]
    }

    /// Those that depend on it directly, by name.
    pub(super) fn dependents(&self, number: Number) -> &[Number] {
        &self.dependents[number]
    }
}
