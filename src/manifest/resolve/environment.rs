//! A service's environment: env files, then `environment` over them; and which of its values are secrets.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::manifest::located::Located;
use crate::manifest::resolve::EnvFile;
use crate::manifest::resolve::context::Context;
use crate::manifest::source::Span;
use crate::manifest::wire::shape::{EnvironmentValue, OneOrMany, Pairs};
use crate::model::desired::EnvValue;
use crate::model::secret::{MASK, Secret};

/// An environment with its secrets apart.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    pub values: BTreeMap<String, EnvValue>,
    pub secrets: BTreeMap<String, Secret>,
    /// Where what is missing should come from.
    pub missing: BTreeSet<String>,
}

impl Resolved {
    /// As it stands in a spec: masked. `None`: it is empty.
    pub(super) fn masked(&self) -> Option<Value> {
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

pub(super) fn environment(
    context: &mut Context<'_>,
    pairs: Option<&Located<Pairs<EnvironmentValue>>>,
    env_files: Option<&OneOrMany<Located<String>>>,
) -> Resolved {
    let mut resolved = Resolved::default();
    for written in env_files.iter().flat_map(|files| &files.0) {
        let Some(path) = context.path(written) else { continue };
        match context.input.env_files.get(&path) {
            Some(EnvFile::Variables(variables)) => {
                for (name, value) in variables {
                    resolved.secret(name, Some(Secret::new(value)));
                }
            }
            Some(EnvFile::Missing) | None => {
                resolved.missing.insert(format!("the env file {}, which is not there", written.value));
            }
            Some(EnvFile::Unreadable(reason)) => {
                let message = format!("can't read the env file {}: {reason}", written.value);
                context.error("lcm::manifest::env_file", written.span, message, "this file");
            }
        }
    }
    match pairs.map(|pairs| &pairs.value) {
        Some(Pairs::Map(entries)) => {
            for (name, value) in entries {
                if valid(context, name, name.span) {
                    put(context, &mut resolved, name, value);
                }
            }
        }
        Some(Pairs::List(items)) => list(context, &mut resolved, items),
        None => {}
    }
    resolved
}

fn put(context: &Context<'_>, resolved: &mut Resolved, name: &str, value: &Located<EnvironmentValue>) {
    match &value.value {
        EnvironmentValue::Text(text) if value.interpolated => resolved.secret(name, Some(Secret::new(text))),
        EnvironmentValue::Text(text) => resolved.plain(name, text),
        EnvironmentValue::Secret(source) => {
            let found = context.input.environment.get(source);
            if found.is_none() {
                resolved.missing.insert(format!("the environment variable {source}, which is not set"));
            }
            resolved.secret(name, found.map(Secret::new));
        }
    }
}

fn list(context: &mut Context<'_>, resolved: &mut Resolved, items: &[Located<String>]) {
    let mut seen = BTreeSet::new();
    for item in items {
        let Some((name, value)) = item.split_once('=') else {
            let message = format!("`{}` has no value", item.value);
            let help = format!(
                "write `{0}=value`, or, to take it over from lcm's own environment, `{0}: {{ env: {0} }}` in a map",
                item.value
            );
            context.error_with_help("lcm::manifest::environment", item.span, (message, "there is no `=`"), help);
            continue;
        };
        if !seen.insert(name) {
            context.error(
                "lcm::manifest::duplicate",
                item.span,
                format!("`{name}` stands twice in one list"),
                "the second one",
            );
        }
        if valid(context, name, item.span) {
            if item.interpolated {
                resolved.secret(name, Some(Secret::new(value)));
            } else {
                resolved.plain(name, value);
            }
        }
    }
}

/// What no environment can hold is no name.
fn valid(context: &mut Context<'_>, name: &str, span: Span) -> bool {
    let valid = !name.is_empty() && !name.contains(['=', '\0']) && !name.contains(char::is_whitespace);
    if !valid {
        context.error("lcm::manifest::environment", span, format!("`{name}` is no name of a variable"), "this name");
    }
    valid
}
