//! Files to [`Desired`]: reads the entry, what it includes, and the env files. The only part that touches the disk;
//! every read is bounded.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::manifest::extend::Templates;
use crate::manifest::interpolate::{self, Variables};
use crate::manifest::problem::{Problem, Problems, Severity};
use crate::manifest::read::read;
use crate::manifest::resolve::{EnvFile, Input, ManifestFile, Names, Root, SecretFile, resolve};
use crate::manifest::secrets::{self, Origins};
use crate::manifest::source::{Source, Sources, Span, tidy};
use crate::manifest::tree::Value;
use crate::manifest::wire::Manifest;
use crate::manifest::{Choice, Environment, dotenv, yaml};
use crate::model::desired::Desired;
use crate::model::names::ProjectName;
use crate::model::secret::Masker;

/// A manifest for a whole cluster stays below a tenth of it.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// The kernel takes variables of twice this size.
const SECRET_BYTES_MAX: usize = 64 << 10;
const FILES_MAX: usize = 64;
/// Nobody reads more of them.
const PROBLEMS_MAX: usize = 500;
/// What lcm takes where no file is named.
const DEFAULT_FILE: &str = "lcm.yaml";

/// Reads and resolves a manifest, or gives everything that is wrong with it, in the order of the files.
pub(super) fn load(entry: &Path, environment: &Environment, choice: &Choice) -> Result<Desired, Problems> {
    let mut loader = Loader::new(environment);
    loader.open(entry, None, &mut Vec::new());
    let Loader { mut sources, mut roots, variables, mut problems, mut complete, .. } = loader;
    let names = Names::of(&roots, &sources, &mut problems);

    let mut templates = Templates::of(roots.iter().map(|root| &root.node), !complete);
    for root in &mut roots {
        templates.extend(&mut root.node, &sources, &mut problems);
    }
    let named = secrets::named(&roots, &sources, environment);
    let read_files = secrets::Files {
        env_files: read_env_files(named.env_files, environment),
        secret_files: read_secret_files(named.secret_files),
    };
    let origins = Origins { roots: &roots, sources: &sources, variables: &variables, environment, files: &read_files };
    let (hidden, left_out) = (secrets::gather(&origins), secrets::outside_environments(&origins));
    let mut files = Vec::new();
    for Root { file, keys, mut node } in roots {
        match read::<Manifest>(&mut node, &sources, &mut problems) {
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

    settle(&mut problems, &sources);
    let failed = problems.iter().any(|problem| problem.severity == Severity::Error);
    let masker = Masker::of(hidden.iter());
    for problem in &mut problems {
        problem.conceal(&masker);
    }
    match desired {
        Some(mut desired) if !failed => {
            desired.warnings.extend(problems.iter().map(ToString::to_string));
            for (name, service) in &mut desired.services {
                let values = left_out.get(name.as_str()).into_iter().flatten();
                service.spec.leave_out(&Masker::of(values.filter(|value| hidden.contains(value))));
            }
            desired.conceal(&masker);
            desired.secrets = hidden;
            Ok(desired)
        }
        Some(_) | None => {
            sources.conceal(&masker);
            Err(Problems(problems, std::mem::take(&mut sources)))
        }
    }
}

/// Finds the one `name:` of the files of a manifest. What else they say is not looked at.
pub(super) fn project_name(entry: &Path, environment: &Environment) -> Option<ProjectName> {
    let mut loader = Loader::new(environment);
    loader.open(entry, None, &mut Vec::new());
    loader.roots.iter().find_map(|root| match &root.node.get("name")?.value {
        Value::Scalar(scalar) => Some(ProjectName::new(scalar.text.clone())),
        Value::Null | Value::List(_) | Value::Map(_) => None,
    })
}

/// In the order of the files, each once: a template's fault shows in every service that extends it.
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
    /// No file is missing from the picture.
    complete: bool,
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
        }
    }

    /// Reads a file and what it includes. `from`: the place that names it; `chain`: the files that led here.
    fn open(&mut self, path: &Path, from: Option<Span>, chain: &mut Vec<PathBuf>) {
        let identity = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if let Some(position) = chain.iter().position(|other| *other == identity) {
            let names: Vec<String> =
                chain[position..].iter().chain([&identity]).map(|path| short(path, &identity)).collect();
            let message = format!("files include each other: {}", names.join(" -> "));
            return self.refuse(Problem::error("lcm::manifest::include_cycle", message), from, "it comes back here");
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
        let text = match read_text(path) {
            Ok(text) => text,
            Err(reason) => {
                let mut problem =
                    Problem::error("lcm::manifest::file", format!("can't read {}: {reason}", path.display()));
                if from.is_none() && reason == NOT_THERE {
                    problem = problem.help(if path == Path::new(DEFAULT_FILE) {
                        "name a manifest (`lcm plan path/to/lcm.yaml`), or go to the folder that has one; the least that one says \
                         is `version: 1`, `name: …` and `services:`"
                    } else {
                        "name a manifest that is there"
                    });
                }
                return self.refuse(problem, from, "named here");
            }
        };
        let folder = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let folder = tidy(folder.parent().unwrap_or(Path::new("/")));
        let file = self.sources.add(Source::new(path.to_owned(), folder, text));
        let Some(mut root) = yaml::parse(&self.sources, file, &mut self.problems) else {
            self.complete = false;
            return;
        };
        if matches!(root.value, Value::Null) {
            self.complete = false;
            let problem = Problem::error("lcm::manifest::empty", format!("{} is empty", path.display()));
            let help = "the least that a manifest says is `version: 1`, `name: …` and one of `services:`";
            self.problems.push(problem.at(self.sources.place(root.span), "nothing stands here").help(help));
            return;
        }
        let keys = root.entries().iter().map(|entry| entry.key.clone()).collect();
        self.variables.extend(interpolate::interpolate(&mut root, self.environment, &self.sources, &mut self.problems));
        self.complete &= !root.get("include").is_some_and(|include| include.damaged);
        let includes: Vec<(PathBuf, Span)> = root
            .get("include")
            .map(|include| include.strings().into_iter().map(|(name, span)| (PathBuf::from(name), span)).collect())
            .unwrap_or_default();
        self.roots.push(Root { file, keys, node: root });
        chain.push(identity);
        for (include, span) in includes {
            let target = tidy(&path.parent().unwrap_or(Path::new("")).join(include));
            self.open(&target, Some(span), chain);
        }
        chain.pop();
    }

    fn refuse(&mut self, problem: Problem, from: Option<Span>, label: &str) {
        self.complete = false;
        self.problems.push(match from {
            Some(span) => problem.at(self.sources.place(span), label),
            None => problem,
        });
    }
}

