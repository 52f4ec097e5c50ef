//! Files to [`Desired`]: reads the entry file, its includes and the env files. The only part that touches the disk;
//! every read is bounded.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::files::named::{self, FileContent};
use crate::manifest::advice::unknown_key;
use crate::manifest::beside;
use crate::manifest::choice::ModeSelection;
use crate::manifest::extend::Templates;
use crate::manifest::indentation;
use crate::manifest::ours::{is_manifest, looks_like_manifest};
use crate::manifest::resolve::{DefinedNames, Input, ManifestFile, Root, resolve};
use crate::manifest::search::{self, DEFAULT_FILE, ManifestSearch};
use crate::manifest::secrets::{self, Origins};
use crate::manifest::values::{self, NOT_THERE};
use crate::manifest::wire::Manifest;
use crate::manifest::wrong_value::wrong_value;
use crate::model::desired::Desired;
use crate::model::names::ProjectName;
use crate::model::secret::Masker;
use crate::syntax::interpolate::{self, Variables};
use crate::syntax::place::SourceLocation;
use crate::syntax::problem::{Problem, Problems, Severity};
use crate::syntax::read::{Advice, read};
use crate::syntax::source::{Source, Sources, Span, tidy};
use crate::syntax::tree::{Node, Value};
use crate::syntax::{Environment, yaml};

/// Largest file, in bytes: a manifest for a whole cluster stays below a tenth of it.
const FILE_BYTES_MAX: u64 = 1 << 20;
const FILES_MAX: usize = 64;
/// Largest sum of all files of a manifest, in bytes: a cluster in parts, of which most are small.
const TOTAL_BYTES_MAX: u64 = 4 << 20;
/// Most problems reported; no reader looks at more.
const PROBLEMS_MAX: usize = 500;

/// Manifest that was read: what it wants, unless a problem is an error, and all problems in the order of the files.
#[derive(Debug)]
pub struct CheckedManifest {
    pub desired: Option<Desired>,
    pub problems: Problems,
}

/// Reads the manifest and its includes, and resolves it. Errors: all its problems, in the order of the files.
pub fn load(entry: &Path, environment: &Environment, choice: &ModeSelection) -> Result<Desired, Problems> {
    let CheckedManifest { desired, problems } = check(entry, environment, choice);
    desired.ok_or(problems)
}

/// Reads the manifest and its includes, resolves it, and returns its warnings too.
#[must_use]
pub fn check(entry: &Path, environment: &Environment, choice: &ModeSelection) -> CheckedManifest {
    let mut loader = Loader { saved: choice.files.as_deref(), ..Loader::new(environment) };
    loader.open_entry(entry);
    let Loader { sources, mut roots, variables, mut problems, mut complete, .. } = loader;
    let names = DefinedNames::of(&roots, &sources, &mut problems);

    let mut templates = Templates::of(roots.iter().map(|root| &root.node), !complete);
    for root in &mut roots {
        templates.extend(&mut root.node, &sources, &mut problems);
    }
    let named = secrets::named(&roots, &sources, environment);
    let read_files = values::read(named, environment);
    let origins = Origins { roots: &roots, sources: &sources, variables: &variables, environment, files: &read_files };
    let (hidden, left_out) = (secrets::gather(&origins), secrets::outside_environments(&origins));
    let mut files = Vec::new();
    let advice = Advice { unknown_key, wrong_value };
    for Root { file, keys, mut node } in roots {
        indentation::check(&mut node, &sources, &mut problems);
        match read::<Manifest>(&mut node, &sources, advice, &mut problems) {
            Some(manifest) => files.push(ManifestFile { file, keys, manifest }),
            None => complete = false,
        }
    }
    let input = Input {
        sources: &sources,
        files: &files,
        names: &names,
        env_files: &read_files.env_files,
        secret_files: &read_files.secret_files,
        variables: &variables,
        environment,
        complete,
    };
    let desired = resolve(&input, choice, &mut problems);

    withhold(&mut problems, &sources);
    settle(&mut problems, &sources);
    let failed = problems.iter().any(|problem| problem.severity == Severity::Error);
    let masker = Masker::of(hidden.iter());
    for problem in &mut problems {
        problem.conceal(&masker);
    }
    // Most manifests have no problem to show, and are read at every start: their texts are not copied and masked.
    let mut shown = if problems.is_empty() { Sources::default() } else { sources.clone() };
    shown.conceal(&masker);
    let desired = match desired {
        Some(mut desired) if !failed => {
            desired.warnings.extend(problems.iter().map(ToString::to_string));
            for (name, service) in &mut desired.services {
                let values = left_out.get(name.as_str()).into_iter().flatten();
                service.spec.leave_out(&Masker::of(values.filter(|value| hidden.contains(value))));
            }
            desired.conceal(&masker);
            desired.secrets = hidden;
            desired.files = sources.into_texts().unwrap_or_default().into();
            Some(desired)
        }
        Some(_) | None => None,
    };
    CheckedManifest { desired, problems: Problems(problems, shown) }
}

