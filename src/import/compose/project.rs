//! Merged model of a Compose project: which files it has, what they extend and include.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::import::compose::loader::{ComposeFile, LoadNotes, ProjectLoader};
use crate::import::compose::merge;
use crate::import::compose::variables::ComposeVariables;
use crate::import::draft::{FileReader, ImportContext};
use crate::syntax::dotenv;
use crate::syntax::problem::Problems;
use crate::syntax::source::{Sources, Span, tidy};
use crate::syntax::tree::{MapEntry, Node, Value};
use crate::syntax::yaml::SizeBudget;

/// Names that Compose looks for; only with one of these are further files read beside it.
const DEFAULT_NAMES: [&str; 4] = ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];
/// Names of the file that overrides it, the first one found counts.
const OVERRIDE_NAMES: [&str; 4] =
    ["compose.override.yml", "compose.override.yaml", "docker-compose.override.yml", "docker-compose.override.yaml"];
/// Nesting of included files.
const INCLUDES_MAX: usize = 16;
/// Sections that an included file brings along.
const SECTIONS: [&str; 6] = ["services", "volumes", "networks", "secrets", "configs", "models"];

/// Files as given, each with its tree, and the place for those that they name.
pub(in crate::import) struct ParsedFiles {
    pub(in crate::import) roots: Vec<(PathBuf, Node)>,
    pub(in crate::import) sources: Sources,
    pub(in crate::import) budget: SizeBudget,
}

/// Project with all its files merged.
pub(super) struct ComposeProject<'a> {
    pub(super) root: Node,
    pub(super) variables: ComposeVariables<'a>,
    pub(super) notes: LoadNotes,
}

/// Loads the project of the given files.
pub(super) fn load<'a>(
    files: ParsedFiles,
    setting: &'a ImportContext,
    reader: &'a FileReader<'a>,
) -> Result<ComposeProject<'a>, Problems> {
    let ParsedFiles { roots, sources, budget } = files;
    let folder = roots.first().and_then(|(path, _)| path.parent()).unwrap_or(Path::new("")).to_owned();
    let mut loader = ProjectLoader::new(folder, (sources, budget), setting, reader);
    let files = loader.selected(&roots);
    let root = loader.merged(files);
    let root = loader.with_includes(root, &mut Vec::new(), &BTreeMap::new());
    if !loader.problems.is_empty() {
        return Err(Problems(loader.problems, loader.sources));
    }
    Ok(ComposeProject { root, variables: loader.variables, notes: loader.notes })
}

