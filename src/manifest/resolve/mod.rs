//! Wire to [`Desired`], with defaults filled in and everything checked that one file or one value can't tell. Pure:
//! files, env files and lcm's environment come in as values.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use crate::manifest::Choice;
use crate::manifest::wire::Manifest;
use crate::model::desired::Desired;
use crate::model::names::ServiceName;
use crate::syntax::Environment;
use crate::syntax::interpolate::Variables;
use crate::syntax::problem::{Problem, Severity};
use crate::syntax::scalar::is_name;
use crate::syntax::source::{Sources, Span};
use crate::syntax::tree::Node;

mod address;
mod checks;
mod container;
mod context;
mod environment;
mod graph;
mod hooks;
mod modes;
mod probes;
mod process;
mod project;
mod rules;
mod service;
mod shared;

use context::Context;
pub(super) use context::absolute;

/// All that a resolution works with.
#[derive(Debug)]
pub(super) struct Input<'a> {
    pub sources: &'a Sources,
    /// The entry is the first.
    pub files: &'a [ManifestFile],
    pub names: &'a Names,
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
pub(super) struct Root {
    pub file: usize,
    pub keys: BTreeSet<String>,
    pub node: Node,
}

/// One file, read.
#[derive(Debug)]
pub(super) struct ManifestFile {
    pub file: usize,
    /// The keys at its top as they were written, also those whose values could not be read.
    pub keys: BTreeSet<String>,
    pub manifest: Manifest,
}

/// What an env file came to.
#[derive(Debug)]
pub(super) enum EnvFile {
    Variables(BTreeMap<String, String>),
    Missing,
    Unreadable(String),
}

/// The text of a file that is a secret, or why there is none.
pub(super) type SecretFile = Result<String, String>;

/// Every name that is defined, also of things that could not be read.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub services: BTreeMap<String, Span>,
    pub modes: BTreeMap<String, Span>,
    pub goals: BTreeMap<String, Span>,
}

impl Names {
    /// Collects the names of all files; one that is defined twice, or that is no name, is a problem.
    pub(super) fn of(roots: &[Root], sources: &Sources, problems: &mut Vec<Problem>) -> Self {
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

/// Everything that is wanted, or `None` where too much is missing; problems go to `problems`, warnings too.
pub(super) fn resolve(input: &Input<'_>, choice: &Choice, problems: &mut Vec<Problem>) -> Option<Desired> {
    let mut context = Context::new(input, problems);
    let project = project::project(&mut context);
    context.project = project.as_ref().map(ToString::to_string).unwrap_or_default();
    let settings = project::settings(&mut context);

    let mut services = BTreeMap::new();
    for file in input.files {
        for (name, written) in &file.manifest.services.0 {
            if let Some(service) = service::service(&mut context, name, written) {
                services.insert(ServiceName::new(name.value.clone()), service);
            }
        }
    }
    shared::depend(&mut services);
    let goals = modes::goals(&mut context, &services);
    let modes = modes::modes(&mut context);
    let (mode, mode_source) = modes::choose(&mut context, choice);
    modes::check_goals(&mut context, choice);
    checks::check(&mut context, &services, &modes, &goals, &settings);
    let rules = rules::rules(&mut context);
    let notify = hooks::notifiers(&mut context);

    let failed = context.problems.iter().any(|problem| problem.severity == Severity::Error);
    if failed || !input.complete {
        return None;
    }
    Some(Desired {
        project: project?,
        aliases: settings.aliases,
        take_over: false,
        previous_owner: None,
        mode,
        mode_source,
        own_mode: modes::own(&context),
        entry_is_choice: modes::entry_is_choice(&context),
        entry: input.files.first().map(|entry| path_of(input, entry)).unwrap_or_default(),
        is_streamed: input.files.first().is_some_and(|entry| input.sources.get(entry.file).is_streamed),
        named_in: input
            .files
            .iter()
            .find(|file| file.manifest.name.is_some())
            .map(|file| path_of(input, file))
            .unwrap_or_default(),
        newest_checkout: settings.newest_checkout,
        goals_requested: choice.goals.clone(),
        orphans: settings.orphans,
        reserve: settings.reserve,
        declared_gpus: settings.devices.into_iter().map(|(device, _)| device).collect(),
        engine_host: settings.engine_host,
        services: services.into_iter().map(|(name, resolved)| (name, resolved.service)).collect(),
        modes: modes.into_iter().map(|(name, written)| (name, written.mode)).collect(),
        goals,
        rules,
        notify,
        secrets: Vec::new(),
        warnings: Vec::new(),
        files: Arc::default(),
    })
}

/// Absolute path of a file.
fn path_of(input: &Input<'_>, file: &ManifestFile) -> PathBuf {
    let source = input.sources.get(file.file);
    let name = source.path.file_name().unwrap_or_default();
    // A descriptor lies in no folder: its manifest stands for one in the folder that its paths start from.
    if source.is_streamed && source.path.is_absolute() {
        return source.folder.join(format!("<fd {}>", name.display()));
    }
    source.folder.join(name)
}
