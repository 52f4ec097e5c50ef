//! What the lifecycle and the manifest's rules leave of each service's ways: whether it may be started, stopped or
//! removed here and now, and which rule stands against it.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::lifecycle::{Action, State};
use crate::model::names::ServiceName;
use crate::model::observed::{Orphan, REMOVED_BY_STOP};
use crate::model::plan::{Purpose, Reason, ReasonCode};
use crate::model::rules::{Case, Refusal};
use crate::plan::decide::{Decision, Decisions, Scene};
use crate::plan::glance::Owner;
use crate::plan::numbers::Number;
use crate::plan::order::is_renamed;

/// Running services that a rule keeps from being stopped.
#[derive(Debug, Default)]
pub(super) struct Firm {
    /// By a rule about themselves.
    own: BTreeMap<Number, String>,
    /// Those, and all that they depend on: it can't be stopped under them.
    all: BTreeMap<Number, String>,
}

impl Firm {
    /// Of all that runs.
    pub(super) fn of(scene: &Scene<'_>) -> Self {
        if let Some(why) = scene.request.keeps_running() {
            let all: BTreeMap<Number, String> = scene
                .all()
                .filter(|number| scene.glance(*number).holds_room)
                .map(|number| (number, why.to_owned()))
                .collect();
            return Self { own: all.clone(), all };
        }
        let removed = |number: &Number| scene.seen(*number).is_removed_by_stop;
        // Without a denial every route of the table is open.
        if scene.desired.rules.deny.is_empty() && !scene.all().any(|number| removed(&number)) {
            return Self::default();
        }
        let own: BTreeMap<Number, String> = scene
            .all()
            .filter(|number| scene.glance(*number).holds_room && scene.glance(*number).is_known)
            .filter_map(|number| {
                let why = if removed(&number) { Some(removed_by_stop()) } else { None };
                Some((number, why.or_else(|| scene.way(number, Action::Stop, scene.glance(number).state).err())?))
            })
            .collect();
        let mut all = own.clone();
        let mut open: Vec<Number> = own.keys().rev().copied().collect();
        // Each service is opened once: at most as many rounds as services.
        while let Some(number) = open.pop() {
            for base in scene.bases(number).iter().copied().filter(|base| !all.contains_key(base)).collect::<Vec<_>>() {
                let name = scene.name(number);
                let why = format!("{name}, which depends on it, can't be stopped: {}", all[&number]);
                // It is told from where the rule is, and not from link to link.
                let why = if own.contains_key(&number) { why } else { all[&number].clone() };
                all.insert(base, why);
                open.push(base);
            }
        }
        Self { own, all }
    }

    /// Why a service can't be stopped, by a rule about itself.
    pub(super) fn own(&self, number: Number) -> Option<&str> {
        self.own.get(&number).map(String::as_str)
    }

    /// Why a service can't be stopped for good: by a rule about it, or about what depends on it.
    pub(super) fn any(&self, number: Number) -> Option<&str> {
        self.all.get(&number).map(String::as_str)
    }
}

impl Scene<'_> {
    /// The states that an action passes from a state, or who stands in the way.
    pub(super) fn way(&self, number: Number, action: Action, from: State) -> Result<Vec<State>, String> {
        self.way_of(self.name(number), action, from).map_err(|refusal| refusal.to_string())
    }

    /// As [`Scene::way`], by name: orphans have no number.
    pub(super) fn way_of(&self, name: &ServiceName, action: Action, from: State) -> Result<Vec<State>, Refusal<'_>> {
        self.desired.rules.way(&self.case(name), action, from)
    }

    /// What rules are asked about: a service, here and now.
    pub(super) fn case<'s>(&'s self, name: &'s ServiceName) -> Case<'s> {
        Case { service: name, mode: self.desired.mode.as_ref(), at: self.observed.observed_at }
    }

    /// Why an orphan that should go may not be stopped.
    pub(super) fn firm_orphan(&self, orphan: &Orphan) -> Option<String> {
        if !orphan.holds_room() {
            return None;
        }
        if let Some(why) = self.request.keeps_running() {
            return Some(why.to_owned());
        }
        self.way_of(&orphan.service, Action::Stop, orphan.state).err().map(|refusal| refusal.to_string())
    }
}

/// Why a container that was created with `--rm` is not stopped.
fn removed_by_stop() -> String {
    format!("{REMOVED_BY_STOP}; create it without, or write `auto_remove: accept` beside `container:`")
}

/// What is blocked by rule.
pub(super) fn by_rule(message: String) -> Reason {
    Reason { code: ReasonCode::Rule, message, by: None }
}

/// First decisions as the rules leave them: what has no legal way, is blocked, and says which rule closes it.
pub(super) fn hold_to_rules(scene: &Scene<'_>, decisions: &mut Decisions) {
    for number in scene.all() {
        if let Some(refused) = refused(scene, number, &decisions.0[number]) {
            decisions.0[number] = refused;
        }
    }
}

