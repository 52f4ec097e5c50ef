//! Planner tests on data: a manifest, a simulated machine in a state reached by applying, and the plan that follows, as
//! text. Every plan here is audited, made twice, applied, and must then be empty.

mod capacity;
mod checkouts;
mod copies;
mod devices;
mod drift;
mod enclosed;
mod estimates;
mod exclusive;
mod foreign;
mod given_back;
mod gpus;
mod holds;
mod house;
mod jobs;
mod left;
mod measured;
mod memory;
mod misplaced;
mod modes;
mod networks;
mod oneshots;
mod options;
mod orphans;
mod ownership;
mod recover;
mod rules;
mod settings;
mod unknown;
