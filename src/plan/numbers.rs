//! Services of a manifest by number. A plan reads each of them many times; a number is an index, where a name would
//! need a search. Decides nothing.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::model::desired::{Desired, Service};
use crate::model::names::ServiceName;

/// Position of a service in its manifest, in the order of names.
pub(super) type Number = usize;

#[derive(Debug)]
pub(super) struct Numbers<'a> {
    /// Copies in contiguous memory, so that a search touches few cache lines.
    names: Vec<ServiceName>,
    services: Vec<&'a Service>,
    /// Priorities of the manifest, without those of goals and dependents.
    priorities: Vec<i64>,
    bases: Rows<Number>,
    dependents: Rows<Number>,
}

impl<'a> Numbers<'a> {
    pub(super) fn of(desired: &'a Desired) -> Self {
        let names: Vec<ServiceName> = desired.services.keys().cloned().collect();
        let (mut services, mut priorities) = (Vec::with_capacity(names.len()), Vec::with_capacity(names.len()));
        let mut bases = Rows::default();
        for service in desired.services.values() {
            services.push(service);
            priorities.push(service.priority);
            bases.push(service.depends_on.keys().filter_map(|base| names.binary_search(base).ok()));
        }
        let dependents = bases.turned();
        Self { names, services, priorities, bases, dependents }
    }

    pub(super) fn all(&self) -> Range<Number> {
        0..self.names.len()
    }

    pub(super) fn find(&self, name: &ServiceName) -> Option<Number> {
        self.names.binary_search(name).ok()
    }

    /// Services of these names that exist. Both lists are sorted, so each search begins at the previous result.
    pub(super) fn find_all(&self, names: &BTreeSet<ServiceName>) -> Vec<Number> {
        let (mut found, mut from) = (Vec::with_capacity(names.len()), 0);
        for name in names {
            // Galloping search: the cost depends on the gap, not on the length of the list.
            let mut step = 1;
            while self.names.get(from + step).is_some_and(|other| other < name) {
                from += step;
                step *= 2;
            }
            let until = (from + step + 1).min(self.names.len());
            match self.names[from..until].binary_search(name) {
                Ok(at) => {
                    from += at;
                    found.push(from);
                }
                Err(at) => from += at,
            }
        }
        found
    }

    pub(super) fn priorities(&self) -> &[i64] {
        &self.priorities
    }

    pub(super) fn name(&self, number: Number) -> &ServiceName {
        &self.names[number]
    }

    pub(super) fn service(&self, number: Number) -> &'a Service {
        self.services[number]
    }

    /// Direct dependencies of a service, by name.
    pub(super) fn bases(&self, number: Number) -> &[Number] {
        self.bases.of(number)
    }

    /// Direct dependents of a service, by name.
    pub(super) fn dependents(&self, number: Number) -> &[Number] {
        self.dependents.of(number)
    }
}

/// One list per service in contiguous memory, since most lists are short or empty.
#[derive(Debug)]
pub(super) struct Rows<T> {
    all: Vec<T>,
    /// Start of each list, and the end of the last.
    bounds: Vec<usize>,
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self { all: Vec::new(), bounds: vec![0] }
    }
}

impl<T> Rows<T> {
    /// Appends the list of the next service.
    pub(super) fn push(&mut self, row: impl Iterator<Item = T>) {
        self.all.extend(row);
        self.bounds.push(self.all.len());
    }

    pub(super) fn of(&self, number: Number) -> &[T] {
        &self.all[self.bounds[number]..self.bounds[number + 1]]
    }

    pub(super) fn of_mut(&mut self, number: Number) -> &mut [T] {
        &mut self.all[self.bounds[number]..self.bounds[number + 1]]
    }

    pub(super) fn all(&self) -> &[T] {
        &self.all
    }
}

impl Rows<Number> {
    /// For each number the rows that contain it, in ascending order.
    fn turned(&self) -> Self {
        let rows = self.bounds.len() - 1;
        let mut bounds = vec![0; rows + 1];
        self.all.iter().for_each(|number| bounds[number + 1] += 1);
        (0..rows).for_each(|number| bounds[number + 1] += bounds[number]);
        let (mut next, mut all) = (bounds.clone(), vec![0; self.all.len()]);
        for row in 0..rows {
            for number in self.of(row) {
                all[next[*number]] = row;
                next[*number] += 1;
            }
        }
        Self { all, bounds }
    }
}
