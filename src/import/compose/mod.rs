//! Draft from Compose files. A setting that both have is translated; one that lcm does not have becomes a comment at
//! the service and a note.
//!
//! In: the files as parsed, and a reader of those that they name. `project` merges them to one tree by the rules of the
//! Compose specification (`merge`, `extends`, `loader`), which the rest translates key by key. Out: a draft and its
//! notes. Not here: I/O, and the text of the manifest, which `writer` lays out.

mod environment;
mod extends;
mod general;
mod gpu;
mod keys;
mod loader;
mod merge;
mod modes;
mod paths;
mod plain;
mod project;
mod service;
#[cfg(test)]
mod tests;
mod translation;
pub(super) mod values;
mod variables;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use crate::import::draft::{self, FileReader, ImportContext, ManifestDraft, Notes, head};
use crate::import::names::{UniqueNames, valid_name};
use crate::import::writer::{YamlBlock, YamlValue};
use crate::syntax::problem::Problems;
use crate::syntax::tree::Node;
use keys::SharedKeys;
use modes::{alone, of_profiles};
use project::{ComposeProject, load};
use translation::{Compose, TranslatedService};
use values::below;

pub(super) use project::ParsedFiles;

/// Translates a project.
pub(super) fn draft(
    files: ParsedFiles,
    setting: &ImportContext,
    reader: &FileReader<'_>,
) -> Result<ManifestDraft, Problems> {
    Ok(translated(load(files, setting, reader)?, setting, SharedKeys::of_runtimes()))
}

/// Returns the merged model of a project as JSON, with all variables interpolated.
pub(super) fn model(files: ParsedFiles, setting: &ImportContext, reader: &FileReader<'_>) -> Result<Json, Problems> {
    let project = load(files, setting, reader)?;
    Ok(plain::json(&project.root, &|text| project.variables.resolve(text)))
}

/// Translates a merged project. `keys`: those that a manifest takes over as they are.
fn translated(project: ComposeProject<'_>, setting: &ImportContext, keys: SharedKeys) -> ManifestDraft {
    let ComposeProject { root, variables, notes: load_notes } = project;
    let named = below(&root, "name").map(|name| variables.resolve(name)).filter(|name| !name.is_empty());
    let name = setting.compose_variable("COMPOSE_PROJECT_NAME").map(str::to_owned).or(named);
    let name = name.unwrap_or_else(|| setting.name.clone());
    let services = root.get("services").map(Node::entries).unwrap_or_default();
    let mut compose = Compose {
        root: &root,
        project: project_of(&name),
        lcm_name: valid_name(&name),
        base: &setting.base,
        variables,
        keys,
        notes: Notes::default(),
        load_notes,
        names: BTreeMap::new(),
        jobs: jobs(services.iter().map(|entry| &entry.value)),
        containers: BTreeSet::new(),
        networks: BTreeSet::new(),
        secrets: BTreeSet::new(),
    };
    let mut names = UniqueNames::default();
    for entry in services.iter().filter(|entry| service::can_run(&entry.value)) {
        compose.names.insert(&entry.key, names.give(&entry.key));
    }
    let (mut block, mut done) = (YamlBlock::default(), Vec::new());
    for entry in services {
        block.gap();
        if let Some(name) = compose.names.get(entry.key.as_str()).cloned() {
            done.push(compose.service(&mut block, &entry.key, &name, &entry.value));
        } else {
            let note = "it has neither `image` nor `build`: left out";
            block.comment(compose.notes.about(&entry.key, note));
        }
    }
    compose.document(block, &done, setting)
}

/// Returns the services that run to their end: another one waits for that.
fn jobs<'a>(services: impl Iterator<Item = &'a Node>) -> BTreeSet<&'a str> {
    let waits = |entry: &&crate::syntax::tree::MapEntry| {
        below(&entry.value, "condition") == Some("service_completed_successfully")
    };
    let needed = services.flat_map(|service| service.get("depends_on").map(Node::entries).unwrap_or_default());
    needed.filter(waits).map(|entry| entry.key.as_str()).collect()
}

impl Compose<'_> {
    fn document(mut self, services: YamlBlock, done: &[TranslatedService], setting: &ImportContext) -> ManifestDraft {
        let mut block = head("Translated by `lcm init --from` from a Compose file.");
        block.put("version", YamlValue::word(1)).put("name", YamlValue::text(&self.lcm_name));
        let modes = of_profiles(done, setting.compose_variable("COMPOSE_PROFILES"));
        if let Some(mode) = modes.default_mode() {
            block.put("mode", mode);
        }
        block.gap();
        for line in self.general(&services.document(), &modes.unknown) {
            block.comment(line).gap();
        }
        block.put("services", YamlValue::Map(services));
        let networks = self.defined_networks();
        if networks.holds_any() {
            block.gap().comment("lcm makes these networks, as Compose does; services find each other there by name.");
            block.put("networks", YamlValue::Map(networks));
        }
        if !modes.drafts.is_empty() {
            block.gap().comment("Compose's profiles: each with the services that have none.");
            block.put("modes", draft::modes(&modes.drafts));
        } else if done.iter().filter(|one| one.on_gpu).count() > 1 {
            block.gap().comment(
                "Without modes all services run at once. If the GPU does not hold all of them, define modes with \
                 those that belong together:",
            );
            block.propose("modes", draft::modes(&alone(done)), None);
        }
        ManifestDraft { text: block.document(), notes: self.notes.all, services: done.len(), proposals: 0 }
    }
}

/// Returns the project name that Compose derives from a folder's name.
fn project_of(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    let kept = |character: &char| character.is_ascii_alphanumeric() || "_-".contains(*character);
    let kept: String = lower.chars().filter(kept).collect();
    let kept = kept.trim_start_matches(['-', '_']);
    if kept.is_empty() { "project".to_owned() } else { kept.to_owned() }
}
