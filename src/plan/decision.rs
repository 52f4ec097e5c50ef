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
    /// Nothing is done; the sentence says why.
    Leave(String),
    Start {
        reason: Reason,
        gpus: BTreeSet<GpuId>,
    },
    /// It is starting already, and only waited for.
    Await(Reason),
    /// It runs, and others have taken GPU memory that it gave back: it gets that again.
    Wake(Reason),
    /// Stopped, then started again.
    Recreate {
        reason: Reason,
        gpus: BTreeSet<GpuId>,
    },
    Stop(Reason),
    /// Wanted, but its budget is spent: what runs of it, badly, makes room, and then it is held.
    GiveUp(Reason),
    /// Not wanted: it may go on running, and gives its GPU memory back.
    Evict(Reason),
    /// An operator wants it paused, and it is not yet.
    Pause(Reason),
    /// Wanted, and its settings are changed while it runs.
    Update(Reason),
    /// Wanted, and its copies are replaced one by one.
    Roll(Reason),
    /// Wanted, and gets more copies.
    ScaleUp(Reason),
    /// Wanted, and has more copies than it needs.
    ScaleDown(Reason),
    /// Wanted, and paused though no operator holds it: it goes on.
    Unpause(Reason),
    /// Wanted, but stopped for the sake of something that matters more, and without room elsewhere.
    Preempt {
        reason: Reason,
        blocked: Box<Reason>,
    },
    /// Wanted, but can't be brought up; what runs of it is left.
    Blocked(Reason),
    Held(Reason),
}

impl Decision {
    /// Service is stopped in this plan; it may be started again.
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

    /// Others may depend on the service once this is done.
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
            Self::Leave(_) => seen.state.is_operational(),
            Self::Blocked(_) => seen.is_known && seen.state.is_operational(),
            Self::Stop(_) | Self::GiveUp(_) | Self::Preempt { .. } | Self::Pause(_) | Self::Held(_) => false,
        }
    }

    /// Reason of an eviction.
    pub(super) fn evicted(&self) -> Option<&Reason> {
        if let Self::Evict(reason) = self { Some(reason) } else { None }
    }

    /// Action and reason where it is changed as it runs, and nothing waits for that.
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

    /// Copies come while it runs on, and memory with them.
    pub(super) fn adds_copies(&self) -> bool {
        matches!(self, Self::Roll(_) | Self::ScaleUp(_))
    }

    /// Reason of a pause.
    pub(super) fn paused(&self) -> Option<&Reason> {
        if let Self::Pause(reason) = self { Some(reason) } else { None }
    }

    /// The service with which it is recreated, and without which it is not.
    pub(super) fn along(&self) -> Option<&str> {
        let Self::Recreate { reason, .. } = self else { return None };
        reason.by.as_deref().filter(|_| reason.code == ReasonCode::Dependency)
    }

    /// Decision instead of a recreation along with another service: the service is left, or waited for if it is starting.
    pub(super) fn runs_on(&self, state: State, message: &str) -> Self {
        match self.stopped() {
            Some(why) if state == State::Starting => Self::Await(Reason { message: message.to_owned(), ..why.clone() }),
            Some(_) | None => Self::Leave(format!("it runs on: {message}")),
        }
    }

    /// Reason for which a wanted service can't be brought up.
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

    /// Reason for which a service is kept from running.
    pub(super) fn held(&self) -> Option<&Reason> {
        if let Self::Held(reason) | Self::GiveUp(reason) = self { Some(reason) } else { None }
    }

    /// Service takes memory again that it gave back.
    pub(super) fn wakes(&self) -> bool {
        matches!(self, Self::Wake(_))
    }

    /// Copies are replaced one by one.
    pub(super) fn rolls(&self) -> bool {
        matches!(self, Self::Roll(_))
    }

    /// Service runs on, and takes another amount of memory.
    pub(super) fn changes_memory(&self) -> bool {
        self.wakes() || self.rollout().is_some()
    }

    /// Service draws on memory, ports or dependencies as it comes up, wakes or grows.
    pub(super) fn draws(&self) -> bool {
        self.starts() || self.wakes() || self.adds_copies()
    }

    pub(super) fn is_await(&self) -> bool {
        matches!(self, Self::Await(_))
    }

    /// Service is brought up, or waited for, in this plan.
    pub(super) fn starts(&self) -> bool {
        matches!(self, Self::Start { .. } | Self::Recreate { .. } | Self::Await(_))
    }
}

/// The decision for every service of the manifest, by number.
#[derive(Clone, Debug)]
pub(super) struct Decisions(pub(super) Vec<Decision>);

impl Decisions {
    pub(super) fn any_blocked(&self) -> bool {
        self.0.iter().any(|decision| decision.blocked().is_some())
    }

    /// Services whose decision satisfies `holds`; the least number first.
    pub(super) fn those(&self, holds: impl Fn(&Decision) -> bool) -> impl DoubleEndedIterator<Item = Number> {
        self.0.iter().enumerate().filter(move |(_, decision)| holds(decision)).map(|(number, _)| number)
    }

    /// `--strict`: all or nothing.
    pub(super) fn without_changes(mut self) -> Self {
        let message = "left as it is: --strict, and something wanted is blocked";
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
