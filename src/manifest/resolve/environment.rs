//! Environment of a service: env files, then `environment` over them; and which of its values are secrets.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::manifest::resolve::context::ResolveContext;
use crate::manifest::resolve::input::EnvFile;
use crate::manifest::wire::service::ServiceBlock;
use crate::manifest::wire::shape::{EnvironmentValue, OneOrMany, Pairs};
use crate::model::environment::EnvValue;
use crate::model::reserved_variables::{is_overruled, names_gpus};
use crate::model::secret::{MASK, Secret};
use crate::syntax::interpolate::Used;
use crate::syntax::located::Located;
use crate::syntax::source::Span;

/// Environment of a service, with its secrets apart.
#[derive(Debug, Default)]
pub(crate) struct ResolvedEnvironment {
    pub values: BTreeMap<String, EnvValue>,
    pub secrets: BTreeMap<String, Secret>,
    /// Sources of missing values.
    pub missing: BTreeSet<String>,
}

/// Environment of a service as the manifest has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WrittenEnvironment<'a> {
    pub pairs: Option<&'a Located<Pairs<EnvironmentValue>>>,
    pub env_files: Option<&'a OneOrMany<Located<String>>>,
    pub secret: &'a [Located<String>],
    pub plain: &'a [Located<String>],
    /// True if lcm chooses the GPUs that the service sees.
    pub gets_gpus: bool,
}

/// Names under `secret:` and `plain:`, the nearest level first.
#[derive(Debug)]
struct SecrecyLevels<'a>([SecrecyLevel<'a>; 3]);

/// Names under `secret:` and under `plain:` of one level.
type SecrecyLevel<'a> = (&'a [Located<String>], &'a [Located<String>]);

impl SecrecyLevels<'_> {
    /// Returns the declaration by the nearest level that names the variable: secret or plain; `None` without one.
    fn is_secret(&self, name: &str) -> Option<bool> {
        let names = |list: &[Located<String>]| list.iter().any(|other| other.value == name);
        self.0.iter().find_map(|(secret, plain)| match (names(secret), names(plain)) {
            (true, _) => Some(true),
            (false, true) => Some(false),
            (false, false) => None,
        })
    }

    /// Returns the same for a variable whose value has others interpolated.
    fn is_secret_with(&self, name: &str, used: Option<&Used>) -> Option<bool> {
        self.is_secret(name).or_else(|| {
            let said: Vec<Option<bool>> =
                used.iter().flat_map(|used| &used.names).map(|name| self.is_secret(name)).collect();
            let all_plain = !said.is_empty() && said.iter().all(|said| *said == Some(false));
            if said.contains(&Some(true)) { Some(true) } else { all_plain.then_some(false) }
        })
    }
}

impl ResolvedEnvironment {
    /// Returns the masked form that a spec has. `None`: the environment is empty.
    pub(crate) fn masked(&self) -> Option<Value> {
        let masked: Map<String, Value> = self
            .values
            .iter()
            .map(|(name, value)| match value {
                EnvValue::Plain(text) => (name.clone(), text.clone().into()),
                EnvValue::Secret(_) => (name.clone(), MASK.into()),
            })
            .collect();
        (!masked.is_empty()).then_some(Value::Object(masked))
    }

    fn secret(&mut self, name: &str, secret: Option<Secret>) {
        self.secrets.remove(name);
        if let Some(secret) = &secret {
            self.secrets.insert(name.to_owned(), secret.clone());
        }
        self.values.insert(name.to_owned(), EnvValue::Secret(secret));
    }

    fn plain(&mut self, name: &str, text: &str) {
        self.secrets.remove(name);
        self.values.insert(name.to_owned(), EnvValue::Plain(text.to_owned()));
    }
}

