//! Draft from a llama-swap configuration: each model becomes a container or a process, groups and matrix become modes.
//! llama-swap is also a proxy (it swaps at the first request, and unloads after a while); lcm is not, and the draft
//! notes so.

mod command;
mod matrix;
mod model;
mod modes;
mod routing;
mod stop;
#[cfg(test)]
mod tests;
mod text;
mod translation;

use crate::import::draft::{ImportContext, ManifestDraft, head};
use crate::import::names::{UniqueNames, valid_name};
use crate::import::writer::{YamlBlock, YamlValue};
use crate::syntax::tree::Node;
use model::SwapModel;
use modes::{ServiceNames, SwapModes};
use text::is_empty_command;
use translation::Swap;

/// Models of a draft, so that the manifest stays below the limit of its reader (100 000 values).
const MODELS_MAX: usize = 1_000;

/// Keys at the top that are translated, or have a note of their own.
const KNOWN_TOP: [&str; 14] = [
    "models",
    "groups",
    "matrix",
    "routing",
    "macros",
    "startPort",
    "healthCheckTimeout",
    "unloadTimeout",
    "globalTTL",
    "hooks",
    "apiKeys",
    "peers",
    "profiles",
    "selectors",
];
/// Keys at the top that set up llama-swap itself.
const SWAP_KEYS: [&str; 14] = [
    "logLevel",
    "logTimeFormat",
    "logToStdout",
    "logRequests",
    "metricsMaxInMemory",
    "captureBuffer",
    "performance",
    "store",
    "ui",
    "upstream",
    "includeAliasesInList",
    "sendLoadingState",
    "scheduling",
    "tls",
];
/// Keys within the sections that are translated.
const KNOWN_WITHIN: [(&[&str], &[&str]); 5] = [
    (&["hooks"], &["on_startup"]),
    (&["hooks", "on_startup"], &["preload"]),
    (&["routing"], &["router"]),
    (&["routing", "router"], &["use", "settings"]),
    (&["routing", "router", "settings"], &["groups", "matrix"]),
];

pub(super) fn draft(root: &Node, setting: &ImportContext) -> ManifestDraft {
    let mut swap = Swap::read(root);
    let entries = root.get("models").map(Node::entries).unwrap_or_default();
    let mut models: Vec<(&str, &Node)> = entries.iter().map(|entry| (entry.key.as_str(), &entry.value)).collect();
    // Ports are assigned in this order.
    models.sort_by_key(|(model, _)| *model);
    let (mut names, mut given) = (UniqueNames::default(), ServiceNames::new());
    let mut services = YamlBlock::default();
    for (id, node) in models.iter().take(MODELS_MAX) {
        services.gap();
        if node.get("cmd").and_then(Node::scalar).is_none_or(is_empty_command) {
            services.comment(swap.notes.about(id, "it has no cmd: left out"));
            continue;
        }
        let name = names.give(id);
        if swap.service(&mut services, &SwapModel { id, name: &name, node }) {
            given.insert(id, name);
        }
    }
    if let Some(more) = models.len().checked_sub(MODELS_MAX).filter(|more| *more > 0) {
        let note = format!("{more} more models were left out: a manifest is limited in size");
        services.gap().comment(swap.notes.about("models", note));
    }
    let mut block = head("Translated by `lcm init --from` from a configuration of llama-swap.");
    block.put("version", YamlValue::word(1)).put("name", YamlValue::text(valid_name(&setting.name)));
    let modes = modes::modes(root, &given, &mut swap.notes);
    if let Some((first, note)) = modes.first(root, &given) {
        match note {
            Some(note) => block.put_with("mode", YamlValue::text(first), swap.notes.add("mode", note)),
            None => block.put("mode", YamlValue::text(first)),
        };
    }
    block.gap();
    for line in swap.general(root) {
        block.comment(line).gap();
    }
    block.put("services", YamlValue::Map(services));
    write_modes(&mut block, &modes);
    ManifestDraft { text: block.document(), notes: swap.notes.all, services: given.len(), proposals: 0 }
}

