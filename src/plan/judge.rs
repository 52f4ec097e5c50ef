//! Each service alone: what is wanted of it against what is there. Room and neighbours come later, in `place`.

use std::collections::BTreeSet;

use crate::model::lifecycle::State;
use crate::model::observed::{Barred, ObservedService, Ownership, REMOVED_BY_STOP};
use crate::model::plan::{Purpose, Reason, ReasonCode};
use crate::plan::decide::{Decision, Decisions, Scene};
use crate::plan::drift::{gpu_lost, is_mendable};
use crate::plan::given_back;
use crate::plan::glance::Owner;
use crate::plan::holds;
use crate::plan::left;
use crate::plan::legal::hold_to_rules;
use crate::plan::numbers::Number;
use crate::plan::recover;
use crate::plan::want::Want;
use crate::plan::word;

/// A first decision for every service; starts have no GPUs yet.
pub(super) fn judge(scene: &Scene<'_>) -> Decisions {
    let judged = scene.all().map(|number| holds::known(scene, judge_one(scene, number)));
    let mut decisions = Decisions(judged.collect());
    hold_to_rules(scene, &mut decisions);
    recreate_dependents(scene, &mut decisions);
    word::stop_dependents(scene, &mut decisions);
    word::keep_bases(scene, &mut decisions);
    stop_kept_dependents(scene, &mut decisions);
    decisions
}

fn judge_one(scene: &Scene<'_>, number: Number) -> Decision {
    if !scene.is_in_scope(number) {
        return Decision::Leave("it is left out of this run".to_owned());
    }
    if let Some(decision) = word::heeded(scene, number) {
        return decision;
    }
    let glance = scene.glance(number);
    match (scene.want(number), scene.unknown(number)) {
        (Want::Wanted(_), Some(why)) => Decision::Blocked(
            barred(scene, number).unwrap_or_else(|| reason(ReasonCode::Unknown, why.to_owned(), None)),
        ),
        (Want::Kept, Some(why)) => Decision::Leave(format!("it is not touched: {why}")),
        (Want::Off(off), Some(why)) => {
            let message = format!("{}, and whether it runs can't be told: {why}", off.message);
            let code = barred(scene, number).map_or(ReasonCode::Unknown, |barred| barred.code);
            Decision::Blocked(reason(code, message, None))
        }
        (Want::Wanted(why), None) => wanted(scene, number, why),
        (Want::Kept, None) if glance.holds_room => Decision::Leave(kept(scene, number)),
        (Want::Kept, None) => Decision::Leave("it is off, and nobody wants it".to_owned()),
        (Want::Off(why), None) => off(scene, number, why),
    }
}

/// Why it is left alone though nobody wants it; what it should be by now is told, and not acted on.
fn kept(scene: &Scene<'_>, number: Number) -> String {
    match scene.drift(number) {
        Some(Reason { message, .. }) => {
            format!("it may go on running, though it is not what the manifest describes: {message}")
        }
        None => "it may go on running".to_owned(),
    }
}

fn off(scene: &Scene<'_>, number: Number, why: &Reason) -> Decision {
    let glance = scene.glance(number);
    if let (Some(renamed), true) = (renamed(scene, number), glance.holds_room) {
        return Decision::Blocked(renamed);
    }
    if !glance.holds_room {
        return Decision::Leave("it is off".to_owned());
    }
    match (scene.prevented(number), scene.request.keeps_running()) {
        (Some(prevented), _) => Decision::Leave(prevented.message.clone()),
        (None, Some(kept)) => Decision::Leave(format!("{}, and it is left as it is: {kept}", why.message)),
        (None, None) => Decision::Stop(why.clone()),
    }
}

