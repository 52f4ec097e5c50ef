//! One service of a Compose file.

use std::collections::BTreeSet;

use crate::import::compose::gpu::{RequestedGpus, requested_gpus};
use crate::import::compose::translation::{Compose, TranslatedService};
use crate::import::compose::values::{below, duration, is_true, listed};
use crate::import::compose::variables::filled;
use crate::import::secrets::{masked, masked_text};
use crate::import::writer::{YamlBlock, YamlValue};
use crate::syntax::command_line;
use crate::syntax::scalar::is_name;
use crate::syntax::tree::{Node, Value as Read};

mod mounts;
mod networks;
mod passed;
mod probe;

/// Keys with a translation of their own; of all others those that a manifest shares are taken over, and the rest is
/// reported as not translated. A key here without a translation below is dropped silently.
const KNOWN: &[&str] = &[
    "image",
    "build",
    "command",
    "entrypoint",
    "environment",
    "env_file",
    "ports",
    "volumes",
    "networks",
    "network_mode",
    "devices",
    "deploy",
    "gpus",
    "runtime",
    "healthcheck",
    "depends_on",
    "shm_size",
    "ipc",
    "ulimits",
    "user",
    "labels",
    "container_name",
    "profiles",
    "restart",
    "extends",
    "pull_policy",
    "stop_grace_period",
    "stop_signal",
    "expose",
    "secrets",
    "configs",
    "links",
];

/// Returns true if the service has an image to run.
pub(super) fn can_run(node: &Node) -> bool {
    let given = |key: &str| node.get(key).is_some_and(|value| !matches!(value.value, Read::Null));
    given("image") || given("build")
}

