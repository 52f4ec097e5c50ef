//! Unbounded input: manifests, env files, engines, calls and drivers that answer endlessly. Memory is bounded by the
//! kernel, time by lcm's own deadlines.

#[path = "bounds/answers.rs"]
mod answers;
#[path = "bounds/engine.rs"]
mod engine;
#[path = "bounds/manifest.rs"]
mod manifest;
#[path = "bounds/probes.rs"]
mod probes;

use crate::support::Attack;

pub(crate) fn trials() -> Vec<Attack> {
    [manifest::trials(), engine::trials(), answers::trials(), probes::trials()].concat()
}