impl ProjectLoader<'_> {
    /// Returns the files of the project in the order of merging: those given, or for a single one of a default name
    /// those that `docker compose` would read.
    fn selected(&mut self, roots: &[(PathBuf, Node)]) -> Vec<Rc<ComposeFile>> {
        let name = |path: &Path| path.file_name().map(PathBuf::from).unwrap_or_default();
        let given: Vec<Rc<ComposeFile>> =
            roots.iter().map(|(path, root)| Rc::new(self.file(name(path), root))).collect();
        let [only] = &given[..] else { return given };
        if !DEFAULT_NAMES.iter().any(|default| only.path == Path::new(default)) {
            return given;
        }
        if let Some(list) = self.setting.compose_variable("COMPOSE_FILE") {
            let separator = self.setting.compose_variable("COMPOSE_PATH_SEPARATOR").unwrap_or(":");
            let paths: Vec<PathBuf> = list.split(separator).map(|path| tidy(Path::new(path))).collect();
            if paths.contains(&only.path) {
                return self.listed(paths, given);
            }
            let note = "it names other files than the given one: they were not read; give each with `--from`";
            self.notes.general.push(("COMPOSE_FILE".to_owned(), note.to_owned()));
            return given;
        }
        self.with_override(given)
    }

    /// Returns the files that `COMPOSE_FILE` lists.
    fn listed(&mut self, paths: Vec<PathBuf>, given: Vec<Rc<ComposeFile>>) -> Vec<Rc<ComposeFile>> {
        let mut files = Vec::new();
        let mut only = given.into_iter().next();
        for path in paths {
            if only.as_ref().is_some_and(|only| only.path == path) {
                files.extend(only.take());
                continue;
            }
            match self.open(&path, Path::new(""), &BTreeMap::new()) {
                Ok(file) => files.push(file),
                Err(reason) => {
                    let note = format!("it names {}, whose settings are missing here: {reason}", path.display());
                    self.notes.general.push(("COMPOSE_FILE".to_owned(), note));
                }
            }
        }
        files
    }

    fn with_override(&mut self, mut files: Vec<Rc<ComposeFile>>) -> Vec<Rc<ComposeFile>> {
        for name in OVERRIDE_NAMES {
            match self.open(Path::new(name), Path::new(""), &BTreeMap::new()) {
                Ok(file) => {
                    let note = "merged too, as `docker compose` does".to_owned();
                    self.notes.general.push((name.to_owned(), note));
                    files.push(file);
                    break;
                }
                Err(reason) if reason == "it does not exist" => {}
                Err(reason) => {
                    self.notes.general.push((name.to_owned(), format!("its settings are missing here: {reason}")));
                    break;
                }
            }
        }
        files
    }

    /// Returns the files merged, each without `extends`.
    fn merged(&mut self, files: Vec<Rc<ComposeFile>>) -> Node {
        let mut model = None::<Node>;
        for file in files {
            let root = self.without_extends(&file);
            model = Some(match model {
                None => merge::stripped(root),
                Some(base) => merge::files(&base, &root, &|text| self.resolve(text)),
            });
        }
        model.unwrap_or_else(|| Node::new(Span::default(), Value::Null))
    }

    /// Adds what a model includes. `chain` has the files that led here, `own` the variables of its env files.
    fn with_includes(&mut self, mut model: Node, chain: &mut Vec<PathBuf>, own: &BTreeMap<String, String>) -> Node {
        let Some(include) = model.get("include").cloned() else { return model };
        let items = match &include.value {
            Value::List(items) => items.clone(),
            Value::Scalar(_) | Value::Map(_) => vec![include.clone()],
            Value::Null => Vec::new(),
        };
        for item in &items {
            if let Some(included) = self.included(item, chain, own) {
                self.adopt(&mut model, included);
            }
        }
        if let Value::Map(entries) = &mut model.value {
            entries.retain(|entry| entry.key != "include");
        }
        model
    }

    fn included(&mut self, item: &Node, chain: &mut Vec<PathBuf>, own: &BTreeMap<String, String>) -> Option<Node> {
        let texts = |node: Option<&Node>| -> Vec<PathBuf> {
            let texts = node.map(crate::import::compose::values::scalars).unwrap_or_default();
            texts.into_iter().map(|text| PathBuf::from(self.resolve(text))).collect()
        };
        let short = item.scalar().is_some().then_some(item);
        let paths = texts(short.or_else(|| item.get("path")));
        let env_files = texts(item.get("env_file"));
        let folder = texts(item.get("project_directory")).into_iter().next();
        let first = tidy(paths.first()?);
        let shown = first.display().to_string();
        if shown.contains(":/") || shown.starts_with("git@") {
            self.notes.general.push(("include".to_owned(), format!("{shown} is not read: it is not on this machine")));
            return None;
        }
        if chain.contains(&first) || chain.len() >= INCLUDES_MAX {
            let message = if chain.contains(&first) {
                format!("{shown} includes itself")
            } else {
                format!("files include each other more than {INCLUDES_MAX} levels deep")
            };
            self.refuse(item, message, "remove one `include` of the circle");
            return None;
        }
        let folder = folder.unwrap_or_else(|| first.parent().unwrap_or(Path::new("")).to_owned());
        let env = self.variables_of(&folder, env_files, own);
        let mut files = Vec::new();
        for path in &paths {
            match self.open(path, &folder, &env) {
                Ok(file) => files.push(file),
                Err(reason) => {
                    let note = format!("{} is missing here: {reason}", path.display());
                    self.notes.general.push(("include".to_owned(), note));
                }
            }
        }
        let model = self.merged(files);
        chain.push(first);
        let model = self.with_includes(model, chain, &env);
        chain.pop();
        Some(model)
    }

    /// Returns the variables of an included project that the including one does not set.
    fn variables_of(
        &mut self,
        folder: &Path,
        files: Vec<PathBuf>,
        own: &BTreeMap<String, String>,
    ) -> BTreeMap<String, String> {
        let is_default = files.is_empty();
        // The project's own `.env` is known.
        let project = is_default && tidy(folder).as_os_str().is_empty();
        let files = if is_default { vec![folder.join(".env")] } else { files };
        let mut variables = BTreeMap::new();
        for file in files.iter().filter(|file| !project && **file != Path::new("/dev/null")) {
            let shown = file.display().to_string();
            let read = self.text(file).and_then(|text| match text {
                Some(text) => dotenv::parse(&text, &self.setting.environment),
                None if is_default => Ok(BTreeMap::new()),
                None => Err("it does not exist".to_owned()),
            });
            match read {
                Ok(read) => variables.extend(read),
                Err(reason) => {
                    let note = format!("the variables of {shown} are missing here: {reason}");
                    self.notes.general.push(("include".to_owned(), note));
                }
            }
        }
        variables.extend(own.clone());
        variables.retain(|name, _| !self.setting.variables.contains_key(name));
        variables
    }

    /// Copies the sections of an included model. Of two things of one name the including project's settings count.
    fn adopt(&mut self, model: &mut Node, included: Node) {
        let Value::Map(sections) = included.value else { return };
        for section in sections.into_iter().filter(|section| SECTIONS.contains(&section.key.as_str())) {
            for entry in section.value.entries() {
                let twice = model.get(&section.key).is_some_and(|own| own.get(&entry.key).is_some());
                if twice && section.key == "services" {
                    let note = "an included file has a service of this name too: both were merged, and the settings \
                                of the including file count";
                    self.note_service(&entry.key, note.to_owned());
                }
            }
            let part = |value: Node| {
                let entry = MapEntry { key: section.key.clone(), key_span: section.key_span, value };
                Node::new(section.key_span, Value::Map(vec![entry]))
            };
            let own = model.get(&section.key).cloned();
            let mut merged = match own {
                Some(own) => merge::files(&part(section.value.clone()), &part(own), &|text| self.resolve(text)),
                None => part(section.value.clone()),
            };
            let (Value::Map(entries), Value::Map(merged)) = (&mut model.value, &mut merged.value) else { continue };
            entries.retain(|entry| entry.key != section.key);
            entries.append(merged);
        }
    }
}