impl Compose<'_> {
    /// Adds the service to `services`, with the settings that could not be translated as comments above it.
    pub(super) fn service(
        &mut self,
        services: &mut YamlBlock,
        key: &str,
        name: &str,
        node: &Node,
    ) -> TranslatedService {
        let mut block = YamlBlock::default();
        self.untranslated(&mut block, key, name, node);
        let mut docker = YamlBlock::default();
        let lost_name = self.image(&mut docker, key, name, node);
        for part in ["entrypoint", "command"] {
            self.command(&mut docker, name, part, node);
        }
        let requested = requested_gpus(node, &mut self.variables);
        // A service that gets its devices by name is assigned no GPU.
        let gets_gpus = !matches!(requested, RequestedGpus::Nothing | RequestedGpus::Amd);
        self.environment(&mut docker, (name, node), gets_gpus);
        self.env_files(&mut docker, name, node);
        self.ports(&mut docker, name, node);
        self.volumes(&mut docker, name, node);
        self.devices(&mut docker, name, node);
        self.networks(&mut docker, (key, name), node, lost_name);
        self.user_and_ipc(&mut docker, node);
        self.passed(&mut docker, name, node);
        self.ulimits(&mut docker, name, node);
        self.labels(&mut docker, name, node);
        let checked = self.healthcheck(&mut docker, name, node);
        if requested == RequestedGpus::Amd {
            docker.put_with("gpu_access", YamlValue::word("none"), "it gets its devices by name");
        }
        let is_job = self.jobs.contains(key);
        if is_job {
            block.put_with("job", YamlValue::word(true), "another service waits until it has completed");
        }
        block.put("docker", YamlValue::Map(docker));
        self.gpu(&mut block, name, &requested);
        let needs = self.depends_on(&mut block, name, node);
        if !is_job {
            self.health(&mut block, node, checked);
        }
        self.stop(&mut block, name, node);
        services.put(name, YamlValue::Map(block));
        let profiles = listed(node, "profiles").into_iter().map(|profile| filled(&self.variables.adapt(profile)));
        TranslatedService {
            name: name.to_owned(),
            profiles: profiles.collect(),
            on_gpu: requested != RequestedGpus::Nothing,
            needs,
        }
    }

    /// Notes the keys that lcm has no equivalent for.
    fn untranslated(&mut self, block: &mut YamlBlock, key: &str, name: &str, node: &Node) {
        if key != name {
            block.comment(self.notes.add(name, format!("its name in Compose, and on its network, is `{key}`")));
        }
        let mut left: Vec<String> = node
            .entries()
            .iter()
            .map(|entry| entry.key.as_str())
            .filter(|key| !KNOWN.contains(key) && !self.keys.has(key) && !key.starts_with("x-"))
            .map(str::to_owned)
            .collect();
        for (path, known) in [
            ("deploy", &["resources"][..]),
            ("deploy.resources", &["reservations", "limits"]),
            ("deploy.resources.reservations", &["devices"]),
            ("deploy.resources.limits", &[]),
        ] {
            let inner = path.split('.').try_fold(node, |node, key| node.get(key));
            let keys = inner.into_iter().flat_map(Node::entries).map(|entry| entry.key.as_str());
            let is_taken = |key: &str| path.ends_with("limits") && self.takes_limit(key);
            let is_left = |key: &&str| !known.contains(key) && !is_taken(key);
            left.extend(keys.filter(is_left).map(|key| format!("{path}.{key}")));
        }
        if !left.is_empty() {
            let note = format!("no equivalent in a manifest, so not translated: {}", left.join(", "));
            block.comment(self.notes.add(name, note));
        }
        if let Some(policy) = below(node, "restart").filter(|policy| *policy != "no") {
            let policy = policy.split(':').next().unwrap_or_default();
            let policy = if ["always", "on-failure", "unless-stopped"].contains(&policy) { policy } else { "…" };
            let note = if self.jobs.contains(key) {
                format!("`restart: {policy}`: lcm retries a failed job within `recover:`, and never one that completed")
            } else {
                format!("`restart: {policy}`: the next `lcm apply` restarts it, so run that from a timer")
            };
            block.comment(self.notes.add(name, note));
        }
        for note in self.load_notes.services.remove(key).unwrap_or_default() {
            block.comment(self.notes.add(name, note));
        }
        let links = listed(node, "links");
        if !links.is_empty() {
            let note = format!(
                "`links` are not needed, services find each other by name on their network; an alias \
                                after `:` is not translated: {}",
                links.join(", ")
            );
            block.comment(self.notes.add(name, note));
        }
        if node.get("expose").is_some() {
            block.comment(self.notes.add(name, "`expose` is not needed: on one network all ports are open"));
        }
    }

    /// Translates the image and the container's name. Returns a name that another container has: on a network this
    /// one can still be found by it.
    fn image(&mut self, docker: &mut YamlBlock, key: &str, name: &str, node: &Node) -> Option<String> {
        let image = below(node, "image").map(|image| self.variables.adapt(image));
        let built = node.get("build").is_some_and(|build| !matches!(build.value, Read::Null));
        let image = image.filter(|image| !filled(image).trim().is_empty());
        let only_built = image.is_none();
        if let Some(image) = image {
            docker.put("image", YamlValue::text(image));
            if built {
                docker.comment(self.notes.add(name, "`build`: lcm does not build images; run `docker compose build`"));
            }
        } else {
            let image = format!("{}-{key}", self.project);
            let note = format!("`build`: lcm does not build images; `docker compose build {key}` builds {image}");
            docker.put("image", YamlValue::text(image)).comment(self.notes.add(name, note));
        }
        let policy = match below(node, "pull_policy") {
            Some("always") => Some("always"),
            Some("never" | "build") => Some("never"),
            Some("missing" | "if_not_present") => None,
            Some(_) => {
                docker.comment(
                    self.notes.add(name, "its `pull_policy` is not supported: the image is pulled if it is missing"),
                );
                None
            }
            None if only_built => Some("never"),
            None => None,
        };
        if let Some(policy) = policy {
            docker.put("pull_policy", YamlValue::word(policy));
        }
        self.container_name(docker, name, node)
    }

    fn container_name(&mut self, docker: &mut YamlBlock, name: &str, node: &Node) -> Option<String> {
        let adapted = self.variables.adapt(below(node, "container_name")?);
        let valid = filled(&adapted);
        if !self.containers.insert(valid.clone()) {
            let note = format!(
                "another service has the `container_name` {valid} too, so lcm names this container itself; on its \
                 networks it keeps that name"
            );
            docker.comment(self.notes.add(name, note));
            return Some(valid);
        }
        if is_name(&valid) && valid.len() > 1 {
            docker.put("container_name", YamlValue::text(adapted));
        } else {
            let note = "its `container_name` is not valid for lcm, which names the container itself";
            docker.comment(self.notes.add(name, note));
        }
        None
    }

    /// Translates `command` or `entrypoint`, without secrets.
    fn command(&mut self, docker: &mut YamlBlock, name: &str, part: &str, node: &Node) {
        let Some(written) = node.get(part) else { return };
        let left_out = "a secret was removed here: have the program read it from its environment";
        match &written.value {
            Read::Null => {}
            Read::List(items) if !items.is_empty() => {
                let words: Vec<String> =
                    items.iter().filter_map(Node::scalar).map(|word| self.variables.adapt(word)).collect();
                let (words, changed) = masked(&words);
                self.put_command(docker, name, part, (YamlValue::texts(words), changed), left_out);
            }
            Read::Scalar(line) if !line.text.trim().is_empty() => {
                let line = self.variables.adapt(line.text.trim());
                if command_line::split(&filled(&line)).is_err() {
                    docker.comment(self.notes.add(name, format!("its `{part}` can't be split into words: left out")));
                    return;
                }
                let clean = masked_text(&line);
                let changed = clean != line;
                self.put_command(docker, name, part, (YamlValue::text(clean), changed), left_out);
            }
            Read::Scalar(_) | Read::List(_) | Read::Map(_) => {
                docker
                    .comment(self.notes.add(name, format!("an empty `{part}` clears the image's, which lcm can't do")));
            }
        }
    }

    fn put_command(
        &mut self,
        docker: &mut YamlBlock,
        name: &str,
        part: &str,
        command: (YamlValue, bool),
        left_out: &str,
    ) {
        let (command, changed) = command;
        if changed {
            self.notes.add(name, format!("its `{part}` contains a secret, which was not copied"));
            docker.put_with(part, command, left_out);
        } else {
            docker.put(part, command);
        }
    }

    fn user_and_ipc(&mut self, docker: &mut YamlBlock, node: &Node) {
        for key in ["user", "ipc"] {
            if let Some(text) = below(node, key) {
                let adapted = self.variables.adapt(text);
                docker.put(key, YamlValue::text(adapted));
            }
        }
    }

    fn ulimits(&mut self, docker: &mut YamlBlock, name: &str, node: &Node) {
        let mut ulimits = YamlBlock::default();
        for limit in node.get("ulimits").map(Node::entries).unwrap_or_default() {
            let number = |node: &Node| Some(node.scalar()?.parse::<i64>().ok()?.to_string());
            let pair = (limit.value.get("soft").and_then(number), limit.value.get("hard").and_then(number));
            match (number(&limit.value), pair) {
                (Some(both), _) => {
                    ulimits.put(&limit.key, YamlValue::word(both));
                }
                (None, (Some(soft), Some(hard))) => {
                    let pair =
                        vec![("soft".to_owned(), YamlValue::word(soft)), ("hard".to_owned(), YamlValue::word(hard))];
                    ulimits.put(&limit.key, YamlValue::Flow(pair));
                }
                (None, _) => {
                    docker
                        .comment(self.notes.add(name, format!("ulimits.{} is not a valid limit: left out", limit.key)));
                }
            }
        }
        if ulimits.holds_any() {
            docker.put("ulimits", YamlValue::Map(ulimits));
        }
    }

    fn gpu(&mut self, block: &mut YamlBlock, name: &str, requested: &RequestedGpus) {
        let value = match requested {
            RequestedGpus::Nothing => return,
            RequestedGpus::One { .. } | RequestedGpus::Amd => YamlValue::word("auto"),
            RequestedGpus::Count(count) => YamlValue::Flow(vec![("count".to_owned(), YamlValue::word(count))]),
            RequestedGpus::These(ids) => YamlValue::texts(ids).ids(),
        };
        let note = "its GPU memory is not known: set `vram:`, or lcm may start it on a full GPU";
        self.notes.add(name, note);
        block.propose("vram", YamlValue::word("??GiB"), Some("on each GPU; without it lcm may start it on a full one"));
        if *requested == (RequestedGpus::One { all: true }) {
            block.put_with("gpu", value, "Compose gave it all GPUs; write a list for several");
        } else {
            block.put("gpu", value);
        }
    }

    fn depends_on(&mut self, block: &mut YamlBlock, name: &str, node: &Node) -> BTreeSet<String> {
        let Some(written) = node.get("depends_on") else { return BTreeSet::new() };
        for entry in written.entries().iter().filter(|entry| below(&entry.value, "required") == Some("false")) {
            let note = format!("Compose starts it without `{}` too (`required: false`); lcm does not", entry.key);
            block.comment(self.notes.add(name, note));
        }
        let entries: Vec<(&str, Option<&str>, bool)> = match &written.value {
            Read::Map(entries) => entries
                .iter()
                .map(|entry| (entry.key.as_str(), below(&entry.value, "condition"), is_true(&entry.value, "restart")))
                .collect(),
            Read::List(items) => items.iter().filter_map(Node::scalar).map(|of| (of, None, false)).collect(),
            Read::Null | Read::Scalar(_) => Vec::new(),
        };
        let (mut map, mut seen) = (YamlBlock::default(), BTreeSet::new());
        for (of, condition, restart) in entries {
            let Some(of_name) = self.names.get(of).cloned() else {
                block.comment(self.notes.add(name, format!("it depends on `{of}`, which is not in this file")));
                continue;
            };
            if !seen.insert(of_name.clone()) {
                continue;
            }
            // In Compose a list means started, in lcm healthy.
            let conditions = ["service_healthy", "service_completed_successfully"];
            let condition = condition.filter(|condition| conditions.contains(condition)).unwrap_or("service_started");
            let mut dependency = vec![("condition".to_owned(), YamlValue::word(condition))];
            if restart {
                dependency.push(("restart".to_owned(), YamlValue::word(true)));
            }
            map.put(&of_name, YamlValue::Flow(dependency));
        }
        if map.holds_any() {
            block.put("depends_on", YamlValue::Map(map));
        }
        seen
    }

    fn stop(&mut self, block: &mut YamlBlock, name: &str, node: &Node) {
        let mut stop = Vec::new();
        if let Some(grace) = below(node, "stop_grace_period") {
            match duration(&filled(&self.variables.adapt(grace))) {
                Some(grace) => stop.push(("grace".to_owned(), YamlValue::word(grace))),
                None => {
                    block.comment(self.notes.add(name, "its `stop_grace_period` can't be read: left out"));
                }
            }
        }
        if let Some(signal) = below(node, "stop_signal") {
            let bare = signal.strip_prefix("SIG").unwrap_or(signal).to_owned();
            if crate::model::signal::stopping().any(|known| known == bare) {
                stop.push(("signal".to_owned(), YamlValue::text(bare)));
            } else {
                block.comment(self.notes.add(name, "its `stop_signal` is not supported by lcm: left out"));
            }
        }
        if !stop.is_empty() {
            block.put("stop", YamlValue::Flow(stop));
        }
    }
}

impl YamlValue {
    /// Returns the same with indices as numbers.
    fn ids(self) -> Self {
        match self {
            Self::List(ids) => Self::List(ids.into_iter().map(Self::ids).collect()),
            Self::Text(id) if id.parse::<u32>().is_ok() => Self::Word(id),
            other @ (Self::Text(_) | Self::Word(_) | Self::Flow(_) | Self::Map(_) | Self::Items(_)) => other,
        }
    }
}
