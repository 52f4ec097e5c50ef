//! Simulation of containers, as one Docker engine would have them: names, previous revisions, pauses, health checks of
//! the engine, and settings.
//!
//! In: facts of containers, and effects on them. Out: changed facts, results, and violations. Not here: time and GPUs,
//! which are in `sim`.

mod containers;
mod effects;
mod mend;
mod networks;
mod state;

pub(crate) use self::state::SimulatedDocker;
