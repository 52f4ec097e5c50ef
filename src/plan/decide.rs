//! The planner's own words: what it looks at, and what it decides for each service.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::desired::{Desired, OrphanPolicy, Service};
use crate::model::lifecycle::State;
use crate::model::names::{GpuId, ServiceName};
use crate::model::observed::{Observed, ObservedService, Orphan};
use crate::model::plan::{Purpose, Reason, ReasonCode, Request};
use crate::model::size::Mebibytes;
use crate::plan::want::{Want, Wants};

/// All that the planner may look at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scene<'a> {
    pub(super) desired: &'a Desired,
    pub(super) observed: &'a Observed,
    pub(super) request: &'a Request,
    pub(super) wants: &'a Wants,
}

impl<'a> Scene<'a> {
    pub(super) fn service(&self, name: &ServiceName) -> &'a Service {
        &self.desired.services[name]
    }

    pub(super) fn seen(&self, name: &ServiceName) -> &'a ObservedService {
        &self.observed.services[name]
    }

    pub(super) fn priority(&self, name: &ServiceName) -> i64 {
        self.wants.priority(name)
    }

    /// GPU memory that it takes on `gpu` while it runs; what may go on running and is evicted, no more than that.
    pub(super) fn held_on(&self, name: &ServiceName, gpu: &GpuId) -> Mebibytes {
        let (service, seen) = (self.service(name), self.seen(name));
        match &service.evict {
            Some(evict) if seen.holds_room && self.wants.of[name] == Want::Kept && seen.is_evicted(service) => {
                if seen.gpus.contains(gpu) { evict.resident } else { Mebibytes::ZERO }
            }
            Some(_) | None => seen.held(service, gpu),
        }
    }

    /// The most that it takes on any of its GPUs.
    pub(super) fn held(&self, name: &ServiceName) -> Mebibytes {
        let gpus = self.seen(name).gpus.iter();
        gpus.map(|gpu| self.held_on(name, gpu)).max().unwrap_or_default()
    }

    /// Whether others may depend on it once this is done.
    pub(super) fn stands(&self, name: &ServiceName, decision: &Decision) -> bool {
        let seen = self.seen(name);
        match decision {
            Decision::Await(_) | Decision::Start { .. } | Decision::Recreate { .. } | Decision::Evict(_) => true,
            Decision::Leave(_) => seen.state.is_operational(),
            Decision::Blocked(_) => seen.unknown.is_none() && seen.state.is_operational(),
            Decision::Stop(_) | Decision::Preempt { .. } | Decision::Held(_) => false,
        }
    }

    /// Whether an orphan goes in this run.
    pub(super) fn stops_orphan(&self, orphan: &Orphan) -> bool {
        let asked =
            self.request.purpose == Purpose::Down || self.request.prune || self.desired.orphans == OrphanPolicy::Stop;
        asked && !self.request.prevented.contains_key(&orphan.service)
    }

    /// Services that depend on this one directly, by name.
    pub(super) fn dependents(&self, name: &ServiceName) -> impl Iterator<Item = &'a Service> {
        let dependents = self.wants.dependents.get(name).map_or(&[][..], Vec::as_slice);
        dependents.iter().map(|dependent| &self.desired.services[dependent])
    }
}

/// What becomes of one service.
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
    /// Stopped, then started again.
    Recreate {
        reason: Reason,
        gpus: BTreeSet<GpuId>,
    },
    Stop(Reason),
    /// Not wanted: it may go on running, and gives its GPU memory back.
    Evict(Reason),
    /// Wanted, but stopped for the sake of something that matters more, and without room elsewhere.
    Preempt {
        reason: Reason,
        blocked: Reason,
    },
    /// Wanted, but can't be; whatever runs of it is left.
    Blocked(Reason),
    Held(Reason),
}

impl Decision {
    /// It is stopped in this plan, whatever comes after.
    pub(super) fn stops(&self) -> bool {
        self.stopped().is_some()
    }

    /// Why it is stopped.
    pub(super) fn stopped(&self) -> Option<&Reason> {
        match self {
            Self::Recreate { reason, .. } | Self::Stop(reason) | Self::Preempt { reason, .. } => Some(reason),
            Self::Leave(_)
            | Self::Start { .. }
            | Self::Await(_)
            | Self::Evict(_)
            | Self::Blocked(_)
            | Self::Held(_) => None,
        }
    }

    /// Why it is evicted.
    pub(super) fn evicted(&self) -> Option<&Reason> {
        if let Self::Evict(reason) = self { Some(reason) } else { None }
    }

    /// The service with which it is recreated, and without which it is not.
    pub(super) fn along(&self) -> Option<&str> {
        let Self::Recreate { reason, .. } = self else { return None };
        reason.by.as_deref().filter(|_| reason.code == ReasonCode::Dependency)
    }

    /// What would have been recreated along with another, and is not: it is left, or waited for if it is starting.
    pub(super) fn runs_on(&self, state: State, message: &str) -> Self {
        match self.stopped() {
            Some(why) if state == State::Starting => Self::Await(Reason { message: message.to_owned(), ..why.clone() }),
            Some(_) | None => Self::Leave(format!("it runs on: {message}")),
        }
    }

    /// Why nothing is done to it, though nothing is wrong.
    pub(super) fn left(&self) -> Option<&str> {
        if let Self::Leave(message) = self { Some(message) } else { None }
    }

    /// Why it can't be, though it is wanted.
    pub(super) fn blocked(&self) -> Option<&Reason> {
        if let Self::Blocked(reason) | Self::Preempt { blocked: reason, .. } = self { Some(reason) } else { None }
    }

    pub(super) fn held(&self) -> Option<&Reason> {
        if let Self::Held(reason) = self { Some(reason) } else { None }
    }

    pub(super) fn is_await(&self) -> bool {
        matches!(self, Self::Await(_))
    }

    /// It is brought up, or waited for, in this plan.
    pub(super) fn starts(&self) -> bool {
        matches!(self, Self::Start { .. } | Self::Recreate { .. } | Self::Await(_))
    }
}

/// The decision for every service of the manifest.
#[derive(Clone, Debug)]
pub(super) struct Decisions(pub(super) BTreeMap<ServiceName, Decision>);

impl Decisions {
    pub(super) fn any_blocked(&self) -> bool {
        self.0.values().any(|decision| decision.blocked().is_some())
    }

    /// `--strict`: all or nothing.
    pub(super) fn without_changes(mut self) -> Self {
        let message = "left as it is: --strict, and something wanted is blocked";
        for decision in self.0.values_mut() {
            match decision {
                Decision::Start { .. }
                | Decision::Await(_)
                | Decision::Recreate { .. }
                | Decision::Evict(_)
                | Decision::Stop(_) => {
                    *decision = Decision::Leave(message.to_owned());
                }
                Decision::Preempt { blocked, .. } => *decision = Decision::Blocked(blocked.clone()),
                Decision::Leave(_) | Decision::Blocked(_) | Decision::Held(_) => {}
            }
        }
        self
    }
}