/// A path as its neighbours would name it.
fn short(path: &Path, neighbour: &Path) -> String {
    let shared = neighbour.parent().and_then(Path::parent).unwrap_or(Path::new("/"));
    path.strip_prefix(shared).unwrap_or(path).display().to_string()
}

const NOT_THERE: &str = "there is no such file";

/// A whole file of text, within the limit; or why not.
fn read_text(path: &Path) -> Result<String, String> {
    let refuse = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => NOT_THERE.to_owned(),
        _ => error.to_string().split(" (os error").next().unwrap_or_default().to_lowercase(),
    };
    let kind = std::fs::metadata(path).map_err(refuse)?;
    // A pipe would have to be waited for.
    if !kind.is_file() {
        return Err(if kind.is_dir() { "it is a folder, not a file" } else { "it is not a regular file" }.to_owned());
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(refuse)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(refuse)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err("it is larger than 1 MiB".to_owned());
    }
    String::from_utf8(bytes).map_err(|_| "it is not text in UTF-8".to_owned())
}

/// Each env file once; one that is not there blocks its services only, so its absence is a value.
fn read_env_files(paths: BTreeSet<PathBuf>, environment: &Environment) -> BTreeMap<PathBuf, EnvFile> {
    let read = |path: PathBuf| {
        let file = match read_text(&path) {
            Err(reason) if reason == NOT_THERE => EnvFile::Missing,
            Err(reason) => EnvFile::Unreadable(reason),
            Ok(text) => match dotenv::parse(&text, environment) {
                Ok(variables) => EnvFile::Variables(variables),
                Err(reason) => EnvFile::Unreadable(reason),
            },
        };
        (path, file)
    };
    paths.into_iter().map(read).collect()
}

/// Each secret's file once. A line end that closes the file is an editor's, and no part of the secret.
fn read_secret_files(paths: BTreeSet<PathBuf>) -> BTreeMap<PathBuf, SecretFile> {
    let read = |path: &Path| {
        let text = read_text(path)?;
        let value = text.strip_suffix('\n').unwrap_or(&text);
        let value = value.strip_suffix('\r').unwrap_or(value);
        match value {
            "" => Err("it is empty".to_owned()),
            _ if value.len() > SECRET_BYTES_MAX => Err("it is larger than 64 KiB".to_owned()),
            _ if value.contains('\0') => Err("no variable can hold a NUL byte".to_owned()),
            _ => Ok(value.to_owned()),
        }
    };
    paths.into_iter().map(|path| (path.clone(), read(&path))).collect()
}
