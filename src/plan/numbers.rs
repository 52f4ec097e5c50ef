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
    bases: Rows<Number>,
    dependents: Vec<Vec<Number>>,
}

impl<'a> Numbers<'a> {
    pub(super) fn of(desired: &'a Desired) -> Self {
        let (names, services): (Vec<_>, Vec<_>) =
            desired.services.iter().map(|(name, service)| (name.clone(), service)).unzip();
        let (mut bases, mut dependents) = (Rows::default(), vec![Vec::new(); names.len()]);
        for (number, service) in services.iter().enumerate() {
            bases.push(service.depends_on.keys().filter_map(|base| names.binary_search(base).ok()));
            for base in bases.of(number) {
                dependents[*base].push(number);
            }
        }
        Self { names, services, bases, dependents }
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
        self.bases.of(number)
    }

    /// Those that depend on it directly, by name.
    pub(super) fn dependents(&self, number: Number) -> &[Number] {
        &self.dependents[number]
    }
}

/// A list for each service, one behind the other: most are short or empty, and all together lie side by side.
#[derive(Debug)]
pub(super) struct Rows<T> {
    all: Vec<T>,
    /// Where each begins, and the last ends.
    bounds: Vec<usize>,
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self { all: Vec::new(), bounds: vec![0] }
    }
}

impl<T> Rows<T> {
    /// The list of the next service.
    pub(super) fn push(&mut self, row: impl Iterator<Item = T>) {
        self.all.extend(row);
        self.bounds.push(self.all.len());
    }

    pub(super) fn of(&self, number: Number) -> &[T] {
        &self.all[self.bounds[number]..self.bounds[number + 1]]
    }

    pub(super) fn all(&self) -> &[T] {
        &self.all
    }
}
