//! Checks between services: dependency cycles, collisions, and more memory than the GPUs have.

use std::collections::{BTreeMap, BTreeSet};

use crate::manifest::resolve::context::ResolveContext;
use crate::manifest::resolve::graph::{Graph, closure, cycles};
use crate::manifest::resolve::modes::ResolvedMode;
use crate::manifest::resolve::project::ProjectSettings;
use crate::manifest::resolve::resolved::ResolvedService;
use crate::model::desired::{DeclaredGpu, Goal, GpuRef, GpuRequest, Mode, ModeSource, Service, VramAmount};
use crate::model::endpoint::Endpoint;
use crate::model::mode_set::ModeSet;
use crate::model::names::{GoalName, ModeName, ObjectName, ServiceName};
use crate::model::size::Mebibytes;
use crate::syntax::problem::Problem;
use crate::syntax::source::Span;

/// Code of two services that claim one port.
const PORT_TWICE: &str = "lcm::manifest::port_twice";

type ResolvedServices = BTreeMap<ServiceName, ResolvedService>;

pub(super) fn check(
    context: &mut ResolveContext<'_>,
    services: &ResolvedServices,
    modes: &BTreeMap<ModeName, ResolvedMode>,
    goals: &BTreeMap<GoalName, Goal>,
    settings: &ProjectSettings,
) {
    let graph = graph_of(services);
    dependency_cycles(context, services, &graph);
    containers(context, services);
    too_large(context, services, settings);
    // Without modes, all services are wanted together.
    if modes.is_empty() && context.input.names.modes.is_empty() {
        let all = services.keys().map(|name| (name, None)).collect();
        let set = Together { title: "this manifest".to_owned(), place: None, services: all };
        set.check(context, services, settings);
    }
    for (name, resolved) in modes {
        let wanted = wanted_by(&resolved.mode, services, goals, &graph);
        let set = Together { title: format!("the mode `{name}`"), place: Some(resolved.name), services: wanted };
        set.stopped(context, &resolved.mode, &resolved.stop);
        set.check(context, services, settings);
    }
}

/// Modes that are active together, and the reason for it.
pub(super) struct Combination<'a> {
    pub modes: &'a ModeSet,
    /// Place of the key that names them; `None`: the manifest does not.
    pub place: Option<Span>,
    pub source: ModeSource,
}

/// Checks modes that are active together: what one wants, no other may stop, and their services share the machine.
pub(super) fn check_together(
    context: &mut ResolveContext<'_>,
    (services, modes, goals): (&ResolvedServices, &BTreeMap<ModeName, ResolvedMode>, &BTreeMap<GoalName, Goal>),
    settings: &ProjectSettings,
    combination: &Combination<'_>,
) {
    let chosen: Vec<_> = combination.modes.iter().filter_map(|name| modes.get_key_value(name)).collect();
    if chosen.len() < 2 {
        return;
    }
    let graph = graph_of(services);
    let wanted = chosen.iter().map(|(name, resolved)| (*name, wanted_by(&resolved.mode, services, goals, &graph)));
    let wanted: Vec<_> = wanted.collect();
    for (stopping, resolved) in &chosen {
        for (stopped, span) in &resolved.stop {
            let other = wanted.iter().find(|(name, wanted)| name != stopping && wanted.contains_key(stopped));
            if let Some((running, _)) = other {
                contradiction(context, (running, stopping), (stopped, *span), combination);
            }
        }
    }
    // A collision within one mode is reported for that mode.
    if context.problems.iter().any(|problem| problem.code == PORT_TWICE) {
        return;
    }
    let names: Vec<String> = chosen.iter().map(|(name, _)| format!("`{name}`")).collect();
    let services_of_all = wanted.into_iter().flat_map(|(_, wanted)| wanted).collect();
    let title = format!("the combination of modes {}", names.join(", "));
    let set = Together { title, place: combination.place, services: services_of_all };
    set.check(context, services, settings);
}

