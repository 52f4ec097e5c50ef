//! Steps of a plan under construction. A plan may have thousands, and each start looks up others: a step is identified
//! by its position, and its id is copied only into the needs of steps that wait for it. Decides nothing.

use std::collections::BTreeMap;

use smol_str::format_smolstr;

use crate::model::holds::{Hold, way};
use crate::model::lifecycle::{Action, State, route};
use crate::model::names::{GpuId, ServiceName, StepId};
use crate::model::plan::{Expect, Reason, ReasonCode, Step};
use crate::model::size::Mebibytes;
use crate::plan::input::PlanInput;
use crate::plan::numbers::{Number, Numbers};

/// Position of a step in its plan.
pub(super) type Position = usize;

#[derive(Debug)]
pub(super) struct Steps<'a> {
    numbers: &'a Numbers<'a>,
    all: Vec<Step>,
    /// By service.
    own: Vec<ServiceSteps>,
    /// By name: an orphan may carry the name of a service, and several orphans one name.
    orphans_stops: BTreeMap<ServiceName, Vec<Position>>,
}

/// Positions of the steps of one service.
#[derive(Clone, Copy, Debug, Default)]
struct ServiceSteps {
    stop: Option<Position>,
    remove: Option<Position>,
    start: Option<Position>,
    unpause: Option<Position>,
}

impl<'a> Steps<'a> {
    pub(super) fn none(numbers: &'a Numbers<'a>) -> Self {
        let own = vec![ServiceSteps::default(); numbers.all().len()];
        Self { numbers, all: Vec::new(), own, orphans_stops: BTreeMap::new() }
    }

    /// Appends a step of a service, and returns its position.
    pub(super) fn push(&mut self, number: Number, step: Step) -> Position {
        let (position, own) = (Some(self.all.len()), &mut self.own[number]);
        match step.action {
            Action::Stop => own.stop = position,
            Action::Remove => own.remove = position,
            Action::Start => own.start = position,
            Action::Unpause => own.unpause = position,
            Action::Evict | Action::Pause | Action::Update | Action::Scale | Action::Wake => {}
        }
        self.all.push(step);
        self.all.len() - 1
    }

    pub(super) fn push_orphans(&mut self, step: Step) {
        if step.action == Action::Stop {
            self.orphans_stops.entry(step.service.clone()).or_default().push(self.all.len());
        }
        self.all.push(step);
    }

    pub(super) fn stop(&self, number: Number) -> Option<Position> {
        self.own[number].stop
    }

    pub(super) fn removal(&self, number: Number) -> Option<Position> {
        self.own[number].remove
    }

    /// Step after which dependents may count on the service.
    pub(super) fn start(&self, number: Number) -> Option<Position> {
        self.own[number].start.or(self.own[number].unpause)
    }

    pub(super) fn at(&self, position: Position) -> &Step {
        &self.all[position]
    }

    /// Stops of the service and of all orphans of this name.
    pub(super) fn stops_of(&self, name: &ServiceName) -> impl Iterator<Item = Position> {
        let own = self.numbers.find(name).and_then(|number| self.stop(number));
        own.into_iter().chain(self.orphans_stops.get(name).into_iter().flatten().copied())
    }

    /// Services that are stopped, or whose name an orphan has that is stopped.
    pub(super) fn stopped(&self) -> impl Iterator<Item = Number> {
        let own = self.numbers.all().filter(|number| self.stop(*number).is_some());
        let namesakes = self.orphans_stops.keys().filter_map(|name| self.numbers.find(name));
        own.chain(namesakes.filter(|number| self.stop(*number).is_none()))
    }

    /// Returns the ids of these steps, each once, in plan order.
    pub(super) fn ids(&self, mut positions: Vec<Position>) -> Vec<StepId> {
        positions.sort_unstable();
        positions.dedup();
        positions.into_iter().map(|position| self.all[position].id.clone()).collect()
    }

    /// Number of steps so far, which is the position of the next one.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Step> {
        self.all.iter()
    }

    pub(super) fn into_all(self) -> Vec<Step> {
        self.all
    }
}

/// Returns the id of a step, such as `start:comfyui`; a step of an orphan with a service's name has another id.
pub(super) fn id(action: Action, service: &ServiceName) -> StepId {
    StepId::new(format_smolstr!("{action}:{service}"))
}

/// Route of a stop. A stop that an operator requested with `terminate` ends in another state.
pub(super) fn stop_route(why: ReasonCode, from: State) -> Option<&'static [State]> {
    if why == ReasonCode::Terminated { way(Hold::Terminate, from) } else { route(Action::Stop, from) }
}

/// Returns a step on a service in its current state, without needs and memory.
pub(super) fn plain(input: &PlanInput<'_>, number: Number, action: Action, reason: &Reason) -> Step {
    let (name, seen) = (input.name(number), input.seen(number));
    Step {
        id: id(action, name),
        service: name.clone(),
        action,
        route: input.way(number, action, seen.state).unwrap_or_default(),
        needs: Vec::new(),
        gpus: Vec::new(),
        vram_mib: Mebibytes::ZERO,
        uneven_mib: BTreeMap::new(),
        ram_mib: Mebibytes::ZERO,
        copies: None,
        job: None,
        reason: reason.clone(),
        expect: Expect { instance: seen.instance.clone(), state: seen.state },
        spec: None,
        diff: None,
        estimate_ms: None,
    }
}

/// Returns the largest amount, and the GPUs with another amount.
pub(super) fn split(gpus: &[GpuId], amount: impl Fn(&GpuId) -> Mebibytes) -> (Mebibytes, BTreeMap<GpuId, Mebibytes>) {
    let amounts: Vec<(&GpuId, Mebibytes)> = gpus.iter().map(|gpu| (gpu, amount(gpu))).collect();
    let most = amounts.iter().map(|(_, amount)| *amount).max().unwrap_or_default();
    let uneven = amounts.into_iter().filter(|(_, amount)| *amount != most);
    (most, uneven.map(|(gpu, amount)| (gpu.clone(), amount)).collect())
}
