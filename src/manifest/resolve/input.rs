//! Input of a resolution: the files of a manifest, the names in them, and the contents of other files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::manifest::wire::Manifest;
use crate::syntax::Environment;
use crate::syntax::interpolate::Variables;
use crate::syntax::problem::Problem;
use crate::syntax::scalar::{RESERVED_MODES, is_name};
use crate::syntax::source::{Sources, Span};
use crate::syntax::tree::Node;

/// Input of a resolution.
#[derive(Debug)]
pub(crate) struct Input<'a> {
    pub sources: &'a Sources,
    /// Files of the manifest; the entry file is the first.
    pub files: &'a [ManifestFile],
    pub names: &'a DefinedNames,
    /// Env files, by absolute path.
    pub env_files: &'a BTreeMap<PathBuf, EnvFile>,
    /// Secret files, by absolute path.
    pub secret_files: &'a BTreeMap<PathBuf, SecretFile>,
    /// Interpolated variables, by the places of the values that they are in.
    pub variables: &'a Variables,
    pub environment: &'a Environment,
    /// True if every file could be read, so that an unknown name is certainly undefined.
    pub complete: bool,
}

/// File as a tree.
#[derive(Debug)]
pub(crate) struct Root {
    pub file: usize,
    pub keys: BTreeSet<String>,
    pub node: Node,
}

/// File, read.
#[derive(Debug)]
pub(crate) struct ManifestFile {
    pub file: usize,
    /// Top-level keys as written, also those whose values could not be read.
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

/// Text of a secret file, or the reason why it can't be read.
pub(crate) type SecretFile = Result<String, String>;

/// Defined names, also those of entries that could not be read.
#[derive(Debug, Default)]
pub(crate) struct DefinedNames {
    pub services: BTreeMap<String, Span>,
    pub modes: BTreeMap<String, Span>,
    pub goals: BTreeMap<String, Span>,
}

impl DefinedNames {
    /// Collects the names of all files; reports duplicates and invalid names.
    pub(crate) fn of(roots: &[Root], sources: &Sources, problems: &mut Vec<Problem>) -> Self {
        let mut collect = |section: &str, what: &str| {
            let mut names: BTreeMap<String, Span> = BTreeMap::new();
            let entries = roots.iter().filter_map(|root| root.node.get(section)).flat_map(Node::entries);
            for entry in entries {
                let place = sources.place(entry.key_span);
                if section == "modes" && RESERVED_MODES.contains(&entry.key.as_str()) {
                    let message = format!("the mode name `{}` is reserved", entry.key);
                    let help =
                        "rename the mode: `auto` and `off` are kept for settings of lcm, so no mode has these names";
                    problems
                        .push(Problem::error("lcm::manifest::name", message).at(place.clone(), "this name").help(help));
                }
                if !is_name(&entry.key) {
                    let message = format!("invalid {what} name `{}`", entry.key);
                    let help = "use letters, digits, `_`, `.` and `-`, and begin with a letter or digit";
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
        collect("networks", "network");
        Self {
            services: collect("services", "service"),
            modes: collect("modes", "mode"),
            goals: collect("goals", "goal"),
        }
    }
}
