//! Draft from another tool's files: reads them as YAML, merges them, and detects the tool.

use std::path::{Path, PathBuf};

use crate::import::draft::{ImportContext, ManifestDraft};
use crate::import::{compose, llama_swap};
use crate::syntax::problem::{Problem, Problems};
use crate::syntax::source::{Source, Sources, Span};
use crate::syntax::tree::{Node, Value as Read};
use crate::syntax::yaml;

/// One file to translate.
#[derive(Clone, Debug)]
pub struct Given {
    pub path: PathBuf,
    pub text: String,
}

/// The tool that the files were written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    Compose,
    LlamaSwap,
}

/// Translates another tool's files; several are merged in that tool's way.
pub fn translate(given: &[Given], setting: &ImportContext) -> Result<ManifestDraft, Problems> {
    let mut sources = Sources::default();
    let (mut problems, mut merged) = (Vec::new(), None::<Node>);
    for file in given {
        let folder = file.path.parent().unwrap_or(Path::new("")).to_owned();
        let number = sources.add(Source::new(file.path.clone(), folder, file.text.clone()));
        let before = problems.len();
        let read = yaml::parse(&sources, number, &mut yaml::SizeBudget::default(), &mut problems);
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
    let root = merged.unwrap_or_else(|| Node::new(Span::default(), Read::Null));
    Ok(match dialect(&root) {
        Dialect::Compose => compose::draft(&root, setting),
        Dialect::LlamaSwap => llama_swap::draft(&root, setting),
    })
}

/// Returns true if a file has a key of one of the tools; for invalid YAML, if a line begins with one.
fn is_known(root: Option<&Node>, text: &str) -> bool {
    const TELLING: [&str; 4] = ["services", "models", "include", "extends"];
    // An empty file is reported as such.
    match root {
        Some(root) => matches!(root.value, Read::Null) || TELLING.iter().any(|key| root.get(key).is_some()),
        None => text.lines().any(|line| {
            line.split_once(':').is_some_and(|(key, _)| TELLING.contains(&key.trim_end().trim_matches(['"', '\''])))
        }),
    }
}

/// Returns a problem of a file that neither tool reads, without any quotation: the file may be anything, such as a key
/// or a list of passwords.
fn unquoted(problem: Problem, path: &Path) -> Problem {
    if problem.message.contains('`') || problem.message.contains("not valid YAML") {
        let message = format!("{} is neither a Compose file nor a llama-swap configuration", path.display());
        let help = "both are YAML maps with `services` or `models`; the contents of other files are not shown";
        return Problem::error(problem.code, message).help(help);
    }
    Problem { place: None, label: String::new(), related: Vec::new(), ..problem }
}

/// Returns the tool: Compose has services, llama-swap has models.
fn dialect(root: &Node) -> Dialect {
    if root.get("models").is_some() && root.get("services").is_none() { Dialect::LlamaSwap } else { Dialect::Compose }
}
