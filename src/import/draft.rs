//! Draft of a manifest, and parts shared by all its sources: notes, the head of the file, and modes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::import::writer::{YamlBlock, YamlValue};
use crate::syntax::Environment;

/// Draft of a manifest, and notes on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestDraft {
    /// Text of the manifest.
    pub text: String,
    /// Settings that the text lacks or changes; each is a comment in the text too.
    pub notes: Vec<String>,
    /// Number of services.
    pub services: usize,
    /// Number of further services, written as comments.
    pub proposals: usize,
}

/// Reader of a file that another one names. `None`: there is none; `Err`: the reason why it can't be read, after "it".
pub type FileReader<'a> = dyn Fn(&Path) -> Result<Option<String>, String> + 'a;

/// Context of the files.
#[derive(Clone, Debug, Default)]
pub struct ImportContext {
    /// Name of the project, where the files have none.
    pub name: String,
    /// Variables of the `.env` next to the files, which Compose reads.
    pub variables: BTreeMap<String, String>,
    /// lcm's own environment, whose variables Compose prefers to those of `.env`.
    pub environment: Environment,
    /// Path from the manifest's folder to that of the files; empty where they are the same.
    pub base: PathBuf,
}

impl ImportContext {
    /// Returns a variable by which the user controls Compose, if it is set and not empty.
    pub(super) fn compose_variable(&self, name: &str) -> Option<&str> {
        let value = self.environment.get(name).or_else(|| self.variables.get(name))?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }
}

/// Notes on all services, written above each service and reported at the end.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) all: Vec<String>,
}

impl Notes {
    /// Adds a note and returns it with its subject, for a comment that stands by itself.
    pub(super) fn about(&mut self, subject: &str, note: impl std::fmt::Display) -> String {
        let line = format!("{subject}: {note}");
        self.all.push(line.clone());
        line
    }

    /// Adds a note and returns it without its subject, for a comment at the service.
    pub(super) fn add(&mut self, subject: &str, note: impl std::fmt::Display) -> String {
        self.all.push(format!("{subject}: {note}"));
        note.to_string()
    }
}

/// Modes in the order of the manifest.
#[derive(Debug)]
pub(super) struct ModeDraft {
    pub name: String,
    pub description: String,
    pub services: Vec<String>,
    pub keeps_others: bool,
}

/// Returns the first lines of every draft, for editors and readers.
pub(super) fn head(origin: &str) -> YamlBlock {
    let mut block = YamlBlock::default();
    block.comment("yaml-language-server: $schema=lcm.schema.json");
    block.comment(
        "Editors check and complete this file by its schema: `lcm schema manifest > lcm.schema.json` writes it here.",
    );
    block.comment("");
    block.comment(origin.to_owned());
    block.comment(
        "`lcm validate` checks this file, `lcm plan` shows what would change, and only `lcm apply` changes anything.",
    );
    block.gap();
    block
}

/// Returns the value of `modes:`.
pub(super) fn modes(drafts: &[ModeDraft]) -> YamlValue {
    let mut modes = YamlBlock::default();
    for draft in drafts {
        let mut mode = YamlBlock::default();
        mode.put("description", YamlValue::literal(&draft.description));
        mode.put("services", YamlValue::texts(&draft.services));
        if draft.keeps_others {
            mode.put_with("others", YamlValue::word("keep"), "other running services keep running");
        }
        modes.put(&draft.name, YamlValue::Map(mode));
    }
    YamlValue::Map(modes)
}
