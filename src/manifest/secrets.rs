//! Values that no output may show, gathered from the trees of all files before any type is known: so the problems of a
//! manifest are reported without them too.
//!
//! `resolve` decides which of a service's variables count as secrets in its spec; this module decides about values.

mod ordinary;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::manifest::resolve::{EnvFile, Root, SecretFile, absolute};
use crate::manifest::wire::service::RUNTIME_KEYS;
use crate::model::secret::Secret;
use crate::syntax::Environment;
use crate::syntax::interpolate::Variables;
use crate::syntax::located::Located;
use crate::syntax::source::{Sources, Span};
use crate::syntax::tree::{Node, Scalar, Value};

use self::ordinary::{is_ordinary, password};

/// Keys whose values are names that messages show (`ipc: container:NAME`); a variable whose value equals one is no
/// secret. A new key rarely belongs here.
const NAMING_KEYS: [&str; 12] = [
    "name",
    "mode",
    "extends",
    "container",
    "container_name",
    "image",
    "networks",
    "depends_on",
    "services",
    "goals",
    "ipc",
    "shell",
];
/// Deepest nesting that is searched; below it, only the user's own keys follow.
const DEPTH_MAX: usize = 64;

/// Files that hold environment values, by absolute path.
#[derive(Debug, Default)]
pub(super) struct EnvironmentFiles {
    pub env_files: BTreeSet<PathBuf>,
    pub secret_files: BTreeSet<PathBuf>,
}

/// Contents of the files.
#[derive(Debug, Default)]
pub(super) struct Files {
    pub env_files: BTreeMap<PathBuf, EnvFile>,
    pub secret_files: BTreeMap<PathBuf, SecretFile>,
}

/// Returns the files that services and templates name.
pub(super) fn named(roots: &[Root], sources: &Sources, environment: &Environment) -> EnvironmentFiles {
    let path = |text: &str, span: Span| absolute(&located(text, span), sources, environment);
    let mut named = EnvironmentFiles::default();
    for (_, runtime) in runtimes(roots) {
        let env_files = runtime.get("env_file").map(Node::strings).unwrap_or_default();
        named.env_files.extend(env_files.into_iter().filter_map(|(text, span)| path(text, span)));
        let sources = runtime.get("environment").map(Node::entries).unwrap_or_default();
        let files = sources.iter().filter_map(|entry| entry.value.get("file")).flat_map(Node::strings);
        named.secret_files.extend(files.filter_map(|(text, span)| path(text, span)));
    }
    named
}

/// Sources of all values.
#[derive(Debug)]
pub(super) struct Origins<'a> {
    pub roots: &'a [Root],
    pub sources: &'a Sources,
    pub variables: &'a Variables,
    pub environment: &'a Environment,
    pub files: &'a Files,
}

/// Returns every value to mask, each once.
pub(super) fn gather(origins: &Origins<'_>) -> Vec<Secret> {
    let mut words = BTreeSet::new();
    origins.roots.iter().for_each(|root| collect_words(&root.node, false, &mut words, DEPTH_MAX));
    let everywhere =
        origins.roots.iter().map(|root| SecrecyNames::of(&root.node)).fold(SecrecyNames::default(), SecrecyNames::or);
    let mut gathered = SecretCollector { origins, words, secrets: BTreeSet::new(), env_files: BTreeSet::new() };
    for (service, runtime) in runtimes(origins.roots) {
        let overrules = [SecrecyNames::of(runtime), SecrecyNames::of(service), everywhere.clone()];
        gathered.of_env_files(runtime, &overrules);
        gathered.of_environment(runtime, &overrules);
    }
    gathered.secrets.into_iter().collect()
}

/// Returns the values of variables used outside a service's environment (in its command, its labels, its image), by
/// service.
pub(super) fn outside_environments(origins: &Origins<'_>) -> BTreeMap<String, BTreeSet<Secret>> {
    let services = origins.roots.iter().filter_map(|root| root.node.get("services")).flat_map(Node::entries);
    let outside = services.map(|service| {
        let mut names = BTreeSet::new();
        let runtimes = RUNTIME_KEYS.iter().map(|runtime| service.value.get(runtime));
        for entry in runtimes.flatten().flat_map(Node::entries) {
            if !["environment", "env_file"].contains(&entry.key.as_str()) {
                collect_variables(&entry.value, origins.variables, &mut names, DEPTH_MAX);
            }
        }
        let values = names.into_iter().filter_map(|name| origins.environment.get(name)).map(Secret::new);
        (service.key.clone(), values.collect())
    });
    outside.collect()
}