fn write_modes(block: &mut YamlBlock, modes: &SwapModes) {
    if !modes.modes.is_empty() {
        block.gap().put("modes", modes.value());
        return;
    }
    for comment in &modes.comments {
        block.gap().comment(comment);
    }
}

impl Swap {
    /// Notes on the whole file.
    fn general(&mut self, root: &Node) -> Vec<String> {
        let mut lines = vec![
            self.notes.about(
                "llama-swap",
                "lcm is no proxy: `lcm switch MODE` starts a model, not the first request, and the model answers at its \
                 own port",
            ),
            self.notes.about(
                "folder",
                "llama-swap runs commands in the folder that it was started in; lcm runs them in this file's, or in `cwd:`",
            ),
        ];
        for (about, note) in self.remarks(root) {
            lines.push(self.notes.about(about, note));
        }
        let keys: Vec<&str> = root.entries().iter().map(|entry| entry.key.as_str()).collect();
        let of = |wanted: &dyn Fn(&str) -> bool| -> Vec<String> {
            keys.iter().filter(|key| wanted(key)).map(|key| (*key).to_owned()).collect()
        };
        let own = of(&|key| SWAP_KEYS.contains(&key));
        let mut left = of(&|key| !SWAP_KEYS.contains(&key) && !KNOWN_TOP.contains(&key));
        for (path, known) in KNOWN_WITHIN {
            let section = path.iter().try_fold(root, |node, key| node.get(key));
            let keys = section.map(Node::entries).unwrap_or_default().iter().map(|entry| entry.key.as_str());
            left.extend(keys.filter(|key| !known.contains(key)).map(|key| format!("{}.{key}", path.join("."))));
        }
        if !own.is_empty() {
            let note = format!("settings of llama-swap itself, so not translated: {}", own.join(", "));
            lines.push(self.notes.add("llama-swap", note));
        }
        if !left.is_empty() {
            let note = format!("no equivalent in a manifest, so not translated: {}", left.join(", "));
            lines.push(self.notes.add("llama-swap", note));
        }
        if !self.required.is_empty() {
            let names = self.required.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            let note = format!("set these in lcm's environment; their values are not copied: {names}");
            lines.push(self.notes.about("environment", note));
        }
        lines
    }

    /// Returns notes on single keys at the top.
    fn remarks(&self, root: &Node) -> Vec<(&'static str, String)> {
        let mut remarks = Vec::new();
        if let Some(ttl) = self.idle_s {
            let note =
                format!("`globalTTL: {ttl}`: lcm unloads no model when it is idle; switch the mode or run `lcm stop`");
            remarks.push(("ttl", note));
        }
        let sections = [
            ("apiKeys", "they guard llama-swap; a model at its own port needs a key of its own (`--api-key`)"),
            ("peers", "models on other hosts; lcm runs those of this host"),
            ("profiles", "they rewrite the models of requests, which lcm does not see"),
            ("selectors", "they choose a model for each request, which lcm does not see"),
        ];
        for (key, note) in sections.into_iter().filter(|(key, _)| root.get(key).is_some()) {
            remarks.push((key, format!("not translated: {note}")));
        }
        let unused: Vec<&str> = self.macros.names().filter(|name| !self.used_macros.contains(*name)).collect();
        if !unused.is_empty() {
            remarks.push(("macros", format!("no model uses these: {}", unused.join(", "))));
        }
        if !self.unreadable.is_empty() {
            remarks
                .push(("llama-swap", format!("not a number, so the default counts: {}", self.unreadable.join(", "))));
        }
        if !self.refused.is_empty() {
            let note = format!("llama-swap refuses these, so they are not used: {}", self.refused.join(", "));
            remarks.push(("macros", note));
        }
        remarks
    }
}
