//! One service, complete: its runtime, its needs, its dependencies, and the ports that it claims.

use std::collections::BTreeMap;

use crate::manifest::resolve::context::ResolveContext;
use crate::manifest::resolve::probes::ProbedAddress;
use crate::manifest::resolve::resolved::{ResolvedRuntime, ResolvedService, WrittenEdge, as_index};
use crate::manifest::resolve::{hooks, job, probes, vram};
use crate::manifest::wire;
use crate::manifest::wire::service::{ConditionValue, DependsOn};
use crate::model::desired::{Condition, Dependency, Service};
use crate::model::endpoint::Endpoint;
use crate::model::names::ServiceName;
use crate::model::size::Mebibytes;
use crate::runtime::list::runtimes;
use crate::syntax::located::Located;
use crate::syntax::problem::Problem;
use crate::syntax::source::Span;

pub(super) fn service(
    context: &mut ResolveContext<'_>,
    name: &Located<String>,
    written: &Located<wire::service::ServiceBlock>,
) -> Option<ResolvedService> {
    let built = runtime(context, name, written);
    let mut asked = Vec::new();
    let stop = probes::stop(context, written.stop.as_ref());
    let health = probes::health(context, written.health.as_ref(), &written.blocks(), &mut asked);
    let busy = written.busy.as_ref().and_then(|busy| probes::busy(context, busy, &mut asked));
    let evict = written.evict.as_ref().and_then(|evict| probes::evict(context, evict));
    let wake = written.wake.as_ref().and_then(|wake| probes::wake(context, wake));
    let hooks = hooks::hooks(context, written.hooks.as_ref());
    let recover = hooks::recover(context, written.recover.as_ref());
    let gpu = vram::gpu(context, written);
    let (vram, vram_by_gpu) = vram::vram(context, written, &gpu);
    let exclusive_start = vram::exclusive_start(context, written, &gpu);
    let phases = context.phases(&written.phases);
    let (depends_on, dependency_spans, edges) = depends_on(context, written.depends_on.as_ref());
    let job = job::job(context, written, built.as_ref().map(|built| &built.workload));
    let built = built?;
    let ports = ports(&built, &asked);
    let service = Service {
        name: ServiceName::new(name.value.clone()),
        job,
        stop,
        vram,
        vram_by_gpu,
        ram: written.ram.as_ref().map(|ram| Mebibytes::needed(ram.0)).unwrap_or_default(),
        exclusive_start,
        copies: 1,
        gpu,
        gpu_as_index: as_index(written),
        priority: written.priority.unwrap_or_default(),
        phases,
        depends_on,
        health: Box::new(health),
        busy: busy.map(Box::new),
        drain: written.drain.as_ref().map(|drain| drain.0),
        evict: evict.map(Box::new),
        wake: wake.map(Box::new),
        hooks: Box::new(hooks),
        recover,
        ports: ports.keys().copied().collect(),
        missing_secrets: built.missing_secrets,
        spec: built.spec,
        source: context.source(name.span),
        workload: built.workload,
    };
    Some(ResolvedService {
        service,
        object: built.object.unwrap_or(name.span),
        vram: written.vram.as_ref().map_or(name.span, |vram| vram.span),
        ports,
        depends_on: dependency_spans,
        edges,
    })
}

fn runtime(
    context: &mut ResolveContext<'_>,
    name: &Located<String>,
    written: &Located<wire::service::ServiceBlock>,
) -> Option<ResolvedRuntime> {
    let blocks = written.blocks();
    match &blocks[..] {
        [_] => resolve_block(context, name, written),
        [] => {
            if !written.damaged {
                let message = format!("the service `{}` has no runtime", name.value);
                let help = format!("write {}", wire::service::HINTS.join(", or "));
                context.error_with_help("lcm::manifest::runtime", name.span, (message, "nothing to run"), help);
            }
            None
        }
        [others @ .., (last, span)] => {
            let count = if others.len() == 1 { "two".to_owned() } else { blocks.len().to_string() };
            let message = format!("the service `{}` has {count} runtimes; only one is allowed", name.value);
            let problem = Problem::error("lcm::manifest::runtime", message);
            let problem = problem.at(context.place(*span), format!("one is `{last}`"));
            let also = |problem: Problem, (name, span): &(&str, Span)| {
                problem.also(context.place(*span), format!("one is `{name}`"))
            };
            let problem = others.iter().fold(problem, also);
            context.problems.push(problem);
            None
        }
    }
}

macro_rules! resolve_block {
    ($($runtime:ident)*) => {
        /// Resolves the block of the runtime that the service has.
        fn resolve_block(
            context: &mut ResolveContext<'_>,
            name: &Located<String>,
            written: &Located<wire::service::ServiceBlock>,
        ) -> Option<ResolvedRuntime> {
            $(
                if let Some(block) = &written.$runtime {
                    return crate::runtime::$runtime::resolve::resolve(context, name, written, block);
                }
            )*
            None
        }
    };
}
runtimes!(resolve_block);

type Dependencies =
    (BTreeMap<ServiceName, Dependency>, BTreeMap<ServiceName, Span>, BTreeMap<ServiceName, WrittenEdge>);

fn depends_on(context: &mut ResolveContext<'_>, written: Option<&DependsOn>) -> Dependencies {
    let healthy = Dependency { condition: Condition::Healthy, restart: false };
    let entries: Vec<(&Located<String>, Dependency, WrittenEdge)> = match written {
        Some(DependsOn::List(names)) => {
            names.iter().map(|name| (name, healthy.clone(), WrittenEdge::default())).collect()
        }
        Some(DependsOn::Map(entries)) => entries
            .0
            .iter()
            .map(|(name, dependency)| {
                let condition = match dependency.condition.as_ref().map(|condition| condition.value) {
                    Some(ConditionValue::Started) => Condition::Started,
                    Some(ConditionValue::Healthy) | None => Condition::Healthy,
                    Some(ConditionValue::Completed) => Condition::Completed,
                };
                let edge = WrittenEdge {
                    condition: dependency.condition.as_ref().map(|condition| condition.span),
                    restart: dependency.restart.as_ref().map(|restart| restart.span),
                };
                let restart = dependency.restart.as_ref().is_some_and(|restart| restart.value);
                (name, Dependency { condition, restart }, edge)
            })
            .collect(),
        None => Vec::new(),
    };
    let (mut dependencies, mut spans, mut edges) = Dependencies::default();
    for (name, dependency, edge) in entries {
        if context.known("service", name, &context.input.names.services) {
            let service = ServiceName::new(name.value.clone());
            spans.insert(service.clone(), name.span);
            edges.insert(service.clone(), edge);
            dependencies.insert(service, dependency);
        }
    }
    (dependencies, spans, edges)
}

/// Returns the published ports; for a runtime that publishes none that lcm knows of, the local ones of its own probes.
fn ports(built: &ResolvedRuntime, asked: &[ProbedAddress]) -> BTreeMap<Endpoint, Span> {
    match &built.published {
        Some(published) => {
            published.iter().filter_map(|(port, span)| Some((Endpoint::of_published(port)?, *span))).collect()
        }
        None => asked
            .iter()
            .filter(|(address, _)| address.is_local())
            .map(|(address, span)| (Endpoint::tcp(address.host.parse().ok(), address.port), *span))
            .collect(),
    }
}
