//! Commands of operators, judged: which are legal for a service, and which a hold forbids. The caller renders the reasons.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::model::budget::Budget;
use crate::model::desired::Desired;
use crate::model::holds::{Hold, HoldRecord};
use crate::model::lifecycle::{Action, State};
use crate::model::names::ServiceName;
use crate::model::observed::{ObservedService, Ownership};
use crate::model::plan::{Purpose, Request};
use crate::model::rules::way::Refusal;
use crate::model::rules::{Case, Denial, Rules};

/// Services as they are observed.
type ObservedServices = BTreeMap<ServiceName, ObservedService>;

/// A hold that forbids a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldService {
    pub service: ServiceName,
    pub hold: HoldRecord,
    pub relation: HeldRelation,
}

/// Relation of a held service to the services that a command names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeldRelation {
    Named,
    /// A named service depends on it.
    Needed,
    /// It runs, depends on this service, and would be stopped along.
    DependsOn(ServiceName),
}

/// Reason for which a service can't be stopped: a dependent that would be stopped along.
#[derive(Debug)]
pub enum DependentBlock<'a> {
    Held { dependent: &'a ServiceName, hold: &'a HoldRecord },
    Illegal { dependent: &'a ServiceName, refusal: Refusal<'a> },
}

/// Reason for which a hold can't be put on a service.
#[derive(Debug)]
pub enum HoldBlock<'a> {
    /// It is not lcm's.
    Foreign { holder: &'a str },
    /// Its container bears another name.
    Renamed { container: &'a str, to: &'a str },
    /// A rule forbids the change.
    Denied(Denial<'a>),
}

/// Returns the hold that forbids a start, stop or restart: what an operator holds is neither started nor stopped by one,
/// and is not taken along by one.
#[must_use]
pub fn held_by_operator(desired: &Desired, services: &ObservedServices, request: &Request) -> Option<HeldService> {
    let stops = match request.purpose {
        Purpose::Apply | Purpose::Down => return None,
        Purpose::Start => false,
        Purpose::Stop | Purpose::Restart => true,
    };
    for name in &request.targets {
        let Some(hold) = hold_of(services, name) else { continue };
        if hold.kind != Hold::Terminate || request.purpose != Purpose::Stop {
            return Some(HeldService { service: name.clone(), hold: hold.clone(), relation: HeldRelation::Named });
        }
    }
    let dependent = if stops { held_dependent(desired, services, &request.targets) } else { None };
    if dependent.is_some() || request.purpose == Purpose::Stop {
        return dependent;
    }
    needed(desired, &request.targets).into_iter().find_map(|service| {
        let hold = hold_of(services, &service).filter(|hold| hold.kind == Hold::Terminate)?.clone();
        Some(HeldService { service, hold, relation: HeldRelation::Needed })
    })
}

/// Returns the held service that runs, depends on one of these, and would be stopped along.
#[must_use]
pub fn held_dependent<'a>(
    desired: &Desired,
    services: &ObservedServices,
    stopped: impl IntoIterator<Item = &'a ServiceName>,
) -> Option<HeldService> {
    let stopped: Vec<&ServiceName> = stopped.into_iter().collect();
    find_dependent(desired, services, &stopped, |base, dependent, seen| {
        let hold = seen.hold.as_deref().filter(|hold| hold.kind != Hold::Terminate)?.clone();
        Some(HeldService { service: dependent.clone(), hold, relation: HeldRelation::DependsOn(base.clone()) })
    })
}

/// Returns what forbids to stop a service because of those that depend on it: a hold, or a rule.
#[must_use]
pub fn blocked_dependent<'a>(
    desired: &'a Desired,
    services: &'a ObservedServices,
    name: &'a ServiceName,
    now: Timestamp,
) -> Option<DependentBlock<'a>> {
    find_dependent(desired, services, &[name], |_, dependent, seen| {
        let held = seen.hold.as_deref().filter(|hold| hold.kind != Hold::Terminate);
        if let Some(hold) = held {
            return Some(DependentBlock::Held { dependent, hold });
        }
        let case = Case { service: dependent, mode: desired.mode.as_ref(), at: now };
        let refusal = desired.rules.way(&case, Action::Stop, seen.state).err()?;
        Some(DependentBlock::Illegal { dependent, refusal })
    })
}

/// Returns these services' dependencies, and theirs.
#[must_use]
pub fn needed(desired: &Desired, targets: &BTreeSet<ServiceName>) -> BTreeSet<ServiceName> {
    let mut found = BTreeSet::new();
    let mut open: Vec<ServiceName> = targets.iter().cloned().collect();
    // Ends: each service is taken up once.
    while let Some(name) = open.pop() {
        let Some(service) = desired.services.get(&name) else { continue };
        open.extend(service.depends_on.keys().filter(|base| found.insert((*base).clone())).cloned());
    }
    found
}

