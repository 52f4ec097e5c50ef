//! Settings of a container, gathered from flags: each under its key, if the manifest has that key.

use std::collections::BTreeMap;

use crate::import::compose::values::size;
use crate::import::docker_run::flags::{FlagUse, RunFlag};
use crate::import::secrets::masked_text;
use crate::import::writer::{YamlBlock, YamlValue};
use crate::runtime::docker::wire::{KEYS, SHARED_KEYS};

/// Keys in the order in which a block has them; others follow.
const ORDER: [&str; 12] = [
    "image",
    "pull_policy",
    "container_name",
    "entrypoint",
    "command",
    "environment",
    "env_file",
    "ports",
    "volumes",
    "networks",
    "user",
    "shm_size",
];

/// Settings by key, and what the manifest has no key for.
#[derive(Debug, Default)]
pub(super) struct FlagSettings {
    values: BTreeMap<&'static str, (YamlValue, Option<&'static str>)>,
    lists: BTreeMap<&'static str, Vec<YamlValue>>,
    maps: BTreeMap<&'static str, YamlBlock>,
    /// Comments for the block, each of which is a note too.
    pub(super) comments: Vec<String>,
    /// Flags without an effect on a container that lcm runs.
    needless: Vec<String>,
    /// Flags that the manifest has no key for.
    untranslated: Vec<String>,
}

/// Returns true if a manifest has this key for containers.
fn has_key(key: &str) -> bool {
    KEYS.contains(&key) || SHARED_KEYS.contains(&key)
}

/// Returns a flag as users write it.
pub(super) fn written(flag: &RunFlag) -> String {
    flag.short.map_or_else(|| format!("--{}", flag.long), |letter| format!("-{letter}"))
}

impl FlagSettings {
    /// Takes a flag whose value stands under one key. Returns false for flags with a translation of their own.
    pub(super) fn flag(&mut self, flag: &RunFlag, value: &str) -> bool {
        match flag.used {
            FlagUse::Text(key) => self.keep(flag, key, YamlValue::text(masked_text(value))),
            FlagUse::List(key) => self.keep_item(flag, key, YamlValue::text(masked_text(value))),
            FlagUse::Switch(key) if value == "true" => self.keep(flag, key, YamlValue::word(true)),
            // The default of each switch.
            FlagUse::Switch(_) => {}
            FlagUse::Size(key) => match size(value) {
                Some(size) => self.keep(flag, key, YamlValue::word(size)),
                None if value.contains("${") => self.keep(flag, key, YamlValue::text(value)),
                None => self.unreadable(flag),
            },
            FlagUse::Number(key) => match value.parse::<f64>() {
                Ok(number) if number.is_finite() => {
                    self.keep(flag, key, YamlValue::word(value.trim_start_matches('+')));
                }
                Ok(_) | Err(_) if value.contains("${") => self.keep(flag, key, YamlValue::text(value)),
                Ok(_) | Err(_) => self.unreadable(flag),
            },
            FlagUse::Needless => self.needless(flag),
            FlagUse::Untranslated => self.untranslated(flag),
            FlagUse::Special(_) => return false,
        }
        true
    }

    /// Sets a key; the last of several flags counts, as for Docker.
    pub(super) fn keep(&mut self, flag: &RunFlag, key: &'static str, value: YamlValue) {
        if has_key(key) {
            self.values.insert(key, (value, None));
        } else {
            self.untranslated(flag);
        }
    }

    /// Sets a key that no flag stands for.
    pub(super) fn put(&mut self, key: &'static str, value: YamlValue, beside: Option<&'static str>) {
        self.values.insert(key, (value, beside));
    }

    /// Adds an item under a key.
    pub(super) fn keep_item(&mut self, flag: &RunFlag, key: &'static str, value: YamlValue) {
        if has_key(key) {
            self.lists.entry(key).or_default().push(value);
        } else {
            self.untranslated(flag);
        }
    }

    /// Sets one name under a key; the last of several flags counts.
    pub(super) fn keep_entry(&mut self, flag: &RunFlag, key: &'static str, (name, value): (&str, YamlValue)) {
        if has_key(key) {
            let map = self.maps.entry(key).or_default();
            map.remove(name);
            map.put(name, value);
        } else {
            self.untranslated(flag);
        }
    }

    /// Adds to a map, as lines of their own.
    pub(super) fn map(&mut self, key: &'static str, block: YamlBlock) {
        if block.holds_any() {
            self.maps.insert(key, block);
        }
    }

    pub(super) fn needless(&mut self, flag: &RunFlag) {
        once(&mut self.needless, written(flag));
    }

    pub(super) fn untranslated(&mut self, flag: &RunFlag) {
        once(&mut self.untranslated, written(flag));
    }

    /// Notes a value that can't be read. Values may be secrets, so only the flag is named.
    pub(super) fn unreadable(&mut self, flag: &RunFlag) {
        self.comments.push(format!("the value of `{}` can't be read: left out", written(flag)));
    }

    /// Returns the comments: first on single flags, then the flags without an equivalent.
    pub(super) fn remarks(&mut self) -> Vec<String> {
        let mut remarks = std::mem::take(&mut self.comments);
        if !self.untranslated.is_empty() {
            let flags = self.untranslated.join(", ");
            remarks.push(format!("flags of `docker run` without a key in a manifest, so not translated: {flags}"));
        }
        if !self.needless.is_empty() {
            let flags = self.needless.join(", ");
            remarks.push(format!(
                "without an effect here: {flags} (lcm runs the container in the background, with no terminal and no \
                 input)"
            ));
        }
        remarks
    }

    /// Returns the block of the manifest.
    pub(super) fn block(self) -> YamlBlock {
        let Self { mut values, lists, maps, .. } = self;
        for (key, items) in lists {
            values.insert(key, (YamlValue::List(items), None));
        }
        for (key, map) in maps {
            values.insert(key, (YamlValue::Map(map), None));
        }
        let mut block = YamlBlock::default();
        let first: Vec<_> = ORDER.iter().filter_map(|key| Some((*key, values.remove(key)?))).collect();
        for (key, (value, beside)) in first.into_iter().chain(values) {
            match beside {
                Some(beside) => block.put_with(key, value, beside),
                None => block.put(key, value),
            };
        }
        block
    }
}

fn once(names: &mut Vec<String>, name: String) {
    if !names.contains(&name) {
        names.push(name);
    }
}