/// Reads only the project's name from a manifest and its includes; `None`: it has none, or can't be read.
#[must_use]
pub fn project_name(entry: &Path, environment: &Environment) -> Option<ProjectName> {
    let mut loader = Loader::new(environment);
    loader.open_entry(entry);
    loader.roots.iter().find_map(|root| match &root.node.get("name")?.value {
        Value::Scalar(scalar) => Some(ProjectName::new(scalar.text.clone())),
        Value::Null | Value::List(_) | Value::Map(_) => None,
    })
}

/// Returns the files that a manifest is read from, as far as it can be read: itself, its includes, and the env files of
/// its services.
#[must_use]
pub fn files(entry: &Path, environment: &Environment) -> Vec<PathBuf> {
    let mut loader = Loader::new(environment);
    loader.open_entry(entry);
    let named = secrets::named(&loader.roots, &loader.sources, environment);
    let manifests = loader.roots.iter().map(|root| {
        let source = loader.sources.get(root.file);
        // A descriptor may lead to a file.
        if source.is_streamed && named::is_stdin(entry) { PathBuf::from("/dev/stdin") } else { source.path.clone() }
    });
    manifests.chain(named.env_files).chain(named.secret_files).collect()
}

/// Hides the problems of a file that the manifest's author can't read, except that there are some: otherwise the author
/// of the `include` could read the file through its errors.
fn withhold(problems: &mut [Problem], sources: &Sources) {
    let is_private = |place: &SourceLocation| sources.by_path(&place.file).is_some_and(|source| !source.is_quotable);
    for problem in problems.iter_mut() {
        problem.related.retain(|(place, _)| !is_private(place));
        let Some(place) = problem.place.take_if(|place| is_private(place)) else { continue };
        let file = place.file.display();
        let message = format!(
            "{file} has errors, not shown here: only its owner may read it, and another user owns the manifest"
        );
        *problem = Problem { severity: problem.severity, ..Problem::error("lcm::manifest::file", message) };
        problem.help = Some(format!("run `lcm validate {file}`"));
    }
}

/// Sorts problems in the order of the files and drops repeats: a template's fault shows in every service that extends
/// it.
fn settle(problems: &mut Vec<Problem>, sources: &Sources) {
    problems
        .sort_by_cached_key(|problem| (sources.order(problem.place.as_ref()), problem.code, problem.message.clone()));
    problems.dedup_by(|one, other| (&one.place, one.code, &one.message) == (&other.place, other.code, &other.message));
    problems.truncate(PROBLEMS_MAX);
}

struct Loader<'a> {
    environment: &'a Environment,
    sources: Sources,
    /// Files by their true paths, so that each is read once.
    known: BTreeSet<PathBuf>,
    roots: Vec<Root>,
    variables: Variables,
    problems: Vec<Problem>,
    /// True while every file could be read.
    complete: bool,
    /// Bytes read from all files.
    bytes: u64,
    budget: yaml::SizeBudget,
    expansion: interpolate::Expansion,
    /// Owner of the entry file.
    author: Option<u32>,
    /// Texts that replace the files of these paths.
    saved: Option<&'a BTreeMap<PathBuf, String>>,
}

impl<'a> Loader<'a> {
    fn new(environment: &'a Environment) -> Self {
        Self {
            environment,
            sources: Sources::default(),
            known: BTreeSet::new(),
            roots: Vec::new(),
            variables: Variables::new(),
            problems: Vec::new(),
            complete: true,
            bytes: 0,
            budget: yaml::SizeBudget::default(),
            expansion: interpolate::Expansion::default(),
            author: None,
            saved: None,
        }
    }