/// Reports a service that one mode runs and another stops.
fn contradiction(
    context: &mut ResolveContext<'_>,
    (running, stopping): (&ModeName, &ModeName),
    (stopped, span): (&ServiceName, Span),
    combination: &Combination<'_>,
) {
    let message = format!(
        "the modes `{running}` and `{stopping}` can't be active together: `{running}` runs `{stopped}`, and \
         `{stopping}` stops it"
    );
    let clear = match combination.source {
        ModeSource::Override => "; `lcm switch --clear` removes the mode override",
        ModeSource::CommandLine | ModeSource::Manifest => "",
    };
    let problem = Problem::error("lcm::manifest::wanted_and_stopped", message)
        .help(format!("select one of them, or remove `{stopped}` from `stop` of mode `{stopping}`{clear}"));
    let stop = context.place(span);
    context.problems.push(match combination.place {
        Some(place) => problem.at(context.place(place), "these modes").also(stop, "stopped here"),
        None => problem.at(stop, "stopped here"),
    });
}

fn graph_of(services: &ResolvedServices) -> Graph<'_> {
    services.iter().map(|(name, resolved)| (name, resolved.service.depends_on.keys().collect())).collect()
}

/// Returns the services that a mode wants, with all their dependencies, each with the service that needs it.
fn wanted_by<'a>(
    mode: &'a Mode,
    services: &'a ResolvedServices,
    goals: &'a BTreeMap<GoalName, Goal>,
    graph: &Graph<'a>,
) -> BTreeMap<&'a ServiceName, Option<&'a ServiceName>> {
    let by_goals = mode.goals.iter().filter_map(|goal| goals.get(goal));
    let needed = by_goals.flat_map(|goal| {
        let by_phase = services.values().filter(|resolved| !resolved.service.phases.is_disjoint(&goal.phases));
        goal.services.iter().chain(by_phase.map(|resolved| &resolved.service.name))
    });
    closure(mode.services.iter().chain(needed), graph)
}

fn dependency_cycles(context: &mut ResolveContext<'_>, services: &ResolvedServices, graph: &Graph<'_>) {
    for cycle in cycles(graph) {
        let names: Vec<&str> = cycle.iter().chain(cycle.first()).map(|name| name.as_str()).collect();
        let mut problem =
            Problem::error("lcm::manifest::cycle", format!("services depend on each other: {}", names.join(" -> ")));
        for (position, name) in cycle.iter().enumerate() {
            let next = cycle[(position + 1) % cycle.len()];
            let Some(span) = services.get(*name).and_then(|resolved| resolved.depends_on.get(next)) else { continue };
            let place = context.place(*span);
            let label = format!("`{name}` needs `{next}`");
            problem = if position == 0 { problem.at(place, label) } else { problem.also(place, label) };
        }
        context.problems.push(problem.help("a service starts only after all its dependencies"));
    }
}

fn containers(context: &mut ResolveContext<'_>, services: &ResolvedServices) {
    let mut known: BTreeMap<&ObjectName, &ResolvedService> = BTreeMap::new();
    for resolved in services.values() {
        let Some(container) = resolved.service.object() else { continue };
        match known.get(container) {
            Some(first) => {
                let (one, other) = (&first.service.name, &resolved.service.name);
                let problem = Problem::error(
                    "lcm::manifest::container_twice",
                    format!("the services `{one}` and `{other}` use the same container `{container}`"),
                )
                .at(context.place(resolved.object), format!("`{other}` here"))
                .also(context.place(first.object), format!("`{one}` here"))
                .help("each would replace the other's container");
                context.problems.push(problem);
            }
            None => {
                known.insert(container, resolved);
            }
        }
    }
}

