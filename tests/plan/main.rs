//! The planner on data: a manifest as people write it, a simulated world that came about by applying, and the plan
//! that follows, as text. Every plan here is audited, made twice, applied, and must then be empty.

mod checkouts;
mod copies;
mod devices;
mod drift;
mod enclosed;
mod estimates;
mod foreign;
mod given_back;
mod gpus;
mod house;
mod left;
mod measured;
mod misplaced;
mod modes;
mod oneshots;
mod orphans;
mod ownership;
mod recover;
mod room;
mod rules;
mod settings;
mod unknown;
mod words;
