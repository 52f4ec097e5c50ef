//! Draft from Compose files. A setting that both have is translated; one that lcm does not have becomes a comment at
//! the service and a note.
//!
//! In: the text of the files. Out: a draft and its notes. Not here: reading of files, and the text of the manifest,
//! which `writer` lays out.

mod environment;
mod gpu;
mod service;
mod translation;
pub(super) mod values;
mod variables;

use std::collections::{BTreeMap, BTreeSet};

use crate::import::draft::{ImportContext, ManifestDraft, ModeDraft, Notes, head, modes};
use crate::import::names::{UniqueNames, valid_name};
use crate::import::writer::{YamlBlock, YamlValue};
use crate::syntax::tree::Node;
use translation::{Compose, TranslatedService};
use values::below;
use variables::{ComposeVariables, filled};

/// Longest chain of services that extend each other.
const EXTENDS_MAX: usize = 8;

pub(super) fn draft(root: &Node, setting: &ImportContext) -> ManifestDraft {
    let mut variables = ComposeVariables::new(&setting.variables);
    let name = below(root, "name").map(|name| filled(&variables.adapt(name)));
    let name = name.or_else(|| setting.variables.get("COMPOSE_PROJECT_NAME").cloned()).filter(|name| !name.is_empty());
    let name = name.unwrap_or_else(|| setting.name.clone());
    let services = root.get("services").map(Node::entries).unwrap_or_default();
    let mut compose = Compose {
        root,
        project: project_of(&name),
        lcm_name: valid_name(&name),
        base: &setting.base,
        variables,
        notes: Notes::default(),
        names: BTreeMap::new(),
        containers: BTreeSet::new(),
        networks: BTreeSet::new(),
        secrets: BTreeSet::new(),
    };
    let extended: Vec<(&str, Node)> =
        services.iter().map(|entry| (entry.key.as_str(), compose.extended(&entry.value, 0))).collect();
    let mut names = UniqueNames::default();
    for (entry, _) in services.iter().zip(&extended).filter(|(_, (_, node))| service::can_run(node)) {
        compose.names.insert(&entry.key, names.give(&entry.key));
    }

    let (mut block, mut done) = (YamlBlock::default(), Vec::new());
    for (key, node) in &extended {
        block.gap();
        match compose.names.get(key).cloned() {
            Some(name) => done.push(compose.service(&mut block, key, &name, node)),
            None => {
                block.comment(compose.notes.about(key, "it has neither `image` nor `build`: left out"));
            }
        }
    }
    compose.document(block, &done)
}

