//! Wants: which services must run, may run or must not run, and the effective priority of each.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::model::desired::{Desired, Mode, Others};
use crate::model::mode_set::ModeSet;
use crate::model::names::{GoalName, ModeName, ServiceName};
use crate::model::plan::{Purpose, Reason, ReasonCode, Request};
use crate::plan::numbers::{Number, Numbers};

/// Want for one service. Reasons are shared, since a mode has one for thousands of services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// Must run.
    Wanted(Rc<Reason>),
    /// May keep running, but is never started, restarted or recreated.
    Kept,
    /// Must not run.
    Off(Rc<Reason>),
}

/// Want and priority of every service of the manifest, by number.
#[derive(Debug)]
pub(super) struct Wants<'a> {
    pub(super) numbers: Numbers<'a>,
    pub(super) of: Vec<Want>,
    /// Effective priorities.
    pub(super) priority: Vec<i64>,
    /// True for services that are part of this run; the others are left as they are.
    pub(super) in_scope: Vec<bool>,
    /// Services kept for now though the mode does not name them, each with the reason for which it would be stopped.
    pub(super) left_running: BTreeMap<Number, Rc<Reason>>,
}

impl Wants<'_> {
    /// Returns the same wants with these services kept, below all others.
    pub(super) fn leaving(mut self, left_running: BTreeMap<Number, Rc<Reason>>) -> Self {
        for number in left_running.keys() {
            self.of[*number] = Want::Kept;
        }
        Self { left_running, ..self }
    }

    pub(super) fn is_wanted(&self, number: Number) -> bool {
        matches!(self.of[number], Want::Wanted(_))
    }
}

/// Derives one want for each service from modes, goals and dependencies.
pub(super) fn wants<'a>(desired: &'a Desired, request: &Request) -> Wants<'a> {
    let numbers = Numbers::of(desired);
    let of = match request.purpose {
        Purpose::Down => vec![Want::Off(requested()); numbers.all().len()],
        Purpose::Apply => by_mode(desired, &numbers),
        Purpose::Start | Purpose::Stop | Purpose::Restart => on_request(request, &numbers),
    };
    let priority = effective_priorities(desired, &numbers, &of);
    let in_scope = scope(&numbers, request);
    Wants { numbers, of, priority, in_scope, left_running: BTreeMap::new() }
}

fn requested() -> Rc<Reason> {
    because(ReasonCode::Requested, "requested by `lcm down`".to_owned(), None)
}

fn because(code: ReasonCode, message: String, by: Option<String>) -> Rc<Reason> {
    Rc::new(Reason { code, message, by })
}

/// Wants of a one-shot: the named services must or must not run, and all others may keep running.
fn on_request(request: &Request, numbers: &Numbers<'_>) -> Vec<Want> {
    let by_command = |message: &str| because(ReasonCode::Requested, message.to_owned(), None);
    let named = |number: &Number| request.targets.contains(numbers.name(*number));
    if request.purpose == Purpose::Stop {
        let why = by_command("requested by `lcm stop`");
        let off = |number| if named(&number) { Want::Off(why.clone()) } else { Want::Kept };
        return numbers.all().map(off).collect();
    }
    let is_restart = request.purpose == Purpose::Restart;
    let why = by_command(if is_restart { "requested by `lcm restart`" } else { "requested by `lcm start`" });
    let mut wanted: Vec<Option<Rc<Reason>>> = numbers.all().map(|number| named(&number).then(|| why.clone())).collect();
    add_dependencies(numbers, &mut wanted);
    wanted.into_iter().map(|why| why.map_or(Want::Kept, Want::Wanted)).collect()
}

/// Returns the services that the modes list, each with a reason that ends with the modes that list it. Services of the
/// same modes share the reason.
fn listed_by_modes(
    modes: &[(&ModeName, &Mode)],
    numbers: &Numbers<'_>,
    list: impl Fn(&Mode) -> &BTreeSet<ServiceName>,
    (code, because_of): (ReasonCode, &str),
) -> Vec<(Number, Rc<Reason>)> {
    let mut listed: BTreeMap<Number, Vec<&ModeName>> = BTreeMap::new();
    for (name, mode) in modes {
        for number in numbers.find_all(list(mode)) {
            listed.entry(number).or_default().push(name);
        }
    }
    let mut reasons: BTreeMap<Vec<&ModeName>, Rc<Reason>> = BTreeMap::new();
    let shared = listed.into_iter().map(|(number, names)| {
        let why = reasons.entry(names).or_insert_with_key(|names| {
            let names = names.iter().map(ToString::to_string).collect::<Vec<_>>().join("+");
            because(code, format!("{because_of} {names}"), Some(names))
        });
        (number, Rc::clone(why))
    });
    shared.collect()
}

