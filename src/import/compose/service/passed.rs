//! Keys that a manifest takes over with Compose's meaning, and those that it has under another name.

use crate::import::compose::service::KNOWN;
use crate::import::compose::translation::Compose;
use crate::import::compose::values::{self, below};
use crate::import::compose::variables::filled;
use crate::import::secrets::{LEFT_OUT, is_secret, masked_text};
use crate::import::writer::{YamlBlock, YamlValue};
use crate::syntax::tree::{Node, ScalarKind, Value as Read};

/// Keys whose values are sizes: in Compose bytes, or a number with a unit of its own.
const SIZES: [&str; 3] = ["shm_size", "mem_reservation", "memswap_limit"];
impl Compose<'_> {
    /// Translates the keys that both have with one meaning, as far as they have no translation of their own.
    pub(super) fn passed(&mut self, docker: &mut YamlBlock, name: &str, node: &Node) {
        for entry in node.entries() {
            let key = entry.key.as_str();
            if (!KNOWN.contains(&key) && self.keys.has(key)) || key == "shm_size" {
                self.pass(docker, name, key, &entry.value);
            }
        }
    }

    fn pass(&mut self, docker: &mut YamlBlock, name: &str, key: &str, value: &Node) {
        if let Some(text) = value.scalar().filter(|_| SIZES.contains(&key)) {
            match values::size(&filled(&self.variables.adapt(text))) {
                Some(size) => docker.put(key, YamlValue::word(size)),
                None => docker.comment(self.notes.add(name, format!("its `{key}` is not a valid size: left out"))),
            };
            return;
        }
        if let Some(given) = self.as_written(name, value) {
            docker.put(key, given);
        }
    }

    /// Returns a value as it is written, without secrets; `None`: it is null.
    pub(in crate::import::compose) fn as_written(&mut self, subject: &str, node: &Node) -> Option<YamlValue> {
        Some(match &node.value {
            Read::Null => return None,
            Read::Scalar(scalar) if scalar.kind == ScalarKind::String => {
                let adapted = self.variables.adapt(&scalar.text);
                let clean = masked_text(&adapted);
                if clean != adapted && clean.contains(LEFT_OUT) {
                    self.notes.add(subject, "one of its values looks like a secret, which was not copied");
                }
                YamlValue::text(clean)
            }
            Read::Scalar(scalar) => YamlValue::word(&scalar.text),
            Read::List(items) => {
                YamlValue::List(items.iter().filter_map(|item| self.as_written(subject, item)).collect())
            }
            Read::Map(entries) => {
                let mut block = YamlBlock::default();
                for entry in entries {
                    if entry.value.scalar().is_some_and(|text| is_secret(&entry.key, text)) {
                        let note = format!("`{}` looks like a secret: its value was not copied", entry.key);
                        self.notes.add(subject, note);
                        block.put_with(&entry.key, YamlValue::text(LEFT_OUT), "its value was not copied");
                    } else if let Some(value) = self.as_written(subject, &entry.value) {
                        block.put(&entry.key, value);
                    }
                }
                YamlValue::Map(block)
            }
        })
    }

    /// Returns the mounts of the service's `secrets` and `configs`, which Compose makes of files.
    pub(super) fn mounted_files(&mut self, docker: &mut YamlBlock, name: &str, node: &Node) -> Vec<String> {
        let mut mounts = Vec::new();
        for (section, folder) in [("secrets", "/run/secrets/"), ("configs", "/")] {
            let Some(Read::List(items)) = node.get(section).map(|node| &node.value) else { continue };
            for item in items {
                let Some(source) = item.scalar().or_else(|| below(item, "source")) else { continue };
                let target = below(item, "target").unwrap_or(source);
                let target = if target.starts_with('/') { target.to_owned() } else { format!("{folder}{target}") };
                let target = self.variables.adapt(&target);
                let declared = self.root.get(section).and_then(|all| all.get(source));
                let Some(file) = declared.and_then(|declared| below(declared, "file")).map(str::to_owned) else {
                    let note = format!("`{source}` of its `{section}` is not a file of this machine: not mounted");
                    docker.comment(self.notes.add(name, note));
                    continue;
                };
                for key in ["uid", "gid", "mode"].into_iter().filter(|key| item.get(key).is_some()) {
                    let note = format!("`{key}` of {target} is not translated: the file's own counts, as in Compose");
                    docker.comment(self.notes.add(name, note));
                }
                let path = self.variables.adapt(&file);
                let path = values::rebased(&path, self.base);
                let path = if path.starts_with(['/', '.', '~', '$']) { path } else { format!("./{path}") };
                mounts.push(format!("{path}:{target}:ro"));
            }
        }
        mounts
    }
}
