//! What is wanted and what is there, to what will be done. Pure: same input, same bytes out.
//!
//! `want` says what should run, `judge` holds each service against what is there, `place` finds the best places and victims,
//! `order` turns the decisions into a graph of steps, and `audit` reads any plan and lists what is wrong with it.
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
mod judge;
mod ledger;
mod legal;
mod numbers;
mod order;
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
use crate::model::plan::{Plan, Request};

/// The plan for this world; nothing of it refers to anything but its arguments.
#[must_use]
pub fn plan(desired: &Desired, observed: &Observed, request: &Request) -> Plan {
    let wants = want::wants(desired, request);
    let scene = decide::Scene::new(desired, observed, request, &wants);
    let judged = judge::judge(&scene);
    let (placed, placement) = place::place(&scene, judged);
    let decisions = if request.strict && placed.any_blocked() { placed.without_changes() } else { placed };
    let steps = order::order(&scene, &decisions);
    assemble::assemble(&scene, decisions, placement, steps)
}
