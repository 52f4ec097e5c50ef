//! A wake: a service that runs is given GPU memory again that it gave back. Its memory is admitted as a start's is, then
//! the calls of its `wake:` are made, then it has to answer.

use super::expect::of_stop;
use super::health::{self, Illness};
use super::measure;
use super::memory::{Need, Standing};
use super::record::forbidden;
use super::room::{Refusal, admit};
use super::run::Run;
use super::start::last_words;
use super::stop::look_first;
use super::verdict::{Trouble, Verdict};
use crate::model::desired::Service;
use crate::model::event::Stage;
use crate::model::instance::Instance;
use crate::model::plan::{Plan, ReasonCode, Step};
use crate::runtime::Start;

/// Wakes the instance that the plan has seen, and returns when it answers.
pub(super) async fn wake(run: &Run<'_>, plan: &Plan, step: &Step) -> Verdict {
    let Some(service) = run.context.desired.services.get(&step.service) else {
        return Verdict::Stale("the manifest does not know it".to_owned());
    };
    let Some(instance) = &step.expect.instance else {
        return Verdict::Stale("the plan names no instance of it".to_owned());
    };
    match look_first(run, service, |look| of_stop(step, look)).await {
        Ok(()) => {}
        Err(Verdict::NotNeeded) => return Verdict::Stale("it has ended since".to_owned()),
        Err(verdict) => return verdict,
    }
    // Its own share does not count against it: what it declares has to be there beside all others.
    let need = Need { service, gpus: &step.gpus, amount: service.vram };
    match admit(run, plan, step, &need).await {
        Ok(()) => {}
        Err(Refusal::Trouble(trouble)) => return Verdict::Failed(trouble),
        Err(Refusal::Cut(cut)) => return Verdict::Cut(cut),
    }
    if let Some(verdict) = forbidden(run, step).or_else(|| run.cut().map(Verdict::Cut)) {
        run.ledger().promises.remove(&step.service);
        return verdict;
    }
    let verdict = call(run, step, service, instance).await;
    let standing = if matches!(verdict, Verdict::Done) { Standing::Well } else { Standing::Astray };
    if let Some(promise) = run.ledger().promises.get_mut(&step.service) {
        promise.standing = standing;
    }
    verdict
}

async fn call(run: &Run<'_>, step: &Step, service: &Service, instance: &Instance) -> Verdict {
    run.stage(step, Stage::Start, None);
    run.ledger().changed = true;
    let start = Start { project: &run.context.desired.project, service, gpus: &step.gpus, indices: &[] };
    if let Err(error) = run.context.driver.wake(&start).await {
        return failed(run, step, error.to_string()).await;
    }
    run.stage(step, Stage::Health, None);
    match health::wait(run, service, instance).await {
        Ok(()) => {
            // Without a call of its own it only has its room again, and what it does with that is seen.
            if service.wake.is_some() {
                measure::woken(run, step);
            }
            Verdict::Done
        }
        Err(Illness::Final { error, .. }) => failed(run, step, format!("woken, and then {error}")).await,
        Err(Illness::Cut(cut)) => Verdict::Cut(cut),
    }
}

async fn failed(run: &Run<'_>, step: &Step, error: String) -> Verdict {
    let log = last_words(run, &step.service).await;
    Verdict::Failed(Trouble { code: ReasonCode::StartFailed, error, log })
}