    /// Reads the entry file: the named one, or the default where none was named.
    fn open_entry(&mut self, entry: &Path) {
        let found =
            if entry == Path::new(DEFAULT_FILE) { search::nearest() } else { ManifestSearch::At(entry.to_owned()) };
        match found {
            ManifestSearch::At(path) => self.open(&path, None, &mut Vec::new()),
            ManifestSearch::Nowhere => self.open(entry, None, &mut Vec::new()),
            ManifestSearch::Skipped(why) => {
                let message = format!("can't read {DEFAULT_FILE}: {NOT_THERE}");
                let help = format!("{why}; to use it anyway, name it (`lcm plan path/to/lcm.yaml`)");
                self.refuse(Problem::error("lcm::manifest::file", message).help(help), None, "");
            }
        }
    }

    /// Reads a file and its includes. `from`: the place that names it; `chain`: the files that led here.
    fn open(&mut self, path: &Path, from: Option<Span>, chain: &mut Vec<PathBuf>) {
        let is_streamed = from.is_none() && named::is_stream(path);
        let identity =
            named::identity(if is_streamed && named::is_stdin(path) { Path::new("/dev/stdin") } else { path });
        if let Some(position) = chain.iter().position(|other| *other == identity) {
            let names: Vec<String> =
                chain[position..].iter().chain([&identity]).map(|path| short(path, &identity)).collect();
            let message = format!("files include each other: {}", names.join(" -> "));
            return self.refuse(Problem::error("lcm::manifest::include_cycle", message), from, "the cycle closes here");
        }
        // A file that two others include is read once.
        if !self.known.insert(identity.clone()) {
            return;
        }
        if self.known.len() > FILES_MAX + 1 {
            return;
        }
        if self.known.len() > FILES_MAX {
            let message = format!("more than {FILES_MAX} files are included");
            return self.refuse(Problem::error("lcm::manifest::too_large", message), from, "this one is too many");
        }
        let Some(mut root) = self.parse_file(path, from) else { return };
        let file = root.span.file;
        let keys = root.entries().iter().map(|entry| entry.key.clone()).collect();
        let Self { environment, sources, problems, expansion, .. } = &mut *self;
        let variables = interpolate::interpolate(&mut root, environment, expansion, sources, problems);
        self.variables.extend(variables);
        self.complete &= !root.get("include").is_some_and(|include| include.damaged);
        let includes: Vec<(PathBuf, Span)> = root
            .get("include")
            .map(|include| include.strings().into_iter().map(|(name, span)| (PathBuf::from(name), span)).collect())
            .unwrap_or_default();
        self.roots.push(Root { file, keys, node: root });
        chain.push(identity);
        // Paths in a stream are relative to the current folder.
        let beside = path.parent().filter(|_| !is_streamed).unwrap_or(Path::new(""));
        for (include, span) in includes {
            let mut target = tidy(&beside.join(include));
            if target == named::shown(Path::new("-")) {
                // A file of that name is not standard input.
                target = Path::new(".").join(target);
            }
            self.open(&target, Some(span), chain);
        }
        chain.pop();
    }

    /// Returns the tree of one file, if it is a manifest.
    fn parse_file(&mut self, path: &Path, from: Option<Span>) -> Option<Node> {
        let is_streamed = from.is_none() && named::is_stream(path);
        let read = match self.saved {
            Some(saved) => saved_text(saved, path),
            None => text(path, from.is_none()),
        };
        let path = if is_streamed { named::shown(path) } else { path };
        let (text, file) = match read {
            Ok(read) => read,
            Err(reason) => {
                self.refuse(unreadable(path, &reason, from.is_none()), from, "named here");
                return None;
            }
        };
        self.bytes += file.bytes.len() as u64;
        if self.bytes > TOTAL_BYTES_MAX {
            let message = format!("the files of this manifest are larger than {} MiB together", TOTAL_BYTES_MAX >> 20);
            self.refuse(Problem::error("lcm::manifest::too_large", message), from, "this one is too much");
            return None;
        }
        let author = *self.author.get_or_insert(file.uid);
        let beside = if is_streamed { Path::new("stream") } else { path };
        let folder = std::path::absolute(beside).unwrap_or_else(|_| path.to_owned());
        let folder = tidy(folder.parent().unwrap_or(Path::new("/")));
        let is_quotable = file.uid == author || file.mode & OTHERS_READ != 0;
        let mut source = Source::new(path.to_owned(), folder, text);
        (source.is_quotable, source.is_streamed) = (is_quotable, is_streamed);
        let file = self.sources.add(source);
        let before = self.problems.len();
        let root = yaml::parse(&self.sources, file, &mut self.budget, &mut self.problems);
        let is_ours = match &root {
            None => looks_like_manifest(&self.sources.get(file).text),
            Some(Node { value: Value::Map(entries), .. }) => {
                is_manifest(entries.iter().map(|entry| entry.key.as_str()))
            }
            Some(Node { value: Value::Null, .. }) => true,
            Some(_) => false,
        };
        if !is_ours {
            let told = self.problems.drain(before..).find(|problem| problem.code == "lcm::manifest::too_large");
            self.refuse(foreign(path, root.as_ref(), told), from, "named here");
            return None;
        }
        let root = root.or_else(|| {
            self.complete = false;
            None
        })?;
        if matches!(root.value, Value::Null) {
            self.complete = false;
            let problem = Problem::error("lcm::manifest::empty", format!("{} is empty", path.display()));
            let help = "a manifest needs at least `version: 1`, `name: …` and `services:`";
            self.problems.push(problem.at(self.sources.place(root.span), "no keys here").help(help));
            return None;
        }
        Some(root)
    }

