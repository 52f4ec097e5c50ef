//! Steps that stop and remove orphans.

use std::collections::BTreeMap;

use crate::model::lifecycle::{Action, State};
use crate::model::names::{ServiceName, StepId};
use crate::model::observed::Orphan;
use crate::model::plan::{Expect, Purpose, Reason, ReasonCode, Step};
use crate::model::size::Mebibytes;
use crate::plan::input::PlanInput;
use crate::plan::judge::orphans;
use crate::plan::reason::reason;

/// Steps that stop orphans, and with `--prune` or `down` remove their containers.
pub(super) fn orphan_steps(input: &PlanInput<'_>) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut counts: BTreeMap<&ServiceName, u32> = BTreeMap::new();
    let why = match input.request.purpose {
        Purpose::Down => reason(ReasonCode::Requested, "requested by `lcm down`".to_owned(), None),
        Purpose::Apply | Purpose::Start | Purpose::Stop | Purpose::Restart => {
            reason(ReasonCode::Orphaned, "it carries this project's marks, but is not in the manifest".to_owned(), None)
        }
    };
    for orphan in input.observed.orphans.iter().filter(|orphan| orphans::stops(input, orphan)) {
        let count = counts.entry(&orphan.service).or_default();
        *count += 1;
        // Several instances may carry one orphaned name, or the name of a service that has another instance by now.
        let taken = *count > 1 || input.desired.services.contains_key(&orphan.service);
        let label = if taken { format!("{}#{count}", orphan.service) } else { orphan.service.to_string() };
        let carrier = orphan.carrier.as_ref().map(|carrier| format!("{carrier}: ")).unwrap_or_default();
        let why = Reason { message: format!("{carrier}{}", why.message), ..why.clone() };
        let stop = orphan_step(input, orphan, (Action::Stop, orphan.state), &label, &why);
        let needs: Vec<StepId> = stop.iter().map(|step| step.id.clone()).collect();
        let state = if stop.is_some() { State::Offline } else { orphan.state };
        steps.extend(stop);
        let removes = input.request.prune || input.request.purpose == Purpose::Down;
        if removes && orphan.instance.name.is_some() {
            let removal = orphan_step(input, orphan, (Action::Remove, state), &label, &why);
            steps.extend(removal.map(|step| Step { needs, ..step }));
        }
    }
    steps
}

fn orphan_step(
    input: &PlanInput<'_>,
    orphan: &Orphan,
    (action, state): (Action, State),
    label: &str,
    why: &Reason,
) -> Option<Step> {
    let route = input.way_of(&orphan.service, action, state).ok()?;
    let frees = action == Action::Stop;
    Some(Step {
        id: StepId::new(format!("{action}:{label}")),
        service: orphan.service.clone(),
        action,
        route,
        needs: Vec::new(),
        gpus: if frees { orphan.gpus.iter().cloned().collect() } else { Vec::new() },
        vram_mib: if frees { orphan.vram } else { Mebibytes::ZERO },
        uneven_mib: BTreeMap::new(),
        ram_mib: Mebibytes::ZERO,
        copies: None,
        job: None,
        reason: why.clone(),
        expect: Expect { instance: Some(orphan.instance.clone()), state },
        spec: None,
        diff: None,
        estimate_ms: None,
    })
}
