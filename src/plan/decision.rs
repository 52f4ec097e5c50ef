//! Decisions of the planner: one for each service of the manifest.

use std::collections::BTreeSet;

use crate::model::lifecycle::{Action, State};
use crate::model::names::GpuId;
use crate::model::plan::{Reason, ReasonCode};
use crate::plan::numbers::Number;
use crate::plan::summary::ServiceSummary;

/// Decision about one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Nothing is done; the sentence is the reason.
    Leave(String),
    Start {
        reason: Reason,
        gpus: BTreeSet<GpuId>,
    },
    /// Starting already: the plan only waits for it.
    Await(Reason),
    /// Running, but others have taken GPU memory that it gave back: it gets that memory again.
    Wake(Reason),
    /// Stopped, then started again.
    Recreate {
        reason: Reason,
        gpus: BTreeSet<GpuId>,
    },
    Stop(Reason),
    /// Wanted, but its budget is spent: its failing instance is stopped to free memory, then the service is held.
    GiveUp(Reason),
    /// Not wanted: it may keep running, but gives its GPU memory back.
    Evict(Reason),
    /// Suspended by an operator, but not paused yet.
    Pause(Reason),
    /// Wanted, and its settings are changed while it runs.
    Update(Reason),
    /// Wanted, and its copies are replaced one by one.
    Roll(Reason),
    /// Wanted, and has fewer copies than it needs.
    ScaleUp(Reason),
    /// Wanted, and has more copies than it needs.
    ScaleDown(Reason),
    /// Wanted, and paused though no operator holds it: it is resumed.
    Unpause(Reason),
    /// Wanted, but stopped for a service of higher priority, and does not fit elsewhere.
    Preempt {
        reason: Reason,
        blocked: Box<Reason>,
    },
    /// Wanted, but can't be started or updated; what runs of it stays.
    Blocked(Reason),
    Held(Reason),
}

impl Decision {
    /// Returns true if the service is stopped in this plan; it may be started again.
    pub(super) fn stops(&self) -> bool {
        self.stopped().is_some()
    }

    /// Reason of a stop.
    pub(super) fn stopped(&self) -> Option<&Reason> {
        match self {
            Self::Recreate { reason, .. }
            | Self::Stop(reason)
            | Self::GiveUp(reason)
            | Self::Preempt { reason, .. } => Some(reason),
            Self::Leave(_)
            | Self::Start { .. }
            | Self::Await(_)
            | Self::Wake(_)
            | Self::Evict(_)
            | Self::Pause(_)
            | Self::Update(_)
            | Self::Roll(_)
            | Self::ScaleUp(_)
            | Self::ScaleDown(_)
            | Self::Unpause(_)
            | Self::Blocked(_)
            | Self::Held(_) => None,
        }
    }

    /// Returns true if dependents may count on the service once this decision is carried out.
    pub(super) fn stands(&self, seen: ServiceSummary) -> bool {
        match self {
            Self::Await(_)
            | Self::Start { .. }
            | Self::Recreate { .. }
            | Self::Wake(_)
            | Self::Evict(_)
            | Self::Update(_)
            | Self::Roll(_)
            | Self::ScaleUp(_)
            | Self::ScaleDown(_)
            | Self::Unpause(_) => true,
            Self::Leave(_) => seen.state.is_operational() || seen.is_done,
            Self::Blocked(_) => seen.is_known && seen.state.is_operational(),
            Self::Stop(_) | Self::GiveUp(_) | Self::Preempt { .. } | Self::Pause(_) | Self::Held(_) => false,
        }
    }

    /// Reason of an eviction.
    pub(super) fn evicted(&self) -> Option<&Reason> {
        if let Self::Evict(reason) = self { Some(reason) } else { None }
    }

    /// Action and reason where the service is changed while it runs, and no other step waits for that.
    pub(super) fn changed_as_it_runs(&self) -> Option<(Action, &Reason)> {
        match self {
            Self::Update(reason) => Some((Action::Update, reason)),
            Self::Unpause(reason) => Some((Action::Unpause, reason)),
            _ => None,
        }
    }

    /// Action and reason where the copies of a running service change.
    pub(super) fn rollout(&self) -> Option<(Action, &Reason)> {
        match self {
            Self::Roll(reason) => Some((Action::Update, reason)),
            Self::ScaleUp(reason) | Self::ScaleDown(reason) => Some((Action::Scale, reason)),
            _ => None,
        }
    }

    /// Returns true if copies are added while the service keeps running, each with its memory.
    pub(super) fn adds_copies(&self) -> bool {
        matches!(self, Self::Roll(_) | Self::ScaleUp(_))
    }

