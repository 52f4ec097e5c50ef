//! Audit of any plan: lists its faults. Shares no code with placement or the ledger, so that their errors do not pass
//! unnoticed. `apply` refuses a plan with findings.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::budget::Budget;
use crate::model::desired::{Condition, Desired};
use crate::model::holds::Hold;
use crate::model::instance::Instance;
use crate::model::lifecycle::{Action, State, route};
use crate::model::names::ServiceName;
use crate::model::observed::{Observed, ObservedService, Ownership};
use crate::model::plan::{Plan, Purpose, ReasonCode, Request, Step};
use crate::model::rules::{Case, Legality};
use crate::plan::steps::stop_route;
use crate::plan::want::{self, Want, Wants};
use crate::plan::{audit_copies, audit_memory};

/// Returns the faults of a plan; empty for every plan that [`crate::plan::plan`] makes.
#[must_use]
pub fn audit(plan: &Plan, desired: &Desired, observed: &Observed, request: &Request) -> Vec<String> {
    let position = match positions(plan) {
        Ok(position) => position,
        Err(finding) => return vec![finding],
    };
    let audit = Audit {
        plan,
        desired,
        observed,
        position,
        held: plan.held.iter().map(|held| &held.service).collect(),
        orphaned: observed.orphans.iter().map(|orphan| &orphan.service).collect(),
        orphans: observed.orphans.iter().map(|orphan| &orphan.instance).collect(),
        wants: want::wants(desired, request),
        down: request.purpose == Purpose::Down,
        restarts: request.purpose == Purpose::Restart,
        repacks: request.repack,
    };
    let mut findings = Vec::new();
    for step in &plan.steps {
        audit.route(step, &mut findings);
        audit.ownership(step, &mut findings);
        audit.dependencies(step, &mut findings);
        audit.victims(step, &mut findings);
        audit.consistency(step, &mut findings);
        audit.budgets(step, &mut findings);
        audit.holds(step, &mut findings);
    }
    audit.left_running(&mut findings);
    findings.extend(audit_memory::faults(plan, desired, observed));
    let is_before = |earlier: &Step, later: &Step| audit.is_before(earlier, later);
    findings.extend(audit_memory::beside_exclusive_starts(plan, desired, observed, &is_before));
    findings
}

/// Returns the position of each step, or the fault that keeps ids and needs from forming a graph.
fn positions(plan: &Plan) -> Result<BTreeMap<&str, usize>, String> {
    let mut positions = BTreeMap::new();
    // Needs point backwards in every plan, which also rules out cycles.
    for (at, step) in plan.steps.iter().enumerate() {
        if let Some(need) = step.needs.iter().find(|need| !positions.contains_key(need.as_str())) {
            return Err(format!("{} needs {need}, which does not come before it", step.id));
        }
        if positions.insert(step.id.as_str(), at).is_some() {
            return Err(format!("two steps are called {}", step.id));
        }
    }
    Ok(positions)
}

struct Audit<'a> {
    plan: &'a Plan,
    desired: &'a Desired,
    observed: &'a Observed,
    position: BTreeMap<&'a str, usize>,
    held: BTreeSet<&'a ServiceName>,
    /// Names of orphans; `orphans` has their instances.
    orphaned: BTreeSet<&'a ServiceName>,
    orphans: BTreeSet<&'a Instance>,
    wants: Wants<'a>,
    down: bool,
    restarts: bool,
    /// True if services may be moved for others of equal priority.
    repacks: bool,
}

