//! Draft from a llama-swap configuration: each model becomes a process, each group becomes modes. llama-swap is also a
//! proxy (it swaps at the first request, and unloads after a while); lcm is not, and the draft notes so.

mod modes;
mod text;

use crate::import::draft::{self, ImportContext, ManifestDraft, Notes, head};
use crate::import::names::{UniqueNames, valid_name};
use crate::import::secrets::{is_secret, is_secret_value, masked};
use crate::import::writer::{YamlBlock, YamlValue};
use crate::model::reserved_variables::is_overruled;
use crate::syntax::command_line;
use crate::syntax::scalar::is_name;
use crate::syntax::tree::{Node, Value as Read};
use modes::ServiceNames;
use text::{Macros, uncommented};

/// Defaults of llama-swap.
const START_PORT: u16 = 5800;
const HEALTH_TIMEOUT_S: u64 = 120;
const CHECK_ENDPOINT: &str = "/health";

/// Keys that are translated; all others are reported as not translated.
const KNOWN: [&str; 9] = ["cmd", "cmdStop", "proxy", "checkEndpoint", "env", "macros", "ttl", "name", "description"];
const KNOWN_TOP: [&str; 6] = ["models", "groups", "macros", "startPort", "healthCheckTimeout", "hooks"];

/// Translation of one configuration, in progress.
struct Swap<'a> {
    root: &'a Node,
    macros: Macros,
    port: u16,
    timeout_s: u64,
    notes: Notes,
    secrets: Vec<String>,
}

pub(super) fn draft(root: &Node, setting: &ImportContext) -> ManifestDraft {
    let mut swap = Swap {
        root,
        macros: Macros::of(root.get("macros")),
        port: number(root, "startPort").unwrap_or(START_PORT),
        timeout_s: number(root, "healthCheckTimeout").unwrap_or(HEALTH_TIMEOUT_S).max(15),
        notes: Notes::default(),
        secrets: Vec::new(),
    };
    let mut models: Vec<(&str, &Node)> = root
        .get("models")
        .map(Node::entries)
        .unwrap_or_default()
        .iter()
        .map(|entry| (entry.key.as_str(), &entry.value))
        .collect();
    // Ports are assigned in this order.
    models.sort_by_key(|(model, _)| *model);
    let (mut names, mut given) = (UniqueNames::default(), ServiceNames::new());
    let mut services = YamlBlock::default();
    for (model, node) in models {
        services.gap();
        if node.get("cmd").and_then(Node::scalar).is_none_or(|cmd| uncommented(cmd).trim().is_empty()) {
            services.comment(swap.notes.about(model, "it has no cmd: left out"));
            continue;
        }
        let name = names.give(model);
        if swap.service(&mut services, model, &name, node) {
            given.insert(model, name);
        }
    }
    let mut block = head("Translated by `lcm init --from` from a configuration of llama-swap.");
    block.put("version", YamlValue::word(1)).put("name", YamlValue::text(valid_name(&setting.name)));
    let drafts = modes::drafts(root, &given, &mut swap.notes);
    let first = modes::first(root, &given, &drafts);
    if let Some(first) = first {
        block.put("mode", YamlValue::text(first));
    }
    block.gap();
    for line in swap.general() {
        block.comment(line).gap();
    }
    block.put("services", YamlValue::Map(services));
    if !drafts.is_empty() {
        block.gap().put("modes", draft::modes(&drafts));
    }
    ManifestDraft { text: block.document(), notes: swap.notes.all, services: given.len(), proposals: 0 }
}