    fn refuse(&mut self, problem: Problem, from: Option<Span>, label: &str) {
        self.complete = false;
        self.problems.push(match from {
            Some(span) => problem.at(self.sources.place(span), label),
            None => problem,
        });
    }
}

/// Returns a file as stored by an earlier run, which the present user has read before.
fn saved_text(saved: &BTreeMap<PathBuf, String>, path: &Path) -> Result<(String, FileContent), String> {
    let absolute = std::path::absolute(path).map_or_else(|_| path.to_owned(), |path| tidy(&path));
    let text = saved.get(&absolute).ok_or_else(|| "it is not among the files of that run".to_owned())?.clone();
    let uid = rustix::process::geteuid().as_raw();
    let file = FileContent { bytes: text.clone().into_bytes(), uid, mode: 0o600, modified: SystemTime::UNIX_EPOCH };
    Ok((text, file))
}

/// Returns a whole text file within the limits, or the reason why not.
fn text(path: &Path, is_entry: bool) -> Result<(String, FileContent), String> {
    let read = if is_entry { named::read_argument } else { named::read };
    let file = read(path, FILE_BYTES_MAX).map_err(|error| values::reason(&error))?;
    let text = str::from_utf8(&file.bytes).map_err(|_| "it is not text in UTF-8".to_owned())?.to_owned();
    Ok((text, file))
}

/// Permission bit of all users to read.
const OTHERS_READ: u32 = 0o004;

/// Problem of a file that is no manifest, without quoting its contents.
fn foreign(path: &Path, root: Option<&Node>, too_large: Option<Problem>) -> Problem {
    if let Some(too_large) = too_large {
        return Problem { place: None, label: String::new(), ..too_large };
    }
    let code = match root.map(|root| &root.value) {
        None => "lcm::manifest::syntax",
        Some(Value::Map(_)) => "lcm::manifest::unknown_key",
        Some(Value::Null | Value::Scalar(_) | Value::List(_)) => "lcm::manifest::type",
    };
    Problem::error(code, format!("{} is not an lcm manifest", path.display())).help(
        "a manifest is a YAML map with keys such as `version`, `name`, `services` and `modes`; the contents of other \
         files are not shown",
    )
}

fn unreadable(path: &Path, reason: &str, is_entry: bool) -> Problem {
    let problem = Problem::error("lcm::manifest::file", format!("can't read {}: {reason}", path.display()));
    if !is_entry || reason != NOT_THERE {
        return problem;
    }
    if path == Path::new(DEFAULT_FILE) {
        let first_step = beside::first_step(Path::new("."));
        return problem.help(format!(
            "{first_step}; a manifest elsewhere: name it (`lcm plan path/to/lcm.yaml`), or change to its folder"
        ));
    }
    problem.help("name an existing manifest")
}

/// Returns a path relative to its neighbour's folder.
fn short(path: &Path, neighbour: &Path) -> String {
    let shared = neighbour.parent().and_then(Path::parent).unwrap_or(Path::new("/"));
    path.strip_prefix(shared).unwrap_or(path).display().to_string()
}