/// Reports a service that fits on no declared GPU: such a service can never start.
fn too_large(context: &mut ResolveContext<'_>, services: &ResolvedServices, settings: &ProjectSettings) {
    let devices: Vec<&DeclaredGpu> = settings.devices.iter().map(|(device, _)| device).collect();
    for resolved in services.values() {
        let service = &resolved.service;
        let usable: Vec<&&DeclaredGpu> = match &service.gpu {
            GpuRequest::None => continue,
            GpuRequest::Auto | GpuRequest::Count(_) => devices.iter().collect(),
            // A GPU that is not declared can't be judged.
            GpuRequest::Any(ids) | GpuRequest::All(ids) => {
                let found: Vec<_> = devices.iter().filter(|device| ids.iter().any(|id| is(device, id))).collect();
                if found.len() < ids.len() {
                    continue;
                }
                found
            }
        };
        let headroom = |device: &&&DeclaredGpu| device.capacity - settings.reserve;
        if service.vram_by_gpu.is_some() && !fits(service, &usable, settings.reserve) {
            let message = format!("`{}` needs more memory than the GPUs that it may use have", service.name);
            let help = format!("the declared GPUs are too small, with {} in reserve", settings.reserve);
            context.error_with_help("lcm::manifest::too_large_for_gpu", resolved.vram, (message, "this much"), help);
            continue;
        }
        let largest = match &service.gpu {
            GpuRequest::All(_) => usable.iter().map(headroom).min(),
            GpuRequest::None | GpuRequest::Auto | GpuRequest::Any(_) | GpuRequest::Count(_) => {
                usable.iter().map(headroom).max()
            }
        };
        if let Some(largest) = largest
            && service.vram_by_gpu.is_none()
            && service.vram_total() > largest
        {
            let message = format!("`{}` needs more memory than any GPU that it may use", service.name);
            let help = format!(
                "it needs {}; of the declared GPUs, the largest has {largest} with {} in reserve",
                service.vram_total(),
                settings.reserve
            );
            context.error_with_help("lcm::manifest::too_large_for_gpu", resolved.vram, (message, "this much"), help);
        }
    }
}

/// Returns true if each amount fits on a GPU of its own: in the order of an explicit list, else the largest on the largest.
fn fits(service: &Service, usable: &[&&DeclaredGpu], reserve: Mebibytes) -> bool {
    let amounts = service.vram_by_gpu.as_deref().unwrap_or_default();
    let on = |amount: &VramAmount, device: &DeclaredGpu| amount.on(device.capacity) + reserve <= device.capacity;
    if let [one] = amounts {
        return match &service.gpu {
            GpuRequest::All(_) => usable.iter().all(|device| on(one, device)),
            GpuRequest::None | GpuRequest::Auto | GpuRequest::Any(_) | GpuRequest::Count(_) => {
                usable.is_empty() || usable.iter().any(|device| on(one, device))
            }
        };
    }
    if let GpuRequest::All(ids) = &service.gpu {
        let device = |id: &GpuRef| usable.iter().find(|device| is(device, id));
        return ids.iter().zip(amounts).all(|(id, amount)| device(id).is_none_or(|device| on(amount, device)));
    }
    // Fewer GPUs than amounts are another error, or a refusal of the plan.
    let mut capacities: Vec<Mebibytes> = usable.iter().map(|device| device.capacity).collect();
    capacities.sort_unstable_by(|a, b| b.cmp(a));
    let mut needs: Vec<Mebibytes> = amounts
        .iter()
        .map(|amount| match amount {
            VramAmount::Fixed(amount) => *amount + reserve,
            VramAmount::Share(_) => Mebibytes::ZERO,
        })
        .collect();
    needs.sort_unstable_by(|a, b| b.cmp(a));
    needs.iter().zip(&capacities).all(|(need, capacity)| need <= capacity)
}

fn is(device: &DeclaredGpu, id: &GpuRef) -> bool {
    match id {
        GpuRef::Index(index) => device.index == *index,
        GpuRef::Uuid(uuid) => device.uuid.as_ref() == Some(uuid),
    }
}

/// Services that run at the same time, each with the service that needs it.
struct Together<'a> {
    title: String,
    /// Place of the mode, or of the key that names several.
    place: Option<Span>,
    services: BTreeMap<&'a ServiceName, Option<&'a ServiceName>>,
}

