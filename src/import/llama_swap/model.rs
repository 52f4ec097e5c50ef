//! One model of llama-swap as a service: its name, its health and its end; the command is a container's or a process's.

use crate::import::docker_run::{ImportedGpus, engine_call, id_list, is_shell_script};
use crate::import::environment::is_variable_name;
use crate::import::llama_swap::command::ServiceParts;
use crate::import::llama_swap::stop::{self, StopCommand};
use crate::import::llama_swap::text::{MacroList, ModelTexts, scalars};
use crate::import::llama_swap::translation::Swap;
use crate::import::secrets::{is_secret_value, masked, masked_text};
use crate::import::writer::{YamlBlock, YamlValue};
use crate::syntax::command_line;
use crate::syntax::tree::{Node, Value as Read};

/// Default path of llama-swap's health check.
const CHECK_ENDPOINT: &str = "/health";

/// Keys that are translated; all others become a note.
const KNOWN: [&str; 10] =
    ["cmd", "cmdStop", "proxy", "checkEndpoint", "env", "macros", "ttl", "name", "description", "unloadTimeout"];
/// Keys for requests, which llama-swap forwards and lcm does not.
const PROXY_KEYS: [&str; 12] = [
    "aliases",
    "useModelName",
    "filters",
    "unlisted",
    "concurrencyLimit",
    "metadata",
    "capabilities",
    "sendLoadingState",
    "timeouts",
    "compat",
    "healthCheckTimeout",
    "strip_params",
];

/// One model and its service.
pub(super) struct SwapModel<'a> {
    pub(super) id: &'a str,
    /// Name of the service.
    pub(super) name: &'a str,
    pub(super) node: &'a Node,
}

impl SwapModel<'_> {
    /// Returns the text under a key.
    fn text(&self, key: &str) -> Option<&str> {
        self.node.get(key).and_then(Node::scalar)
    }
}

impl Swap {
    /// Adds the model as a service; returns false where it can't be one, and is a comment then.
    pub(super) fn service(&mut self, services: &mut YamlBlock, model: &SwapModel<'_>) -> bool {
        let (own, refused) = MacroList::read(model.node.get("macros"));
        let mut texts = ModelTexts::new(self.macros.merged(&own, model.id));
        let cmd = model.text("cmd").unwrap_or_default();
        let uses_port = texts.has_port(cmd);
        let mut block = YamlBlock::default();
        let parts = self.assign_port(&mut texts, uses_port).and_then(|()| {
            let line = texts.command(cmd);
            if texts.is_too_long {
                return Err("its cmd is longer than 128 KiB once its macros are filled in: left out");
            }
            let words = command_line::split(&line).map_err(|_| "its cmd can't be split into words: left out")?;
            if words.is_empty() {
                return Err("it has no cmd: left out");
            }
            self.about(&mut block, model, &mut texts);
            self.parts(model, &mut texts, &words)
        });
        let parts = match parts {
            Ok(parts) => parts,
            Err(why) => {
                services.comment(self.notes.about(model.name, why));
                return false;
            }
        };
        let (is_container, is_checked) = (parts.is_container, parts.is_checked);
        block.put(parts.key, YamlValue::Map(parts.block));
        self.gpu(&mut block, model.name, &parts.gpus, is_container);
        self.health(&mut block, model, &mut texts, is_checked);
        self.stop(&mut block, model, &mut texts, (parts.stop, is_container));
        self.finish(&mut block, model, &own, &refused, texts);
        services.put(model.name, YamlValue::Map(block));
        true
    }