fn by_mode(desired: &Desired, numbers: &Numbers<'_>) -> Vec<Want> {
    let mut wanted = wanted_by_name(desired, numbers);
    add_dependencies(numbers, &mut wanted);
    let modes: Vec<_> = desired.active_modes().collect();
    let Some(all) = ModeSet::of(modes.iter().map(|(name, _)| (*name).clone())) else {
        // Without modes all services are wanted.
        return wanted.into_iter().map(|why| why.map_or(Want::Kept, Want::Wanted)).collect();
    };
    // Others may keep running only where all modes allow it.
    let other = if modes.iter().all(|(_, mode)| mode.others == Others::Keep) {
        Want::Kept
    } else {
        Want::Off(because(ReasonCode::NotInMode, format!("not part of mode {all}"), Some(all.to_string())))
    };
    let mut wants: Vec<Want> = wanted.into_iter().map(|why| why.map_or_else(|| other.clone(), Want::Wanted)).collect();
    let stopped = (ReasonCode::StoppedByMode, "listed under `stop` in mode");
    for (number, why) in listed_by_modes(&modes, numbers, |mode| &mode.stop, stopped) {
        wants[number] = Want::Off(why);
    }
    wants
}

/// Services that the mode or a goal names, each with its reason.
fn wanted_by_name(desired: &Desired, numbers: &Numbers<'_>) -> Vec<Option<Rc<Reason>>> {
    let code = ReasonCode::WantedByMode;
    let modes: Vec<_> = desired.active_modes().collect();
    let mut wanted = if modes.is_empty() {
        let message = "the manifest has no modes, so every service is wanted".to_owned();
        vec![Some(because(code, message, None)); numbers.all().len()]
    } else {
        let mut wanted = vec![None; numbers.all().len()];
        for (number, why) in listed_by_modes(&modes, numbers, |mode| &mode.services, (code, "wanted by mode")) {
            wanted[number] = Some(why);
        }
        wanted
    };
    for goal in desired.active_goals() {
        let why = because(ReasonCode::WantedByGoal, format!("wanted by goal {goal}"), Some(goal.to_string()));
        for number in needed_by_goal(desired, numbers, &goal) {
            wanted[number].get_or_insert_with(|| why.clone());
        }
    }
    wanted
}

/// Services that a goal names, and those of its phases.
fn needed_by_goal(desired: &Desired, numbers: &Numbers<'_>, goal: &GoalName) -> BTreeSet<Number> {
    let Some(goal) = desired.goals.get(goal) else { return BTreeSet::new() };
    let by_phase = numbers.all().filter(|number| !numbers.service(*number).phases.is_disjoint(&goal.phases));
    numbers.find_all(&goal.services).into_iter().chain(by_phase).collect()
}

fn add_dependencies(numbers: &Numbers<'_>, wanted: &mut [Option<Rc<Reason>>]) {
    let mut open: Vec<Number> = numbers.all().rev().filter(|number| wanted[*number].is_some()).collect();
    // Each service is opened once: at most as many rounds as services.
    while let Some(number) = open.pop() {
        for base in numbers.bases(number) {
            if wanted[*base].is_none() {
                let name = numbers.name(number);
                let message = format!("needed by {name}");
                wanted[*base] = Some(because(ReasonCode::WantedByDependency, message, Some(name.to_string())));
                open.push(*base);
            }
        }
    }
}

/// Effective priority of each service: the highest of its own, of the active goals that need it, and of its wanted or
/// kept dependents.
fn effective_priorities(desired: &Desired, numbers: &Numbers<'_>, of: &[Want]) -> Vec<i64> {
    let mut priority = numbers.priorities().to_vec();
    for goal in desired.active_goals() {
        let height = desired.goals.get(&goal).map_or(i64::MIN, |goal| goal.priority);
        for number in needed_by_goal(desired, numbers, &goal) {
            priority[number] = priority[number].max(height);
        }
    }
    let counts = |number: &Number| !matches!(of[*number], Want::Off(_));
    let mut open: Vec<Number> = numbers.all().filter(counts).collect();
    // A service is visited again only when its priority rose, which happens at most once for each distinct priority.
    while let Some(number) = open.pop() {
        for base in numbers.bases(number) {
            if priority[*base] < priority[number] {
                priority[*base] = priority[number];
                open.extend(Some(*base).filter(counts));
            }
        }
    }
    priority
}

/// Services of `--target` and their dependencies, without those of `--exclude`.
fn scope(numbers: &Numbers<'_>, request: &Request) -> Vec<bool> {
    // One-shots name their services, and may preempt others for them.
    let everything = request.targets.is_empty() || request.purpose.is_one_shot();
    let mut scope = vec![everything; numbers.all().len()];
    let mut open = numbers.find_all(&request.targets);
    while let Some(number) = open.pop() {
        if !scope[number] {
            scope[number] = true;
            open.extend(numbers.bases(number));
        }
    }
    for number in numbers.find_all(&request.excludes) {
        scope[number] = false;
    }
    scope
}
