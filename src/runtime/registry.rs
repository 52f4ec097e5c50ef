//! Registry of runtimes: the registration of each one on the list.

use crate::model::desired::Desired;
use crate::model::facts::Facts;
use crate::model::observed::Observed;
use crate::observe::contract::Observer;
use crate::runtime::list::runtimes;
use crate::runtime::registration::Registration;

macro_rules! registrations {
    ($($runtime:ident)*) => {
        /// Runtimes of this lcm.
        pub const RUNTIMES: &[Registration] = &[$(crate::runtime::$runtime::registration::REGISTRATION),*];
    };
}
runtimes!(registrations);

/// Observers of all runtimes, in the order of [`RUNTIMES`].
pub const OBSERVERS: &[&dyn Observer] = &observers();

const fn observers() -> [&'static dyn Observer; RUNTIMES.len()] {
    let mut observers = [RUNTIMES[0].observer; RUNTIMES.len()];
    let mut at = 0;
    while at < RUNTIMES.len() {
        observers[at] = RUNTIMES[at].observer;
        at += 1;
    }
    observers
}

/// Observes facts for a manifest with the observers of all runtimes.
#[must_use]
pub fn observe(facts: &Facts, desired: &Desired) -> Observed {
    crate::observe::observe(facts, desired, OBSERVERS)
}