fn collect_variables<'a>(node: &Node, variables: &'a Variables, names: &mut BTreeSet<&'a str>, depth: usize) {
    if depth == 0 {
        return;
    }
    match &node.value {
        Value::Scalar(_) => {
            names.extend(variables.get(&node.span).iter().flat_map(|used| &used.names).map(String::as_str));
        }
        Value::List(items) => items.iter().for_each(|item| collect_variables(item, variables, names, depth - 1)),
        Value::Map(entries) => {
            for entry in entries {
                collect_variables(&entry.value, variables, names, depth - 1);
            }
        }
        Value::Null => {}
    }
}

/// Returns each service and template, with each of its runtimes.
fn runtimes(roots: &[Root]) -> impl Iterator<Item = (&Node, &Node)> {
    let sections = roots.iter().flat_map(|root| ["services", "templates"].map(|section| root.node.get(section)));
    let services = sections.flatten().flat_map(Node::entries).map(|entry| &entry.value);
    services.flat_map(|service| {
        let runtimes = RUNTIME_KEYS.iter().filter_map(|runtime| service.get(runtime));
        runtimes.map(move |runtime| (service, runtime))
    })
}

fn located(text: &str, span: Span) -> Located<String> {
    Located { value: text.to_owned(), span, damaged: false, interpolated: false }
}

/// Collects keys of all maps, and names: a variable's value that equals one of these is no secret.
fn collect_words(node: &Node, names: bool, words: &mut BTreeSet<String>, depth: usize) {
    if depth == 0 {
        return;
    }
    match &node.value {
        Value::Map(entries) => {
            for entry in entries {
                words.insert(entry.key.clone());
                collect_words(&entry.value, NAMING_KEYS.contains(&entry.key.as_str()), words, depth - 1);
            }
        }
        Value::List(items) => items.iter().for_each(|item| collect_words(item, names, words, depth - 1)),
        Value::Scalar(Scalar { text, interpolated: false, .. }) if names => {
            words.insert(text.clone());
        }
        Value::Scalar(_) | Value::Null => {}
    }
}

/// Names under `plain:` and `secret:` of one level.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct SecrecyNames {
    plain: BTreeSet<String>,
    secret: BTreeSet<String>,
}

impl SecrecyNames {
    fn of(node: &Node) -> Self {
        let names = |key: &str| node.get(key).map(Node::strings).unwrap_or_default();
        let set = |key: &str| names(key).into_iter().map(|(name, _)| name.to_owned()).collect();
        Self { plain: set("plain"), secret: set("secret") }
    }

    fn or(mut self, other: Self) -> Self {
        self.plain.extend(other.plain);
        self.secret.extend(other.secret);
        self
    }
}

/// Declaration of a variable's value in the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Declared {
    Plain,
    Secret,
    /// Not declared by name, but written as a secret: `{ env: NAME }`, `{ file: PATH }`.
    Written,
    /// Not declared: a secret unless the value looks ordinary.
    Unsaid,
}

/// Returns the declaration by the nearest level that names the variable.
fn declared(name: &str, levels: &[SecrecyNames]) -> Declared {
    let named = levels.iter().find_map(|level| match (level.secret.contains(name), level.plain.contains(name)) {
        (true, _) => Some(Declared::Secret),
        (false, true) => Some(Declared::Plain),
        (false, false) => None,
    });
    named.unwrap_or(Declared::Unsaid)
}

struct SecretCollector<'a> {
    origins: &'a Origins<'a>,
    words: BTreeSet<String>,
    secrets: BTreeSet<Secret>,
    /// Env files already searched: a thousand services may name one.
    env_files: BTreeSet<(PathBuf, Vec<SecrecyNames>)>,
}

