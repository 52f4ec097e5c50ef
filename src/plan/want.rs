//! Which services should run, which may, which must not; and how much each matters.

use std::collections::BTreeSet;

use crate::model::desired::{Desired, Mode, Others};
use crate::model::names::{GoalName, ModeName, ServiceName};
use crate::model::plan::{Purpose, Reason, ReasonCode, Request};
use crate::plan::numbers::{Number, Numbers};

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

/// The answer for every service of the manifest, by number.
#[derive(Debug)]
pub(super) struct Wants<'a> {
    pub(super) numbers: Numbers<'a>,
    pub(super) of: Vec<Want>,
    /// Effective priorities.
    pub(super) priority: Vec<i64>,
    /// Whether it is part of this run; the others are left as they are.
    pub(super) in_scope: Vec<bool>,
}

impl Wants<'_> {
    pub(super) fn is_wanted(&self, number: Number) -> bool {
        matches!(self.of[number], Want::Wanted(_))
    }
}

/// Modes, goals and dependencies to one answer for each service.
pub(super) fn wants<'a>(desired: &'a Desired, request: &Request) -> Wants<'a> {
    let numbers = Numbers::of(desired);
    let of = match request.purpose {
        Purpose::Down => numbers.all().map(|_| Want::Off(requested())).collect(),
        Purpose::Apply => by_mode(desired, &numbers),
        Purpose::Start | Purpose::Stop | Purpose::Restart => on_request(request, &numbers),
    };
    let priority = effective_priorities(desired, &numbers, &of);
    let in_scope = scope(&numbers, request);
    Wants { numbers, of, priority, in_scope }
}

fn requested() -> Reason {
    Reason { code: ReasonCode::Requested, message: "everything of this project is to go".to_owned(), by: None }
}

/// One-shots: what is named is to run or not, and everything else may go on as it is.
fn on_request(request: &Request, numbers: &Numbers<'_>) -> Vec<Want> {
    let asked = |message: &str| Reason { code: ReasonCode::Requested, message: message.to_owned(), by: None };
    let named = |number: &Number| request.targets.contains(numbers.name(*number));
    if request.purpose == Purpose::Stop {
        let off = |number| if named(&number) { Want::Off(asked("it is asked to stop")) } else { Want::Kept };
        return numbers.all().map(off).collect();
    }
    let message = if request.purpose == Purpose::Restart { "it is asked to restart" } else { "it is asked to start" };
    let mut wanted: Vec<Option<Reason>> = numbers.all().map(|number| named(&number).then(|| asked(message))).collect();
    add_dependencies(numbers, &mut wanted);
    wanted.into_iter().map(|why| why.map_or(Want::Kept, Want::Wanted)).collect()
}

fn mode_of(desired: &Desired) -> Option<(&ModeName, &Mode)> {
    desired.mode.as_ref().and_then(|name| Some((name, desired.modes.get(name)?)))
}

fn by_mode(desired: &Desired, numbers: &Numbers<'_>) -> Vec<Want> {
    let mut wanted = wanted_by_name(desired, numbers);
    add_dependencies(numbers, &mut wanted);
    let mode = mode_of(desired);
    let to_want = |(wanted, number): (Option<Reason>, Number)| {
        let stopped = mode.filter(|(_, mode)| mode.stop.contains(numbers.name(number)));
        match (stopped, wanted, mode) {
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
        }
    };
    wanted.into_iter().zip(numbers.all()).map(to_want).collect()
}

/// Those that the mode or a goal names, each with its reason.
fn wanted_by_name(desired: &Desired, numbers: &Numbers<'_>) -> Vec<Option<Reason>> {
    let code = ReasonCode::WantedByMode;
    let mut wanted = if let Some((name, mode)) = mode_of(desired) {
        let mut wanted = vec![None; numbers.all().len()];
        for number in mode.services.iter().filter_map(|service| numbers.find(service)) {
            let message = format!("mode {name} wants it");
            wanted[number] = Some(Reason { code, message, by: Some(name.to_string()) });
        }
        wanted
    } else {
        let message = "the manifest has no modes, so all of it is wanted".to_owned();
        vec![Some(Reason { code, message, by: None }); numbers.all().len()]
    };
    for goal in desired.active_goals() {
        for number in needed_by_goal(desired, numbers, &goal) {
            wanted[number].get_or_insert_with(|| Reason {
                code: ReasonCode::WantedByGoal,
                message: format!("goal {goal} needs it"),
                by: Some(goal.to_string()),
            });
        }
    }
    wanted
}

/// Services that a goal names, and those of its phases.
fn needed_by_goal(desired: &Desired, numbers: &Numbers<'_>, goal: &GoalName) -> BTreeSet<Number> {
    let Some(goal) = desired.goals.get(goal) else { return BTreeSet::new() };
    let by_phase = numbers.all().filter(|number| !numbers.service(*number).phases.is_disjoint(&goal.phases));
    goal.services.iter().filter_map(|name| numbers.find(name)).chain(by_phase).collect()
}

fn add_dependencies(numbers: &Numbers<'_>, wanted: &mut [Option<Reason>]) {
    let mut open: Vec<Number> = numbers.all().rev().filter(|number| wanted[*number].is_some()).collect();
    // Each service is opened once: at most as many rounds as services.
    while let Some(number) = open.pop() {
        for base in numbers.bases(number) {
            if wanted[*base].is_none() {
                let name = numbers.name(number);
                wanted[*base] = Some(Reason {
                    code: ReasonCode::WantedByDependency,
                    message: format!("{name} depends on it"),
                    by: Some(name.to_string()),
                });
                open.push(*base);
            }
        }
    }
}

/// The highest of its own, of the active goals that need it, and of its wanted or kept dependents.
fn effective_priorities(desired: &Desired, numbers: &Numbers<'_>, of: &[Want]) -> Vec<i64> {
    let mut priority: Vec<i64> = numbers.all().map(|number| numbers.service(number).priority).collect();
    for goal in desired.active_goals() {
        let height = desired.goals.get(&goal).map_or(i64::MIN, |goal| goal.priority);
        for number in needed_by_goal(desired, numbers, &goal) {
            priority[number] = priority[number].max(height);
        }
    }
    let matters = |number: &Number| !matches!(of[*number], Want::Off(_));
    let mut open: Vec<Number> = numbers.all().filter(matters).collect();
    // A service comes back only when its priority rose, which it does at most once for each height there is.
    while let Some(number) = open.pop() {
        for base in numbers.bases(number) {
            if priority[*base] < priority[number] {
                priority[*base] = priority[number];
                open.extend(Some(*base).filter(matters));
            }
        }
    }
    priority
}

/// `--target` and what those depend on, without `--exclude`.
fn scope(numbers: &Numbers<'_>, request: &Request) -> Vec<bool> {
    let find =
        |names: &BTreeSet<ServiceName>| -> Vec<Number> { names.iter().filter_map(|name| numbers.find(name)).collect() };
    // One-shots name what they are about, and may stop others to make room for it.
    let everything = request.targets.is_empty() || request.purpose.is_one_shot();
    let mut scope = vec![everything; numbers.all().len()];
    let mut open = find(&request.targets);
    while let Some(number) = open.pop() {
        if !scope[number] {
            scope[number] = true;
            open.extend(numbers.bases(number));
        }
    }
    for number in find(&request.excludes) {
        scope[number] = false;
    }
    scope
}
