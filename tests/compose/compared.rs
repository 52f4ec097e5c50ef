//! Comparison of two models of one project: each attribute in one notation, paths absolute, lists without an order of
//! their own sorted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use serde_json::{Map, Value};

use crate::Variables;
use crate::generated::GeneratedProject;

/// Attributes whose order means nothing.
const SETS: [&str; 8] = ["expose", "dns", "dns_search", "dns_opt", "tmpfs", "cap_add", "cap_drop", "security_opt"];

/// Returns the differences between lcm's model and docker-compose's output.
pub(crate) fn differences(at: &Path, project: &GeneratedProject, model: &Value, config: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for section in ["services", "networks", "volumes"] {
        let (ours, theirs) = (entries(model, section), entries(config, section));
        let names: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
        for name in names {
            let (Some(one), Some(other)) = (ours.get(name), theirs.get(name)) else {
                found.push(format!("{section}.{name}: {:?} / {:?}", ours.get(name), theirs.get(name)));
                continue;
            };
            let (one, other) = if section == "services" {
                (normal(at, project, one), normal(at, project, &undollared(other)))
            } else {
                (whole(one), whole(other))
            };
            let keys: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
            let differing = keys.into_iter().filter(|key| one.get(*key) != other.get(*key));
            found.extend(differing.map(|key| {
                let show = |value: Option<&Value>| value.map_or_else(|| "-".to_owned(), Value::to_string);
                format!("{section}.{name}.{key}:\n  lcm {}\n 1.29 {}", show(one.get(key)), show(other.get(key)))
            }));
        }
    }
    found
}

fn entries(model: &Value, section: &str) -> Map<String, Value> {
    model.get(section).and_then(Value::as_object).cloned().unwrap_or_default()
}

fn whole(node: &Value) -> BTreeMap<String, Value> {
    let entries = node.as_object().cloned().unwrap_or_default();
    entries.into_iter().map(|(key, value)| (key, texts(&value))).collect()
}

/// Returns a value in which docker-compose's `$$` is a dollar sign again.
fn undollared(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace("$$", "$")),
        Value::Array(items) => Value::Array(items.iter().map(undollared).collect()),
        Value::Object(entries) => {
            Value::Object(entries.iter().map(|(key, value)| (key.clone(), undollared(value))).collect())
        }
        other @ (Value::Null | Value::Bool(_) | Value::Number(_)) => other.clone(),
    }
}

