//! Reads any plan and lists what is wrong with it. Shares no code with the placing or the ledger: what they got wrong
//! must not pass for that reason. `apply` refuses a plan with findings.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::desired::Desired;
use crate::model::lifecycle::{Action, State, route};
use crate::model::names::{ServiceName, StepId};
use crate::model::observed::{Instance, Observed, Ownership};
use crate::model::plan::{Plan, Purpose, ReasonCode, Request, Step};
use crate::plan::flow::worst_addition;
use crate::plan::want::{self, Wants};

/// Everything that is wrong with a plan; empty for every plan that [`crate::plan::plan`] makes.
#[must_use]
pub fn audit(plan: &Plan, desired: &Desired, observed: &Observed, request: &Request) -> Vec<String> {
    let reach = match reach(plan) {
        Ok(reach) => reach,
        Err(finding) => return vec![finding],
    };
    let wants = want::wants(desired, request);
    let down = request.purpose == Purpose::Down;
    let audit = Audit { plan, desired, observed, reach, wants, down, repacks: request.repack };
    let mut findings = Vec::new();
    for step in &plan.steps {
        check_route(step, &mut findings);
        audit.ownership(step, &mut findings);
        audit.dependencies(step, &mut findings);
        audit.victims(step, &mut findings);
        audit.standing(step, &mut findings);
    }
    audit.memory(&mut findings);
    findings
}

/// For each step, all that must have succeeded before it; `Err` where ids or needs make no graph.
fn reach(plan: &Plan) -> Result<BTreeMap<&StepId, BTreeSet<&StepId>>, String> {
    let mut reach: BTreeMap<&StepId, BTreeSet<&StepId>> = BTreeMap::new();
    // Needs point backwards in every plan, which also rules out cycles.
    for step in &plan.steps {
        let mut all = BTreeSet::new();
        for need in &step.needs {
            let Some(further) = reach.get(need) else {
                return Err(format!("{} needs {need}, which does not come before it", step.id));
            };
            all.extend(further.iter().copied());
            all.insert(need);
        }
        if reach.insert(&step.id, all).is_some() {
            return Err(format!("two steps are called {}", step.id));
        }
    }
    Ok(reach)
}

fn check_route(step: &Step, findings: &mut Vec<String>) {
    if route(step.action, step.expect.state) != Some(step.route.as_slice()) {
        let (way, from) = (words(&step.route), step.expect.state);
        findings.push(format!("{}: {way} is no way to {} from {from}", step.id, step.action));
    }
    for pair in step.route.windows(2) {
        if let [from, to] = pair
            && !from.may_become(*to)
        {
            findings.push(format!("{}: nothing may go from {from} to {to}", step.id));
        }
    }
}

struct Audit<'a> {
    plan: &'a Plan,
    desired: &'a Desired,
    observed: &'a Observed,
    reach: BTreeMap<&'a StepId, BTreeSet<&'a StepId>>,
    wants: Wants,
    down: bool,
    /// Services may be moved for their equals.
    repacks: bool,
}

