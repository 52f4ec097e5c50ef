//! Sentences of refusals: the memory arithmetic of full GPUs and of the host, and the state of a dependency that is not
//! up.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::rc::Rc;

use crate::model::capacity::{GpuCapacity, MemoryHolder};
use crate::model::desired::{Service, VramAmount};
use crate::model::names::{GpuId, ServiceName};
use crate::model::plan::{Reason, ReasonCode};
use crate::model::size::Mebibytes;
use crate::plan::decision::Decision;
use crate::plan::input::PlanInput;
use crate::plan::numbers::Number;
use crate::plan::places::Places;
use crate::plan::reason::reason;

/// Maximum number of full GPUs that are listed; more are counted.
const LISTED_MAX: usize = 4;

/// Arithmetic of every GPU, computed once: many services may be refused for the same reason.
pub(super) struct RefusalArithmetic {
    gpus: BTreeMap<GpuId, GpuCapacity>,
    /// Memory of the host, where it is counted.
    host: Option<GpuCapacity>,
    /// Services on each GPU.
    holders: BTreeMap<GpuId, BTreeSet<ServiceName>>,
    /// Priorities of services that could be preempted.
    priorities: BTreeMap<ServiceName, i64>,
    /// By GPU and by the priority of the refused service.
    lines: RefCell<BTreeMap<(GpuId, i64), Rc<GpuArithmetic>>>,
}

/// Memory that a refused service needs.
pub(super) struct Needed<'a> {
    pub(super) service: &'a Service,
    /// On each GPU.
    pub(super) on_gpu: Mebibytes,
    /// On GPUs with another amount.
    pub(super) by_gpu: BTreeMap<GpuId, Mebibytes>,
    pub(super) on_host: Mebibytes,
}

impl Needed<'_> {
    fn on(&self, gpu: &GpuId) -> Mebibytes {
        self.by_gpu.get(gpu).copied().unwrap_or(self.on_gpu)
    }

    /// `20 000 MiB`, `20 000 MiB on each of 2 GPUs`, `18 000 MiB and 8 000 MiB on 2 GPUs`, `45% of a GPU`.
    fn text(&self, places: Option<&Places>) -> String {
        let count = places.and_then(|places| places.sets.first()).map_or(1, BTreeSet::len);
        match self.service.vram_by_gpu.as_deref() {
            Some([VramAmount::Share(share)]) if count > 1 => format!("{share} of each of {count} GPUs"),
            Some([VramAmount::Share(share)]) => format!("{share} of a GPU"),
            Some(amounts @ [_, _, ..]) => {
                let amounts: Vec<String> = amounts.iter().map(ToString::to_string).collect();
                format!("{} on {count} GPUs", amounts.join(" and "))
            }
            Some(_) | None if count > 1 => format!("{} on each of {count} GPUs", self.on_gpu),
            Some(_) | None => self.on_gpu.to_string(),
        }
    }
}

/// Arithmetic of one GPU, with and without services of lower priority than the refused one.
struct GpuArithmetic {
    called: String,
    all: Sum,
    without: Sum,
}

struct Sum {
    text: String,
    free: i64,
    /// True if the text states the priority of a service.
    ranks: bool,
}

impl RefusalArithmetic {
    pub(super) fn of(
        (gpus, host): (BTreeMap<GpuId, GpuCapacity>, Option<GpuCapacity>),
        priorities: BTreeMap<ServiceName, i64>,
    ) -> Self {
        let names = |gpu: &GpuCapacity| gpu.holders.iter().filter_map(|held| held.service.clone()).collect();
        let holders = gpus.iter().map(|(id, gpu)| (id.clone(), names(gpu))).collect();
        Self { gpus, host, holders, priorities, lines: RefCell::default() }
    }

