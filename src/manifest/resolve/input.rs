//! The input of a resolution: the files of a manifest, the names in them, and the contents of other files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::manifest::wire::Manifest;
use crate::syntax::Environment;
use crate::syntax::interpolate::Variables;
use crate::syntax::problem::Problem;
use crate::syntax::scalar::is_name;
use crate::syntax::source::{Sources, Span};
use crate::syntax::tree::Node;

/// All that a resolution works with.
#[derive(Debug)]
pub(crate) struct Input<'a> {
    pub sources: &'a Sources,
    /// The entry is the first.
    pub files: &'a [ManifestFile],
    pub names: &'a DefinedNames,
    /// By absolute path.
    pub env_files: &'a BTreeMap<PathBuf, EnvFile>,
    /// By absolute path.
    pub secret_files: &'a BTreeMap<PathBuf, SecretFile>,
    /// Variables that were put into values, by the places of these.
    pub variables: &'a Variables,
    pub environment: &'a Environment,
    /// No file is missing: a name that is unknown is unknown.
    pub complete: bool,
}

/// One file as a tree.
#[derive(Debug)]
pub(crate) struct Root {
    pub file: usize,
    pub keys: BTreeSet<String>,
    pub node: Node,
}

/// One file, read.
#[derive(Debug)]
pub(crate) struct ManifestFile {
    pub file: usize,
    /// The keys at its top as they were written, also those whose values could not be read.
    pub keys: BTreeSet<String>,
    pub manifest: Manifest,
}

/// Result of reading an env file.
#[derive(Debug)]
pub(crate) enum EnvFile {
    Variables(BTreeMap<String, String>),
    Missing,
    Unreadable(String),
}

/// The text of a file that is a secret, or why there is none.
pub(crate) type SecretFile = Result<String, String>;

/// Names that are defined, also of things that could not be read.
#[derive(Debug, Default)]
pub(crate) struct DefinedNames {
    pub services: BTreeMap<String, Span>,
    pub modes: BTreeMap<String, Span>,
    pub goals: BTreeMap<String, Span>,
}

impl DefinedNames {
    /// Collects the names of all files; one that is defined twice, or that is no name, is a problem.
    pub(crate) fn of(roots: &[Root], sources: &Sources, problems: &mut Vec<Problem>) -> Self {
        let mut collect = |section: &str, what: &str| {
            let mut names: BTreeMap<String, Span> = BTreeMap::new();
            let entries = roots.iter().filter_map(|root| root.node.get(section)).flat_map(Node::entries);
            for entry in entries {
                let place = sources.place(entry.key_span);
                if !is_name(&entry.key) {
                    let message = format!("`{}` is no name for a {what}", entry.key);
                    let help = "a name is made of letters, digits, `_`, `.` and `-`, and begins with a letter or digit";
                    problems
                        .push(Problem::error("lcm::manifest::name", message).at(place.clone(), "this name").help(help));
                }
                match names.get(&entry.key) {
                    Some(first) => problems.push(
                        Problem::error(
                            "lcm::manifest::duplicate",
                            format!("the {what} `{}` is defined twice", entry.key),
                        )
                        .at(place, "the second one")
                        .also(sources.place(*first), "the first one"),
                    ),
                    None => {
                        names.insert(entry.key.clone(), entry.key_span);
                    }
                }
            }
            names
        };
        collect("templates", "template");
        Self {
            services: collect("services", "service"),
            modes: collect("modes", "mode"),
            goals: collect("goals", "goal"),
        }
    }
}
