//! Audit of steps that change the copies of a service: the runtime must support it, numbers and memory must be those of
//! the manifest and the observation. Shares no code with the decision that made the step.

use crate::model::copies::{CopiesChange, SURGE};
use crate::model::desired::Service;
use crate::model::lifecycle::Action;
use crate::model::observed::ObservedService;
use crate::model::plan::Step;
use crate::model::size::Mebibytes;
use crate::model::workload::Capability;

/// Lists the faults of a scale or a rolling update.
pub(super) fn faults(step: &Step, service: &Service, seen: &ObservedService) -> Vec<String> {
    let Some(change) = step.copies else {
        return vec![format!("{}: it has no number of copies", step.id)];
    };
    let mut faults = Vec::new();
    let mut check = |holds: bool, fault: String| {
        if !holds {
            faults.push(format!("{}: {fault}", step.id));
        }
    };
    let is_scale = step.action == Action::Scale;
    let needed = if is_scale { Capability::Scales } else { Capability::Rolls };
    check(
        service.workload.capabilities.has(needed),
        format!("the runtime `{}` can't {} copies", service.workload.runtime, step.action),
    );
    check(seen.state.is_operational() && seen.unknown.is_none(), "it is not known to run".to_owned());
    let now = seen.copies.map_or(1, |copies| copies.wanted);
    check(change.from == now, format!("it has {now} copies, not {}", change.from));
    check(change.to == service.copies, format!("{} copies are wanted, not {}", service.copies, change.to));
    check(change.to > 0, "without any copy it is stopped".to_owned());
    let surge = if is_scale { 0 } else { SURGE };
    check(change.surge == surge, format!("it takes {surge} copies beside the wanted ones, not {}", change.surge));
    if is_scale {
        check(change.from != change.to, "its number of copies does not change".to_owned());
        check(change.returns_mib == Mebibytes::ZERO, "a scale gives nothing back beside its own memory".to_owned());
    }
    let on = step.gpus.iter().all(|gpu| seen.gpus.contains(gpu)) && step.gpus.len() == seen.gpus.len();
    check(on || !service.declares_vram(), "it does not run on these GPUs".to_owned());
    check(is_memory_right(step, service, seen, change), "that is not the memory of its copies".to_owned());
    faults
}

/// Returns true if the memory of a step is right. Each copy counts in full: added copies take theirs at once, and
/// removed ones give back no more than they declare.
fn is_memory_right(step: &Step, service: &Service, seen: &ObservedService, change: CopiesChange) -> bool {
    let grown = change.from.max(change.to) - change.from;
    let gone = change.from - change.from.min(change.to);
    step.gpus.iter().all(|gpu| {
        let (amount, one) = (step.vram_on(gpu), seen.one_copy_on(service, gpu));
        let copies = |count: u32| one.0.saturating_mul(u64::from(count));
        if step.action == Action::Scale && gone > 0 {
            return amount.0 <= copies(gone) && amount <= seen.memory_on(service, gpu);
        }
        amount.0 == copies(grown + change.surge) && change.returns_mib.0 <= copies(gone + change.surge)
    })
}