/// Returns the states that a hold leads a service through, which may be none. A hold keeps lcm from a service, so it may be
/// put on one in any state; what is not lcm's is neither paused nor resumed.
pub fn may_hold<'a>(
    (desired, now): (&'a Desired, Timestamp),
    name: &'a ServiceName,
    seen: &'a ObservedService,
    word: Hold,
) -> Result<Vec<State>, HoldBlock<'a>> {
    match &seen.ownership {
        Ownership::Foreign { holder } => return Err(HoldBlock::Foreign { holder }),
        Ownership::Renamed { container, to, .. } => return Err(HoldBlock::Renamed { container, to }),
        Ownership::Missing { .. } | Ownership::Absent | Ownership::Ours | Ownership::Adopted => {}
    }
    // A service that is paused by hand is where the hold would bring it; of an unknown one no change is known.
    if seen.state == word.state() || seen.unknown.is_some() {
        return Ok(Vec::new());
    }
    let case = Case { service: name, mode: desired.mode.as_ref(), at: now };
    desired.rules.may_hold(&case, word, seen.state).map_err(HoldBlock::Denied)
}

/// Returns the states that a resume leads a service through; none where its hold was never carried out.
#[must_use]
pub fn resume_route(seen: &ObservedService, is_paused: bool) -> Vec<State> {
    match seen.state {
        State::Suspended => vec![State::Suspended, State::Online],
        State::Maintenance if is_paused => vec![State::Maintenance, State::Suspended, State::Online],
        State::Maintenance if seen.holds_capacity => vec![State::Maintenance, State::Online],
        State::Maintenance if seen.unknown.is_none() => vec![State::Maintenance, State::Offline],
        State::Terminated => vec![State::Terminated, State::Deleted],
        State::Maintenance
        | State::Registered
        | State::Deploying
        | State::Deployed
        | State::Starting
        | State::Online
        | State::Busy
        | State::Idle
        | State::Stopping
        | State::Updating
        | State::Scaling
        | State::Error
        | State::Failed
        | State::Timeout
        | State::Offline
        | State::Deleted => Vec::new(),
    }
}

/// Returns the commands that are legal for a service by rules, holds and budget. None but a resume is for a service that is
/// unknown or not lcm's; a held one is resumed first.
#[must_use]
pub fn legal_commands(rules: &Rules, case: &Case<'_>, seen: &ObservedService, budget: Budget) -> Vec<&'static str> {
    let ours = match &seen.ownership {
        Ownership::Absent | Ownership::Ours | Ownership::Adopted => true,
        Ownership::Missing { .. } | Ownership::Foreign { .. } | Ownership::Renamed { .. } => false,
    };
    let mut commands = if ours && seen.unknown.is_none() { rules.commands(case, seen.state) } else { Vec::new() };
    let hold = seen.hold.as_ref().map(|said| said.kind);
    if let Some(word) = hold {
        let stops = word == Hold::Terminate;
        commands.retain(|command| match *command {
            "start" | "restart" => false,
            "stop" => stops,
            other => other != word.as_str(),
        });
    }
    if (hold.is_some() || budget.holds()) && !commands.contains(&"resume") {
        commands.insert(0, "resume");
    }
    commands
}

fn hold_of<'a>(services: &'a ObservedServices, name: &ServiceName) -> Option<&'a HoldRecord> {
    services.get(name)?.hold.as_deref()
}

/// Returns the first finding about a service that runs and depends on one of these, directly or not.
fn find_dependent<'a, T>(
    desired: &'a Desired,
    services: &'a ObservedServices,
    stopped: &[&ServiceName],
    judge: impl Fn(&ServiceName, &'a ServiceName, &'a ObservedService) -> Option<T>,
) -> Option<T> {
    let mut open: Vec<ServiceName> = stopped.iter().map(|name| (*name).clone()).collect();
    let mut met: BTreeSet<ServiceName> = open.iter().cloned().collect();
    // Ends: each service is taken up once.
    while let Some(base) = open.pop() {
        let depends = desired.services.values().filter(|service| service.depends_on.contains_key(&base));
        for dependent in depends.map(|service| &service.name).filter(|name| met.insert((*name).clone())) {
            let Some(seen) = services.get(dependent).filter(|seen| seen.holds_capacity) else { continue };
            if let Some(found) = judge(&base, dependent, seen) {
                return Some(found);
            }
            open.push(dependent.clone());
        }
    }
    None
}