pub(crate) fn environment(
    context: &mut ResolveContext<'_>,
    service: &ServiceBlock,
    written: WrittenEnvironment<'_>,
) -> ResolvedEnvironment {
    let mut resolved = ResolvedEnvironment::default();
    let files = context.input.files;
    let (secret, plain) = files.iter().fold((Vec::new(), Vec::new()), |(mut secret, mut plain), file| {
        secret.extend(file.manifest.secret.iter().cloned());
        plain.extend(file.manifest.plain.iter().cloned());
        (secret, plain)
    });
    let levels =
        [(written.secret, written.plain), (&service.secret[..], &service.plain[..]), (&secret[..], &plain[..])];
    for (secret, plain) in &levels {
        both(context, secret, plain);
    }
    let overrules = SecrecyLevels(levels);
    for file in written.env_files.iter().flat_map(|files| &files.0) {
        env_file(context, &mut resolved, &overrules, file, written.gets_gpus);
    }
    if written.gets_gpus {
        for (name, span) in names(written.pairs).filter(|(name, _)| is_overruled(name)) {
            chosen_by_lcm(context, name, span);
        }
    }
    match written.pairs.map(|pairs| &pairs.value) {
        Some(Pairs::Map(entries)) => {
            for (name, value) in entries {
                if valid(context, name, name.span) {
                    put(context, &mut resolved, &overrules, (name, value));
                }
            }
        }
        Some(Pairs::List(items)) => list(context, &mut resolved, &overrules, items),
        None => {}
    }
    resolved
}

/// Reports a name under both keys of one level.
fn both(context: &mut ResolveContext<'_>, secret: &[Located<String>], plain: &[Located<String>]) {
    for name in plain.iter().filter(|name| secret.iter().any(|other| other.value == name.value)) {
        let message = format!("`{}` is named under `plain` and under `secret`", name.value);
        context.error("lcm::manifest::conflict", name.span, message, "remove it from one of them");
    }
}

/// Names that `environment:` sets, in either form.
fn names(pairs: Option<&Located<Pairs<EnvironmentValue>>>) -> Box<dyn Iterator<Item = (&str, Span)> + '_> {
    match pairs.map(|pairs| &pairs.value) {
        Some(Pairs::Map(entries)) => Box::new(entries.iter().map(|(name, _)| (name.value.as_str(), name.span))),
        Some(Pairs::List(items)) => {
            let name = |item: &'_ Located<String>| item.value.split_once('=').map_or(0, |(name, _)| name.len());
            Box::new(items.iter().map(move |item| (&item.value[..name(item)], item.span)))
        }
        None => Box::new(std::iter::empty()),
    }
}

/// Reports a variable that lcm sets itself: a value here would have no effect.
pub(crate) fn chosen_by_lcm(context: &mut ResolveContext<'_>, name: &str, span: Span) {
    let (message, help) = if names_gpus(name) {
        (
            format!("`{name}` has no effect: lcm chooses the GPUs of this service"),
            "write `gpu: [0]` to choose them, `gpu: { as: index }` if the program accepts only indices, or `gpu: none` \
             to leave the choice to this variable",
        )
    } else {
        (format!("`{name}` is reserved: lcm marks the processes it starts with it"), "use another name")
    };
    context.error_with_help("lcm::manifest::environment", span, (&message, "this variable"), help);
}

fn env_file(
    context: &mut ResolveContext<'_>,
    resolved: &mut ResolvedEnvironment,
    overrules: &SecrecyLevels<'_>,
    written: &Located<String>,
    gets_gpus: bool,
) {
    let Some(path) = context.path(written) else { return };
    match context.input.env_files.get(&path) {
        Some(EnvFile::Variables(variables)) => {
            let bytes = variables.iter().map(|(name, value)| name.len() + value.len()).sum();
            if !context.affords(bytes, written.span) {
                return;
            }
            if let Some((name, _)) = variables.iter().find(|(name, _)| gets_gpus && is_overruled(name)) {
                chosen_by_lcm(context, name, written.span);
            }
            for (name, value) in variables {
                match overrules.is_secret(name) {
                    Some(false) => resolved.plain(name, value),
                    Some(true) | None => resolved.secret(name, Some(Secret::new(value))),
                }
            }
        }
        Some(EnvFile::Missing) | None => {
            resolved.missing.insert(format!("the env file {}, which does not exist", written.value));
        }
        Some(EnvFile::Unreadable(reason)) => {
            let message = format!("can't read the env file {}: {reason}", written.value);
            context.error("lcm::manifest::env_file", written.span, message, "this file");
        }
    }
}

