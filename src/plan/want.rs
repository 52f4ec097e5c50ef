//! Which services should run, which may, which must not; and how much each matters.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::desired::{Desired, Others, Service};
use crate::model::names::{GoalName, ServiceName};
use crate::model::plan::{Purpose, Reason, ReasonCode, Request};

/// What is wanted of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// Must run.
    Wanted(Reason),
    /// May go on running, and is never started, restarted or recreated.
    Kept,
    /// Must not run.
    Off(Reason),
}

/// The answer for every service of the manifest.
#[derive(Debug)]
pub(super) struct Wants {
    pub(super) of: BTreeMap<ServiceName, Want>,
    /// Effective priorities.
    pub(super) priority: BTreeMap<ServiceName, i64>,
    /// Services of this run; the others are left as they are.
    pub(super) in_scope: Scope,
    /// Those that depend on a service directly, by name; not there where nothing does.
    pub(super) dependents: BTreeMap<ServiceName, Vec<ServiceName>>,
}

/// Which services a run is about.
#[derive(Debug)]
pub(super) enum Scope {
    All,
    Only(BTreeSet<ServiceName>),
}

impl Scope {
    pub(super) fn contains(&self, service: &ServiceName) -> bool {
        match self {
            Self::All => true,
            Self::Only(services) => services.contains(service),
        }
    }
}

impl Wants {
    pub(super) fn is_wanted(&self, service: &ServiceName) -> bool {
        matches!(self.of.get(service), Some(Want::Wanted(_)))
    }

    pub(super) fn priority(&self, service: &ServiceName) -> i64 {
        self.priority.get(service).copied().unwrap_or_default()
    }
}

/// Modes, goals and dependencies to one answer for each service.
pub(super) fn wants(desired: &Desired, request: &Request) -> Wants {
    let of = match request.purpose {
        Purpose::Down => desired.services.keys().map(|name| (name.clone(), Want::Off(requested()))).collect(),
        Purpose::Apply => by_mode(desired),
    };
    let priority = effective_priorities(desired, &of);
    Wants { of, priority, in_scope: scope(desired, request), dependents: dependents(desired) }
}

/// `depends_on`, turned around once: who looks for dependents one by one would read the whole manifest each time.
fn dependents(desired: &Desired) -> BTreeMap<ServiceName, Vec<ServiceName>> {
    let mut dependents: BTreeMap<ServiceName, Vec<ServiceName>> = BTreeMap::new();
    for service in desired.services.values() {
        for dependency in service.depends_on.keys() {
            dependents.entry(dependency.clone()).or_default().push(service.name.clone());
        }
    }
    dependents
}

fn requested() -> Reason {
    Reason { code: ReasonCode::Requested, message: "everything of this project is to go".to_owned(), by: None }
}

fn by_mode(desired: &Desired) -> BTreeMap<ServiceName, Want> {
    let mut wanted = wanted_by_name(desired);
    add_dependencies(desired, &mut wanted);
    let mode = desired.mode.as_ref().and_then(|name| Some((name, desired.modes.get(name)?)));
    desired
        .services
        .keys()
        .map(|service| {
            let stopped = mode.filter(|(_, mode)| mode.stop.contains(service));
            let want = match (stopped, wanted.remove(service), mode) {
                (Some((name, _)), _, _) => Want::Off(Reason {
                    code: ReasonCode::StoppedByMode,
                    message: format!("mode {name} wants it stopped"),
                    by: Some(name.to_string()),
                }),
                (None, Some(reason), _) => Want::Wanted(reason),
                (None, None, Some((_, mode))) if mode.others == Others::Keep => Want::Kept,
                (None, None, Some((name, _))) => Want::Off(Reason {
                    code: ReasonCode::NotInMode,
                    message: format!("it is not in mode {name}"),
                    by: Some(name.to_string()),
                }),
                // Without modes all services are wanted, so this is never reached with one left over.
                (None, None, None) => Want::Kept,
            };
            (service.clone(), want)
        })
        .collect()
}

