//! Observed state of a service that runs as a process tree.

use crate::model::desired::{Desired, Service};
use crate::model::facts::{ExitFact, Facts};
use crate::model::lifecycle::State;
use crate::model::observed::{ObservedService, Ownership};
use crate::observe::blank::{nothing, unknown};
use crate::observe::judge::{self, Assessment};
use crate::runtime::process::facts::{ProcessReading as _, TreeFact, known_trees};
use crate::runtime::process::observe::drift;

/// Bound for the pids in a warning, which is one line.
const PIDS_SHOWN_MAX: usize = 8;

/// Returns the observed state of a service, from its process tree.
pub(super) fn observed(facts: &Facts, desired: &Desired, service: &Service) -> ObservedService {
    if let Some(reason) = facts.processes().trees.unknown() {
        return unknown(&format!("its processes can't be read: {reason}"));
    }
    let mut trees: Vec<&TreeFact> = of(facts, desired, service).collect();
    // A living tree before an ended one.
    trees.sort_by_key(|tree| (tree.members.is_empty(), tree.adopted, tree.marks.salt.clone()));
    let Some(tree) = trees.first() else {
        return nothing(State::Registered, "it was never started", Ownership::Absent);
    };
    if tree.members.is_empty() {
        return ended(facts, service, tree);
    }
    let previous = tree.uid.filter(|uid| desired.previous_owner == Some(*uid));
    let taken_over_from = previous.map(|uid| format!("of uid {uid}").into());
    ObservedService { taken_over_from, ..alive(facts, service, tree) }
}

/// Returns the service by its living tree, if there is one, even if the manifest names another runtime by now.
pub(super) fn living(facts: &Facts, desired: &Desired, service: &Service) -> Option<ObservedService> {
    let tree = of(facts, desired, service).find(|tree| !tree.members.is_empty())?;
    // The tree is stopped or replaced in any case: the manifest's probes are for its successor.
    let judgement = Assessment {
        state: if tree.suspended { State::Suspended } else { State::Online },
        detail: "it is running as a process tree".to_owned(),
        unknown: None,
        warning: None,
    };
    Some(judged(tree, judgement))
}

fn of<'a>(facts: &'a Facts, desired: &'a Desired, service: &'a Service) -> impl Iterator<Item = &'a TreeFact> {
    known_trees(facts).filter(|tree| tree.marks.are_of(&desired.project, &service.name))
}

fn alive(facts: &Facts, service: &Service, tree: &TreeFact) -> ObservedService {
    let judgement = match &tree.exit {
        _ if tree.suspended => Assessment {
            state: State::Suspended,
            detail: "its processes are paused by a signal (SIGSTOP)".to_owned(),
            unknown: None,
            warning: None,
        },
        Some(exit) if is_bad(exit) => degraded(service, tree, exit),
        Some(_) | None => judge::running(facts, service, tree.started_at, None),
    };
    let compared = drift::of_tree(facts, service, tree);
    let mut seen = judged(tree, judgement);
    seen.changed = compared.changed;
    seen.warnings.extend(compared.warning);
    seen
}

fn judged(tree: &TreeFact, judgement: Assessment) -> ObservedService {
    ObservedService {
        unknown: judgement.unknown,
        instance: Some(tree.instance()),
        pid: tree.members.first().map(|first| first.pid),
        holds_capacity: true,
        marks: (!tree.adopted).then(|| Box::new(tree.marks.clone())),
        exit: tree.exit.clone().map(Box::new),
        ended_by_itself: tree.exit.as_ref().is_some_and(is_bad),
        since: tree.started_at,
        warnings: judgement.warning.into_iter().chain(shim_is_gone(tree)).collect(),
        ..nothing(judgement.state, &judgement.detail, if tree.adopted { Ownership::Adopted } else { Ownership::Ours })
    }
}

/// Warns of a dead shim: nothing breaks, but the exit of the service will not be recorded.
fn shim_is_gone(tree: &TreeFact) -> Option<String> {
    let lost = tree.lost_shim?;
    let service = &tree.marks.service;
    let shim = lost.pid.map_or_else(String::new, |pid| format!(" (pid {pid})"));
    let pids: Vec<String> = tree.members.iter().take(PIDS_SHOWN_MAX).map(|member| member.pid.to_string()).collect();
    let more = match tree.members.len().saturating_sub(PIDS_SHOWN_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!(
        "{service}: its shim{shim} is gone; {service} still runs as pid {}{more} and is still managed, but its exit \
         status will not be recorded until it is restarted",
        pids.join(", ")
    ))
}

fn is_bad(exit: &ExitFact) -> bool {
    exit.signal.is_some() || exit.code.is_some_and(|code| code != 0)
}

fn degraded(service: &Service, tree: &TreeFact, exit: &ExitFact) -> Assessment {
    let (_, how) = judge::ended(exit, service.stop.signal.as_deref());
    let left = tree.members.len();
    Assessment {
        state: State::Error,
        detail: format!("{how}; processes still running: {left}"),
        unknown: None,
        warning: None,
    }
}

fn ended(facts: &Facts, service: &Service, tree: &TreeFact) -> ObservedService {
    let Some(exit) = &tree.exit else {
        if tree.adopted {
            let detail = "its adopted process was given back with `lcm disown`";
            return nothing(State::Offline, detail, Ownership::Absent);
        }
        return nothing(State::Registered, "it was never started", Ownership::Absent);
    };
    let (state, detail) = judge::ended(exit, service.stop.signal.as_deref());
    ObservedService {
        exit: Some(Box::new(exit.clone())),
        // They show the spec that a job has completed under.
        marks: service.job.is_some().then(|| Box::new(tree.marks.clone())),
        ended_by_itself: judge::ended_by_itself(facts, service, state),
        since: exit.at,
        ..nothing(state, &detail, Ownership::Absent)
    }
}