impl Audit<'_> {
    /// Only what is ours or adopted is touched, and only the thing that was seen.
    fn ownership(&self, step: &Step, findings: &mut Vec<String>) {
        let Some(instance) = &step.expect.instance else {
            if step.action != Action::Start {
                findings.push(format!("{}: there is nothing to {}", step.id, step.action));
            }
            return;
        };
        let orphan = self.observed.orphans.iter().any(|orphan| orphan.instance == *instance);
        let seen = self.observed.services.get(&step.service);
        let own = seen.is_some_and(|seen| {
            let known = seen.instance.as_ref() == Some(instance) || seen.previous.as_ref() == Some(instance);
            let ours = match &seen.ownership {
                Ownership::Ours | Ownership::Adopted => true,
                // Something of ours that does not run, while a stranger answers in its place.
                Ownership::Foreign { .. } => step.action == Action::Remove,
                Ownership::Absent | Ownership::Missing { .. } => false,
            };
            known && ours
        });
        let adopted = seen.is_some_and(|seen| seen.ownership == Ownership::Adopted) && !orphan;
        if !own && !orphan {
            findings.push(format!("{}: {} is not ours", step.id, describe(instance)));
        }
        if step.action == Action::Remove && adopted {
            findings.push(format!("{}: {} was not created by lcm", step.id, describe(instance)));
        }
    }

    /// What a service depends on is up when it starts, and still up when it runs on.
    fn dependencies(&self, step: &Step, findings: &mut Vec<String>) {
        // What is starting already has begun without asking; to wait for it needs nobody.
        let begins = step.action == Action::Start && step.expect.state != State::Starting;
        let Some(service) = self.desired.services.get(&step.service).filter(|_| begins) else {
            return;
        };
        for dependency in service.depends_on.keys() {
            let start = self.find(Action::Start, dependency);
            let up = if let Some(start) = start {
                self.reach[&step.id].contains(&start.id)
            } else {
                let state = self.observed.services.get(dependency).map(|seen| seen.state);
                state.is_some_and(State::is_operational) && self.find(Action::Stop, dependency).is_none()
            };
            if !up {
                findings.push(format!("{}: {dependency} may not be up by then", step.id));
            }
        }
    }

    fn victims(&self, step: &Step, findings: &mut Vec<String>) {
        if !matches!(step.reason.code, ReasonCode::Preempted | ReasonCode::Moved) {
            return;
        }
        let Some(winner) = step.reason.by.as_deref().map(ServiceName::from) else {
            findings.push(format!("{}: preempted for nobody", step.id));
            return;
        };
        let (lower, higher) = (self.wants.priority(&step.service), self.wants.priority(&winner));
        let among_equals = self.repacks && step.reason.code == ReasonCode::Moved;
        if lower > higher || (lower == higher && !among_equals) {
            findings.push(format!("{}: {winner} does not matter more", step.id));
        }
    }

    /// Starts and stops of one service fit together, and with what was said of it elsewhere.
    fn standing(&self, step: &Step, findings: &mut Vec<String>) {
        let stop = self.find(Action::Stop, &step.service);
        let runs = self.observed.services.get(&step.service).is_some_and(|seen| seen.holds_room);
        match step.action {
            Action::Start => {
                if self.down || !self.wants.is_wanted(&step.service) {
                    findings.push(format!("{}: nobody wants it", step.id));
                }
                let waits = step.expect.state == State::Starting;
                let after_stop = stop.is_some_and(|stop| self.reach[&step.id].contains(&stop.id));
                if runs && !waits && !after_stop {
                    findings.push(format!("{}: it runs already", step.id));
                }
                if self.plan.held.iter().any(|held| held.service == step.service) {
                    findings.push(format!("{}: it is held", step.id));
                }
            }
            Action::Stop | Action::Remove => {
                let foreign = self.observed.services.get(&step.service).is_some_and(|seen| seen.unknown.is_some());
                if foreign && self.observed.orphans.iter().all(|orphan| orphan.service != step.service) {
                    findings.push(format!("{}: nothing is known of it", step.id));
                }
            }
            Action::Evict | Action::Pause | Action::Unpause => {}
        }
    }

    /// At no moment does a GPU hold more than it may by these steps.
    fn memory(&self, findings: &mut Vec<String>) {
        for line in &self.plan.gpus {
            let Some(gpu) = self.observed.gpus.get(&line.id) else {
                findings.push(format!("GPU {} was never seen", line.id));
                continue;
            };
            let addition = worst_addition(&self.plan.steps, &line.id);
            let peak = line.before_mib + addition;
            if addition.0 > 0 && peak + self.desired.reserve > gpu.capacity {
                findings.push(format!(
                    "GPU {} may come to {peak}, with {} to be kept free of {}",
                    line.index, self.desired.reserve, gpu.capacity
                ));
            }
            if line.peak_mib != peak {
                findings.push(format!("GPU {}: its peak is {peak}, not {}", line.index, line.peak_mib));
            }
        }
        for step in &self.plan.steps {
            for gpu in step.gpus.iter().filter(|gpu| !self.observed.gpus.contains_key(*gpu)) {
                findings.push(format!("{}: GPU {gpu} was never seen", step.id));
            }
        }
    }

    fn find(&self, action: Action, service: &ServiceName) -> Option<&Step> {
        // Steps of orphans carry the orphan's name; only a service's own thing counts here.
        self.plan.steps.iter().find(|step| step.id.as_str() == format!("{action}:{service}"))
    }
}

fn words(route: &[State]) -> String {
    route.iter().map(|state| state.as_str()).collect::<Vec<_>>().join(" → ")
}

fn describe(instance: &Instance) -> String {
    match instance {
        Instance::Container { name, .. } => format!("container {name}"),
        Instance::Tree { id } => format!("process tree {id}"),
    }
}
