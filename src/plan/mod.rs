//! Desired and observed state to the plan. Pure: same input, same bytes out.
//!
//! `want` derives what should run, `input` gathers all that the planner may look at, `judge` decides about each service
//! alone, `place` finds GPUs and victims, `order` turns the decisions into a graph of steps, `assemble` adds what is
//! reported beside them, and `audit` reads any plan and lists its faults. Each imports only those before it.
//! There is no clock and no machine here.

mod assemble;
mod audit;
mod audit_copies;
mod capacity;
mod copies;
mod decision;
mod diff;
mod flow;
mod input;
mod judge;
pub mod judge_commands;
mod ledger;
mod numbers;
mod order;
mod pending;
mod place;
mod places;
mod reason;
mod selection;
mod steps;
mod summary;
mod want;

pub use audit::audit;
pub use capacity::capacity;

use decision::Decisions;
use input::PlanInput;
use judge::context::PlanContext;
use judge::left;

use crate::model::desired::Desired;
use crate::model::observed::Observed;
use crate::model::plan::{Placement, Plan, Request};

/// Returns the plan for an observation. It depends on nothing but its arguments.
#[must_use]
pub fn plan(desired: &Desired, observed: &Observed, request: &Request) -> Plan {
    let wants = want::wants(desired, request);
    let context = PlanContext::new(PlanInput::new(desired, observed, request, &wants));
    let (decisions, placement) = place::place(&context, judge::judge(&context));
    let left = left::candidates(&context, &decisions);
    if !left.is_empty() {
        let wants = want::wants(desired, request).leaving(left);
        let again = PlanContext::new(PlanInput::new(desired, observed, request, &wants));
        let (second, placement) = place::place(&again, judge::judge(&again));
        if left::costs_nothing((&context.input, &decisions), (&again.input, &second)) {
            return finish(&again, second, placement);
        }
    }
    finish(&context, decisions, placement)
}

fn finish(context: &PlanContext<'_>, placed: Decisions, placement: Placement) -> Plan {
    let is_refused = context.input.request.strict && placed.any_blocked();
    let decisions = if is_refused { placed.without_changes() } else { placed };
    let steps = order::order(context, &decisions);
    assemble::assemble(context, decisions, placement, steps)
}