fn wanted(scene: &Scene<'_>, number: Number, why: &Reason) -> Decision {
    if let Some(prevented) = scene.prevented(number) {
        return recover::given_up(scene, number, prevented).unwrap_or_else(|| Decision::Blocked(prevented.clone()));
    }
    if let Some(decision) = not_ours(scene, number) {
        return decision;
    }
    if let Some(decision) = kept_as_it_is(scene, number, why) {
        return decision;
    }
    let again = is_to_restart(scene, number);
    let state = scene.glance(number).state;
    match state {
        State::Online | State::Busy | State::Idle | State::Starting if again => {
            let spent = scene.budget(number).holds().then(|| recover::runs_on(scene, number, why)).flatten();
            spent.unwrap_or_else(|| bring_up(scene, number, why.clone(), true))
        }
        State::Busy if is_mendable(scene, number) => {
            let change = scene.drift(number).map_or("", |change| change.message.as_str());
            Decision::Leave(format!("{state}, and updated once it is idle: {change}"))
        }
        State::Online | State::Busy | State::Idle => match scene.drift(number) {
            Some(change) if is_mendable(scene, number) => Decision::Update(change.clone()),
            Some(change) => {
                recover::runs_on(scene, number, change).unwrap_or_else(|| bring_up(scene, number, change.clone(), true))
            }
            None => given_back::wake(scene, number, why)
                .unwrap_or_else(|| Decision::Leave(format!("{state}, as it should be: {}", why.message))),
        },
        State::Starting => match scene.drift(number) {
            Some(change) if !is_mendable(scene, number) || is_about_networks(scene, number) => {
                recover::runs_on(scene, number, change).unwrap_or_else(|| bring_up(scene, number, change.clone(), true))
            }
            Some(_) | None => Decision::Await(Reason {
                message: format!("{}; {}", why.message, scene.seen(number).detail),
                ..why.clone()
            }),
        },
        State::Error | State::Timeout => {
            if let Some(held) = recover::held(scene, number) {
                return held;
            }
            let seen = scene.seen(number);
            let code = if seen.ended_by_itself { ReasonCode::Exited } else { ReasonCode::Unhealthy };
            // What was changed about it may be why it fails.
            let settings = scene.drift(number).filter(|change| change.code == ReasonCode::SettingsChanged);
            let change = gpu_lost(scene, number).or_else(|| settings.cloned());
            let change = change.unwrap_or_else(|| because(code, seen, why));
            bring_up(scene, number, change, true)
        }
        State::Registered | State::Deployed | State::Offline | State::Failed | State::Terminated | State::Deleted => {
            if let Some(held) = recover::held(scene, number) {
                return held;
            }
            let seen = scene.seen(number);
            let change = if seen.ended_by_itself { because(ReasonCode::Exited, seen, why) } else { why.clone() };
            bring_up(scene, number, change, false)
        }
        State::Suspended => paused(scene, number, why),
        State::Maintenance => {
            let message = format!("{}; lcm leaves it so until it is resumed", scene.seen(number).detail);
            Decision::Held(reason(ReasonCode::Suspended, message, None))
        }
        State::Stopping | State::Deploying | State::Updating | State::Scaling => {
            let message = format!("{}; plan again when that is over", scene.seen(number).detail);
            Decision::Blocked(reason(ReasonCode::Unknown, message, None))
        }
    }
}

/// It can't answer on a network that it is not in: waiting for it would be in vain.
fn is_about_networks(scene: &Scene<'_>, number: Number) -> bool {
    let changed = scene.seen(number).changed.as_ref();
    changed.is_some_and(|changed| {
        changed.diff.lines().any(|line| line.get(1..).is_some_and(|line| line.starts_with("network ")))
    })
}

/// What is paused without an operator's hold goes on; what is to be made anew is made anew.
fn paused(scene: &Scene<'_>, number: Number, why: &Reason) -> Decision {
    match scene.drift(number) {
        Some(change) if !is_mendable(scene, number) && !is_about_gpus(change) => {
            bring_up(scene, number, change.clone(), true)
        }
        Some(_) | None => {
            let message = format!("{}, and no operator holds it; {}", scene.seen(number).detail, why.message);
            Decision::Unpause(reason(ReasonCode::SettingsChanged, message, why.by.clone()))
        }
    }
}

