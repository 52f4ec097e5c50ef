//! Decision for each service alone, from its want and its observed state.

use crate::model::lifecycle::State;
use crate::model::observed::{ObservedService, Ownership};
use crate::model::plan::{Purpose, Reason, ReasonCode};
use crate::plan::decision::Decision;
use crate::plan::input::PlanInput;
use crate::plan::judge::bring_up::{barred, bring_up};
use crate::plan::judge::context::PlanContext;
use crate::plan::judge::drift::gpu_lost;
use crate::plan::judge::{copies, given_back, holds, jobs, recover};
use crate::plan::numbers::Number;
use crate::plan::reason::reason;
use crate::plan::summary::OwnerKind;
use crate::plan::want::Want;

/// Returns the decision for one service, without regard to others.
pub(super) fn decide(context: &PlanContext<'_>, number: Number) -> Decision {
    let input = &context.input;
    if !input.is_in_scope(number) {
        return Decision::Leave("it is left out of this run".to_owned());
    }
    if let Some(decision) = holds::held_by_operator(context, number) {
        return decision;
    }
    let summary = input.summary(number);
    match (input.want(number), input.unknown(number)) {
        (Want::Wanted(_), Some(why)) => Decision::Blocked(
            barred(input, number).unwrap_or_else(|| reason(ReasonCode::Unknown, why.to_owned(), None)),
        ),
        (Want::Kept, Some(why)) => Decision::Leave(format!("it is not touched: {why}")),
        (Want::Off(off), Some(why)) => {
            let message = format!("{}, but its state is unknown: {why}", off.message);
            let code = barred(input, number).map_or(ReasonCode::Unknown, |barred| barred.code);
            Decision::Blocked(reason(code, message, None))
        }
        (Want::Wanted(why), None) => wanted(context, number, why),
        (Want::Kept, None) if summary.holds_capacity => Decision::Leave(kept(context, number)),
        (Want::Kept, None) => Decision::Leave("it is off, and not wanted".to_owned()),
        (Want::Off(why), None) => off(input, number, why),
    }
}

/// Sentence for a kept service; drift is reported, but not acted on.
fn kept(context: &PlanContext<'_>, number: Number) -> String {
    match context.drift(number) {
        Some(Reason { message, .. }) => {
            format!("it may keep running, though it differs from the manifest: {message}")
        }
        None => "it may keep running".to_owned(),
    }
}

fn off(input: &PlanInput<'_>, number: Number, why: &Reason) -> Decision {
    let summary = input.summary(number);
    if let (Some(renamed), true) = (renamed(input, number), summary.holds_capacity) {
        return Decision::Blocked(renamed);
    }
    if !summary.holds_capacity {
        return Decision::Leave("it is off".to_owned());
    }
    match (input.prevented(number), input.request.keeps_running()) {
        (Some(prevented), _) => Decision::Leave(prevented.message.clone()),
        (None, Some(kept)) => Decision::Leave(format!("{}, and it is left as it is: {kept}", why.message)),
        (None, None) => Decision::Stop(why.clone()),
    }
}

fn wanted(context: &PlanContext<'_>, number: Number, why: &Reason) -> Decision {
    let input = &context.input;
    if let Some(prevented) = input.prevented(number) {
        return recover::given_up(input, number, prevented).unwrap_or_else(|| Decision::Blocked(prevented.clone()));
    }
    if let Some(decision) = not_ours(input, number) {
        return decision;
    }
    if let Some(decision) = kept_as_it_is(context, number, why) {
        return decision;
    }
    if let Some(decision) = jobs::decide(context, number, why) {
        return decision;
    }
    if let Some(none) = copies::none_wanted(input, number) {
        return none;
    }
    let restarts = restart_is_due(input, number);
    let state = input.summary(number).state;
    match state {
        State::Online | State::Busy | State::Idle | State::Starting if restarts => {
            let spent = input.budget(number).holds().then(|| recover::runs_on(input, number, why)).flatten();
            spent.unwrap_or_else(|| bring_up(input, number, why.clone(), true))
        }
        State::Busy if can_change_in_place(context, number) => {
            let change = context.drift(number).map_or("", |change| change.message.as_str());
            Decision::Leave(format!("{state}, and updated once it is idle: {change}"))
        }
        State::Online | State::Busy | State::Idle => match context.drift(number) {
            Some(change) if can_change_in_place(context, number) => Decision::Update(change.clone()),
            Some(change) => recover::runs_on(input, number, change)
                .or_else(|| copies::roll(input, number, change))
                .unwrap_or_else(|| bring_up(input, number, change.clone(), true)),
            None => copies::scale_down(input, number)
                .or_else(|| given_back::wake(context, number, why))
                .or_else(|| copies::scale(input, number))
                .unwrap_or_else(|| Decision::Leave(format!("{state}, as it should be: {}", why.message))),
        },
        State::Starting => match context.drift(number) {
            Some(change) if !can_change_in_place(context, number) || has_network_drift(input, number) => {
                recover::runs_on(input, number, change).unwrap_or_else(|| bring_up(input, number, change.clone(), true))
            }
            Some(_) | None => Decision::Await(Reason {
                message: format!("{}; {}", why.message, input.seen(number).detail),
                ..why.clone()
            }),
        },
        State::Error | State::Timeout => failing(context, number, why),
        State::Registered | State::Deployed | State::Offline | State::Failed | State::Terminated | State::Deleted => {
            if let Some(held) = recover::held(input, number) {
                return held;
            }
            let seen = input.seen(number);
            let change = if seen.ended_by_itself { because(ReasonCode::Exited, seen, why) } else { why.clone() };
            bring_up(input, number, change, false)
        }
        State::Suspended => paused(context, number, why),
        State::Maintenance => {
            let message = format!("{}; it is left as it is until it is resumed", input.seen(number).detail);
            Decision::Held(reason(ReasonCode::Suspended, message, None))
        }
        State::Stopping | State::Deploying | State::Updating | State::Scaling => {
            let message = format!("{}; plan again after that", input.seen(number).detail);
            Decision::Blocked(reason(ReasonCode::Unknown, message, None))
        }
    }
}