/// The decision instead, where a rule forbids this one.
fn refused(scene: &Scene<'_>, number: Number, decision: &Decision) -> Option<Decision> {
    let state = scene.glance(number).state;
    let removed = scene.seen(number).is_removed_by_stop;
    let code = if removed { ReasonCode::AutoRemove } else { ReasonCode::Rule };
    let blocked = |message: String| Some(Decision::Blocked(Reason { code, ..by_rule(message) }));
    match decision {
        Decision::Start { .. } => match starts(scene, number, state) {
            Some(why) => blocked(format!("it can't be started: {why}")),
            None => None,
        },
        Decision::Await(_) => {
            let why = scene.way(number, Action::Start, state).err()?;
            blocked(format!("it is starting, and nothing may come of that: {why}"))
        }
        Decision::Recreate { reason, .. } => {
            let cant_stop = || Some(format!("it can't be stopped: {}", scene.firm.own(number)?));
            let cant_start =
                || Some(format!("it could not be started again: {}", starts(scene, number, State::Offline)?));
            let why = cant_stop().or_else(cant_start).or_else(|| along(scene, number))?;
            blocked(format!("{}; it should be started anew, but {why}", reason.message))
        }
        Decision::Stop(reason) => {
            // The way of an operator's word was judged with the word; only who depends on it may stand against it.
            let by_word = reason.code == ReasonCode::Terminated && scene.firm.own(number).is_some();
            if let Some(why) = scene.firm.any(number).filter(|_| !by_word) {
                return blocked(format!("{}, but it can't be stopped: {why}", reason.message));
            }
            let why = stays(scene, number, State::Offline)?;
            let message = format!("{}; its container stays: {why}", reason.message);
            Some(Decision::Stop(Reason { message, ..reason.clone() }))
        }
        Decision::Pause(reason) => {
            let why = scene.way(number, Action::Pause, state).err()?;
            let message = format!("{}; it can't be: {why}", reason.message);
            Some(Decision::Held(Reason { message, ..reason.clone() }))
        }
        Decision::GiveUp(reason) => {
            let why = scene.firm.any(number)?;
            let message = format!("{}; it can't be stopped: {why}", reason.message);
            Some(Decision::Held(Reason { message, ..reason.clone() }))
        }
        Decision::Leave(_) => {
            let why = stays(scene, number, state)?;
            blocked(format!("everything of this project is to go, but its container can't be removed: {why}"))
        }
        Decision::Update(reason) | Decision::Unpause(reason) => {
            let action = decision.changed_as_it_runs().map_or(Action::Update, |(action, _)| action);
            let why = scene.way(number, action, state).err()?;
            blocked(format!("{}; it can't be mended: {why}", reason.message))
        }
        Decision::Wake(_)
        | Decision::Evict(_)
        | Decision::Preempt { .. }
        | Decision::Blocked(_)
        | Decision::Held(_) => None,
    }
}

/// Why it can't be started from a state; one whose old container must go first, not without that.
fn starts(scene: &Scene<'_>, number: Number, from: State) -> Option<String> {
    let removed = || is_renamed(scene, number).then(|| scene.way(number, Action::Remove, from).err()).flatten();
    scene.way(number, Action::Start, from).err().or_else(removed)
}

/// Why one that is recreated along with it can't be.
fn along(scene: &Scene<'_>, number: Number) -> Option<String> {
    if scene.desired.rules.deny.is_empty() {
        return None;
    }
    let (mut open, mut seen) = (vec![number], BTreeSet::new());
    while let Some(base) = open.pop() {
        let name = scene.name(base);
        let restarts =
            |other: &Number| scene.service(*other).depends_on[name].restart && scene.glance(*other).holds_room;
        for dependent in scene.dependents(base).iter().copied().filter(restarts) {
            let cant_start = || starts(scene, dependent, State::Offline);
            if let Some(why) = scene.firm.own(dependent).map(str::to_owned).or_else(cant_start) {
                let name = scene.name(dependent);
                return Some(format!("{name}, which is started anew with it, can't be: {why}"));
            }
            if seen.insert(dependent) {
                open.push(dependent);
            }
        }
    }
    None
}

/// Why its container can't be removed though all is to go.
fn stays(scene: &Scene<'_>, number: Number, state: State) -> Option<String> {
    let seen = scene.glance(number);
    let own = seen.owner == Owner::Ours && seen.is_container;
    let goes = scene.request.purpose == Purpose::Down && scene.is_in_scope(number) && seen.is_known;
    if !(own && goes) {
        return None;
    }
    match scene.way_of(scene.name(number), Action::Remove, state) {
        Err(refusal @ Refusal::Denied(_)) => Some(refusal.to_string()),
        Err(Refusal::NoWay { .. }) | Ok(_) => None,
    }
}
