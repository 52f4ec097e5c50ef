//! The planner: computes the steps from the observed to the desired state. Pure: same input, same bytes out.
//!
//! In: `Desired`, `Observed` and a `Request`. `want` derives what should run, `input` gathers all that the planner
//! reads. `judge` decides about each service alone, `place` assigns GPUs and selects preemption victims, `order` turns
//! the decisions into a graph of steps. Each imports only those before it.
//! Out: a `Plan`, assembled with its report by `assemble`, and the findings of `audit`, which checks any plan.
//! Helpers: of the input, `numbers` (services by number), `summary` (contiguous summaries), `places` (GPUs that a
//! request allows) and `gpu_capacity` (memory of each GPU); of the decisions, `decision` and `reason`; of the steps,
//! `steps`, `orphan_steps`, `copies`, `job_steps`, `ledger` (which stops free the memory of a start), `exclusive` (starts
//! that load alone), `flow` (peak memory) and `diff`; of the report, `networks`, `pending` and `selection`. `sequence`
//! lets services take over the memory of the jobs that they wait for. `judge_commands` decides about `lcm start`, `stop`
//! and holds.
//! Not here: a clock or access to the machine (`observe`, `runtime`), and the execution of steps (`apply`).

mod assemble;
mod audit;
mod audit_copies;
mod audit_memory;
mod copies;
mod decision;
mod diff;
mod exclusive;
mod flow;
mod gpu_capacity;
mod input;
mod job_steps;
mod judge;
pub mod judge_commands;
mod ledger;
mod networks;
mod numbers;
mod order;
mod orphan_steps;
mod pending;
mod place;
mod places;
mod reason;
mod selection;
mod sequence;
mod steps;
mod summary;
mod want;

pub use audit::audit;
pub use gpu_capacity::capacity;

use decision::Decisions;
use input::PlanInput;
use judge::context::PlanContext;
use judge::{jobs, left_running};

use crate::model::desired::Desired;
use crate::model::observed::Observed;
use crate::model::plan::{Placement, Plan, Request};

/// Returns the plan for an observation. The result depends on the arguments alone.
#[must_use]
pub fn plan(desired: &Desired, observed: &Observed, request: &Request) -> Plan {
    let wants = want::wants(desired, request);
    let context = PlanContext::new(PlanInput::new(desired, observed, request, &wants));
    let (decisions, placement) = place::place(&context, judge::judge(&context));
    if let Some((second, placement)) = sequence::after_jobs((desired, observed, request), &context, &decisions) {
        let plan = finish(&context, second, placement);
        if audit(&plan, desired, observed, request).is_empty() {
            return plan;
        }
    }
    let left_running = left_running::candidates(&context, &decisions);
    if !left_running.is_empty() {
        let wants = want::wants(desired, request).leaving(left_running);
        let again = PlanContext::new(PlanInput::new(desired, observed, request, &wants));
        let (second, placement) = place::place(&again, judge::judge(&again));
        if left_running::costs_nothing((&context.input, &decisions), (&again.input, &second)) {
            return finish(&again, second, placement);
        }
    }
    finish(&context, decisions, placement)
}

fn finish(context: &PlanContext<'_>, placed: Decisions, placement: Placement) -> Plan {
    let is_refused = context.input.request.strict && placed.any_blocked();
    let mut decisions = if is_refused { placed.without_changes() } else { placed };
    jobs::leave_unawaited(context, &mut decisions);
    let steps = order::order(context, &decisions);
    assemble::assemble(context, decisions, placement, steps)
}