    /// Assigns the next port to a model whose command uses one, in llama-swap's order.
    fn assign_port(&mut self, texts: &mut ModelTexts, uses_port: bool) -> Result<(), &'static str> {
        if uses_port {
            let port = u16::try_from(self.port);
            self.port = self.port.saturating_add(1);
            texts.port = Some(port.map_err(|_| "no port is left for it: lower `startPort`: left out")?);
        }
        Ok(())
    }

    /// Adds description and name, and notes the keys that only a proxy needs.
    fn about(&mut self, block: &mut YamlBlock, model: &SwapModel<'_>, texts: &mut ModelTexts) {
        let mut filled = |key: &str| {
            let text = masked_text(texts.fill(model.text(key)?).trim());
            (!text.is_empty()).then_some(text)
        };
        match (filled("name"), filled("description")) {
            (Some(name), Some(text)) => block.put("description", YamlValue::text(format!("{name}: {text}"))),
            (Some(text), None) | (None, Some(text)) => block.put("description", YamlValue::text(text)),
            (None, None) => block,
        };
        if model.id != model.name {
            block.comment(self.notes.add(model.name, format!("its name in llama-swap is `{}`", model.id)));
        }
        if let Some(ttl) = self.seconds(block, model, "ttl", texts) {
            let note = format!(
                "`ttl: {ttl}`: lcm unloads no model when it is idle; switch the mode or run `lcm stop {}`",
                model.name
            );
            block.comment(self.notes.add(model.name, note));
        }
        let keys = model.node.entries().iter().map(|entry| entry.key.as_str());
        let (proxy, other): (Vec<&str>, Vec<&str>) =
            keys.filter(|key| !KNOWN.contains(key)).partition(|key| PROXY_KEYS.contains(key));
        if !proxy.is_empty() {
            let note = format!("settings of the proxy, so not translated: {}", proxy.join(", "));
            block.comment(self.notes.add(model.name, note));
        }
        if !other.is_empty() {
            let note = format!("no equivalent in a manifest, so not translated: {}", other.join(", "));
            block.comment(self.notes.add(model.name, note));
        }
    }

    /// Returns the seconds under a key; `None`: the file's setting counts.
    fn seconds(
        &mut self,
        block: &mut YamlBlock,
        model: &SwapModel<'_>,
        key: &'static str,
        texts: &mut ModelTexts,
    ) -> Option<u64> {
        let written = texts.fill(model.text(key)?);
        let Ok(seconds) = written.trim().parse::<i64>() else {
            block.comment(self.notes.add(model.name, format!("`{key}` is not a number: left out")));
            return None;
        };
        u64::try_from(seconds).ok().filter(|seconds| *seconds > 0)
    }

    /// Returns the part of the service that runs: a container for `docker run`, an existing one for `docker start`,
    /// else a process.
    fn parts(
        &mut self,
        model: &SwapModel<'_>,
        texts: &mut ModelTexts,
        words: &[String],
    ) -> Result<ServiceParts, &'static str> {
        let (variables, is_odd) = variables(model.node, texts);
        let mut parts = self.parts_by(model, words, &variables)?;
        if is_odd {
            let note = "an item of `env` is not `NAME=value`: left out";
            parts.block.comment(self.notes.add(model.name, note));
        }
        Ok(parts)
    }

    fn parts_by(
        &mut self,
        model: &SwapModel<'_>,
        words: &[String],
        variables: &[(String, String)],
    ) -> Result<ServiceParts, &'static str> {
        let Some(call) = engine_call(words) else {
            let mut parts = self.process(model.name, words, variables);
            let script = words.last().filter(|_| is_shell_script(words));
            if script.is_some_and(|script| script.contains("docker ") || script.contains("podman ")) {
                let note = "its script starts a container, which lcm can't measure: write `docker: { image: … }` in place \
                            of `process:`";
                parts.block.comment(self.notes.add(model.name, note));
            }
            return Ok(parts);
        };
        match call.subcommand.as_str() {
            "run" => self.container(model.name, &call, variables).ok_or("its `docker run` has no image: left out"),
            "start" => Ok(self.existing(model.name, &call, words, variables)),
            _ => {
                let mut parts = self.process(model.name, words, variables);
                let note = format!(
                    "`{} {}` starts something that is not its own process, so lcm can't measure it: write \
                     `docker: {{ image: … }}` in place of `process:`",
                    call.engine,
                    masked_text(&call.subcommand)
                );
                parts.block.comment(self.notes.add(model.name, note));
                Ok(parts)
            }
        }
    }

    fn gpu(&mut self, block: &mut YamlBlock, name: &str, gpus: &ImportedGpus, is_container: bool) {
        let value = match gpus {
            // A process sees all GPUs, unless it is told otherwise.
            ImportedGpus::All if !is_container => {
                Some((YamlValue::word("auto"), Some("one GPU; without lcm it saw all: write a list for several")))
            }
            ImportedGpus::Unasked if !is_container => {
                block.put_with("gpu", YamlValue::word("none"), "its environment hides all GPUs");
                return;
            }
            ImportedGpus::These(ids) if ids.iter().any(|id| id.parse::<u32>().is_ok()) => {
                Some((id_list(ids), Some("in nvidia-smi's order; CUDA's own may differ")))
            }
            other => other.value(),
        };
        let Some((value, beside)) = value else { return };
        self.notes.add(name, "its GPU memory is not known: set `vram:`");
        block.propose("vram", YamlValue::word("??GiB"), Some("on each GPU; without it lcm may start it on a full one"));
        match beside {
            Some(beside) => block.put_with("gpu", value, beside),
            None => block.put("gpu", value),
        };
    }

    fn health(&mut self, block: &mut YamlBlock, model: &SwapModel<'_>, texts: &mut ModelTexts, is_checked: bool) {
        let written = model.text("proxy").unwrap_or("http://localhost:${PORT}");
        let lacks_port = texts.port.is_none() && texts.has_port(written);
        let path = texts.fill(model.text("checkEndpoint").unwrap_or(CHECK_ENDPOINT));
        let proxy = if lacks_port { String::new() } else { texts.fill(written) };
        let timeout = ("timeout".to_owned(), YamlValue::word(format!("{}s", self.timeout_s)));
        let note = if path == "none" && is_checked {
            let docker = ("docker".to_owned(), YamlValue::word(true));
            block.put_with("health", YamlValue::Flow(vec![docker, timeout]), "by the container's own check");
            return;
        } else if path == "none" {
            "`checkEndpoint: none`: it counts as healthy while it is alive; write a `health:`"
        } else if lacks_port {
            "`proxy` has `${PORT}` and `cmd` has not, which llama-swap refuses: write a `health:`"
        } else if is_secret_value(&proxy) {
            "its proxy contains a password, which was not copied: write a `health:`"
        } else if !proxy.starts_with("http://") && !proxy.starts_with("${") {
            "its proxy is not plain HTTP, which lcm does not probe: write a `health:`"
        } else {
            let url = format!("{}/{}", proxy.trim_end_matches('/'), path.trim_start_matches('/'));
            let http = ("http".to_owned(), YamlValue::text(masked_text(&url)));
            block.put("health", YamlValue::Flow(vec![http, timeout]));
            return;
        };
        block.comment(self.notes.add(model.name, note));
    }

    fn stop(
        &mut self,
        block: &mut YamlBlock,
        model: &SwapModel<'_>,
        texts: &mut ModelTexts,
        (mut stop, is_container): (Vec<(String, YamlValue)>, bool),
    ) {
        if let Some(written) = model.text("cmdStop").filter(|written| !written.trim().is_empty()) {
            let line = texts.command(written);
            texts.undefined.remove("PID");
            match command_line::split(&line).map(|words| stop::read(&words)) {
                Ok(StopCommand::Engine { signal, grace_s }) if is_container => {
                    let note = "`cmdStop` is not needed: lcm stops its container itself";
                    block.comment(self.notes.add(model.name, note));
                    set(&mut stop, "signal", signal.map(YamlValue::text));
                    set(&mut stop, "grace", grace_s.map(|seconds| YamlValue::word(format!("{seconds}s"))));
                }
                Ok(StopCommand::Signal(signal)) => {
                    let note = "`cmdStop` is not needed: lcm signals all of its processes itself";
                    block.comment(self.notes.add(model.name, note));
                    set(&mut stop, "signal", signal.filter(|signal| *signal != "TERM").map(YamlValue::text));
                }
                Ok(StopCommand::WithPid) => {
                    let note = "`cmdStop` uses its pid, which lcm does not pass: it is stopped by a signal";
                    block.comment(self.notes.add(model.name, note));
                }
                Ok(StopCommand::Command(words)) if !words.is_empty() => {
                    self.stop_by(block, model.name, &mut stop, &words);
                }
                Ok(StopCommand::Engine { .. }) => {
                    let words = command_line::split(&line).unwrap_or_default();
                    self.stop_by(block, model.name, &mut stop, &words);
                }
                Ok(StopCommand::Command(_)) | Err(_) => {
                    block.comment(self.notes.add(model.name, "its cmdStop can't be split into words: left out"));
                }
            }
        }
        let unload_s = self.seconds(block, model, "unloadTimeout", texts).or(self.unload_s);
        if !stop.iter().any(|(key, _)| key == "grace") {
            set(&mut stop, "grace", unload_s.map(|seconds| YamlValue::word(format!("{seconds}s"))));
        }
        if !stop.is_empty() {
            block.put("stop", YamlValue::Flow(stop));
        }
    }

    fn stop_by(&mut self, block: &mut YamlBlock, name: &str, stop: &mut Vec<(String, YamlValue)>, words: &[String]) {
        let (words, changed) = masked(words);
        if changed {
            block.comment(self.notes.add(name, "its cmdStop contains a secret, which was not copied"));
        }
        // A service is stopped by a command or by a signal.
        stop.retain(|(key, _)| key != "signal");
        set(stop, "exec", Some(YamlValue::texts(words)));
    }

    /// Notes the macros and variables that the texts of the model have.
    fn finish(
        &mut self,
        block: &mut YamlBlock,
        model: &SwapModel<'_>,
        own: &MacroList,
        refused: &[String],
        texts: ModelTexts,
    ) {
        let mut note = |text: String| {
            block.comment(self.notes.add(model.name, text));
        };
        let named = |names: &mut dyn Iterator<Item = &str>| names.collect::<Vec<_>>().join(", ");
        let undefined = named(&mut texts.undefined.iter().map(String::as_str));
        if !undefined.is_empty() {
            note(format!("macros that the file does not define, or that refer to themselves: {undefined}"));
        }
        let unused = named(&mut own.names().filter(|name| !texts.used.contains(*name)));
        if !unused.is_empty() {
            note(format!("macros of its own that it does not use: {unused}"));
        }
        if !refused.is_empty() {
            note(format!("macros that llama-swap refuses, so not used: {}", refused.join(", ")));
        }
        if !texts.variables.is_empty() {
            let variables = named(&mut texts.variables.iter().map(String::as_str));
            note(format!("taken from lcm's environment instead of llama-swap's: {variables}"));
        }
        if texts.is_too_long {
            note("a text of it is longer than 128 KiB once its macros are filled in: left out".to_owned());
        }
        self.used_macros.extend(texts.used);
    }
}

/// Returns the variables under `env`, in lcm's notation, and true if another item is not `NAME=value`.
fn variables(node: &Node, texts: &mut ModelTexts) -> (Vec<(String, String)>, bool) {
    let items = scalars(node.get("env"));
    let mut is_odd = node.get("env").is_some_and(|env| matches!(env.value, Read::Scalar(_) | Read::Map(_)));
    let mut variables: Vec<(String, String)> = Vec::new();
    for item in items {
        match item.split_once('=').filter(|(name, _)| is_variable_name(name)) {
            Some((name, value)) => {
                // The last of two counts.
                variables.retain(|(other, _)| other != name);
                variables.push((name.to_owned(), texts.fill(value)));
            }
            None => is_odd = true,
        }
    }
    (variables, is_odd)
}

/// Sets a key of `stop:`, in place of an earlier value.
fn set(stop: &mut Vec<(String, YamlValue)>, key: &str, value: Option<YamlValue>) {
    if let Some(value) = value {
        stop.retain(|(other, _)| other != key);
        stop.push((key.to_owned(), value));
    }
}
