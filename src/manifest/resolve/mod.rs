//! Wire types to [`Desired`]: fills in defaults and checks what one file or one value alone can't show.
//!
//! In: wire types, and the files, env files and environment that they name, as values. Out: [`Desired`], or every
//! problem with its place. Not here: any reading of files, which is `load`'s; the resolution is pure.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::manifest::choice::ModeSelection;
use crate::model::desired::{Desired, ModeSource};
use crate::model::names::ServiceName;
use crate::syntax::problem::{Problem, Severity};

mod address;
mod checks;
pub(crate) mod context;
pub(crate) mod environment;
mod graph;
mod hooks;
pub(crate) mod input;
mod job;
mod modes;
mod probes;
mod project;
pub(crate) mod resolved;
mod rules;
mod service;
mod shared;
mod vram;

use context::ResolveContext;
pub(super) use context::absolute;
pub(super) use input::{DefinedNames, EnvFile, Input, ManifestFile, Root, SecretFile};
use modes::ChosenModes;

/// Returns the desired state, or `None` where too much is missing; adds problems and warnings to `problems`.
pub(super) fn resolve(input: &Input<'_>, choice: &ModeSelection, problems: &mut Vec<Problem>) -> Option<Desired> {
    let mut context = ResolveContext::new(input, problems);
    let project = project::project(&mut context);
    context.project = project.as_ref().map(ToString::to_string).unwrap_or_default();
    let settings = project::settings(&mut context);

    let mut services = BTreeMap::new();
    for file in input.files {
        for (name, written) in &file.manifest.services.0 {
            if let Some(service) = service::service(&mut context, name, written) {
                services.insert(ServiceName::new(name.value.clone()), service);
            }
        }
    }
    shared::depend(&mut services);
    job::complete(&mut context, &mut services);
    let goals = modes::goals(&mut context, &services);
    let modes = modes::modes(&mut context);
    let ChosenModes { active: mode, source: mode_source, own } = modes::choose(&mut context, choice);
    modes::check_goals(&mut context, choice);
    checks::check(&mut context, &services, &modes, &goals, &settings);
    let own_mode = own.as_ref().map(|(own, _)| own.clone());
    let own = own.map(|(own, place)| (own, Some(place), ModeSource::Manifest));
    let selected = mode.clone().filter(|mode| own_mode.as_ref() != Some(mode)).map(|mode| (mode, None, mode_source));
    for (modes_of, place, source) in own.into_iter().chain(selected) {
        let combination = checks::Combination { modes: &modes_of, place, source };
        checks::check_together(&mut context, (&services, &modes, &goals), &settings, &combination);
    }
    let rules = rules::rules(&mut context);
    let notify = hooks::notifiers(&mut context);

    let failed = context.problems.iter().any(|problem| problem.severity == Severity::Error);
    if failed || !input.complete {
        return None;
    }
    Some(Desired {
        project: project?,
        aliases: settings.aliases,
        take_over: false,
        previous_owner: None,
        mode,
        mode_source,
        own_mode,
        entry_is_choice: modes::entry_is_choice(&context),
        entry: input.files.first().map(|entry| path_of(input, entry)).unwrap_or_default(),
        is_streamed: input.files.first().is_some_and(|entry| input.sources.get(entry.file).is_streamed),
        named_in: input
            .files
            .iter()
            .find(|file| file.manifest.name.is_some())
            .map(|file| path_of(input, file))
            .unwrap_or_default(),
        newest_checkout: settings.newest_checkout,
        goals_requested: choice.goals.clone(),
        orphans: settings.orphans,
        reserve: settings.reserve,
        host_reserve: settings.host_reserve,
        declared_gpus: settings.devices.into_iter().map(|(device, _)| device).collect(),
        endpoints: settings.endpoints,
        services: services.into_iter().map(|(name, resolved)| (name, resolved.service)).collect(),
        modes: modes.into_iter().map(|(name, written)| (name, written.mode)).collect(),
        goals,
        rules,
        notify,
        secrets: Vec::new(),
        warnings: Vec::new(),
        files: Arc::default(),
    })
}

/// Returns the absolute path of a file.
fn path_of(input: &Input<'_>, file: &ManifestFile) -> PathBuf {
    let source = input.sources.get(file.file);
    let name = source.path.file_name().unwrap_or_default();
    // A descriptor lies in no folder: its manifest counts as one in the folder that its paths are relative to.
    if source.is_streamed && source.path.is_absolute() {
        return source.folder.join(format!("<fd {}>", name.display()));
    }
    source.folder.join(name)
}