/// Where it runs is judged once it goes on: that may take others' places.
fn is_about_gpus(change: &Reason) -> bool {
    matches!(change.code, ReasonCode::GpuLost | ReasonCode::WrongGpu)
}

/// What runs of another checkout: whatever this manifest makes of it, it goes on.
fn kept_as_it_is(scene: &Scene<'_>, number: Number, why: &Reason) -> Option<Decision> {
    let (kept, seen) = (scene.request.keeps_running()?, scene.seen(number));
    match scene.glance(number).state {
        State::Online | State::Busy | State::Idle => {
            let drift = scene.drift(number)?;
            Some(Decision::Leave(format!("{}, and it is left as it is: {kept}", drift.message)))
        }
        State::Starting => scene.drift(number).map(|drift| {
            let message = format!("{}, and it is left as it is: {kept}", drift.message);
            Decision::Await(Reason { message, ..why.clone() })
        }),
        State::Error | State::Timeout => {
            let message = format!("{}, and it is left as it is: {kept}", seen.detail);
            Some(Decision::Blocked(reason(ReasonCode::NotOurs, message, None)))
        }
        State::Suspended => Some(Decision::Leave(format!("{}, and it is left as it is: {kept}", seen.detail))),
        State::Registered
        | State::Deploying
        | State::Deployed
        | State::Stopping
        | State::Updating
        | State::Scaling
        | State::Failed
        | State::Maintenance
        | State::Offline
        | State::Terminated
        | State::Deleted => None,
    }
}

/// What becomes of what is wanted where it is not there, or is somebody else's.
fn not_ours(scene: &Scene<'_>, number: Number) -> Option<Decision> {
    let glance = scene.glance(number);
    if !matches!(glance.owner, Owner::Missing | Owner::Foreign) {
        return None;
    }
    match &scene.seen(number).ownership {
        Ownership::Missing { container } => {
            let message =
                format!("container {container} is not there; lcm starts it, but somebody else has to create it");
            Some(Decision::Blocked(reason(ReasonCode::ContainerMissing, message, None)))
        }
        Ownership::Foreign { holder } => {
            let message = format!("it would need {holder}; lcm does not touch that");
            Some(Decision::Blocked(reason(ReasonCode::NotOurs, message, None)))
        }
        Ownership::Renamed { .. } => renamed(scene, number).map(Decision::Blocked),
        Ownership::Absent | Ownership::Ours | Ownership::Adopted => None,
    }
}

/// Why it is left alone, where its container was renamed by hand.
fn renamed(scene: &Scene<'_>, number: Number) -> Option<Reason> {
    let Ownership::Renamed { container, id, to } = &scene.seen(number).ownership else { return None };
    let message = format!(
        "{container} ({}) carries the marks of its container {to}, which was renamed or copied: if it was renamed, \
         `docker rename {container} {to}` brings it back; if it is not needed, `docker rm --force {container}` removes \
         it; until then lcm neither touches it nor makes a second one",
        id.get(..12).unwrap_or(id)
    );
    Some(reason(ReasonCode::Renamed, message, None))
}

/// `lcm restart` names it, and this run has not brought it up again yet.
fn is_to_restart(scene: &Scene<'_>, number: Number) -> bool {
    let (request, name) = (scene.request, scene.name(number));
    request.purpose == Purpose::Restart && request.targets.contains(name) && !request.restarted.contains(name)
}

fn because(code: ReasonCode, seen: &ObservedService, why: &Reason) -> Reason {
    reason(code, format!("{}; {}", seen.detail, why.message), why.by.clone())
}

/// Why it can't be started from where lcm runs.
fn barred(scene: &Scene<'_>, number: Number) -> Option<Reason> {
    let barred = scene.seen(number).barred.as_deref()?;
    let code = match barred {
        Barred::InContainer(_) => ReasonCode::InContainer,
        Barred::RemoteEngine(_) => ReasonCode::RemoteEngine,
    };
    Some(reason(code, barred.message().to_owned(), None))
}