fn put(
    context: &mut ResolveContext<'_>,
    resolved: &mut ResolvedEnvironment,
    overrules: &SecrecyLevels<'_>,
    (name, value): (&Located<String>, &Located<EnvironmentValue>),
) {
    match &value.value {
        EnvironmentValue::Text(text) => {
            let text =
                Located { value: text.clone(), span: value.span, damaged: false, interpolated: value.interpolated };
            written_out(context, resolved, overrules, (name, &text));
        }
        EnvironmentValue::Env(source) => {
            let found = context.input.environment.get(source);
            if found.is_none() {
                resolved.missing.insert(format!("the environment variable {source}, which is not set"));
            }
            declared(resolved, overrules, name, found.cloned());
        }
        EnvironmentValue::File(written) => {
            let Some(path) = context.path(written) else { return };
            let found = match context.input.secret_files.get(&path) {
                Some(Ok(text)) => Some(text.clone()),
                Some(Err(reason)) => {
                    resolved
                        .missing
                        .insert(format!("the secret file {}, which can't be read: {reason}", written.value));
                    None
                }
                None => {
                    resolved.missing.insert(format!("the secret file {}, which does not exist", written.value));
                    None
                }
            };
            declared(resolved, overrules, name, found);
        }
    }
}

/// Adds the value of `{ env: NAME }` or `{ file: PATH }`.
fn declared(resolved: &mut ResolvedEnvironment, overrules: &SecrecyLevels<'_>, name: &str, found: Option<String>) {
    match (overrules.is_secret(name), found) {
        (Some(false), Some(text)) => resolved.plain(name, &text),
        (_, found) => resolved.secret(name, found.map(Secret::new)),
    }
}

/// Adds a value that the manifest spells out, with variables interpolated.
fn written_out(
    context: &ResolveContext<'_>,
    resolved: &mut ResolvedEnvironment,
    overrules: &SecrecyLevels<'_>,
    (name, value): (&str, &Located<String>),
) {
    let used = context.input.variables.get(&value.span);
    if let Some(used) = used.filter(|used| !used.missing.is_empty()) {
        let told = used.missing.iter().map(|missing| format!("a value for {name}: {missing}"));
        resolved.missing.extend(told);
        return resolved.secret(name, None);
    }
    if overrules.is_secret_with(name, used).unwrap_or(value.interpolated) {
        resolved.secret(name, Some(Secret::new(&value.value)));
    } else {
        resolved.plain(name, &value.value);
    }
}

fn list(
    context: &mut ResolveContext<'_>,
    resolved: &mut ResolvedEnvironment,
    overrules: &SecrecyLevels<'_>,
    items: &[Located<String>],
) {
    let mut seen = BTreeSet::new();
    for item in items {
        let Some((name, value)) = item.split_once('=') else {
            let message = format!("`{}` has no value", item.value);
            let help = format!(
                "write `{0}=value`, or, to take it from lcm's own environment, `{0}: {{ env: {0} }}` in a map",
                item.value
            );
            context.error_with_help("lcm::manifest::environment", item.span, (message, "there is no `=`"), help);
            continue;
        };
        if !seen.insert(name) {
            context.error(
                "lcm::manifest::duplicate",
                item.span,
                format!("`{name}` is set twice in one list"),
                "the second one",
            );
        }
        if valid(context, name, item.span) {
            let value = Located { value: value.to_owned(), ..item.clone() };
            written_out(context, resolved, overrules, (name, &value));
        }
    }
}

/// Reports a name that no environment can hold.
fn valid(context: &mut ResolveContext<'_>, name: &str, span: Span) -> bool {
    let valid = !name.is_empty() && !name.contains(['=', '\0']) && !name.contains(char::is_whitespace);
    if !valid {
        context.error("lcm::manifest::environment", span, format!("invalid variable name `{name}`"), "this name");
    }
    valid
}
