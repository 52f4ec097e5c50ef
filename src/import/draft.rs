//! A draft and its parts that every source of one shares: notes, the head of the file, and modes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::import::writer::{YamlBlock, YamlValue};

/// A draft, and notes about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestDraft {
    /// The manifest.
    pub text: String,
    /// Parts that the text lacks or has otherwise; each stands in the text too.
    pub notes: Vec<String>,
    /// How many services it has.
    pub services: usize,
    /// How many more stand in it as comments.
    pub proposals: usize,
}

/// Surroundings of the files.
#[derive(Clone, Debug, Default)]
pub struct ImportContext {
    /// The project's name, where they give none.
    pub name: String,
    /// Variables that Compose finds beside them, in `.env`.
    pub variables: BTreeMap<String, String>,
    /// From the manifest's folder to theirs; empty where it is the same.
    pub base: PathBuf,
}

/// Notes gathered for one service, which stand above it and are told at the end.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) all: Vec<String>,
}

impl Notes {
    /// The note with what it is about, for a comment that stands by itself.
    pub(super) fn tell(&mut self, about: &str, note: impl std::fmt::Display) -> String {
        let told = format!("{about}: {note}");
        self.all.push(told.clone());
        told
    }

    /// The note alone, for the comment.
    pub(super) fn add(&mut self, about: &str, note: impl std::fmt::Display) -> String {
        self.all.push(format!("{about}: {note}"));
        note.to_string()
    }
}

/// Modes as they are written, in order.
#[derive(Debug)]
pub(super) struct ModeDraft {
    pub name: String,
    pub description: String,
    pub services: Vec<String>,
    pub keeps_others: bool,
}

/// Returns the first lines of every draft: for editors, and for the reader.
pub(super) fn head(origin: &str) -> YamlBlock {
    let mut block = YamlBlock::default();
    block.say("yaml-language-server: $schema=lcm.schema.json");
    block.say(
        "Editors check and complete this file by its schema: `lcm schema manifest > lcm.schema.json` puts it here.",
    );
    block.say("");
    block.say(origin.to_owned());
    block.say(
        "`lcm validate` checks this file, `lcm plan` shows what would be done, and only `lcm apply` does anything.",
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
            mode.put_with("others", YamlValue::word("keep"), "what runs beside these goes on running");
        }
        modes.put(&draft.name, YamlValue::Map(mode));
    }
    YamlValue::Map(modes)
}