/// A start, or a stop and a start; not without its secrets.
fn bring_up(scene: &Scene<'_>, number: Number, why: Reason, runs: bool) -> Decision {
    let service = scene.service(number);
    if let Some(barred) = barred(scene, number) {
        return Decision::Blocked(barred);
    }
    if !service.missing_secrets.is_empty() {
        let message = format!("it needs {}", service.missing_secrets.join(", and "));
        return Decision::Blocked(reason(ReasonCode::SecretMissing, message, None));
    }
    let seen = scene.seen(number);
    if runs && seen.is_auto_removed && !seen.is_removed_by_stop {
        let message =
            format!("{}, and it can't be restarted: {REMOVED_BY_STOP}, and lcm does not create it", why.message);
        return Decision::Blocked(reason(ReasonCode::AutoRemove, message, None));
    }
    if runs {
        Decision::Recreate { reason: why, gpus: BTreeSet::new() }
    } else {
        Decision::Start { reason: why, gpus: BTreeSet::new() }
    }
}

/// `restart: true`: what depends on a recreated service is recreated with it.
fn recreate_dependents(scene: &Scene<'_>, decisions: &mut Decisions) {
    let recreated = decisions.those(|decision| matches!(decision, Decision::Recreate { .. }));
    // What is only tried again takes nobody along: it may well fail again.
    let mut open: Vec<Number> = recreated.filter(|number| !scene.is_retry(*number)).collect();
    // Each service is recreated once, so this ends.
    while let Some(number) = open.pop() {
        let name = scene.name(number);
        let restarts = |dependent: &&Number| scene.service(**dependent).depends_on[name].restart;
        for dependent in scene.dependents(number).iter().filter(restarts).copied() {
            let seen = scene.glance(dependent);
            let runs_well = matches!(
                decisions.0[dependent],
                Decision::Leave(_) | Decision::Await(_) | Decision::Wake(_) | Decision::Update(_)
            ) && (scene.wants.is_wanted(dependent) || scene.request.purpose == Purpose::Restart)
                && scene.is_in_scope(dependent)
                && seen.is_ours()
                && may_be_recreated(seen.state);
            if runs_well {
                let message = format!("{name}, which it depends on with restart: true, is recreated");
                let why = reason(ReasonCode::Dependency, message, Some(name.to_string()));
                decisions.0[dependent] = bring_up(scene, dependent, why, true);
                open.push(dependent);
            }
        }
    }
}

/// It answers, or is about to.
fn may_be_recreated(state: State) -> bool {
    state.is_operational() || state == State::Starting
}

/// It is off at the end.
fn goes(decision: &Decision) -> bool {
    matches!(decision, Decision::Stop(_) | Decision::GiveUp(_))
}

/// What is merely kept does not outlive what it depends on.
fn stop_kept_dependents(scene: &Scene<'_>, decisions: &mut Decisions) {
    let mut open: Vec<Number> = decisions.those(goes).collect();
    while let Some(number) = open.pop() {
        for dependent in scene.dependents(number).iter().copied() {
            let seen = scene.glance(dependent);
            let kept = *scene.want(dependent) == Want::Kept && seen.is_known && seen.holds_room;
            let untouched = matches!(decisions.0[dependent], Decision::Leave(_));
            if kept && untouched && scene.is_in_scope(dependent) {
                let name = scene.name(number);
                let message = format!("{name}, which it depends on, is stopped");
                let why = match scene.wants.left.get(&dependent) {
                    Some(off) => left::stopped(off, &message, name.to_string()),
                    None => reason(ReasonCode::Dependency, message, Some(name.to_string())),
                };
                decisions.0[dependent] = Decision::Stop(why);
                open.push(dependent);
            }
        }
    }
}

pub(super) fn reason(code: ReasonCode, message: String, by: Option<String>) -> Reason {
    Reason { code, message, by }
}