impl Swap<'_> {
    fn general(&mut self) -> Vec<String> {
        let mut lines = vec![self.notes.about(
            "llama-swap",
            "lcm is no proxy: `lcm switch MODE` starts a model, not the first request, and the model answers at its \
             own port",
        )];
        let root = self.root;
        let left: Vec<&str> =
            root.entries().iter().map(|entry| entry.key.as_str()).filter(|key| !KNOWN_TOP.contains(key)).collect();
        if !left.is_empty() {
            lines.push(
                self.notes
                    .add("llama-swap", format!("no equivalent in a manifest, so not translated: {}", left.join(", "))),
            );
        }
        if !self.secrets.is_empty() {
            self.secrets.sort();
            self.secrets.dedup();
            let note =
                format!("set these in lcm's environment; their values are not copied: {}", self.secrets.join(", "));
            lines.push(self.notes.about("environment", note));
        }
        lines
    }

    /// Returns false where the command can't be read; the model is then a comment.
    fn service(&mut self, services: &mut YamlBlock, model: &str, name: &str, node: &Node) -> bool {
        let mut block = YamlBlock::default();
        self.untranslated(&mut block, model, name, node);
        let own = Macros::of(node.get("macros"));
        let cmd =
            self.macros.fill(&uncommented(node.get("cmd").and_then(Node::scalar).unwrap_or_default()), &own, model);
        let proxy = node.get("proxy").and_then(Node::scalar).unwrap_or("http://localhost:${PORT}");
        let proxy = self.macros.fill(proxy, &own, model);
        let port = (cmd.contains("${PORT}") || proxy.contains("${PORT}")).then(|| {
            let port = self.port;
            self.port = self.port.saturating_add(1);
            port.to_string()
        });
        let ported = |text: &str| text.replace("${PORT}", port.as_deref().unwrap_or_default());
        let Ok(argv) = command_line::split(&ported(&cmd)) else {
            services.comment(self.notes.about(name, "its cmd can't be split into words: left out"));
            return false;
        };
        let mut process = YamlBlock::default();
        self.command(&mut process, name, &argv);
        let gpu = self.environment(&mut process, name, node);
        block.put("process", YamlValue::Map(process));
        self.notes.add(name, "its GPU memory is not known: set `vram:`");
        block.propose("vram", YamlValue::word("??GiB"), Some("on each GPU; without it lcm may start it on a full one"));
        block.put("gpu", gpu);
        self.health(&mut block, name, &ported(&proxy), node);
        if let Some(stop) = node.get("cmdStop").and_then(Node::scalar) {
            self.stop(&mut block, name, &ported(&self.macros.fill(&uncommented(stop), &own, model)));
        }
        services.put(name, YamlValue::Map(block));
        true
    }

    fn untranslated(&mut self, block: &mut YamlBlock, model: &str, name: &str, node: &Node) {
        if let Some(text) =
            node.get("description").or_else(|| node.get("name")).and_then(Node::scalar).filter(|text| !text.is_empty())
        {
            block.put("description", YamlValue::literal(text));
        }
        if model != name {
            block.comment(self.notes.add(name, format!("its name in llama-swap is `{model}`")));
        }
        if let Some(ttl) =
            node.get("ttl").and_then(Node::scalar).filter(|ttl| ttl.parse::<i64>().is_ok_and(|ttl| ttl > 0))
        {
            let note =
                format!("`ttl: {ttl}`: lcm does not stop idle services; switch the mode or run `lcm stop {name}`");
            block.comment(self.notes.add(name, note));
        }
        let left: Vec<&str> =
            node.entries().iter().map(|entry| entry.key.as_str()).filter(|key| !KNOWN.contains(key)).collect();
        if !left.is_empty() {
            let note = format!("settings of the proxy, so not translated: {}", left.join(", "));
            block.comment(self.notes.add(name, note));
        }
    }

    fn command(&mut self, process: &mut YamlBlock, name: &str, argv: &[String]) {
        let (argv, changed) = masked(argv);
        let command = YamlValue::List(argv.iter().map(|word| YamlValue::literal(word)).collect());
        if changed {
            self.notes.add(name, "its cmd contains a secret, which was not copied");
            process.put_with(
                "command",
                command,
                "a secret was removed here: have the program read it from its environment",
            );
        } else {
            process.put("command", command);
        }
        let runs_container =
            ["docker", "podman"].iter().any(|engine| argv.first().is_some_and(|program| program.ends_with(engine)));
        if runs_container {
            let note =
                "it starts a container: use `docker: { image: … }` in place of `process:` so that lcm can measure it";
            process.comment(self.notes.add(name, note));
        }
        if let Some(odd) = argv.iter().find(|word| word.contains("${")) {
            process.comment(self.notes.add(name, format!("the file does not define the macro `{odd}`")));
        }
    }

    /// Translates the environment and returns the GPUs that it selects.
    fn environment(&mut self, process: &mut YamlBlock, name: &str, node: &Node) -> YamlValue {
        let mut gpu = YamlValue::word("auto");
        let mut block = YamlBlock::default();
        let items = match node.get("env").map(|env| &env.value) {
            Some(Read::List(items)) => items.as_slice(),
            Some(Read::Null | Read::Scalar(_) | Read::Map(_)) | None => &[],
        };
        for (variable, value) in items.iter().filter_map(Node::scalar).filter_map(|item| item.split_once('=')) {
            let ids: Vec<&str> = value.split(',').map(str::trim).filter(|id| !id.is_empty()).collect();
            if variable == "CUDA_VISIBLE_DEVICES"
                && ids.iter().all(|id| id.parse::<u32>().is_ok() || id.starts_with("GPU-"))
                && !ids.is_empty()
            {
                gpu = YamlValue::List(
                    ids.iter()
                        .map(|id| if id.starts_with("GPU-") { YamlValue::text(*id) } else { YamlValue::word(id) })
                        .collect(),
                );
            } else if is_overruled(variable) {
                let note = format!("`{variable}` was left out: lcm sets it, and `gpu:` chooses");
                process.comment(self.notes.add(name, note));
            } else if is_secret(variable, value) {
                self.secrets.push(variable.to_owned());
                block.put_with(variable, YamlValue::secret(variable), "its value was not copied");
            } else if let Some(of) =
                value.strip_prefix("${env.").and_then(|rest| rest.strip_suffix('}')).filter(|of| is_name(of))
            {
                self.secrets.push(of.to_owned());
                block.put(variable, YamlValue::secret(of));
            } else {
                block.put(variable, YamlValue::literal(value));
            }
        }
        if block.holds_any() {
            process.put("environment", YamlValue::Map(block));
        }
        process.comment("llama-swap passes its own environment on; lcm does not: list what it needs under `inherit:`.");
        gpu
    }

    fn health(&mut self, block: &mut YamlBlock, name: &str, proxy: &str, node: &Node) {
        let path = node.get("checkEndpoint").and_then(Node::scalar).unwrap_or(CHECK_ENDPOINT);
        if path == "none" {
            block.comment(
                self.notes
                    .add(name, "`checkEndpoint: none`: it counts as healthy while it is alive; write a `health:`"),
            );
            return;
        }
        if !proxy.starts_with("http://") {
            block.comment(
                self.notes.add(name, "its proxy is not plain HTTP, which lcm does not probe: write a `health:`"),
            );
            return;
        }
        if is_secret_value(proxy) {
            block.comment(
                self.notes.add(name, "its proxy contains a password, which was not copied: write a `health:`"),
            );
            return;
        }
        let url = format!("{}/{}", proxy.trim_end_matches('/'), path.trim_start_matches('/'));
        let health = vec![
            ("http".to_owned(), YamlValue::literal(&url)),
            ("timeout".to_owned(), YamlValue::word(format!("{}s", self.timeout_s))),
        ];
        block.put("health", YamlValue::Flow(health));
    }

    fn stop(&mut self, block: &mut YamlBlock, name: &str, line: &str) {
        if line.contains("${PID}") {
            block.comment(
                self.notes.add(name, "`cmdStop` uses its pid, which lcm does not pass: it is stopped by a signal"),
            );
            return;
        }
        match command_line::split(line) {
            Ok(argv) if !argv.is_empty() => {
                let (argv, _) = masked(&argv);
                let exec = YamlValue::List(argv.iter().map(|word| YamlValue::literal(word)).collect());
                block.put("stop", YamlValue::Flow(vec![("exec".to_owned(), exec)]));
            }
            Ok(_) | Err(_) => {
                block.comment(self.notes.add(name, "its cmdStop can't be split into words: left out"));
            }
        }
    }
}

fn number<T: std::str::FromStr>(node: &Node, key: &str) -> Option<T> {
    node.get(key).and_then(Node::scalar)?.parse().ok()
}
