//! Environment and env files of a service, without any secret's value.

use crate::import::compose::translation::Compose;
use crate::import::compose::values::rebased;
use crate::import::secrets::{LEFT_OUT, is_secret, is_secret_name};
use crate::import::writer::{YamlBlock, YamlValue};
use crate::model::reserved_variables::is_overruled;
use crate::syntax::interpolate::{closing_brace, name_at};
use crate::syntax::tree::{MapEntry, Node, Value as Read};

/// Variable that selects GPUs; read with the GPU settings.
pub(super) const GPU_VARIABLE: &str = "NVIDIA_VISIBLE_DEVICES";

/// Returns names and values, from either form; a variable without a value comes from lcm's environment.
pub(super) fn pairs(node: &Node) -> Vec<(String, Option<String>)> {
    match &node.value {
        Read::Map(entries) => {
            entries.iter().map(|MapEntry { key, value, .. }| (key.clone(), value.scalar().map(str::to_owned))).collect()
        }
        Read::List(items) => items
            .iter()
            .filter_map(Node::scalar)
            .map(|item| match item.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (item.to_owned(), None),
            })
            .collect(),
        Read::Null | Read::Scalar(_) => Vec::new(),
    }
}

impl Compose<'_> {
    pub(super) fn environment(&mut self, docker: &mut YamlBlock, (service, node): (&str, &Node), gets_gpus: bool) {
        let mut block = YamlBlock::default();
        // In a list the later of two entries counts.
        let mut pairs = node.get("environment").map(pairs).unwrap_or_default();
        let names: Vec<String> = pairs.iter().map(|(name, _)| name.clone()).collect();
        let mut position = 0;
        pairs.retain(|(name, _)| {
            position += 1;
            !names[position..].contains(name)
        });
        for (name, value) in pairs.into_iter().filter(|(name, _)| is_variable(name) && name != GPU_VARIABLE) {
            if gets_gpus && is_overruled(&name) {
                docker.comment(
                    self.notes.add(service, format!("`{name}` was left out: lcm sets it, and `gpu:` chooses")),
                );
                continue;
            }
            match value {
                // Compose takes it from outside, where it may be missing.
                None if self.variables.is_set(&name) => self.variable(&mut block, &name, &format!("${{{name}}}")),
                None => {
                    let adapted = self.variables.adapt(&format!("${{{name}}}"));
                    block.put_with(&name, YamlValue::text(adapted), "empty if unset, where Compose leaves it out");
                }
                Some(value) => self.variable(&mut block, &name, &value),
            }
        }
        if block.holds_any() {
            docker.put("environment", YamlValue::Map(block));
        }
    }

    fn variable(&mut self, block: &mut YamlBlock, name: &str, value: &str) {
        if let Some((of, operator, argument)) = whole_variable(value)
            && (is_secret_name(name) || is_secret_name(of))
        {
            let default_is_one = operator == "-" && (is_secret(name, argument) || is_secret(of, argument));
            if self.variables.is_set(of) || operator == "?" {
                self.secrets.insert(of.to_owned());
                block.put(name, YamlValue::secret(of));
            } else if default_is_one {
                self.secrets.insert(of.to_owned());
                block.put_with(name, YamlValue::secret(of), "its default was not copied");
            } else {
                let adapted = self.variables.adapt(value);
                block.put(name, YamlValue::text(adapted));
            }
        } else if is_secret(name, value) {
            self.secrets.insert(name.to_owned());
            block.put_with(name, YamlValue::secret(name), "its value was not copied");
        } else {
            let adapted = self.variables.adapt(value);
            block.put(name, YamlValue::text(adapted));
        }
    }

    pub(super) fn env_files(&mut self, docker: &mut YamlBlock, name: &str, node: &Node) {
        let Some(written) = node.get("env_file") else { return };
        let entries: Vec<&Node> = match &written.value {
            Read::List(items) => items.iter().collect(),
            Read::Scalar(_) => vec![written],
            Read::Null | Read::Map(_) => Vec::new(),
        };
        let mut paths = Vec::new();
        for entry in entries {
            let path = entry.scalar().or_else(|| entry.get("path").and_then(Node::scalar));
            if let Some(path) = path {
                let adapted = self.variables.adapt(path);
                paths.push(rebased(&adapted, self.base));
            }
            if let Some(format) = entry.get("format").and_then(Node::scalar) {
                let note = format!("lcm reads an env file by Compose's own rules, not in the format `{format}`");
                docker.comment(self.notes.add(name, note));
            }
            if entry.get("required").and_then(Node::scalar) == Some("false") {
                let note = "Compose treats an env file as optional; lcm starts the service only if all of them exist";
                docker.comment(self.notes.add(name, note));
            }
        }
        if !paths.is_empty() {
            docker.put("env_file", YamlValue::texts(paths));
        }
    }

    /// Translates labels. Labels may hold secrets too, and can't refer to one.
    pub(super) fn labels(&mut self, docker: &mut YamlBlock, name: &str, node: &Node) {
        let mut block = YamlBlock::default();
        for (label, value) in node.get("labels").map(pairs).unwrap_or_default() {
            let value = value.unwrap_or_default();
            if label.starts_with("lcm.") || label.starts_with("com.docker.compose.") {
                docker.comment(self.notes.add(name, format!("the label `{label}` is reserved by its tool: left out")));
            } else if is_secret(&label, &value) {
                self.notes.add(name, format!("the label `{label}` looks like a secret: its value was not copied"));
                block.put_with(&label, YamlValue::text(LEFT_OUT), "its value was not copied");
            } else {
                let adapted = self.variables.adapt(&value);
                block.put(&label, YamlValue::text(adapted));
            }
        }
        if block.holds_any() {
            docker.put("labels", YamlValue::Map(block));
        }
    }
}

/// Returns false for a name that no environment can hold.
fn is_variable(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0']) && !name.contains(char::is_whitespace)
}

/// Splits a value that is one variable and nothing else into its name, operator without a colon, and argument.
fn whole_variable(value: &str) -> Option<(&str, &str, &str)> {
    let rest = value.strip_prefix('$')?;
    let Some(inner) = rest.strip_prefix('{') else {
        let name = name_at(rest);
        return (!name.is_empty() && name.len() == rest.len()).then_some((name, "", ""));
    };
    let inner = closing_brace(inner).filter(|end| end + 1 == inner.len()).map(|end| &inner[..end])?;
    let name = name_at(inner);
    let bare = inner[name.len()..].trim_start_matches(':');
    let argument = bare.strip_prefix(['-', '?']);
    let whole = !name.is_empty() && (bare.is_empty() || argument.is_some());
    whole.then(|| (name, &bare[..bare.len().min(1)], argument.unwrap_or_default()))
}
