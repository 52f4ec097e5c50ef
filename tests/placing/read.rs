//! Fate of each service in a plan, read from its steps.

use lcm::model::lifecycle::Action;
use lcm::model::names::ServiceName;
use lcm::model::plan::{Plan, Step};

use crate::brute::{Fate, options};
use crate::case::{Case, Service};
use crate::draft::Found;
use crate::world::{gpu_id, name};

/// Returns the fate of each service; `Err` where the plan has a step that no rule allows, or reports it wrongly.
pub(crate) fn fates(case: &Case, plan: &Plan) -> Result<Vec<Fate>, String> {
    let fates: Vec<Fate> = case
        .services
        .iter()
        .enumerate()
        .map(|(index, one)| fate(case, plan, &name(index), one))
        .collect::<Result<_, _>>()?;
    for (index, (service, fate)) in case.services.iter().zip(&fates).enumerate() {
        if !options(service).contains(fate) {
            return Err(format!("s{index}: {fate:?} is none of {:?}", options(service)));
        }
        let blocked = plan.blocked.iter().any(|blocked| blocked.service == name(index));
        let left_out = service.wanted && matches!(fate, Fate::Out | Fate::AsIs);
        if blocked != left_out {
            return Err(format!("s{index}: {fate:?}, and blocked is {blocked}"));
        }
    }
    Ok(fates)
}

fn fate(case: &Case, plan: &Plan, name: &ServiceName, service: &Service) -> Result<Fate, String> {
    let find = |action: Action| plan.steps.iter().find(|step| step.service == *name && step.action == action);
    if let Some(step) =
        plan.steps.iter().find(|step| !matches!(step.action, Action::Start | Action::Stop | Action::Unpause))
    {
        return Err(format!("{} has no place here", step.id));
    }
    Ok(match (find(Action::Stop), find(Action::Start)) {
        (None, None) => untouched(service),
        (Some(_), None) => Fate::Out,
        (None, Some(start)) => Fate::In(set(case, start)),
        (Some(_), Some(start)) if service.found == Found::Drifted => Fate::Again(set(case, start)),
        (Some(_), Some(start)) => Fate::Move(set(case, start)),
    })
}

fn untouched(service: &Service) -> Fate {
    match (service.found, service.wanted) {
        (Found::Off, true) => Fate::Out,
        (Found::Off, false) => Fate::Off,
        (Found::Drifted, true) => Fate::AsIs,
        (Found::Running | Found::Drifted, _) => Fate::Stay,
        (Found::Suspended, _) => Fate::Fixed,
    }
}

fn set(case: &Case, step: &Step) -> u8 {
    let on = (0..case.gpu_count()).filter(|gpu| step.gpus.contains(&gpu_id(*gpu)));
    let host = case.host.filter(|_| step.ram_mib.0 > 0);
    on.chain(host).fold(0, |set, gpu| set | 1 << gpu)
}
