//! What operators said, as decisions: what is held for it, what still has to be stopped or paused, and what that means
//! for those who depend on it. The state is seen through the word already; here it is what is done about it.

use crate::model::lifecycle::{Action, State, route};
use crate::model::plan::{Purpose, ReasonCode};
use crate::model::rules::Verdict;
use crate::model::words::{Said, Word};
use crate::plan::decide::{Decision, Decisions, Scene};
use crate::plan::judge::reason;
use crate::plan::numbers::Number;
use crate::plan::steps::stop_route;

/// The decision that an operator's word makes; `None`: nobody said anything of it.
pub(super) fn heeded(scene: &Scene<'_>, number: Number) -> Option<Decision> {
    let said = scene.glance(number).has_word.then(|| scene.seen(number).word.as_ref())??;
    Some(match said.word {
        Word::Maintain => held(said, ReasonCode::Maintenance, "it is left as it is"),
        Word::Suspend => suspended(scene, number, said),
        Word::Terminate => terminated(scene, number, said),
    })
}

fn held(said: &Said, code: ReasonCode, what: &str) -> Decision {
    let because = said.reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    Decision::Held(reason(code, format!("{what}{because}"), Some(said.by.clone())))
}

fn suspended(scene: &Scene<'_>, number: Number, said: &Said) -> Decision {
    let seen = scene.seen(number);
    let held = |what: &str| held(said, ReasonCode::Suspended, what);
    if seen.state == State::Suspended {
        return held("it is paused");
    }
    if let Some(why) = &seen.unknown {
        return held(&format!("it is to be paused, and nothing is known of it ({why})"));
    }
    let ours = scene.glance(number).is_ours();
    let asked = scene.request.purpose == Purpose::Apply && scene.prevented(number).is_none();
    if ours && asked && route(Action::Pause, seen.state).is_some() {
        let message = format!("it is to be paused ({})", said.by_whom());
        return Decision::Pause(reason(ReasonCode::Suspended, message, Some(said.by.clone())));
    }
    if seen.holds_room {
        return held(&format!("it is to be paused, and is {} by now", seen.state));
    }
    held("it is to be paused, and does not run by now")
}

fn terminated(scene: &Scene<'_>, number: Number, said: &Said) -> Decision {
    let seen = scene.seen(number);
    let held = |what: &str| held(said, ReasonCode::Terminated, what);
    if let Some(why) = &seen.unknown {
        return held(&format!("it is to be off, and whether it runs can't be told ({why})"));
    }
    let ours = scene.glance(number).is_ours();
    if !seen.holds_room || !ours {
        return held("it is kept off");
    }
    let named = scene.request.targets.contains(scene.name(number));
    let asked = match scene.request.purpose {
        Purpose::Apply | Purpose::Down => true,
        Purpose::Start | Purpose::Restart => false,
        Purpose::Stop => named,
    };
    if !asked || scene.prevented(number).is_some() {
        return held("it is to be stopped");
    }
    if let Some(why) = scene.firm.own(number).filter(|_| seen.is_removed_by_stop) {
        return held(&format!("it is to be stopped, and is not: {why}"));
    }
    let way = stop_route(ReasonCode::Terminated, seen.state).unwrap_or_default();
    let case = scene.case(scene.name(number));
    if let Some(Verdict::Denied(denial)) = scene.desired.rules.judge_route(&case, way) {
        return held(&format!("it is to be stopped, and can't be: {denial}"));
    }
    let message = format!("it is to be off for good ({})", said.by_whom());
    Decision::Stop(reason(ReasonCode::Terminated, message, Some(said.by.clone())))
}

/// What is wanted and runs does not outlive what it depends on, where an operator has that stopped.
pub(super) fn stop_dependents(scene: &Scene<'_>, decisions: &mut Decisions) {
    let terminated = |decision: &Decision| decision.stopped().is_some_and(|why| why.code == ReasonCode::Terminated);
    let mut open: Vec<Number> = decisions.those(terminated).collect();
    // Each is stopped once, so this ends.
    while let Some(number) = open.pop() {
        let name = scene.name(number);
        for dependent in scene.dependents(number).iter().copied() {
            let seen = scene.glance(dependent);
            let may = match decisions.0[dependent] {
                Decision::Leave(_)
                | Decision::Await(_)
                | Decision::Wake(_)
                | Decision::Blocked(_)
                | Decision::Update(_)
                | Decision::Unpause(_) => scene.wants.is_wanted(dependent),
                Decision::Recreate { .. } => true,
                Decision::Start { .. }
                | Decision::Stop(_)
                | Decision::GiveUp(_)
                | Decision::Evict(_)
                | Decision::Pause(_)
                | Decision::Preempt { .. }
                | Decision::Held(_) => false,
            };
            if may && seen.is_ours() && seen.holds_room && seen.is_known && scene.is_in_scope(dependent) {
                let because = |what: &str| {
                    let message = format!("{name}, which it depends on, {what}");
                    reason(ReasonCode::Dependency, message, Some(name.to_string()))
                };
                let blocked = because("is kept off by an operator");
                decisions.0[dependent] =
                    Decision::Preempt { reason: because("is stopped"), blocked: Box::new(blocked) };
                open.push(dependent);
            }
        }
    }
}

/// What a held service depends on is not stopped beneath it, unless an operator wants just that.
pub(super) fn keep_bases(scene: &Scene<'_>, decisions: &mut Decisions) {
    let runs_held = |number: &Number| {
        let seen = scene.glance(*number);
        seen.has_word && seen.holds_room && !decisions.0[*number].stops()
    };
    let mut open: Vec<Number> = scene.all().filter(runs_held).collect();
    // Each is kept once, so this ends.
    while let Some(number) = open.pop() {
        for base in scene.bases(number).iter().copied() {
            let stopped = matches!(&decisions.0[base], Decision::Stop(why) if why.code != ReasonCode::Terminated);
            if stopped {
                let message =
                    format!("it may go on running: {}, which an operator holds, depends on it", scene.name(number));
                decisions.0[base] = Decision::Leave(message);
                open.push(base);
            } else if let Decision::GiveUp(why) = &decisions.0[base] {
                decisions.0[base] = Decision::Held(why.clone());
                open.push(base);
            }
        }
    }
}
