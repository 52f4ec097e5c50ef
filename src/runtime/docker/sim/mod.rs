//! Containers in a simulation: names, put-aside revisions, pauses, the engine's own health checks and settings, as one
//! Docker engine would have them.

mod containers;
mod effects;
mod mend;
mod state;

pub(crate) use self::state::SimulatedDocker;
