//! Legality of operator commands: which ones a service allows, and which ones a hold forbids. The caller renders the
//! reasons.

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

/// Observed services by name.
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
    /// Dependency of a named service.
    Needed,
    /// Running dependent of this service, which would be stopped too.
    DependsOn(ServiceName),
}

/// Reason for which a service can't be stopped: a dependent that would be stopped too.
#[derive(Debug)]
pub enum DependentBlock<'a> {
    Held { dependent: &'a ServiceName, hold: &'a HoldRecord },
    Illegal { dependent: &'a ServiceName, refusal: Refusal<'a> },
}

/// Reason for which a hold can't be put on a service.
#[derive(Debug)]
pub enum HoldBlock<'a> {
    /// Not managed by lcm.
    Foreign { holder: &'a str },
    /// Its container was renamed.
    Renamed { container: &'a str, to: &'a str },
    /// Forbidden by a rule.
    Denied(Denial<'a>),
}

/// Returns the hold that forbids a start, stop or restart. A held service is neither started nor stopped by these
/// commands, and not stopped along with another service.
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

/// Returns a held, running service that depends on one of these and would be stopped too.
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

/// Returns the dependent that forbids stopping a service, with its hold or rule.
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

/// Returns the direct and transitive dependencies of these services.
#[must_use]
pub fn needed(desired: &Desired, targets: &BTreeSet<ServiceName>) -> BTreeSet<ServiceName> {
    let mut found = BTreeSet::new();
    let mut open: Vec<ServiceName> = targets.iter().cloned().collect();
    // Terminates: each service is visited once.
    while let Some(name) = open.pop() {
        let Some(service) = desired.services.get(&name) else { continue };
        open.extend(service.depends_on.keys().filter(|base| found.insert((*base).clone())).cloned());
    }
    found
}

/// Returns the states that a hold takes a service through, which may be none. A hold only keeps lcm from acting, so a
/// service may be held in any state; a service that lcm does not manage can't be held.
pub fn may_hold<'a>(
    (desired, now): (&'a Desired, Timestamp),
    name: &'a ServiceName,
    seen: &'a ObservedService,
    kind: Hold,
) -> Result<Vec<State>, HoldBlock<'a>> {
    match &seen.ownership {
        Ownership::Foreign { holder } => return Err(HoldBlock::Foreign { holder }),
        Ownership::Renamed { container, to, .. } => return Err(HoldBlock::Renamed { container, to }),
        Ownership::Missing { .. } | Ownership::Absent | Ownership::Ours | Ownership::Adopted => {}
    }
    // A service that was paused by hand is already where the hold would take it; for an unknown one no change is known.
    if seen.state == kind.state() || seen.unknown.is_some() {
        return Ok(Vec::new());
    }
    let case = Case { service: name, mode: desired.mode.as_ref(), at: now };
    desired.rules.may_hold(&case, kind, seen.state).map_err(HoldBlock::Denied)
}

/// Returns the states that a resume takes a service through; none where its hold was never carried out.
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

/// Returns the commands that rules, holds and budget allow for a service. A service that is unknown or not managed by
/// lcm can only be resumed; a held one has to be resumed first.
#[must_use]
pub fn legal_commands(rules: &Rules, case: &Case<'_>, seen: &ObservedService, budget: Budget) -> Vec<&'static str> {
    let ours = match &seen.ownership {
        Ownership::Absent | Ownership::Ours | Ownership::Adopted => true,
        Ownership::Missing { .. } | Ownership::Foreign { .. } | Ownership::Renamed { .. } => false,
    };
    let mut commands = if ours && seen.unknown.is_none() { rules.commands(case, seen.state) } else { Vec::new() };
    let hold = seen.hold.as_ref().map(|hold| hold.kind);
    if let Some(kind) = hold {
        let stops = kind == Hold::Terminate;
        commands.retain(|command| match *command {
            "start" | "restart" => false,
            "stop" => stops,
            other => other != kind.as_str(),
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

/// Returns the first finding of `judge` about a running direct or transitive dependent of these services.
fn find_dependent<'a, T>(
    desired: &'a Desired,
    services: &'a ObservedServices,
    stopped: &[&ServiceName],
    judge: impl Fn(&ServiceName, &'a ServiceName, &'a ObservedService) -> Option<T>,
) -> Option<T> {
    let mut open: Vec<ServiceName> = stopped.iter().map(|name| (*name).clone()).collect();
    let mut visited: BTreeSet<ServiceName> = open.iter().cloned().collect();
    // Terminates: each service is visited once.
    while let Some(base) = open.pop() {
        let depends = desired.services.values().filter(|service| service.depends_on.contains_key(&base));
        for dependent in depends.map(|service| &service.name).filter(|name| visited.insert((*name).clone())) {
            let Some(seen) = services.get(dependent).filter(|seen| seen.holds_capacity) else { continue };
            if let Some(found) = judge(&base, dependent, seen) {
                return Some(found);
            }
            open.push(dependent.clone());
        }
    }
    None
}