    /// Sentence for a service that does not fit: the arithmetic of each full GPU, and of the host's memory where it is
    /// too little, at the plan's end. `places` has the allowed GPUs in their order.
    pub(super) fn sentence(&self, needed: &Needed<'_>, priority: i64, places: Option<&Places>) -> String {
        let gpus = places.map_or(&[][..], |places| &places.all);
        let lines: Vec<_> = gpus.iter().filter_map(|id| Some((id, self.line(id, priority, needed.service)?))).collect();
        let (sufficient, full): (Vec<_>, Vec<_>) =
            lines.iter().partition(|(id, line)| line.all.has_capacity(needed.on(id)));
        let host = self.host.as_ref().filter(|_| needed.on_host > Mebibytes::ZERO);
        let host = host.map(|host| self.both(host, priority, Some(&needed.service.name)));
        let host = host.as_ref().filter(|line| !line.all.has_capacity(needed.on_host) || gpus.is_empty());
        let on_host = host.map(|line| line.of(needed.on_host));
        let ranked = |own: &Sum| if own.ranks { format!(" (priority {priority})") } else { String::new() };
        if let Some(sum) = on_host.filter(|_| full.is_empty()) {
            return format!("it needs {} of host memory{}; {}", needed.on_host, ranked(sum), sum.text);
        }
        let listed: Vec<&Sum> = full.iter().take(LISTED_MAX).map(|(id, line)| line.of(needed.on(id))).collect();
        let mut text = format!("it needs {}", needed.text(places));
        // Priorities of others are useful only beside its own.
        if listed.iter().any(|sum| sum.ranks) {
            let _ = write!(text, " (priority {priority})");
        }
        for sum in &listed {
            let _ = write!(text, "; {}", sum.text);
        }
        match full.len() - listed.len() {
            0 => {}
            1 => text.push_str("; and 1 more is as full"),
            more => {
                let _ = write!(text, "; and {more} more are as full");
            }
        }
        let _ = match &sufficient[..] {
            [] => Ok(()),
            [(_, one)] => write!(text, "; {} has enough memory", one.called),
            several => write!(text, "; the other {} have enough memory", several.len()),
        };
        if let Some(sum) = on_host {
            let _ = write!(text, "; it also needs {} of host memory{}; {}", needed.on_host, ranked(sum), sum.text);
        }
        text
    }

    fn line(&self, id: &GpuId, priority: i64, service: &Service) -> Option<Rc<GpuArithmetic>> {
        let gpu = self.gpus.get(id)?;
        // A service that runs there itself is no part of its own refusal.
        if self.holders.get(id).is_some_and(|holders| holders.contains(&service.name)) {
            return Some(Rc::new(self.both(gpu, priority, Some(&service.name))));
        }
        let mut lines = self.lines.borrow_mut();
        let line = lines.entry((id.clone(), priority)).or_insert_with(|| Rc::new(self.both(gpu, priority, None)));
        Some(Rc::clone(line))
    }

    fn both(&self, gpu: &GpuCapacity, priority: i64, except: Option<&ServiceName>) -> GpuArithmetic {
        let mut without = gpu.clone();
        let theirs = |held: &MemoryHolder| self.priorities.get(held.service.as_ref()?);
        without.holders.retain(|held| theirs(held).is_none_or(|other| *other >= priority));
        GpuArithmetic { called: gpu.called.clone(), all: Sum::of(gpu, except), without: Sum::of(&without, except) }
    }
}

impl GpuArithmetic {
    /// Sum to report. Services of lower priority are listed only where the service would fit without them.
    fn of(&self, need: Mebibytes) -> &Sum {
        if self.without.has_capacity(need) { &self.all } else { &self.without }
    }
}

impl Sum {
    fn of(gpu: &GpuCapacity, except: Option<&ServiceName>) -> Self {
        let ranks = |held: &MemoryHolder| held.service.is_some() && held.service.as_ref() != except;
        let ranks = gpu.holders.iter().any(|held| ranks(held) && held.counts > Mebibytes::ZERO);
        Self { text: gpu.arithmetic(except), free: gpu.free(except), ranks }
    }

    fn has_capacity(&self, need: Mebibytes) -> bool {
        u64::try_from(self.free).is_ok_and(|free| free >= need.0)
    }
}

/// Reason for a service whose dependency is not up, and won't be.
pub(super) fn missing_dependency(input: &PlanInput<'_>, dependency: Number, decision: &Decision) -> Reason {
    let name = input.name(dependency);
    let message = format!("it depends on {name}, which {}", why_not_up(decision));
    reason(ReasonCode::Dependency, message, Some(name.to_string()))
}

/// State of a dependency that is not up, as a clause after "which".
fn why_not_up(decision: &Decision) -> String {
    match decision {
        Decision::Blocked(reason) => format!("is blocked: {}", reason.message),
        Decision::Preempt { blocked, .. } => format!("is blocked: {}", blocked.message),
        Decision::Held(reason) | Decision::GiveUp(reason) => format!("is held: {}", reason.message),
        Decision::Stop(reason) => format!("is stopped: {}", reason.message),
        Decision::Evict(reason) => format!("is evicted: {}", reason.message),
        Decision::Pause(reason) => format!("is paused: {}", reason.message),
        Decision::Leave(why) => format!("is not up: {why}"),
        Decision::Start { .. }
        | Decision::Recreate { .. }
        | Decision::Await(_)
        | Decision::Wake(_)
        | Decision::Update(_)
        | Decision::Roll(_)
        | Decision::ScaleUp(_)
        | Decision::ScaleDown(_)
        | Decision::Unpause(_) => "is not up yet".to_owned(),
    }
}