/// Returns a value whose scalars are texts.
fn texts(value: &Value) -> Value {
    match value {
        Value::Bool(_) | Value::Number(_) => Value::String(value.to_string()),
        Value::Array(items) => Value::Array(items.iter().map(texts).collect()),
        Value::Object(entries) => {
            Value::Object(entries.iter().map(|(key, value)| (key.clone(), texts(value))).collect())
        }
        Value::Null | Value::String(_) => value.clone(),
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Returns a service with each attribute in one notation.
fn normal(at: &Path, project: &GeneratedProject, service: &Value) -> BTreeMap<String, Value> {
    let service = texts(service);
    let mut normal = BTreeMap::new();
    for (key, value) in service.as_object().into_iter().flatten() {
        let value = match key.as_str() {
            "environment" | "env_file" => continue,
            "ports" => set(items(value).iter().flat_map(ports)),
            "volumes" => set(items(value).iter().map(|volume| mount(at, &text(volume)))),
            "devices" => set(items(value).iter().map(|item| device(&text(item)))),
            "depends_on" => value.clone(),
            "networks" => networks(value),
            "extra_hosts" | "labels" | "sysctls" => pairs(value),
            "build" => build(at, value),
            key if SETS.contains(&key) => set(items(value).iter().map(text)),
            _ => value.clone(),
        };
        normal.insert(key.clone(), value);
    }
    let environment = environment(at, project, &service);
    if !environment.is_empty() {
        normal.insert("environment".to_owned(), Value::Object(environment));
    }
    normal
}

fn items(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_else(|| vec![value.clone()])
}

fn set(items: impl Iterator<Item = String>) -> Value {
    let items: BTreeSet<String> = items.collect();
    items.into_iter().map(Value::String).collect::<Vec<_>>().into()
}

/// Returns the ports of an entry, each as `ADDRESS:HOST:CONTAINER/PROTOCOL`.
fn ports(entry: &Value) -> Vec<String> {
    if let Some(map) = entry.as_object() {
        let at = |key: &str| map.get(key).map(text).unwrap_or_default();
        let protocol = map.get("protocol").map_or_else(|| "tcp".to_owned(), text);
        return vec![format!(":{}:{}/{protocol}", at("published"), at("target"))];
    }
    let short = text(entry);
    let (ports, protocol) = short.split_once('/').unwrap_or((&short, "tcp"));
    let parts: Vec<&str> = ports.split(':').collect();
    let (address, host, container) = match parts[..] {
        [container] => ("", "", container),
        [host, container] => ("", host, container),
        [address, host, container] => (address, host, container),
        _ => ("?", "?", "?"),
    };
    let range = |range: &str| -> Vec<String> {
        let Some((first, last)) = range.split_once('-') else { return vec![range.to_owned()] };
        let (first, last): (u16, u16) = (first.parse().unwrap_or(0), last.parse().unwrap_or(0));
        (first..=last).map(|port| port.to_string()).collect()
    };
    let zipped = range(host).into_iter().zip(range(container));
    zipped.map(|(host, container)| format!("{address}:{host}:{container}/{protocol}")).collect()
}

fn mount(at: &Path, short: &str) -> String {
    let parts: Vec<&str> = short.split(':').collect();
    let source = if parts[0].starts_with('.') { absolute(at, parts[0]) } else { parts[0].to_owned() };
    format!("{source}:{}:{}", parts[1], parts.get(2).unwrap_or(&"rw"))
}

fn device(short: &str) -> String {
    let parts: Vec<&str> = short.split(':').collect();
    format!("{}:{}:{}", parts[0], parts.get(1).unwrap_or(&parts[0]), parts.get(2).unwrap_or(&"rwm"))
}

fn absolute(at: &Path, path: &str) -> String {
    let mut absolute = PathBuf::new();
    for part in at.join(path).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                absolute.pop();
            }
            Component::Normal(_) | Component::RootDir | Component::Prefix(_) => absolute.push(part),
        }
    }
    absolute.display().to_string()
}

fn networks(value: &Value) -> Value {
    let aliases = |settings: &Value| {
        let aliases = settings.get("aliases").map(items).unwrap_or_default();
        set(aliases.iter().map(text))
    };
    match value {
        Value::Object(entries) => entries.iter().map(|(name, entry)| (name.clone(), aliases(entry))).collect(),
        other => items(other).iter().map(|name| (text(name), aliases(&Value::Null))).collect(),
    }
}

/// Returns a map of a map or of a list of `KEY=value` or `HOST:ADDRESS`.
fn pairs(value: &Value) -> Value {
    if value.is_object() {
        return value.clone();
    }
    let pair = |item: &Value| {
        let item = text(item);
        let (key, value) = item.split_once(['=', ':']).unwrap_or((&item, ""));
        (key.to_owned(), Value::String(value.to_owned()))
    };
    items(value).iter().map(pair).collect()
}

fn build(at: &Path, value: &Value) -> Value {
    let mut build = value.clone();
    if let Some(context) = build.get_mut("context") {
        *context = Value::String(absolute(at, &text(context)));
    }
    build
}

/// Returns the environment with that of the env files. A variable without a value has it from outside.
fn environment(at: &Path, project: &GeneratedProject, service: &Value) -> Map<String, Value> {
    let mut all = Map::new();
    for file in service.get("env_file").map(items).unwrap_or_default() {
        let lines = fs::read_to_string(at.join(text(&file))).unwrap_or_else(|error| format!("{}={error}", text(&file)));
        let pairs = lines.lines().filter_map(|line| line.split_once('='));
        all.extend(pairs.map(|(name, value)| (name.to_owned(), Value::String(value.to_owned()))));
    }
    let own = service.get("environment").map(pairs);
    for (name, value) in own.as_ref().and_then(Value::as_object).into_iter().flatten() {
        let outside = |variables: &Variables| variables.get(name).cloned().map(Value::String);
        let value = match value {
            Value::Null => outside(&project.environment).or_else(|| outside(&project.dotenv)).unwrap_or(Value::Null),
            value => value.clone(),
        };
        all.insert(name.clone(), value);
    }
    all
}
