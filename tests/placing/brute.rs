//! Rules of placement in their plainest form, and the best of all assignments by enumeration.
//!
//! Independent of the planner's search: a rule that is wrong here is wrong in the design.

use crate::case::{Case, Service, holds, members};
use crate::draft::{Found, PRIORITY_MAX};

/// Fate of one service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Kept, and off: nothing is done.
    Off,
    /// Suspended: keeps its memory, and is resumed where it is wanted.
    Fixed,
    /// Was off, and is started on these GPUs.
    In(u8),
    /// Keeps running as it is.
    Stay,
    /// Matches the manifest, and is restarted on these GPUs: other ones, or its own after a dependency.
    Move(u8),
    /// Has drifted, and is recreated on these GPUs.
    Again(u8),
    /// Has drifted, is blocked, and keeps running as it is.
    AsIs,
    /// Wanted and left out, or kept and stopped.
    Out,
}

impl Fate {
    /// GPUs on which the service is started.
    pub(crate) fn comes(self) -> Option<u8> {
        match self {
            Self::In(set) | Self::Move(set) | Self::Again(set) => Some(set),
            Self::Off | Self::Fixed | Self::Stay | Self::AsIs | Self::Out => None,
        }
    }

    fn runs_on(self) -> bool {
        matches!(self, Self::Stay | Self::AsIs | Self::Fixed)
    }

    fn is_up(self) -> bool {
        matches!(self, Self::Stay | Self::AsIs) || self.comes().is_some()
    }
}

/// Number of priorities that a draft can have.
const RANKS: usize = 4;

/// Cost of an assignment: less is better, compared from the first field to the last, from the highest priority down.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cost {
    left_out: [u32; RANKS],
    kept_stopped: [u32; RANKS],
    stopped: u32,
    moved: u32,
    freed_beyond_need: i64,
}

/// All possible fates of a service.
pub(crate) fn options(service: &Service) -> Vec<Fate> {
    let all = |fate: fn(u8) -> Fate| service.sets.iter().copied().map(fate);
    match (service.found, service.wanted) {
        (Found::Off, true) => all(Fate::In).chain([Fate::Out]).collect(),
        (Found::Off, false) => vec![Fate::Off],
        (Found::Running, true) => all(Fate::Move).chain([Fate::Stay, Fate::Out]).collect(),
        (Found::Drifted, true) => all(Fate::Again).chain([Fate::AsIs, Fate::Out]).collect(),
        (Found::Running | Found::Drifted, false) => vec![Fate::Stay, Fate::Out],
        (Found::Suspended, _) => vec![Fate::Fixed],
    }
}

/// Returns the first assignment of the least cost, with its cost.
pub(crate) fn best(case: &Case) -> (Vec<Fate>, Cost) {
    let options: Vec<Vec<Fate>> = case.services.iter().map(options).collect();
    let mut choice = vec![0; options.len()];
    let mut best: Option<(Vec<Fate>, Cost)> = None;
    loop {
        let fates: Vec<Fate> = choice.iter().zip(&options).map(|(at, options)| options[*at]).collect();
        let cost = cost(case, &fates);
        if best.as_ref().is_none_or(|(_, least)| cost < *least) && judge(case, &fates).is_ok() {
            best = Some((fates, cost));
        }
        // The next combination, in counting order.
        let Some(next) = (0..choice.len()).find(|at| choice[*at] + 1 < options[*at].len()) else { break };
        choice[next] += 1;
        choice[..next].fill(0);
    }
    best.expect("to leave all as it is and start nothing is always possible")
}

pub(crate) fn cost(case: &Case, fates: &[Fate]) -> Cost {
    let mut cost = Cost::default();
    for (service, fate) in case.services.iter().zip(fates) {
        let rank = usize::try_from(PRIORITY_MAX - service.priority).expect("no priority is higher");
        match fate {
            Fate::Out | Fate::AsIs if service.wanted => cost.left_out[rank] += 1,
            Fate::Out => cost.kept_stopped[rank] += 1,
            Fate::Off | Fate::Fixed | Fate::In(_) | Fate::Stay | Fate::Move(_) | Fate::Again(_) | Fate::AsIs => {}
        }
        cost.stopped += u32::from(service.runs() && *fate == Fate::Out);
        cost.moved += u32::from(match fate {
            Fate::Move(_) => true,
            Fate::Again(set) => *set != service.seat,
            Fate::Off | Fate::Fixed | Fate::In(_) | Fate::Stay | Fate::AsIs | Fate::Out => false,
        });
    }
    cost.freed_beyond_need = (0..case.gpus.len()).map(|gpu| freed(case, fates, gpu).min(left(case, fates, gpu))).sum();
    cost
}

fn freed(case: &Case, fates: &[Fate], gpu: usize) -> i64 {
    let leaves = |service: &Service, fate: &Fate| match fate {
        Fate::Out | Fate::Move(_) => true,
        Fate::Again(set) => *set != service.seat,
        Fate::Off | Fate::Fixed | Fate::In(_) | Fate::Stay | Fate::AsIs => false,
    };
    let all =
        case.services.iter().zip(fates).filter(|(service, fate)| holds(service.seat, gpu) && leaves(service, fate));
    all.map(|(service, _)| service.held[gpu]).sum()
}

fn left(case: &Case, fates: &[Fate], gpu: usize) -> i64 {
    (case.gpus[gpu].usable - staying(case, fates, gpu) - coming(case, fates, gpu, |_| true)).max(0)
}

/// MiB of the services that keep running on a GPU.
fn staying(case: &Case, fates: &[Fate], gpu: usize) -> i64 {
    let all = case.services.iter().zip(fates).filter(|(service, fate)| holds(service.seat, gpu) && fate.runs_on());
    all.map(|(service, _)| service.held[gpu]).sum()
}