impl Compose<'_> {
    /// Returns a service merged with the one that it extends in the same file.
    fn extended(&mut self, node: &Node, depth: usize) -> Node {
        let Some(extends) = node.get("extends").filter(|_| depth < EXTENDS_MAX) else { return node.clone() };
        let named = extends.scalar().or_else(|| below(extends, "service"));
        let elsewhere = below(extends, "file");
        let base = named.filter(|_| elsewhere.is_none());
        let root = self.root;
        match base.and_then(|name| root.get("services")?.get(name)) {
            Some(base) => {
                let base = self.extended(base, depth + 1);
                node.clone().over(&base)
            }
            None => node.clone(),
        }
    }

    fn document(mut self, services: YamlBlock, done: &[TranslatedService]) -> ManifestDraft {
        let mut block = head("Translated by `lcm init --from` from a Compose file.");
        block.put("version", YamlValue::word(1)).put("name", YamlValue::text(&self.lcm_name));
        let drafts = mode_drafts(done);
        if let Some(first) = drafts.first() {
            block.put("mode", YamlValue::text(&first.name));
        }
        block.gap();
        for line in self.general() {
            block.comment(line).gap();
        }
        block.put("services", YamlValue::Map(services));
        if !drafts.is_empty() {
            block.gap().comment("Compose's profiles: each with the services that have none.");
            block.put("modes", modes(&drafts));
        } else if done.iter().filter(|one| one.on_gpu).count() > 1 {
            block.gap().comment(
                "Without modes all services run at once. If the GPU does not hold all of them, define modes with \
                 those that belong together:",
            );
            block.propose("modes", modes(&alone(done)), None);
        }
        ManifestDraft { text: block.document(), notes: self.notes.all, services: done.len(), proposals: 0 }
    }

    /// Notes on the whole file.
    fn general(&mut self) -> Vec<String> {
        let mut lines = vec![format!(
            "Before the first `lcm apply`: `docker compose --project-name {} down` stops Compose's own containers \
             (their volumes stay, and are named below as the engine knows them).",
            self.project
        )];
        let listed = |names: &BTreeSet<String>| names.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        if !self.networks.is_empty() {
            let made: Vec<String> = self.networks.iter().map(|name| format!("docker network create {name}")).collect();
            lines.push(
                self.notes
                    .about("networks", format!("lcm creates none; before the first start, run: {}", made.join("; "))),
            );
        }
        if !self.secrets.is_empty() {
            let note =
                format!("set these in lcm's environment; their values are not copied: {}", listed(&self.secrets));
            lines.push(self.notes.about("environment", note));
        }
        let unset: BTreeSet<String> = self.variables.unset.difference(&self.secrets).cloned().collect();
        if !unset.is_empty() {
            let note = format!("without a value, and empty unless set, as in Compose: {}", listed(&unset));
            lines.push(self.notes.about("variables", note));
        }
        if !self.variables.taken.is_empty() {
            let note = format!("defaults copied from .env, which lcm does not read: {}", listed(&self.variables.taken));
            lines.push(self.notes.about("variables", note));
        }
        let root = self.root;
        for entry in root.entries() {
            let known = ["version", "name", "services", "volumes", "networks"].contains(&entry.key.as_str());
            if !known && !entry.key.starts_with("x-") {
                lines.push(
                    self.notes
                        .add(&entry.key, format!("`{}:` has no equivalent in a manifest: not translated", entry.key)),
                );
            }
        }
        for (section, entry) in ["volumes", "networks"].into_iter().flat_map(|section| {
            root.get(section).map(Node::entries).unwrap_or_default().iter().map(move |entry| (section, entry))
        }) {
            let odd: Vec<&str> = entry.value.entries().iter().map(|entry| entry.key.as_str()).collect();
            let odd: Vec<&str> = odd.into_iter().filter(|key| !["name", "external"].contains(key)).collect();
            if !odd.is_empty() {
                let note = format!("`{}` is not translated: create it beforehand with `docker`", odd.join(", "));
                lines.push(self.notes.about(&format!("{section}.{}", entry.key), note));
            }
        }
        lines
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

/// Returns one mode a profile, and one for services without a profile, if there are any.
fn mode_drafts(done: &[TranslatedService]) -> Vec<ModeDraft> {
    let profiles: BTreeSet<&String> = done.iter().flat_map(|one| &one.profiles).collect();
    if profiles.is_empty() {
        return Vec::new();
    }
    let mut names = UniqueNames::of_modes();
    let mut drafts = Vec::new();
    let named = |wanted: &dyn Fn(&TranslatedService) -> bool| -> Vec<String> {
        done.iter().filter(|one| wanted(one)).map(|one| one.name.clone()).collect()
    };
    let plain = named(&|one| one.profiles.is_empty());
    let taken: Vec<String> = profiles.iter().map(|profile| names.give(profile)).collect();
    if !plain.is_empty() {
        drafts.push(ModeDraft {
            name: names.give("default"),
            description: "docker compose up".to_owned(),
            services: plain,
            keeps_others: false,
        });
    }
    for (profile, name) in profiles.into_iter().zip(taken) {
        drafts.push(ModeDraft {
            name,
            description: format!("docker compose --profile {profile} up"),
            services: named(&|one| one.profiles.is_empty() || one.profiles.contains(profile)),
            keeps_others: false,
        });
    }
    drafts
}

/// Returns one mode for each service on a GPU, with all services that need no other GPU.
fn alone(done: &[TranslatedService]) -> Vec<ModeDraft> {
    let goes_with = |other: &TranslatedService, name: &str| {
        let (mut open, mut seen) = (vec![other], BTreeSet::new());
        while let Some(next) = open.pop() {
            if next.name == name || !seen.insert(&next.name) {
                continue;
            }
            if next.on_gpu {
                return false;
            }
            open.extend(done.iter().filter(|one| next.needs.contains(&one.name)));
        }
        true
    };
    let of = |one: &TranslatedService| ModeDraft {
        name: UniqueNames::of_modes().give(&one.name),
        description: format!("{} with the GPU to itself", one.name),
        services: done.iter().filter(|other| goes_with(other, &one.name)).map(|other| other.name.clone()).collect(),
        keeps_others: false,
    };
    done.iter().filter(|one| one.on_gpu).map(of).collect()
}
