//! Attempts to start services, counted in the store before the effect of a start, so that a crash of lcm loses none.
//! The planner decides what follows from the count.
//!
//! A run counts each service at most once, because it never tries one twice.

use std::collections::BTreeMap;

use crate::apply::run::{Run, needed_stops};
use crate::model::facts::Attempts;
use crate::model::lifecycle::Action;
use crate::model::names::ServiceName;
use crate::model::plan::{Plan, ReasonCode, Step};

/// Forgets the attempts of services that the plan reports as recovered.
pub(in crate::apply) async fn forget(run: &Run<'_>, plan: &Plan) {
    for service in &plan.recovered {
        set(run, service, None).await;
    }
}

/// Counts a start before its effect. The first start of a healthy service is counted only if it fails.
pub(in crate::apply) async fn begin(run: &Run<'_>, step: &Step) {
    let recovers = matches!(step.reason.code, ReasonCode::Exited | ReasonCode::Unhealthy);
    if recovers || counted(run, &step.service).await > 0 {
        count(run, &step.service).await;
    }
}

/// Counts a failed start, unless the run ran out of time.
pub(in crate::apply) async fn failed(run: &Run<'_>, plan: &Plan, step: &Step, code: ReasonCode) {
    // A failed preparation stopped nothing, and a veto is an operator's decision; but services that were stopped for the
    // start must not be stopped again and again.
    let cost_a_stop = needed_stops(plan, step).next().is_some();
    let writes_spec = step.action == Action::Start || step.is_rolling();
    let tried = writes_spec && code != ReasonCode::PrepareFailed && (code != ReasonCode::Vetoed || cost_a_stop);
    // A start that was under way already was counted at its beginning, unless it was the first.
    if tried && !(step.is_await() && counted(run, &step.service).await > 0) {
        count(run, &step.service).await;
    }
}

/// Counts a service that this run started, and that did not stay up.
pub(in crate::apply) async fn relapsed(run: &Run<'_>, service: &ServiceName) {
    count(run, service).await;
}

/// Counts an attempt of the service that this stop made way for, where the stop did not free its resources.
pub(in crate::apply) async fn not_released(run: &Run<'_>, step: &Step) {
    let gives_way = matches!(step.reason.code, ReasonCode::Preempted | ReasonCode::Moved);
    if let Some(winner) = step.reason.by.as_deref().filter(|_| gives_way) {
        count(run, &ServiceName::from(winner)).await;
    }
}

/// Forgets the attempts of a service that was healthy until it was stopped. Those of one that is recreated stay, because
/// another spec was tried.
pub(in crate::apply) async fn stopped(run: &Run<'_>, step: &Step) {
    // A service that lcm stops has not failed by itself.
    run.ledger().came_up.remove(&step.service);
    // A service that is stopped because its budget is spent must not be started again as if it had none spent.
    if step.reason.code.is_of_budget() && counted(run, &step.service).await == 0 {
        tried(run, &step.service, 1).await;
        return;
    }
    let was_well = step.route.first().is_some_and(|state| state.is_operational());
    let anew = matches!(
        step.reason.code,
        ReasonCode::SpecChanged | ReasonCode::SecretChanged | ReasonCode::ImageChanged | ReasonCode::WrongGpu
    );
    if was_well && !anew && counted(run, &step.service).await > 0 {
        set(run, &step.service, None).await;
    }
}

/// Spends the budget of every failed start before a rollback, so that the next run does not fail in the same way.
pub(in crate::apply) async fn spend(run: &Run<'_>) {
    let starts = |id: &str| ["start:", "update:"].iter().find_map(|verb| id.strip_prefix(verb)).map(ServiceName::from);
    let failed: Vec<ServiceName> = run.ledger().failed.iter().filter_map(|id| starts(id.as_str())).collect();
    for service in failed {
        let Some(recover) = run.context.desired.services.get(&service).map(|service| &service.recover) else {
            continue;
        };
        let count = counted(run, &service).await.max(recover.attempts).max(1);
        tried(run, &service, count).await;
    }
}

async fn count(run: &Run<'_>, service: &ServiceName) {
    let is_first = run.ledger().attempted.insert(service.clone());
    if is_first {
        let count = counted(run, service).await.saturating_add(1);
        tried(run, service, count).await;
    }
}

async fn tried(run: &Run<'_>, service: &ServiceName, count: u32) {
    if let Some(known) = run.context.desired.services.get(service) {
        let attempts = Attempts { count, last_at: run.context.driver.now(), spec: known.spec.hash().to_owned() };
        set(run, service, Some(attempts)).await;
    }
}

/// Returns the number of attempts at the present spec.
async fn counted(run: &Run<'_>, service: &ServiceName) -> u32 {
    let Some(known) = run.context.desired.services.get(service) else { return 0 };
    with_attempts(run, |attempts| {
        attempts.get(service).filter(|attempts| attempts.spec == known.spec.hash()).map_or(0, |attempts| attempts.count)
    })
    .await
}

async fn set(run: &Run<'_>, service: &ServiceName, attempts: Option<Attempts>) {
    let context = &run.context;
    if let Err(error) = context.store.set_attempts(&context.desired.project, service, attempts.as_ref()).await {
        run.store_failed(&error);
    }
    with_attempts(run, |known| match attempts {
        Some(attempts) => known.insert(service.clone(), attempts),
        None => known.remove(service),
    })
    .await;
}

/// Calls `work` with the attempts of the store, which are read once: no other process counts while the lock is held.
async fn with_attempts<T>(run: &Run<'_>, work: impl FnOnce(&mut BTreeMap<ServiceName, Attempts>) -> T) -> T {
    let is_read = run.ledger().attempts.is_some();
    if !is_read {
        let known = read(run).await;
        // Another step may have read them meanwhile, and counted since.
        run.ledger().attempts.get_or_insert(known);
    }
    work(run.ledger().attempts.get_or_insert_default())
}

async fn read(run: &Run<'_>) -> BTreeMap<ServiceName, Attempts> {
    run.context.store.attempts(&run.context.desired.project).await.unwrap_or_else(|error| {
        run.store_failed(&error);
        BTreeMap::new()
    })
}