    /// Reason of a pause.
    pub(super) fn paused(&self) -> Option<&Reason> {
        if let Self::Pause(reason) = self { Some(reason) } else { None }
    }

    /// Dependency whose recreation is the only cause of this one.
    pub(super) fn along(&self) -> Option<&str> {
        let Self::Recreate { reason, .. } = self else { return None };
        reason.by.as_deref().filter(|_| reason.code == ReasonCode::Dependency)
    }

    /// Decision instead of a recreation along with a dependency: the service is left, or awaited if it is starting.
    pub(super) fn runs_on(&self, state: State, message: &str) -> Self {
        match self.stopped() {
            Some(why) if state == State::Starting => Self::Await(Reason { message: message.to_owned(), ..why.clone() }),
            Some(_) | None => Self::Leave(format!("it keeps running: {message}")),
        }
    }

    /// Reason for which a wanted service can't be started or updated.
    pub(super) fn blocked(&self) -> Option<&Reason> {
        match self {
            Self::Blocked(reason) => Some(reason),
            Self::Preempt { blocked, .. } => Some(blocked),
            Self::Leave(_)
            | Self::Start { .. }
            | Self::Await(_)
            | Self::Wake(_)
            | Self::Recreate { .. }
            | Self::Stop(_)
            | Self::GiveUp(_)
            | Self::Evict(_)
            | Self::Pause(_)
            | Self::Update(_)
            | Self::Roll(_)
            | Self::ScaleUp(_)
            | Self::ScaleDown(_)
            | Self::Unpause(_)
            | Self::Held(_) => None,
        }
    }

    /// Reason for which a service is held.
    pub(super) fn held(&self) -> Option<&Reason> {
        if let Self::Held(reason) | Self::GiveUp(reason) = self { Some(reason) } else { None }
    }

    /// Returns true if the service takes memory again that it gave back.
    pub(super) fn wakes(&self) -> bool {
        matches!(self, Self::Wake(_))
    }

    /// Returns true if copies are replaced one by one.
    pub(super) fn rolls(&self) -> bool {
        matches!(self, Self::Roll(_))
    }

    /// Returns true if the service keeps running, but takes another amount of memory.
    pub(super) fn changes_memory(&self) -> bool {
        self.wakes() || self.rollout().is_some()
    }

    /// Returns true if the service needs memory, ports or dependencies because it starts, wakes or grows.
    pub(super) fn draws(&self) -> bool {
        self.starts() || self.wakes() || self.adds_copies()
    }

    pub(super) fn is_await(&self) -> bool {
        matches!(self, Self::Await(_))
    }

    /// Returns true if the service is started or awaited in this plan.
    pub(super) fn starts(&self) -> bool {
        matches!(self, Self::Start { .. } | Self::Recreate { .. } | Self::Await(_))
    }
}

/// Decision for every service of the manifest, by number.
#[derive(Clone, Debug)]
pub(super) struct Decisions(pub(super) Vec<Decision>);

impl Decisions {
    pub(super) fn any_blocked(&self) -> bool {
        self.0.iter().any(|decision| decision.blocked().is_some())
    }

    /// Services whose decision satisfies `holds`, in ascending order.
    pub(super) fn those(&self, holds: impl Fn(&Decision) -> bool) -> impl DoubleEndedIterator<Item = Number> {
        self.0.iter().enumerate().filter(move |(_, decision)| holds(decision)).map(|(number, _)| number)
    }

    /// Returns the decisions with every change dropped: `--strict` applies all or nothing.
    pub(super) fn without_changes(mut self) -> Self {
        let message = "left as it is: `--strict` is set and a wanted service is blocked";
        for decision in &mut self.0 {
            match decision {
                Decision::Start { .. }
                | Decision::Await(_)
                | Decision::Wake(_)
                | Decision::Recreate { .. }
                | Decision::Evict(_)
                | Decision::Pause(_)
                | Decision::Update(_)
                | Decision::Roll(_)
                | Decision::ScaleUp(_)
                | Decision::ScaleDown(_)
                | Decision::Unpause(_)
                | Decision::Stop(_) => {
                    *decision = Decision::Leave(message.to_owned());
                }
                Decision::Preempt { blocked, .. } => *decision = Decision::Blocked((**blocked).clone()),
                Decision::GiveUp(held) => *decision = Decision::Held(held.clone()),
                Decision::Leave(_) | Decision::Blocked(_) | Decision::Held(_) => {}
            }
        }
        self
    }
}
