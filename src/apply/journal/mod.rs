//! Records of a run: state changes, calls of hooks and notifiers, attempts and measurements, each written to the store and
//! reported as an event. A store that fails stops nothing, except a step whose calls it has to remember.
//!
//! In: transitions and results of steps. Out: records in the store, events, and calls of notifiers. Not here: formats
//! of the store, and the record of the run as a whole, which is `reconcile`'s.

pub(super) mod attempts;
pub(super) mod call;
pub(super) mod measure;
pub(super) mod notify;
pub(super) mod payload;
pub(super) mod pending;
pub(super) mod record;
pub(super) mod result;
pub(super) mod seen;
