//! Reader of the files of a Compose project: those given, and those that they name. Each is read within the bounds of
//! one project, and returned in canonical form, with all paths as seen from the project's folder.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::import::compose::merge::canonical_file;
use crate::import::compose::paths::rebase_file;
use crate::import::compose::variables::ComposeVariables;
use crate::import::draft::{FileReader, ImportContext};
use crate::import::origin::{is_known, unquoted};
use crate::syntax::problem::Problem;
use crate::syntax::source::{Source, Sources, Span, tidy};
use crate::syntax::tree::{Node, Value};
use crate::syntax::yaml::{self, SizeBudget};

/// Files of one project: the largest published ones have about 40.
const FILES_MAX: usize = 100;
/// Values that services may gain by what they extend: ten times what all files together may have.
const EXTENDED_VALUES_MAX: usize = 1_000_000;

/// Reading of one project, in progress.
pub(super) struct ProjectLoader<'a> {
    pub(super) setting: &'a ImportContext,
    reader: &'a FileReader<'a>,
    /// Folder of the project, as the command line names it.
    folder: PathBuf,
    pub(super) sources: Sources,
    budget: SizeBudget,
    files_left: usize,
    /// Files by path and folder, for those that many services extend.
    opened: BTreeMap<(PathBuf, PathBuf), Rc<ComposeFile>>,
    /// Values that services may still gain; `None`: the limit is exceeded and was reported.
    values_left: Option<usize>,
    pub(super) problems: Vec<Problem>,
    pub(super) notes: LoadNotes,
    pub(super) variables: ComposeVariables<'a>,
}

/// Facts about the files that the reader of the manifest must know.
#[derive(Debug, Default)]
pub(super) struct LoadNotes {
    /// Subject and note.
    pub(super) general: Vec<(String, String)>,
    /// Notes by Compose's name of the service.
    pub(super) services: BTreeMap<String, BTreeSet<String>>,
}

/// File of the project, with paths as seen from the project's folder.
pub(super) struct ComposeFile {
    pub(super) path: PathBuf,
    pub(super) root: Node,
}

impl<'a> ProjectLoader<'a> {
    pub(super) fn new(
        folder: PathBuf,
        (sources, budget): (Sources, SizeBudget),
        setting: &'a ImportContext,
        reader: &'a FileReader<'a>,
    ) -> Self {
        Self {
            setting,
            reader,
            folder,
            sources,
            budget,
            files_left: FILES_MAX,
            opened: BTreeMap::new(),
            values_left: Some(EXTENDED_VALUES_MAX),
            problems: Vec::new(),
            notes: LoadNotes::default(),
            variables: ComposeVariables::new(&setting.variables, &setting.environment),
        }
    }

    /// Returns the text of a file that is named from the project's folder; `None`: there is none.
    pub(super) fn text(&mut self, path: &Path) -> Result<Option<String>, String> {
        match self.files_left.checked_sub(1) {
            Some(left) => self.files_left = left,
            None => return Err(format!("the project has more than {FILES_MAX} files")),
        }
        (self.reader)(&self.folder.join(path))
    }

    /// Reads a file that another one names, in the folder `base`. Variables of `own` have these values in it. `Err`: the
    /// reason why it can't be read; a file with faults is a problem, and reads as empty.
    pub(super) fn open(
        &mut self,
        path: &Path,
        base: &Path,
        own: &BTreeMap<String, String>,
    ) -> Result<Rc<ComposeFile>, String> {
        let path = tidy(path);
        let key = (path.clone(), base.to_owned());
        if let Some(file) = self.opened.get(&key).filter(|_| own.is_empty()) {
            return Ok(Rc::clone(file));
        }
        let text = self.text(&path)?.ok_or("it does not exist")?;
        let shown = self.folder.join(&path);
        let folder = shown.parent().unwrap_or(Path::new("")).to_owned();
        let number = self.sources.add(Source::new(shown.clone(), folder, text.clone()));
        let before = self.problems.len();
        let read = yaml::parse(&self.sources, number, &mut self.budget, &mut self.problems);
        if !is_known(read.as_ref(), &text) {
            let told = self.problems.split_off(before);
            self.problems.extend(told.into_iter().map(|problem| unquoted(problem, &shown)));
            return Err("it is not a Compose file".to_owned());
        }
        let mut root = read.unwrap_or_else(|| Node::new(Span::default(), Value::Null));
        let mut variables = ComposeVariables::of_file(own, &self.setting.environment);
        if !own.is_empty() {
            adapt_all(&mut root, &mut |text| variables.adapt(text));
        }
        self.variables.taken.append(&mut variables.taken);
        let mut known = ComposeVariables::of_file(&self.setting.variables, &self.setting.environment);
        rebase_file(&mut root, &tidy(base), &mut |text| known.adapt(text));
        self.variables.taken.append(&mut known.taken);
        let file = Rc::new(self.file(path, &root));
        if own.is_empty() {
            self.opened.insert(key, Rc::clone(&file));
        }
        Ok(file)
    }

    /// Counts the values of a service that extends another; false if all services have too many by now.
    pub(super) fn has_space(&mut self, extends: &Node, service: &Node) -> bool {
        let Some(left) = self.values_left else { return false };
        self.values_left = left.checked_sub(service.size().0);
        if self.values_left.is_none() {
            let message = "the services that extend others are too large together".to_owned();
            self.refuse(extends, message, "split the project, and translate each part by itself");
        }
        self.values_left.is_some()
    }

    /// Returns a file that was read before.
    pub(super) fn file(&self, path: PathBuf, root: &Node) -> ComposeFile {
        ComposeFile { path, root: canonical_file(root, &|text| self.resolve(text)) }
    }

    /// Returns a text as Compose interpolates it now.
    pub(super) fn resolve(&self, text: &str) -> String {
        self.variables.resolve(text)
    }

    pub(super) fn refuse(&mut self, node: &Node, message: String, help: &str) {
        let place = self.sources.place(node.span);
        self.problems.push(Problem::error("lcm::import::compose", message).at(place, "here").help(help));
    }

    pub(super) fn note_service(&mut self, service: &str, note: String) {
        self.notes.services.entry(service.to_owned()).or_default().insert(note);
    }
}

fn adapt_all(node: &mut Node, adapt: &mut dyn FnMut(&str) -> String) {
    match &mut node.value {
        Value::Null => {}
        Value::Scalar(scalar) => {
            if scalar.text.contains('$') {
                scalar.text = adapt(&scalar.text);
            }
        }
        Value::List(items) => items.iter_mut().for_each(|item| adapt_all(item, adapt)),
        Value::Map(entries) => entries.iter_mut().for_each(|entry| adapt_all(&mut entry.value, adapt)),
    }
}
