//! Ledger of one run: everything done so far that a later step or round of the same run depends on.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

use super::clock::millis;
use super::commitment::Commitment;
use super::context::Failure;
use super::reservation::StartReservation;
use crate::model::endpoint::Endpoint;
use crate::model::event::{Stage, StageTime};
use crate::model::facts::Attempts;
use crate::model::holds::HoldRecord;
use crate::model::instance::Instance;
use crate::model::lifecycle::State;
use crate::model::names::{ServiceName, StepId};
use crate::model::plan::{Reason, Step};
use crate::model::size::Mebibytes;

#[derive(Debug, Default)]
pub(in crate::apply) struct RunLedger {
    pub(in crate::apply) changed: bool,
    pub(in crate::apply) done: u32,
    pub(in crate::apply) failures: Vec<Failure>,
    /// Steps that are not tried a second time in one run.
    pub(in crate::apply) failed: BTreeSet<StepId>,
    /// Steps that were not begun, and not done in a later round.
    pub(in crate::apply) skipped: BTreeSet<StepId>,
    pub(in crate::apply) prevented: BTreeMap<ServiceName, Reason>,
    /// Evictions that gave back too little, and their services: these may still be stopped.
    pub(in crate::apply) not_evicted: BTreeMap<StepId, ServiceName>,
    /// Services whose settings could not be changed in place: they are recreated.
    pub(in crate::apply) not_updated: BTreeSet<ServiceName>,
    /// True if the GPUs of a stop could not be read after several attempts.
    pub(in crate::apply) gpus_unreadable: bool,
    pub(in crate::apply) prepared: BTreeSet<ServiceName>,
    pub(in crate::apply) under_way: BTreeSet<StepId>,
    /// Time at which each step under way entered each of its stages.
    stages: BTreeMap<StepId, Vec<(Stage, Instant)>>,
    /// Starts of the present round that have returned, healthy or not.
    pub(in crate::apply) launched: BTreeSet<StepId>,
    /// Services that a start of this run has made healthy.
    pub(in crate::apply) came_up: BTreeSet<ServiceName>,
    pub(in crate::apply) started: Vec<Moved>,
    pub(in crate::apply) stopped: Vec<Moved>,
    /// Services whose copies this run scaled or updated.
    pub(in crate::apply) rolled_out: Vec<Moved>,
    pub(in crate::apply) freed_ports: BTreeSet<Endpoint>,
    /// GPU memory that starts of this run were admitted with, until their services are stopped again.
    pub(in crate::apply) reservations: BTreeMap<ServiceName, StartReservation>,
    /// Largest measured memory of each service on one GPU.
    pub(in crate::apply) heaviest: BTreeMap<ServiceName, Mebibytes>,
    /// Services that this run has counted an attempt of.
    pub(in crate::apply) attempted: BTreeSet<ServiceName>,
    /// All attempts on record; `None`: not read yet.
    pub(in crate::apply) attempts: Option<BTreeMap<ServiceName, Attempts>>,
    /// Last state that this run brought each service to.
    pub(in crate::apply) states: BTreeMap<ServiceName, State>,
    /// Services that a plan of this run stops and starts again.
    pub(in crate::apply) restarting: BTreeSet<ServiceName>,
    /// Operator holds, as last read.
    pub(in crate::apply) holds: BTreeMap<ServiceName, HoldRecord>,
    /// Recorded calls of steps under way.
    pub(in crate::apply) committed: BTreeMap<StepId, Vec<Commitment>>,
    /// Pending calls of earlier runs that this run has made or dropped.
    pub(in crate::apply) settled: BTreeSet<u64>,
    /// Number of pending calls of earlier runs that were made.
    pub(in crate::apply) made: u32,
}

/// A service that this run started or stopped, as a rollback needs it.
#[derive(Clone, Debug)]
pub(in crate::apply) struct Moved {
    pub(in crate::apply) step: Step,
    pub(in crate::apply) instance: Option<Instance>,
}

impl RunLedger {
    /// Begins to time the stages of a step.
    pub(super) fn time_stages(&mut self, step: &StepId) {
        self.stages.insert(step.clone(), Vec::new());
    }

    /// Notes that a step whose stages are timed has entered this one.
    pub(super) fn enter_stage(&mut self, step: &StepId, stage: Stage) {
        if let Some(stages) = self.stages.get_mut(step)
            && stages.last().is_none_or(|(last, _)| *last != stage)
        {
            stages.push((stage, Instant::now()));
        }
    }

    /// Returns the time that the step spent in each stage, the last one until now; empty where it never began.
    pub(super) fn take_stage_times(&mut self, step: &StepId) -> Vec<StageTime> {
        let entered = self.stages.remove(step).unwrap_or_default();
        let left = entered.iter().skip(1).map(|(_, at)| *at).chain([Instant::now()]);
        let times = entered.iter().zip(left);
        times.map(|((stage, at), left)| StageTime { stage: *stage, took_ms: millis(left - *at) }).collect()
    }
}