impl Together<'_> {
    fn members<'s>(&self, services: &'s ResolvedServices) -> impl Iterator<Item = &'s ResolvedService> {
        self.services.keys().filter_map(|name| services.get(*name))
    }

    fn check(&self, context: &mut ResolveContext<'_>, services: &ResolvedServices, settings: &ProjectSettings) {
        self.ports(context, services);
        self.memory(context, services, settings);
    }

    fn stopped(&self, context: &mut ResolveContext<'_>, mode: &Mode, stop: &BTreeMap<ServiceName, Span>) {
        for (stopped, span) in stop {
            let Some(needed_by) = self.services.get(stopped) else { continue };
            let why = match needed_by {
                Some(dependent) => format!("`{dependent}` depends on it"),
                None if mode.services.contains(stopped) => "it is in `services`".to_owned(),
                None => "a goal of the mode needs it".to_owned(),
            };
            let message = format!("{} both runs and stops `{stopped}`: {why}", self.title);
            context.error("lcm::manifest::wanted_and_stopped", *span, message, "stopped here");
        }
    }

    fn ports(&self, context: &mut ResolveContext<'_>, services: &ResolvedServices) {
        let mut claimed: BTreeMap<u16, Vec<(&Endpoint, &ResolvedService)>> = BTreeMap::new();
        let mut told: BTreeSet<(&ServiceName, &ServiceName)> = BTreeSet::new();
        for resolved in self.members(services) {
            for (port, span) in &resolved.ports {
                let same_number = claimed.entry(port.port).or_default();
                let Some((claim, first)) = same_number.iter().find(|(other, _)| other.clashes(port)).copied() else {
                    same_number.push((port, resolved));
                    continue;
                };
                let (one, other) = (&first.service.name, &resolved.service.name);
                // A collision of two port ranges is one mistake.
                if !told.insert((one, other)) {
                    continue;
                }
                let message = format!("in {}, `{one}` and `{other}` both claim port {port}", self.title);
                let problem = Problem::error(PORT_TWICE, message)
                    .at(context.place(*span), format!("`{other}` here"))
                    .also(context.place(first.ports[claim]), format!("`{one}` here"));
                context.problems.push(problem);
            }
        }
    }

    /// Reports services that together need more than all GPUs have. Only a warning: preemption may still free memory.
    fn memory(&self, context: &mut ResolveContext<'_>, services: &ResolvedServices, settings: &ProjectSettings) {
        if settings.devices.is_empty() {
            return;
        }
        let headroom: Mebibytes = settings.devices.iter().map(|(device, _)| device.capacity - settings.reserve).sum();
        // A job gives its memory back, so it is not counted beside the services that stay.
        let stays = |resolved: &&ResolvedService| resolved.service.job.is_none();
        let needed: Mebibytes = self.members(services).filter(stays).map(|resolved| total(&resolved.service)).sum();
        if needed > headroom {
            let message = format!("{} needs {needed} of GPU memory; the declared GPUs have {headroom}", self.title);
            let problem = Problem::warning("lcm::manifest::mode_too_large", message)
                .help("the services with the lowest `priority` will be blocked");
            let problem = match self.place {
                Some(span) => problem.at(context.place(span), "in this mode"),
                None => problem,
            };
            context.problems.push(problem);
        }
    }
}

/// Returns the GPU memory of a service on all the GPUs that it uses, in MiB.
fn total(service: &Service) -> Mebibytes {
    // A share is no amount before the GPU is known.
    if let Some(amounts @ [_, _, ..]) = service.vram_by_gpu.as_deref() {
        return amounts.iter().map(|amount| amount.on(Mebibytes::ZERO)).sum();
    }
    let gpus = match &service.gpu {
        GpuRequest::None => 0,
        GpuRequest::Auto | GpuRequest::Any(_) => 1,
        GpuRequest::All(ids) => ids.len() as u64,
        GpuRequest::Count(count) => u64::from(*count),
    };
    Mebibytes(service.vram_total().0.saturating_mul(gpus))
}