impl SecretCollector<'_> {
    fn of_env_files(&mut self, runtime: &Node, levels: &[SecrecyNames]) {
        for (text, span) in runtime.get("env_file").map(Node::strings).unwrap_or_default() {
            let path = absolute(&located(text, span), self.origins.sources, self.origins.environment);
            let Some(path) = path.filter(|path| self.env_files.insert((path.clone(), levels.to_vec()))) else {
                continue;
            };
            if let Some(EnvFile::Variables(variables)) = self.origins.files.env_files.get(&path) {
                for (name, value) in variables {
                    self.add(value, declared(name, levels));
                }
            }
        }
    }

    fn of_environment(&mut self, runtime: &Node, levels: &[SecrecyNames]) {
        let Some(environment) = runtime.get("environment") else { return };
        match &environment.value {
            Value::Map(entries) => {
                for entry in entries {
                    let name = declared(&entry.key, levels);
                    match &entry.value.value {
                        Value::Scalar(scalar) => self.of_value(&scalar.text, entry.value.span, name, levels),
                        Value::Map(_) => self.of_source(&entry.value, name),
                        Value::List(_) | Value::Null => {}
                    }
                }
            }
            Value::List(items) => {
                for item in items {
                    let Value::Scalar(Scalar { text, .. }) = &item.value else { continue };
                    let Some((name, value)) = text.split_once('=') else { continue };
                    self.of_value(value, item.span, declared(name, levels), levels);
                }
            }
            Value::Scalar(_) | Value::Null => {}
        }
        let inherited = runtime.get("inherit").map(Node::strings).unwrap_or_default();
        for (name, _) in inherited.into_iter().filter(|(name, _)| declared(name, levels) == Declared::Secret) {
            if let Some(value) = self.origins.environment.get(name) {
                self.add(value, Declared::Secret);
            }
        }
    }

    /// Adds a value as it is written, with variables interpolated.
    fn of_value(&mut self, value: &str, span: Span, name: Declared, levels: &[SecrecyNames]) {
        let used = self.origins.variables.get(&span);
        if name == Declared::Secret && used.is_none_or(|used| used.missing.is_empty()) {
            self.add(value, Declared::Secret);
        }
        for variable in used.iter().flat_map(|used| &used.names) {
            let declared = match (declared(variable, levels), name) {
                (Declared::Unsaid, name) => name,
                (said, _) => said,
            };
            if let Some(value) = self.origins.environment.get(variable) {
                self.add(value, declared);
            }
        }
    }

    /// Adds the value of `{ env: NAME }` or `{ file: PATH }`, a secret by its form.
    fn of_source(&mut self, source: &Node, name: Declared) {
        if name == Declared::Plain {
            return;
        }
        let env = source.get("env").map(Node::strings).unwrap_or_default();
        let values = env.into_iter().filter_map(|(name, _)| self.origins.environment.get(name));
        let values: Vec<String> = values.cloned().chain(self.of_secret_files(source)).collect();
        let declared = if name == Declared::Secret { Declared::Secret } else { Declared::Written };
        for value in values {
            self.add(&value, declared);
        }
    }

    fn of_secret_files(&self, source: &Node) -> Vec<String> {
        let files = source.get("file").map(Node::strings).unwrap_or_default();
        let paths = files
            .into_iter()
            .filter_map(|(text, span)| absolute(&located(text, span), self.origins.sources, self.origins.environment));
        paths.filter_map(|path| self.origins.files.secret_files.get(&path)?.as_ref().ok().cloned()).collect()
    }

    fn add(&mut self, value: &str, declared: Declared) {
        match declared {
            Declared::Plain => return,
            Declared::Secret => {
                self.secrets.replace(Secret::declared(value));
            }
            Declared::Written => {
                self.secrets.insert(Secret::new(value));
            }
            Declared::Unsaid if !is_ordinary(value, &self.words) => {
                self.secrets.insert(Secret::new(value));
            }
            Declared::Unsaid => {}
        }
        if let Some(password) = password(value).filter(|password| !is_ordinary(password, &self.words)) {
            self.secrets.insert(Secret::new(password));
        }
    }
}
