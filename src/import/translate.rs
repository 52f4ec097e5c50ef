//! Draft from another tool's files: reads them as YAML, merges them, and detects the tool.

use std::path::{Path, PathBuf};

use crate::import::compose::ParsedFiles;
use crate::import::draft::{FileReader, ImportContext, ManifestDraft};
use crate::import::origin::{is_known, unquoted};
use crate::import::{compose, llama_swap};
use crate::syntax::problem::Problems;
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

/// Translates another tool's files; several are merged in that tool's way. `reader` returns those that they name.
pub fn translate(given: &[Given], setting: &ImportContext, reader: &FileReader<'_>) -> Result<ManifestDraft, Problems> {
    let files = parse(given)?;
    match dialect(&files.roots) {
        Dialect::Compose => compose::draft(files, setting, reader),
        Dialect::LlamaSwap => {
            let merged = files.roots.into_iter().map(|(_, root)| root).reduce(|base, over| over.over(&base));
            let root = merged.unwrap_or_else(|| Node::new(Span::default(), Read::Null));
            Ok(llama_swap::draft(&root, setting))
        }
    }
}

/// Returns the merged model of a Compose project as JSON, with all variables interpolated; every scalar is a text.
pub fn compose_model(
    given: &[Given],
    setting: &ImportContext,
    reader: &FileReader<'_>,
) -> Result<serde_json::Value, Problems> {
    compose::model(parse(given)?, setting, reader)
}

fn parse(given: &[Given]) -> Result<ParsedFiles, Problems> {
    let (mut sources, mut budget) = (Sources::default(), yaml::SizeBudget::default());
    let (mut problems, mut roots) = (Vec::new(), Vec::new());
    for file in given {
        let folder = file.path.parent().unwrap_or(Path::new("")).to_owned();
        let number = sources.add(Source::new(file.path.clone(), folder, file.text.clone()));
        let before = problems.len();
        let read = yaml::parse(&sources, number, &mut budget, &mut problems);
        if !is_known(read.as_ref(), &file.text) {
            let told = problems.split_off(before);
            problems.extend(told.into_iter().map(|problem| unquoted(problem, &file.path)));
        }
        roots.extend(read.map(|root| (file.path.clone(), root)));
    }
    if problems.is_empty() { Ok(ParsedFiles { roots, sources, budget }) } else { Err(Problems(problems, sources)) }
}

/// Returns the tool: Compose has services, llama-swap has models.
fn dialect(roots: &[(PathBuf, Node)]) -> Dialect {
    let has = |key: &str| roots.iter().any(|(_, root)| root.get(key).is_some());
    if has("models") && !has("services") { Dialect::LlamaSwap } else { Dialect::Compose }
}
