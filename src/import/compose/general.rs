//! Notes on the whole project, and its networks.

use std::collections::BTreeSet;

use crate::import::compose::translation::Compose;
use crate::import::compose::values::below;
use crate::import::compose::variables::hidden_names;
use crate::import::writer::{YamlBlock, YamlValue};
use crate::syntax::tree::Node;

/// Sections that are translated, or whose parts are where a service uses them.
const KNOWN: [&str; 7] = ["version", "name", "services", "volumes", "networks", "secrets", "configs"];
/// Settings of a network that lcm has too.
const OF_NETWORKS: [&str; 9] =
    ["name", "external", "driver", "driver_opts", "internal", "attachable", "enable_ipv6", "labels", "ipam"];

impl Compose<'_> {
    /// Notes on the whole project. `services` is the text of all services, `profiles` those that no service has.
    pub(super) fn general(&mut self, services: &str, profiles: &[String]) -> Vec<String> {
        let mut lines = vec![format!(
            "Before the first `lcm apply`: `docker compose --project-name {} down` stops Compose's own containers \
             (their volumes stay, and are named below as the engine knows them).",
            self.project
        )];
        for (subject, note) in std::mem::take(&mut self.load_notes.general) {
            lines.push(self.notes.about(&subject, note));
        }
        self.secrets.extend(hidden_names(services));
        let listed = |names: BTreeSet<&String>| names.into_iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let secrets = listed(self.secrets.iter().collect());
        let required = listed(self.variables.required.difference(&self.secrets).collect());
        let unset = listed(self.variables.unset.difference(&self.secrets).collect());
        let taken = listed(self.variables.taken.iter().collect());
        for (subject, note, names) in [
            ("environment", "set these in lcm's environment; their values are not copied", secrets),
            ("variables", "required, as in Compose: set these in lcm's environment", required),
            ("variables", "without a value, and empty unless set, as in Compose", unset),
            ("variables", "defaults copied from .env, which lcm does not read", taken),
            ("COMPOSE_PROFILES", "no service has these profiles", profiles.join(", ")),
        ] {
            if !names.is_empty() {
                lines.push(self.notes.about(subject, format!("{note}: {names}")));
            }
        }
        let root = self.root;
        for entry in root.entries() {
            if !KNOWN.contains(&entry.key.as_str()) && !entry.key.starts_with("x-") {
                let note = format!("`{}:` has no equivalent in a manifest: not translated", entry.key);
                lines.push(self.notes.add(&entry.key, note));
            }
        }
        for entry in root.get("volumes").map(Node::entries).unwrap_or_default() {
            let odd = keys_beside(&entry.value, &["name", "external"]);
            if !odd.is_empty() {
                let note = format!("`{odd}` is not translated: create it beforehand with `docker`");
                lines.push(self.notes.about(&format!("volumes.{}", entry.key), note));
            }
        }
        for section in ["secrets", "configs"] {
            for entry in root.get(section).map(Node::entries).unwrap_or_default() {
                if below(&entry.value, "file").is_none() {
                    let note = "it is not a file of this machine: not translated";
                    lines.push(self.notes.about(&format!("{section}.{}", entry.key), note));
                }
            }
        }
        lines
    }

    /// Returns the networks that services join, with their settings.
    pub(super) fn defined_networks(&mut self) -> YamlBlock {
        let mut block = YamlBlock::default();
        let root = self.root;
        for name in std::mem::take(&mut self.networks) {
            let subject = format!("networks.{name}");
            let declared = root.get("networks").and_then(|networks| networks.get(&name));
            let mut settings = YamlBlock::default();
            for entry in declared.map(Node::entries).unwrap_or_default() {
                if !OF_NETWORKS.contains(&entry.key.as_str()) {
                    let note = format!("`{}` has no equivalent in a manifest: not translated", entry.key);
                    settings.comment(self.notes.add(&subject, note));
                    continue;
                }
                // An older form: `external: { name: NAME }`.
                if entry.key == "external"
                    && let Some(real) = below(&entry.value, "name")
                {
                    let real = self.variables.adapt(real);
                    settings.put("external", YamlValue::word(true)).put("name", YamlValue::text(real));
                } else if let Some(value) = self.as_written(&subject, &entry.value) {
                    settings.put(&entry.key, value);
                }
            }
            block.put(&name, YamlValue::Map(settings));
        }
        block
    }
}

/// Returns the keys of a map besides those that are known.
pub(super) fn keys_beside(node: &Node, known: &[&str]) -> String {
    let keys = node.entries().iter().map(|entry| entry.key.as_str()).filter(|key| !known.contains(key));
    keys.collect::<Vec<_>>().join(", ")
}
