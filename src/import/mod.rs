//! A manifest's first draft: from what runs on a machine, from Compose files, or from a configuration of llama-swap.
//!
//! Text and facts in, text and notes out; pure. What can't be said in a manifest is a note, and a comment at its place:
//! nothing is dropped in silence, and no secret is ever copied.

mod compose;
mod llama_swap;
mod machine;
mod names;
mod secrets;
#[cfg(test)]
mod tests;
mod writer;

pub use machine::machine;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::import::writer::{Block, Value};
use crate::syntax::problem::{Problem, Problems};
use crate::syntax::source::{Source, Sources};
use crate::syntax::tree::{Node, Value as Read};
use crate::syntax::yaml;

/// A draft, and what there is to say about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The manifest.
    pub text: String,
    /// What it does not say, or says otherwise; each stands in the text too.
    pub notes: Vec<String>,
    /// How many services it has.
    pub services: usize,
    /// How many more stand in it as comments.
    pub proposals: usize,
}

/// One file to translate.
#[derive(Clone, Debug)]
pub struct Given {
    pub path: PathBuf,
    pub text: String,
}

/// What the files were written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    Compose,
    LlamaSwap,
}

/// What stands around the files.
#[derive(Clone, Debug, Default)]
pub struct Setting {
    /// The project's name, where they give none.
    pub name: String,
    /// What Compose finds beside them, in `.env`.
    pub variables: BTreeMap<String, String>,
    /// From the manifest's folder to theirs; empty where it is the same.
    pub base: PathBuf,
}

/// Translates files of another tool; several are laid over each other, as that tool would.
pub fn translate(given: &[Given], setting: &Setting) -> Result<Draft, Problems> {
    let mut sources = Sources::default();
    let (mut problems, mut merged) = (Vec::new(), None::<Node>);
    for file in given {
        let folder = file.path.parent().unwrap_or(Path::new("")).to_owned();
        let number = sources.add(Source::new(file.path.clone(), folder, file.text.clone()));
        let before = problems.len();
        let read = yaml::parse(&sources, number, &mut yaml::Budget::default(), &mut problems);
        if !is_known(read.as_ref(), &file.text) {
            let told = problems.split_off(before);
            problems.extend(told.into_iter().map(|problem| unquoted(problem, &file.path)));
        }
        merged = match (read, merged) {
            (Some(read), Some(base)) => Some(read.over(&base)),
            (read, base) => read.or(base),
        };
    }
    if !problems.is_empty() {
        return Err(Problems(problems, sources));
    }
    let root = merged.unwrap_or_else(|| Node::new(crate::syntax::source::Span::default(), Read::Null));
    Ok(match dialect(&root) {
        Dialect::Compose => compose::draft(&root, setting),
        Dialect::LlamaSwap => crate::import::llama_swap::draft(&root, setting),
    })
}

/// Whether a file has what one of the tools reads; of one that is no valid YAML, whether a line begins with it.
fn is_known(root: Option<&Node>, text: &str) -> bool {
    const TELLING: [&str; 4] = ["services", "models", "include", "extends"];
    // An empty file is told as such.
    match root {
        Some(root) => matches!(root.value, Read::Null) || TELLING.iter().any(|key| root.get(key).is_some()),
        None => text.lines().any(|line| {
            line.split_once(':').is_some_and(|(key, _)| TELLING.contains(&key.trim_end().trim_matches(['"', '\''])))
        }),
    }
}

/// A problem of a file that neither tool reads: any file may be named here, and of a key or a list of passwords nothing
/// is shown, not even a word.
fn unquoted(problem: Problem, path: &Path) -> Problem {
    if problem.message.contains('`') || problem.message.contains("not valid YAML") {
        let message = format!("{} is neither a Compose file nor one of llama-swap", path.display());
        let help = "both are YAML maps, with `services` or `models`; of other files nothing is shown";
        return Problem::error(problem.code, message).help(help);
    }
    Problem { place: None, label: String::new(), related: Vec::new(), ..problem }
}

/// Compose has services, llama-swap has models.
fn dialect(root: &Node) -> Dialect {
    if root.get("models").is_some() && root.get("services").is_none() { Dialect::LlamaSwap } else { Dialect::Compose }
}

/// The first lines of every draft: for editors, and for whoever opens it.
fn head(origin: &str) -> Block {
    let mut block = Block::default();
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

/// Notes gathered for one service, which stand above it and are told at the end.
#[derive(Debug, Default)]
struct Notes {
    all: Vec<String>,
}

impl Notes {
    /// The note with what it is about, for a comment that stands by itself.
    fn tell(&mut self, about: &str, note: impl std::fmt::Display) -> String {
        let told = format!("{about}: {note}");
        self.all.push(told.clone());
        told
    }

    /// The note alone, for the comment.
    fn add(&mut self, about: &str, note: impl std::fmt::Display) -> String {
        self.all.push(format!("{about}: {note}"));
        note.to_string()
    }
}

/// Modes as they are written, in order.
#[derive(Debug)]
struct ModeDraft {
    name: String,
    description: String,
    services: Vec<String>,
    keeps_others: bool,
}

fn modes(drafts: &[ModeDraft]) -> Value {
    let mut modes = Block::default();
    for draft in drafts {
        let mut mode = Block::default();
        mode.put("description", Value::literal(&draft.description));
        mode.put("services", Value::texts(&draft.services));
        if draft.keeps_others {
            mode.put_with("others", Value::word("keep"), "what runs beside these goes on running");
        }
        modes.put(&draft.name, Value::Map(mode));
    }
    Value::Map(modes)
}