/// Decision for a wanted service that runs and fails.
fn failing(context: &PlanContext<'_>, number: Number, why: &Reason) -> Decision {
    let input = &context.input;
    if let Some(held) = recover::held(input, number) {
        return held;
    }
    let seen = input.seen(number);
    let code = if seen.ended_by_itself { ReasonCode::Exited } else { ReasonCode::Unhealthy };
    // A changed setting may be the cause of the failure.
    let settings = context.drift(number).filter(|change| change.code == ReasonCode::SettingsChanged);
    let change = gpu_lost(input, number).or_else(|| settings.cloned());
    let change = change.unwrap_or_else(|| because(code, seen, why));
    bring_up(input, number, change, true)
}

/// Returns true if drift can be corrected while the service runs, and no attempt at that has failed.
fn can_change_in_place(context: &PlanContext<'_>, number: Number) -> bool {
    let input = &context.input;
    let is_settings = |change: &Reason| change.code == ReasonCode::SettingsChanged;
    context.drift(number).is_some_and(is_settings)
        && input.seen(number).changed.as_ref().is_some_and(|changed| changed.can_update_in_place)
        && !input.request.not_updated.contains(input.name(number))
}

/// Returns true if a network is part of the drift: the service can't answer on it, so waiting is futile.
fn has_network_drift(input: &PlanInput<'_>, number: Number) -> bool {
    let changed = input.seen(number).changed.as_ref();
    changed.is_some_and(|changed| {
        changed.diff.lines().any(|line| line.get(1..).is_some_and(|line| line.starts_with("network ")))
    })
}

/// Decision for a service that is paused without an operator's hold: resumed, or recreated where it has drifted.
fn paused(context: &PlanContext<'_>, number: Number, why: &Reason) -> Decision {
    match context.drift(number) {
        Some(change) if !can_change_in_place(context, number) && !is_gpu_drift(change) => {
            bring_up(&context.input, number, change.clone(), true)
        }
        Some(_) | None => {
            let message = format!("{}, and no operator holds it; {}", context.input.seen(number).detail, why.message);
            Decision::Unpause(reason(ReasonCode::SettingsChanged, message, why.by.clone()))
        }
    }
}

/// Returns true for drift in GPUs, which is corrected after the resume, since a move may preempt others.
fn is_gpu_drift(change: &Reason) -> bool {
    matches!(change.code, ReasonCode::GpuLost | ReasonCode::WrongGpu)
}

/// Decision for a service that runs from another checkout: it keeps running, however this manifest differs.
fn kept_as_it_is(context: &PlanContext<'_>, number: Number, why: &Reason) -> Option<Decision> {
    let input = &context.input;
    let (kept, seen) = (input.request.keeps_running()?, input.seen(number));
    match input.summary(number).state {
        State::Online | State::Busy | State::Idle => {
            let drift = context.drift(number)?;
            Some(Decision::Leave(format!("{}, and it is left as it is: {kept}", drift.message)))
        }
        State::Starting => context.drift(number).map(|drift| {
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

/// Decision for a wanted service whose container is missing or foreign.
fn not_ours(input: &PlanInput<'_>, number: Number) -> Option<Decision> {
    let summary = input.summary(number);
    if !matches!(summary.owner, OwnerKind::Missing | OwnerKind::Foreign) {
        return None;
    }
    match &input.seen(number).ownership {
        Ownership::Missing { container } => {
            let message =
                format!("container {container} does not exist; create it first: lcm only starts and stops it");
            Some(Decision::Blocked(reason(ReasonCode::ContainerMissing, message, None)))
        }
        Ownership::Foreign { holder } => {
            let message = format!("it would need {holder}; lcm does not touch that");
            Some(Decision::Blocked(reason(ReasonCode::NotOurs, message, None)))
        }
        Ownership::Renamed { .. } => renamed(input, number).map(Decision::Blocked),
        Ownership::Absent | Ownership::Ours | Ownership::Adopted => None,
    }
}

/// Reason for which a service is left alone because its container was renamed by hand.
fn renamed(input: &PlanInput<'_>, number: Number) -> Option<Reason> {
    let Ownership::Renamed { container, id, to } = &input.seen(number).ownership else { return None };
    let message = format!(
        "{container} ({}) carries the marks of its container {to}, which was renamed or copied: if it was renamed, \
         `docker rename {container} {to}` restores it; if it is not needed, `docker rm --force {container}` removes \
         it; until then lcm neither touches it nor creates a second one",
        id.get(..12).unwrap_or(id)
    );
    Some(reason(ReasonCode::Renamed, message, None))
}

/// Returns true if `lcm restart` names the service, and this run has not restarted it yet.
pub(super) fn restart_is_due(input: &PlanInput<'_>, number: Number) -> bool {
    let (request, name) = (input.request, input.name(number));
    request.purpose == Purpose::Restart && request.targets.contains(name) && !request.restarted.contains(name)
}

fn because(code: ReasonCode, seen: &ObservedService, why: &Reason) -> Reason {
    reason(code, format!("{}; {}", seen.detail, why.message), why.by.clone())
}
