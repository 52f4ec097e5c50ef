//! What is wanted and what is there, to what will be done. Pure: same input, same bytes out.
//!
//! `want` says what should run, `judge` holds each service against what is there, `place` finds the best places and victims,
//! `order` turns the decisions into a graph of steps, and `audit` reads any plan and lists what is wrong with it.
//! `left` keeps what a mode does not name running while something wanted can't be brought up.
//! No time and no machine here.

mod assemble;
mod audit;
mod decide;
mod diff;
mod drift;
mod explain;
mod flow;
mod free;
mod given_back;
mod glance;
mod holds;
mod judge;
pub mod judge_commands;
mod ledger;
mod left;
mod legal;
mod numbers;
mod order;
mod pending;
mod place;
mod recover;
mod room;
mod selection;
mod steps;
mod want;
mod word;

pub use audit::audit;
pub use free::room;

use crate::model::desired::Desired;
use crate::model::observed::Observed;
use crate::model::plan::{Placement, Plan, Request};

/// The plan for this world; nothing of it refers to anything but its arguments.
#[must_use]
pub fn plan(desired: &Desired, observed: &Observed, request: &Request) -> Plan {
    let wants = want::wants(desired, request);
    let scene = decide::Scene::new(desired, observed, request, &wants);
    let (decisions, placement) = place::place(&scene, judge::judge(&scene));
    let left = left::candidates(&scene, &decisions);
    if !left.is_empty() {
        let wants = want::wants(desired, request).leaving(left);
        let again = decide::Scene::new(desired, observed, request, &wants);
        let (second, placement) = place::place(&again, judge::judge(&again));
        if left::costs_nothing((&scene, &decisions), (&again, &second)) {
            return finish(&again, second, placement);
        }
    }
    finish(&scene, decisions, placement)
}

fn finish(scene: &decide::Scene<'_>, placed: decide::Decisions, placement: Placement) -> Plan {
    let decisions = if scene.request.strict && placed.any_blocked() { placed.without_changes() } else { placed };
    let steps = order::order(scene, &decisions);
    assemble::assemble(scene, decisions, placement, steps)
}
