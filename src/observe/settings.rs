//! Real settings of what runs against those that the manifest gives it now.

use crate::model::desired::{Desired, Service};
use crate::model::facts::{ContainerFact, Facts, HeldPath, TreeFact};
use crate::model::observed::Changed;
use crate::model::settings::{COMPARED, Difference, Settings};
use crate::runtime::process::intent::ProcessSpec;

/// More are counted, not named: a reason is one line.
const NAMED_MAX: usize = 4;

/// Comparison of one container or process tree.
#[derive(Default)]
pub(super) struct Compared {
    pub(super) changed: Option<Box<Changed>>,
    pub(super) warning: Option<String>,
}

/// Of a container of lcm's own.
pub(super) fn of_container(facts: &Facts, desired: &Desired, service: &Service, found: &ContainerFact) -> Compared {
    let (Some(marks), Some(settings)) = (&found.marks, &found.settings) else { return Compared::default() };
    let Some(expected) = Settings::expected(service, marks, facts) else { return Compared::default() };
    let differences = settings.differences(&expected);
    if differences.is_empty() || !service.spec.has_hash(&marks.spec) {
        return Compared::default();
    }
    let names = named(&differences);
    if marks.compared < COMPARED {
        let warning = format!(
            "{}: its container differs from the manifest in {names}: an earlier lcm created it, or the engine sets that by \
             itself; it is left as it is until its spec changes",
            service.name
        );
        return Compared { changed: None, warning: Some(warning) };
    }
    let lines: Vec<String> = differences.iter().flat_map(Difference::lines).collect();
    let changed = Changed {
        message: format!("its container differs from the manifest in {names}"),
        diff: desired.masker().mask(&lines.join("\n")),
        is_mendable: differences.iter().all(Difference::is_mendable),
    };
    Compared { changed: Some(Box::new(changed)), warning: None }
}

/// `mount /conf, restart policy and 2 more settings`.
fn named(differences: &[Difference]) -> String {
    let names: Vec<String> = differences.iter().take(NAMED_MAX).map(|one| one.setting.to_string()).collect();
    match differences.len().saturating_sub(NAMED_MAX) {
        0 => names.join(", "),
        more => format!("{} and {more} more settings", names.join(", ")),
    }
}

/// Of a process tree that lcm started, by what its shim holds open.
pub(super) fn of_tree(facts: &Facts, service: &Service, tree: &TreeFact) -> Compared {
    // Around a container paths are others than in it.
    let held = tree.held.as_ref().filter(|_| facts.enclosure.is_none());
    let (Some(held), Some(process)) = (held, service.workload.spec::<ProcessSpec>()) else {
        return Compared::default();
    };
    if let Some(changed) = folder(facts, process, &held.folder) {
        return Compared { changed: Some(Box::new(changed)), warning: None };
    }
    let Some(program) = &held.program else { return Compared::default() };
    match &program.now {
        None => {
            let changed = Changed {
                message: format!("the program that it was started from is gone: {}", program.path),
                diff: format!("-program: {}", program.path),
                is_mendable: false,
            };
            Compared { changed: Some(Box::new(changed)), warning: None }
        }
        Some(now) if *now != program.id => {
            let warning = format!(
                "{}: program_replaced: {} is another file than the one that runs; `lcm restart {}` starts the new one",
                service.name, program.path, service.name
            );
            Compared { changed: None, warning: Some(warning) }
        }
        Some(_) => Compared::default(),
    }
}

/// What makes its working folder another than the manifest's; a folder that was moved is the same one.
fn folder(facts: &Facts, process: &ProcessSpec, held: &HeldPath) -> Option<Changed> {
    let wanted = process.cwd.to_str()?;
    let now = facts.paths.get(wanted);
    if now.is_some_and(|now| now.id == held.id) {
        return None;
    }
    let is_gone = held.now.as_ref() != Some(&held.id);
    let is = if is_gone { format!("{} (deleted)", held.path) } else { held.path.clone() };
    let (message, should) = match now {
        Some(now) => (format!("it works in {is}, and its folder is {} now", now.real), now.real.as_str()),
        None => (format!("its working folder {wanted} is gone"), wanted),
    };
    Some(Changed { message, diff: format!("-cwd: {is}\n+cwd: {should}"), is_mendable: false })
}
