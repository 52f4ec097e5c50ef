//! Command of a model, as the part of a service that runs: a container of lcm's own, an existing one, or a process.

use crate::import::docker_run::{ContainerScope, EngineCall, ImportedGpus, translate};
use crate::import::environment::put_variable;
use crate::import::llama_swap::translation::Swap;
use crate::import::secrets::{masked, masked_text};
use crate::import::writer::{YamlBlock, YamlValue};
use crate::model::reserved_variables::{is_overruled, names_gpus};
use crate::syntax::scalar::is_name;

/// Variables of the engine's command line that choose another engine.
const ENGINE_VARIABLES: [&str; 3] = ["DOCKER_HOST", "DOCKER_CONTEXT", "CONTAINER_HOST"];

/// Part of a service that runs, and settings beside it.
pub(super) struct ServiceParts {
    /// Key of the block.
    pub(super) key: &'static str,
    pub(super) block: YamlBlock,
    pub(super) gpus: ImportedGpus,
    /// Entries of `stop:`.
    pub(super) stop: Vec<(String, YamlValue)>,
    pub(super) is_container: bool,
    /// True if the container has a health check of its own.
    pub(super) is_checked: bool,
}

impl Swap {
    /// Translates a command that runs as it is.
    pub(super) fn process(&mut self, name: &str, words: &[String], variables: &[(String, String)]) -> ServiceParts {
        let mut block = YamlBlock::default();
        let (clean, changed) = masked(words);
        if changed {
            self.notes.add(name, "its cmd contains a secret, which was not copied");
            let beside = "a secret was removed here: have the program read it from its environment";
            block.put_with("command", YamlValue::texts(clean), beside);
        } else {
            block.put("command", YamlValue::texts(clean));
        }
        let sets_gpus = |word: &&String| names_gpus(word.split('=').next().unwrap_or_default()) && word.contains('=');
        if let Some(word) = words.iter().find(sets_gpus) {
            let variable = word.split('=').next().unwrap_or_default();
            let note = format!("its command sets `{variable}` over lcm's choice: remove that, and write `gpu:`");
            block.comment(self.notes.add(name, note));
        }
        let gpus = self.environment(&mut block, name, variables);
        block.comment("llama-swap passes its own environment on; lcm does not: list what it needs under `inherit:`.");
        ServiceParts { key: "process", block, gpus, stop: Vec::new(), is_container: false, is_checked: false }
    }

    /// Translates the environment of a process and returns the GPUs that it selects.
    fn environment(&mut self, process: &mut YamlBlock, name: &str, variables: &[(String, String)]) -> ImportedGpus {
        let mut gpus = None;
        let mut block = YamlBlock::default();
        for (variable, value) in variables {
            let chosen = ImportedGpus::of_variable(value).filter(|_| names_gpus(variable));
            if let (Some(chosen), None) = (chosen, &gpus) {
                gpus = Some(chosen);
            } else if is_overruled(variable) {
                let note = format!("`{variable}` was left out: lcm sets it, and `gpu:` chooses");
                process.comment(self.notes.add(name, note));
            } else {
                put_variable(&mut block, &mut self.required, (variable, Some(value)));
            }
        }
        if block.holds_any() {
            process.put("environment", YamlValue::Map(block));
        }
        gpus.unwrap_or(ImportedGpus::All)
    }

    /// Translates `docker run`; `None`: it has no image.
    pub(super) fn container(
        &mut self,
        name: &str,
        call: &EngineCall,
        variables: &[(String, String)],
    ) -> Option<ServiceParts> {
        let mut scope =
            ContainerScope { environment: variables, required: &mut self.required, containers: &mut self.containers };
        let draft = translate(&call.arguments, &mut scope)?;
        let mut block = draft.docker;
        for remark in draft.remarks {
            block.comment(self.notes.add(name, remark));
        }
        let left: Vec<&str> = variables
            .iter()
            .map(|(variable, _)| variable.as_str())
            .filter(|variable| !draft.passed.contains(*variable) && !ENGINE_VARIABLES.contains(variable))
            .collect();
        if !left.is_empty() {
            let note =
                format!("`env` is for the command, not for the container, so not translated: {}", left.join(", "));
            block.comment(self.notes.add(name, note));
        }
        self.on_engine(&mut block, name, call, variables);
        let gpus = draft.gpus;
        Some(ServiceParts {
            key: "docker",
            block,
            gpus,
            stop: draft.stop,
            is_container: true,
            is_checked: draft.is_checked,
        })
    }

    /// Translates `docker start NAME`, which starts a container that exists; several names stay a process.
    pub(super) fn existing(
        &mut self,
        name: &str,
        call: &EngineCall,
        words: &[String],
        variables: &[(String, String)],
    ) -> ServiceParts {
        let names: Vec<&String> = call.arguments.iter().filter(|word| !word.starts_with('-')).collect();
        let [container] = names[..] else { return self.process(name, words, variables) };
        if !is_name(container) || container.len() < 2 {
            return self.process(name, words, variables);
        }
        let mut block = YamlBlock::default();
        block.put("container", YamlValue::text(container));
        block
            .comment(self.notes.add(name, "`docker start`: lcm starts and stops this container, and never creates it"));
        if !variables.is_empty() {
            block.comment(self.notes.add(name, "`env` is for the command, not for the container, so not translated"));
        }
        self.on_engine(&mut block, name, call, variables);
        self.containers.insert(container.clone());
        let gpus = ImportedGpus::ByDevice;
        ServiceParts { key: "docker", block, gpus, stop: Vec::new(), is_container: true, is_checked: false }
    }

    /// Notes how the command reaches its engine.
    fn on_engine(&mut self, block: &mut YamlBlock, name: &str, call: &EngineCall, variables: &[(String, String)]) {
        if call.engine == "podman" {
            let note = "it is written for Podman, and lcm runs it by the engine's API: for Podman's own, run `systemctl \
                        --user enable --now podman.socket` and set DOCKER_HOST to its socket";
            block.comment(self.notes.add(name, note));
        }
        let chosen = variables.iter().map(|(variable, _)| variable.as_str());
        let mut chosen: Vec<&str> = chosen.filter(|variable| ENGINE_VARIABLES.contains(variable)).collect();
        chosen.extend(call.flags.iter().map(String::as_str));
        if !chosen.is_empty() {
            let note = format!(
                "{} may choose another engine: lcm uses the local one, or `docker: {{ host: … }}` at the top",
                masked_text(&chosen.join(", "))
            );
            block.comment(self.notes.add(name, note));
        }
        if call.by_sudo {
            block.comment(self.notes.add(name, "`sudo`: lcm uses the engine's API as the user that runs it"));
        }
    }
}