impl Audit<'_> {
    /// Checks that a route is the lifecycle table's, or one that a rule opens where the table has none, and that no
    /// rule forbids one of its changes.
    fn route(&self, step: &Step, findings: &mut Vec<String>) {
        let from = step.expect.state;
        let table = match step.action {
            Action::Stop => stop_route(step.reason.code, from),
            Action::Start
            | Action::Remove
            | Action::Evict
            | Action::Pause
            | Action::Unpause
            | Action::Update
            | Action::Scale
            | Action::Wake => route(step.action, from),
        };
        let is_way = if let Some(route) = table {
            step.route == route
        } else {
            let opened = step.route.get(1).is_some_and(|next| !from.may_become(*next));
            opened && step.route.first() == Some(&from) && step.route.last() == Some(&aim(step.action))
        };
        if !is_way {
            findings.push(format!("{}: {} is no route to {} from {from}", step.id, join(&step.route), step.action));
        }
        let case = Case { service: &step.service, mode: self.desired.mode.as_ref(), at: self.observed.observed_at };
        for pair in step.route.windows(2) {
            let (from, to) = (pair[0], pair[1]);
            match self.desired.rules.judge(&case, from, to) {
                Legality::Legal => {}
                Legality::NoRow => findings.push(format!("{}: no service may change from {from} to {to}", step.id)),
                Legality::Denied(denial) => findings.push(format!("{}: {denial}", step.id)),
            }
        }
    }

    /// Checks that a step touches only instances that lcm created or adopted, and only the observed one.
    fn ownership(&self, step: &Step, findings: &mut Vec<String>) {
        let Some(instance) = &step.expect.instance else {
            if step.action != Action::Start {
                findings.push(format!("{}: there is nothing to {}", step.id, step.action));
            }
            return;
        };
        let orphan = self.orphans.contains(instance);
        let seen = self.observed.services.get(&step.service);
        let own = seen.is_some_and(|seen| {
            let known = seen.instance.as_ref() == Some(instance) || seen.previous.as_deref() == Some(instance);
            let ours = match &seen.ownership {
                Ownership::Ours | Ownership::Adopted => true,
                Ownership::Absent
                | Ownership::Foreign { .. }
                | Ownership::Missing { .. }
                | Ownership::Renamed { .. } => false,
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

    /// Checks that the dependencies of a service are up when the service starts, and stay up after that.
    fn dependencies(&self, step: &Step, findings: &mut Vec<String>) {
        // A service that is starting already has passed this point; the wait for it needs no dependency.
        let begins = step.action == Action::Start && !step.is_await();
        let Some(service) = self.desired.services.get(&step.service).filter(|_| begins) else {
            return;
        };
        for (dependency, edge) in &service.depends_on {
            let start = self.find(Action::Start, dependency).or_else(|| self.find(Action::Unpause, dependency));
            let is_done = self.observed.services.get(dependency).is_some_and(ObservedService::is_done_job);
            let completes = edge.condition == Condition::Completed;
            let up = if let Some(start) = start {
                self.is_before(start, step) && (!completes || start.is_until_end())
            } else if completes || is_done {
                is_done
            } else {
                let state = self.observed.services.get(dependency).map(|seen| seen.state);
                let goes = |action| self.find(action, dependency).is_some();
                state.is_some_and(State::is_operational) && !goes(Action::Stop) && !goes(Action::Pause)
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
            findings.push(format!("{}: preempted without a preempting service", step.id));
            return;
        };
        let (lower, higher) = (self.priority(&step.service), self.priority(&winner));
        let among_equals = self.repacks && step.reason.code == ReasonCode::Moved;
        if lower > higher || (lower == higher && !among_equals) {
            findings.push(format!("{}: {winner} does not have a higher priority", step.id));
        }
        if self.find(Action::Update, &winner).is_some_and(Step::is_rolling) {
            findings.push(format!("{}: {winner} is only updated, which preempts nothing", step.id));
        }
        if matches!(self.budget(&winner), Budget::Retry { .. }) {
            findings.push(format!("{}: {winner} is only retried, which preempts nothing", step.id));
        }
    }

    /// Checks starts and stops against the budget of restarts.
    fn budgets(&self, step: &Step, findings: &mut Vec<String>) {
        let budget = self.budget(&step.service);
        let begins = step.action == Action::Start && !step.is_await();
        if begins && budget.holds() {
            findings.push(format!("{}: its budget forbids a start", step.id));
        }
        let given_up = step.action == Action::Stop && step.reason.code.is_of_budget();
        let is_spent = matches!(budget, Budget::Spent { .. } | Budget::Retry { .. });
        if given_up && !(is_spent && self.held.contains(&step.service)) {
            findings.push(format!("{}: its budget is not spent", step.id));
        }
    }

    fn budget(&self, service: &ServiceName) -> Budget {
        let (service, seen) = (self.desired.services.get(service), self.observed.services.get(service));
        let both = service.zip(seen);
        both.map_or(Budget::Open, |(service, seen)| Budget::of(service, seen, self.observed.observed_at))
    }

    /// Checks that the steps of one service agree with each other, and with the rest of the plan.
    fn consistency(&self, step: &Step, findings: &mut Vec<String>) {
        let stop = self.find(Action::Stop, &step.service);
        let runs = self.observed.services.get(&step.service).is_some_and(|seen| seen.holds_capacity);
        match step.action {
            Action::Start => {
                // A restart takes along what depends on it, wanted or not.
                let along = self.restarts && stop.is_some() && step.reason.code == ReasonCode::Dependency;
                if self.down || !(self.is_wanted(&step.service) || along) {
                    findings.push(format!("{}: it is not wanted", step.id));
                }
                let waits = step.expect.state == State::Starting || step.awaits_running_job();
                let after_stop = stop.is_some_and(|stop| self.is_before(stop, step));
                if runs && !waits && !after_stop {
                    findings.push(format!("{}: it is already running", step.id));
                }
                if self.held.contains(&step.service) {
                    findings.push(format!("{}: it is held", step.id));
                }
                self.job(step, findings);
            }
            Action::Stop | Action::Remove => {
                let foreign = self.observed.services.get(&step.service).is_some_and(|seen| seen.unknown.is_some());
                if foreign && !self.orphaned.contains(&step.service) {
                    findings.push(format!("{}: its state is unknown", step.id));
                }
                let copies = self.desired.services.get(&step.service).map(|service| service.copies);
                if step.reason.code == ReasonCode::Scaled && copies != Some(0) {
                    findings.push(format!("{}: copies of it are wanted", step.id));
                }
            }
            Action::Wake => self.woken(step, findings),
            Action::Update if !step.is_rolling() => {}
            Action::Update | Action::Scale => self.copies(step, findings),
            Action::Evict | Action::Pause | Action::Unpause => {}
        }
    }

    /// Checks that the start of a job, and no other, is one of a job, and that it frees memory only where it lasts until
    /// the end, and no service starts beside the job.
    fn job(&self, step: &Step, findings: &mut Vec<String>) {
        let is_job = self.desired.services.get(&step.service).is_some_and(|service| service.job.is_some());
        if is_job != step.job.is_some() || (step.expect.state.is_operational() && !is_job) {
            findings.push(format!("{}: jobs and services are mixed up", step.id));
        }
        let beside = |other: &&Step| {
            let edge = self.desired.services.get(&other.service).and_then(|other| other.depends_on.get(&step.service));
            other.action == Action::Start && edge.is_some_and(|edge| edge.condition != Condition::Completed)
        };
        if let Some(job) = step.job.filter(|job| job.frees_memory)
            && (!job.until_end || self.plan.steps.iter().any(|other| beside(&other)))
        {
            findings.push(format!("{}: its memory is not free at its end", step.id));
        }
    }

    /// Checks that only a wanted service that keeps running changes the number or the revision of its copies.
    fn copies(&self, step: &Step, findings: &mut Vec<String>) {
        let both = self.desired.services.get(&step.service).zip(self.observed.services.get(&step.service));
        let Some((service, seen)) = both.filter(|_| !self.down && self.is_wanted(&step.service)) else {
            findings.push(format!("{}: it is not wanted", step.id));
            return;
        };
        if self.held.contains(&step.service) {
            findings.push(format!("{}: it is held", step.id));
        }
        let others = [Action::Stop, Action::Start, Action::Wake];
        if others.into_iter().any(|action| self.find(action, &step.service).is_some()) {
            findings.push(format!("{}: it does not keep running", step.id));
        }
        findings.extend(audit_copies::faults(step, service, seen));
    }

    /// Checks that only a wanted service that keeps running is woken, with exactly the memory that it gave back.
    fn woken(&self, step: &Step, findings: &mut Vec<String>) {
        let both = self.desired.services.get(&step.service).zip(self.observed.services.get(&step.service));
        let Some((service, seen)) = both.filter(|_| !self.down && self.is_wanted(&step.service)) else {
            findings.push(format!("{}: it is not wanted", step.id));
            return;
        };
        if seen.unknown.is_some() || !seen.holds_capacity {
            findings.push(format!("{}: it is not known to run", step.id));
        }
        if self.held.contains(&step.service) {
            findings.push(format!("{}: it is held", step.id));
        }
        if self.find(Action::Stop, &step.service).or(self.find(Action::Start, &step.service)).is_some() {
            findings.push(format!("{}: it does not keep running", step.id));
        }
        let measured = |gpu| seen.measured.as_ref().map(|measured| measured.get(gpu).copied().unwrap_or_default());
        for gpu in &step.gpus {
            let lacks = measured(gpu).map(|held| seen.declared_on(service, gpu) - held);
            if lacks != Some(step.vram_on(gpu)) || !seen.gpus.contains(gpu) {
                findings.push(format!("{}: that is not what it gave back on GPU {gpu}", step.id));
            }
        }
    }

    /// Checks that no step violates an operator's hold, and that nothing is paused without one.
    fn holds(&self, step: &Step, findings: &mut Vec<String>) {
        if let Some(why) = self.observed.holds_unknown.as_ref().filter(|_| !self.down) {
            findings.push(format!("{}: operator holds can't be read: {why}", step.id));
        }
        let is_own = step.id.as_str() == format!("{}:{}", step.action, step.service);
        let hold = self.observed.services.get(&step.service).and_then(|seen| seen.hold.as_ref()).map(|hold| hold.kind);
        let against = match hold {
            None => step.action == Action::Pause,
            Some(Hold::Maintain) => true,
            Some(Hold::Suspend) => step.action != Action::Pause,
            Some(Hold::Terminate) => !matches!(step.action, Action::Stop | Action::Remove),
        };
        if is_own && against {
            let kind = hold.map_or("none", Hold::as_str);
            findings.push(format!("{}: it violates the operator's hold ({kind})", step.id));
        }
    }

    /// Checks services left running: the mode merely does not name them, no step touches them, and a service waits.
    fn left_running(&self, findings: &mut Vec<String>) {
        for left in &self.plan.left {
            let name = &left.service;
            let number = self.wants.numbers.find(name);
            let want = number.map(|number| &self.wants.of[number]);
            if !matches!(want, Some(Want::Off(why)) if why.code == ReasonCode::NotInMode) {
                findings.push(format!("{name} is left running, but the mode decides about it"));
            }
            let Some(seen) = self.observed.services.get(name).filter(|seen| seen.holds_capacity) else {
                findings.push(format!("{name} is left running, but does not run"));
                continue;
            };
            let touches = |step: &&Step| step.service == *name && step.expect.instance == seen.instance;
            if let Some(step) = self.plan.steps.iter().find(touches) {
                findings.push(format!("{}: {name} is left running", step.id));
            }
            let waits = |other: &ServiceName| {
                self.is_wanted(other) && self.plan.blocked.iter().any(|blocked| blocked.service == *other)
            };
            if left.waits_for.is_empty() || !left.waits_for.iter().all(waits) {
                findings.push(format!("{name} is left running, but waits for nothing"));
            }
        }
    }

    /// Returns the effective priority of a service; 0 where the manifest does not have it.
    fn priority(&self, service: &ServiceName) -> i64 {
        self.wants.numbers.find(service).map_or(0, |number| self.wants.priority[number])
    }

    fn is_wanted(&self, service: &ServiceName) -> bool {
        self.wants.numbers.find(service).is_some_and(|number| self.wants.is_wanted(number))
    }

    fn find(&self, action: Action, service: &ServiceName) -> Option<&Step> {
        // Steps of orphans carry the orphan's name; only a service's own instance counts here.
        let at = self.position.get(format!("{action}:{service}").as_str())?;
        Some(&self.plan.steps[*at])
    }

    /// Returns true if `earlier` must have succeeded before `later` begins.
    fn is_before(&self, earlier: &Step, later: &Step) -> bool {
        let first = self.position[earlier.id.as_str()];
        let needs =
            |step: &Step| -> Vec<usize> { step.needs.iter().map(|need| self.position[need.as_str()]).collect() };
        let mut seen = BTreeSet::new();
        let mut open = needs(later);
        // Most needs are direct; those that are not are looked for no further back than `earlier` itself.
        while !open.contains(&first) {
            let Some(at) = open.pop() else { return false };
            if at > first && seen.insert(at) {
                open.extend(needs(&self.plan.steps[at]));
            }
        }
        true
    }
}

/// Returns the state that an action ends in.
fn aim(action: Action) -> State {
    match action {
        Action::Start | Action::Unpause | Action::Evict | Action::Update | Action::Scale | Action::Wake => {
            State::Online
        }
        Action::Stop => State::Offline,
        Action::Remove => State::Deleted,
        Action::Pause => State::Suspended,
    }
}

fn join(route: &[State]) -> String {
    route.iter().map(|state| state.as_str()).collect::<Vec<_>>().join(" → ")
}

fn describe(instance: &Instance) -> String {
    match &instance.name {
        Some(name) => format!("{} {name}", instance.runtime),
        None => format!("{} {}", instance.runtime, instance.id),
    }
}