fn wanted_by_name(desired: &Desired) -> BTreeMap<ServiceName, Reason> {
    let mut wanted = BTreeMap::new();
    match desired.mode.as_ref().and_then(|name| Some((name, desired.modes.get(name)?))) {
        Some((name, mode)) => {
            for service in &mode.services {
                wanted.insert(
                    service.clone(),
                    Reason {
                        code: ReasonCode::WantedByMode,
                        message: format!("mode {name} wants it"),
                        by: Some(name.to_string()),
                    },
                );
            }
        }
        None => {
            for service in desired.services.keys() {
                let message = "the manifest has no modes, so all of it is wanted".to_owned();
                wanted.insert(service.clone(), Reason { code: ReasonCode::WantedByMode, message, by: None });
            }
        }
    }
    for goal in desired.active_goals() {
        for service in needed_by_goal(desired, &goal) {
            wanted.entry(service).or_insert_with(|| Reason {
                code: ReasonCode::WantedByGoal,
                message: format!("goal {goal} needs it"),
                by: Some(goal.to_string()),
            });
        }
    }
    wanted
}

/// Services that a goal names, and those of its phases.
fn needed_by_goal(desired: &Desired, goal: &GoalName) -> BTreeSet<ServiceName> {
    let Some(goal) = desired.goals.get(goal) else { return BTreeSet::new() };
    let by_phase = desired.services.values().filter(|service| !service.phases.is_disjoint(&goal.phases));
    goal.services.iter().cloned().chain(by_phase.map(|service| service.name.clone())).collect()
}

fn add_dependencies(desired: &Desired, wanted: &mut BTreeMap<ServiceName, Reason>) {
    let mut open: Vec<ServiceName> = wanted.keys().rev().cloned().collect();
    // Each service is opened once: at most as many rounds as services.
    while let Some(name) = open.pop() {
        let Some(service) = desired.services.get(&name) else { continue };
        for dependency in service.depends_on.keys().filter(|name| desired.services.contains_key(*name)) {
            if !wanted.contains_key(dependency) {
                wanted.insert(
                    dependency.clone(),
                    Reason {
                        code: ReasonCode::WantedByDependency,
                        message: format!("{name} depends on it"),
                        by: Some(name.to_string()),
                    },
                );
                open.push(dependency.clone());
            }
        }
    }
}

/// The highest of its own, of the active goals that need it, and of its wanted or kept dependents.
fn effective_priorities(desired: &Desired, of: &BTreeMap<ServiceName, Want>) -> BTreeMap<ServiceName, i64> {
    let mut priority: BTreeMap<ServiceName, i64> =
        desired.services.values().map(|service| (service.name.clone(), service.priority)).collect();
    for goal in desired.active_goals() {
        let height = desired.goals.get(&goal).map_or(i64::MIN, |goal| goal.priority);
        for service in needed_by_goal(desired, &goal) {
            priority.entry(service).and_modify(|own| *own = (*own).max(height));
        }
    }
    let matters = |service: &ServiceName| !matches!(of.get(service), Some(Want::Off(_)) | None);
    let depends = desired.services.values().filter(|service| !service.depends_on.is_empty());
    let mut open: Vec<&Service> = depends.filter(|service| matters(&service.name)).collect();
    // A service comes back only when its priority rose, which it does at most once for each height there is.
    while let Some(service) = open.pop() {
        let height = priority[&service.name];
        for dependency in service.depends_on.keys() {
            if let Some(own) = priority.get_mut(dependency).filter(|own| **own < height) {
                *own = height;
                open.extend(desired.services.get(dependency).filter(|service| matters(&service.name)));
            }
        }
    }
    priority
}

/// `--target` and what those depend on, without `--exclude`.
fn scope(desired: &Desired, request: &Request) -> Scope {
    if request.targets.is_empty() && request.excludes.is_empty() {
        return Scope::All;
    }
    if request.targets.is_empty() {
        let others = desired.services.keys().filter(|name| !request.excludes.contains(*name));
        return Scope::Only(others.cloned().collect());
    }
    let mut scope = BTreeSet::new();
    let mut open: Vec<ServiceName> = request.targets.iter().cloned().collect();
    while let Some(name) = open.pop() {
        let Some(service) = desired.services.get(&name) else { continue };
        if scope.insert(name) {
            open.extend(service.depends_on.keys().cloned());
        }
    }
    scope.retain(|name| !request.excludes.contains(name));
    Scope::Only(scope)
}
