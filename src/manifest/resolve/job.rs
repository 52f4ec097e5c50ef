//! Jobs: services that run to their end, the keys that make no sense for them, and the conditions of their dependents.

use std::collections::{BTreeMap, BTreeSet};

use crate::manifest::resolve::context::ResolveContext;
use crate::manifest::resolve::resolved::ResolvedService;
use crate::manifest::wire::service::ServiceBlock;
use crate::model::desired::Condition;
use crate::model::job::Job;
use crate::model::names::ServiceName;
use crate::model::workload::{Capability, Origin, Workload};
use crate::syntax::located::Located;
use crate::syntax::problem::Problem;
use crate::syntax::source::Span;

/// Returns the limits of a service with `job: true`; `None` for any other.
pub(super) fn job(
    context: &mut ResolveContext<'_>,
    written: &Located<ServiceBlock>,
    workload: Option<&Workload>,
) -> Option<Job> {
    let Some(flag) = written.job.as_ref().filter(|flag| flag.value) else {
        if let Some(timeout) = &written.timeout {
            let message = "`timeout` only applies to a job";
            let help = "write `job: true` for a service that runs to its end; `timeout` in `health` limits a start";
            context.error_with_help("lcm::manifest::job", timeout.span, (message, "this is no job"), help);
        }
        return None;
    };
    let keys = [
        ("health", written.health.as_ref().map(|block| block.span), "a job is judged by its exit code"),
        ("busy", written.busy.as_ref().map(|block| block.span), "a job is busy until it ends"),
        ("drain", written.drain.as_ref().map(|drain| drain.span), "a job has nothing to drain"),
        ("evict", written.evict.as_ref().map(|block| block.span), "a job keeps its memory until it ends"),
        ("wake", written.wake.as_ref().map(|block| block.span), "a job keeps its memory until it ends"),
    ];
    for (key, span, why) in keys {
        let Some(span) = span else { continue };
        let message = format!("`{key}` has no effect on a job");
        context.error_with_help("lcm::manifest::job", span, (message, why), format!("remove `{key}`, or `job: true`"));
    }
    if let Some(workload) = workload {
        runs_to_end(context, flag.span, workload);
    }
    context.positive(written.timeout.as_ref());
    Some(Job { timeout: written.timeout.as_ref().map(|timeout| timeout.0) })
}

/// Reports a runtime, or an object, whose end proves nothing about the present spec.
fn runs_to_end(context: &mut ResolveContext<'_>, span: Span, workload: &Workload) {
    let message = if !workload.capabilities.has(Capability::RunsToEnd) {
        format!("`{}` can't run a job: it does not report how a service ended", workload.runtime)
    } else if workload.origin == Origin::Existing {
        "a container that lcm does not create can't be a job: its end does not show which spec it ran with".to_owned()
    } else {
        return;
    };
    let help = "let lcm create it: write its `image` and `command`, or a `process`";
    context.error_with_help("lcm::manifest::job", span, (message, "this"), help);
}

/// Completes the dependencies on jobs, for which the default condition is their completion, and reports the conditions
/// that can't be met.
pub(super) fn complete(context: &mut ResolveContext<'_>, services: &mut BTreeMap<ServiceName, ResolvedService>) {
    let is_job = |resolved: &&ResolvedService| resolved.service.job.is_some();
    let jobs: BTreeSet<ServiceName> =
        services.values().filter(is_job).map(|resolved| resolved.service.name.clone()).collect();
    let known: BTreeSet<ServiceName> = services.keys().cloned().collect();
    for resolved in services.values_mut() {
        let ResolvedService { service, edges, .. } = resolved;
        for (base, edge) in &mut service.depends_on {
            let written = edges.get(base).copied().unwrap_or_default();
            match (edge.condition, jobs.contains(base)) {
                (Condition::Healthy, true) => match written.condition {
                    Some(span) => never_healthy(context, span, base),
                    None => edge.condition = Condition::Completed,
                },
                (Condition::Completed, false) if known.contains(base) => {
                    if let Some(span) = written.condition {
                        no_job(context, span, base);
                    }
                }
                (Condition::Started | Condition::Completed, _) | (Condition::Healthy, false) => {}
            }
            if let Some(span) = written.restart.filter(|_| edge.restart && jobs.contains(base)) {
                let message = format!("`restart: true` has no effect here: `{base}` is a job");
                let help = "remove it; `lcm restart` restarts a service by hand after a job has run again";
                let label = "a job is not restarted, it runs again";
                context.error_with_help("lcm::manifest::job", span, (message, label), help);
            }
        }
    }
}

fn never_healthy(context: &mut ResolveContext<'_>, span: Span, base: &ServiceName) {
    let message = format!("`{base}` is a job, which never becomes healthy");
    let help = "write `service_completed_successfully` to start after its end, or `service_started` to start beside it";
    context.error_with_help("lcm::manifest::job", span, (message, "this condition"), help);
}

fn no_job(context: &mut ResolveContext<'_>, span: Span, base: &ServiceName) {
    let problem = Problem::error("lcm::manifest::job", format!("`{base}` is no job, so it never completes"))
        .at(context.place(span), "this condition")
        .help(format!("write `job: true` in the service `{base}`, or another condition"));
    context.problems.push(problem);
}
