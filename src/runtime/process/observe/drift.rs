//! Drift of a process tree: its working folder and program, compared with those in the manifest.

use crate::model::desired::Service;
use crate::model::facts::Facts;
use crate::model::observed::Changed;
use crate::runtime::process::facts::{HeldPath, TreeFact};
use crate::runtime::process::intent::ProcessSpec;

/// Result of a comparison.
#[derive(Default)]
pub(super) struct TreeCompared {
    pub(super) changed: Option<Box<Changed>>,
    pub(super) warning: Option<String>,
}

/// Compares a process tree that lcm started, by the files that its shim holds open.
pub(super) fn of_tree(facts: &Facts, service: &Service, tree: &TreeFact) -> TreeCompared {
    // Paths in a container differ from those on the host.
    let held = tree.held.as_ref().filter(|_| facts.enclosure.is_none());
    let (Some(held), Some(process)) = (held, service.workload.spec::<ProcessSpec>()) else {
        return TreeCompared::default();
    };
    if let Some(changed) = folder(facts, process, &held.folder) {
        return TreeCompared { changed: Some(Box::new(changed)), warning: None };
    }
    let Some(program) = &held.program else { return TreeCompared::default() };
    match &program.now {
        None => {
            let changed = Changed {
                message: format!("its program {} is gone", program.path),
                diff: format!("-program: {}", program.path),
                can_update_in_place: false,
            };
            TreeCompared { changed: Some(Box::new(changed)), warning: None }
        }
        Some(now) if *now != program.id => {
            let warning = format!(
                "{}: program_replaced: {} was replaced since the start; `lcm restart {}` starts the new file",
                service.name, program.path, service.name
            );
            TreeCompared { changed: None, warning: Some(warning) }
        }
        Some(_) => TreeCompared::default(),
    }
}

/// Compares the working folder with the manifest's; `None`: they are the same. A folder that was moved is the same one.
fn folder(facts: &Facts, process: &ProcessSpec, held: &HeldPath) -> Option<Changed> {
    let wanted = process.cwd.to_str()?;
    let now = facts.paths.get(wanted);
    if now.is_some_and(|now| now.id == held.id) {
        return None;
    }
    let is_gone = held.now.as_ref() != Some(&held.id);
    let is = if is_gone { format!("{} (deleted)", held.path) } else { held.path.clone() };
    let (message, should) = match now {
        Some(now) => (format!("its working folder is {is}, but `cwd` leads to {} now", now.real), now.real.as_str()),
        None => (format!("its working folder {wanted} is gone"), wanted),
    };
    Some(Changed { message, diff: format!("-cwd: {is}\n+cwd: {should}"), can_update_in_place: false })
}