/// MiB of the services that are started on a GPU, of those for which `counts` returns true.
fn coming(case: &Case, fates: &[Fate], gpu: usize, counts: impl Fn(usize) -> bool) -> i64 {
    let comes = |index: usize| fates[index].comes().is_some_and(|set| holds(set, gpu));
    let all = (0..fates.len()).filter(|index| counts(*index) && comes(*index));
    let takes = |index: usize| Some(case.takes(&case.services[index], fates[index].comes()?, gpu));
    all.filter_map(takes).sum()
}

/// Checks an assignment against the rules; `Err` names the first violation.
pub(crate) fn judge(case: &Case, fates: &[Fate]) -> Result<(), String> {
    let judge = Judge { case, fates };
    (0..case.gpus.len()).try_for_each(|gpu| judge.capacity(gpu))?;
    (0..fates.len()).try_for_each(|index| {
        judge.port(index)?;
        judge.dependencies(index)?;
        judge.dependents(index)?;
        judge.justified(index)
    })
}

struct Judge<'a> {
    case: &'a Case,
    fates: &'a [Fate],
}

impl Judge<'_> {
    /// Returns true if the service ran, and is stopped or restarted.
    fn is_displaced(&self, index: usize) -> bool {
        self.case.services[index].runs() && matches!(self.fates[index], Fate::Out | Fate::Move(_))
    }

    /// A GPU on which a service starts ends with no more than its usable memory.
    fn capacity(&self, gpu: usize) -> Result<(), String> {
        if !self.fates.iter().any(|fate| fate.comes().is_some_and(|set| holds(set, gpu))) {
            return Ok(());
        }
        let (usable, stays) = (self.case.gpus[gpu].usable, staying(self.case, self.fates, gpu));
        let comes = coming(self.case, self.fates, gpu, |_| true);
        if stays + comes <= usable {
            Ok(())
        } else {
            Err(format!("GPU {gpu}: {stays} stay and {comes} come, of {usable}"))
        }
    }

    /// A started service finds its port free.
    fn port(&self, index: usize) -> Result<(), String> {
        let Some(port) = self.case.services[index].port.filter(|_| self.fates[index].comes().is_some()) else {
            return Ok(());
        };
        let runs = |fate: Fate| fate.is_up() || fate == Fate::Fixed;
        let uses = |other: usize| runs(self.fates[other]) && self.case.services[other].port == Some(port);
        let other = (0..self.fates.len()).find(|other| *other != index && uses(*other));
        none(other, |other| format!("s{index}: its port {port} is s{other}'s"))
    }

    /// A started service finds its dependencies up.
    fn dependencies(&self, index: usize) -> Result<(), String> {
        if self.fates[index].comes().is_none() {
            return Ok(());
        }
        // A paused and wanted dependency is resumed first.
        let goes_on = |need: usize| self.fates[need] == Fate::Fixed && self.case.services[need].wanted;
        let down = members(self.case.services[index].needs).find(|need| !self.fates[*need].is_up() && !goes_on(*need));
        none(down, |need| format!("s{index}: s{need}, which it depends on, is not up"))
    }

    /// Running dependents of a displaced service are displaced too.
    fn dependents(&self, index: usize) -> Result<(), String> {
        if !self.is_displaced(index) {
            return Ok(());
        }
        let depends = |other: usize| holds(self.case.services[other].needs, index);
        let left = (0..self.fates.len()).find(|other| depends(*other) && self.fates[*other].runs_on());
        none(left, |other| format!("s{index}: s{other}, which depends on it, is not displaced too"))
    }

    /// No service is displaced without a reason.
    fn justified(&self, index: usize) -> Result<(), String> {
        if !self.is_displaced(index) {
            return Ok(());
        }
        // With `--repack` a service may be moved for one of equal priority; it is stopped only for a higher one, also
        // where it is displaced with a moved dependency.
        let floor = self.case.services[index].priority;
        let floor = if self.case.repack && matches!(self.fates[index], Fate::Move(_)) { floor } else { floor + 1 };
        if self.gives_way(index, floor) { Ok(()) } else { Err(format!("s{index}: displaced without a reason")) }
    }

    /// Returns true if a service of at least this priority needs its memory or port, or those of a dependency.
    fn gives_way(&self, index: usize, floor: i64) -> bool {
        let service = &self.case.services[index];
        let by_dependency = members(service.needs).any(|need| self.is_displaced(need) && self.gives_way(need, floor));
        let for_memory = members(service.seat).any(|gpu| self.has_to_leave(index, gpu, floor));
        let wins_port = |other: usize| {
            let winner = &self.case.services[other];
            self.fates[other].comes().is_some() && winner.priority > service.priority && winner.port == service.port
        };
        let for_port = service.port.is_some() && (0..self.fates.len()).any(wins_port);
        by_dependency || for_memory || for_port
    }

    /// Returns true if services of at least this priority start on this GPU, and do not fit beside it.
    fn has_to_leave(&self, index: usize, gpu: usize, floor: i64) -> bool {
        let service = &self.case.services[index];
        let wins = |other: usize| other != index && self.case.services[other].priority >= floor;
        let comes = coming(self.case, self.fates, gpu, wins);
        service.held[gpu] > 0
            && comes > 0
            && staying(self.case, self.fates, gpu) + comes + service.held[gpu] > self.case.gpus[gpu].usable
    }
}

/// Returns an error if there is a violation. The sentence is made only then, since most assignments fail.
fn none(found: Option<usize>, sentence: impl FnOnce(usize) -> String) -> Result<(), String> {
    found.map_or(Ok(()), |index| Err(sentence(index)))
}
