//! Canonical form of a Compose service: "merges apply to the expanded form" (Compose specification, "Compose file").
//! Lists of `KEY=value` become maps, single values become lists, and a list has each unique resource once.

use std::collections::{BTreeMap, BTreeSet};

use crate::import::compose::values::{cut, port};
use crate::syntax::ports;
use crate::syntax::source::Span;
use crate::syntax::tree::{MapEntry, Node, Scalar, ScalarKind, Value};

/// Longest range of ports that is compared port by port: those of media servers have about 100.
const RANGE_MAX: usize = 128;
/// Ports of one service that are compared: all that one address has.
const PORTS_MAX: usize = 65_536;

/// Interpolation as Compose does it now, for keys that decide which values are the same.
pub(in crate::import::compose) type Resolve<'a> = dyn Fn(&str) -> String + 'a;

/// Form of one attribute of a service; it decides how two values merge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Map, or a list of `KEY=value`.
    Pairs,
    /// Map of addresses by host name, or a list of `HOST:ADDRESS` or `HOST=ADDRESS`.
    Hosts,
    /// Map, or a list of names.
    Names,
    /// Command, which a later one replaces.
    Command,
    /// Map, or a text that stands for the entry of this key.
    Short(&'static str),
    /// Options of a driver, which are merged if the driver is the same.
    Logging,
    List(Identity),
    Other,
}

/// Property by which two items of a list are the same resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Identity {
    /// None: each item counts.
    Position,
    Text,
    Port,
    /// Path in the container.
    Mount,
    /// Path in the container, of a device.
    Device,
    /// Target, or the source that it defaults to.
    File,
}

/// Returns the form of an attribute, by the keys that lead to it from the service.
pub(super) fn form(path: &[&str]) -> Form {
    match path {
        ["environment" | "labels" | "annotations" | "sysctls"]
        | ["build", "args" | "labels" | "additional_contexts"]
        | ["deploy", "labels"] => Form::Pairs,
        ["extra_hosts"] | ["build", "extra_hosts"] => Form::Hosts,
        ["depends_on" | "networks" | "models"] => Form::Names,
        ["command" | "entrypoint"] | ["healthcheck", "test"] => Form::Command,
        ["build"] => Form::Short("context"),
        ["logging"] => Form::Logging,
        ["ports"] => Form::List(Identity::Port),
        ["volumes"] => Form::List(Identity::Mount),
        ["devices"] => Form::List(Identity::Device),
        ["secrets" | "configs"] => Form::List(Identity::File),
        // Of two files the later value counts, so an earlier file may stand once more at the end.
        ["env_file" | "label_file"] => Form::List(Identity::Position),
        [
            "dns"
            | "dns_opt"
            | "dns_search"
            | "tmpfs"
            | "cap_add"
            | "cap_drop"
            | "profiles"
            | "links"
            | "expose"
            | "security_opt"
            | "device_cgroup_rules"
            | "external_links"
            | "volumes_from"
            | "group_add",
        ]
        | ["networks", _, "aliases" | "link_local_ips"]
        | ["build", "cache_from" | "tags" | "platforms"] => Form::List(Identity::Text),
        _ => Form::Other,
    }
}

/// Returns a service in canonical form.
pub(in crate::import::compose) fn canonical(service: &Node, resolve: &Resolve<'_>) -> Node {
    attribute(&mut Vec::new(), service, resolve)
}

fn attribute<'a>(path: &mut Vec<&'a str>, node: &'a Node, resolve: &Resolve<'_>) -> Node {
    let value = match (form(path), &node.value) {
        (Form::Pairs, Value::List(items)) => Value::Map(pairs(items, &['='], resolve)),
        (Form::Hosts, Value::List(items)) => Value::Map(pairs(items, &['=', ':'], resolve)),
        (Form::Names, Value::List(items)) => Value::Map(names(path, items, resolve)),
        (Form::Short(key), Value::Scalar(_)) => {
            let value = Node::new(node.span, node.value.clone());
            Value::Map(vec![MapEntry { key: key.to_owned(), key_span: node.span, value }])
        }
        (Form::List(identity), Value::Scalar(_)) => {
            unique(identity, vec![Node::new(node.span, node.value.clone())], resolve)
        }
        (Form::List(identity), Value::List(items)) => unique(identity, items.clone(), resolve),
        (_, Value::Map(entries)) => Value::Map(
            entries
                .iter()
                .map(|entry| {
                    path.push(&entry.key);
                    let value = attribute(path, &entry.value, resolve);
                    path.pop();
                    MapEntry { value, ..entry.clone() }
                })
                .collect(),
        ),
        (_, value) => value.clone(),
    };
    Node { value, ..node.clone() }
}

/// Returns the items as entries; of two with one key the later counts.
fn pairs(items: &[Node], separators: &[char], resolve: &Resolve<'_>) -> Vec<MapEntry> {
    let mut entries = KeyedEntries::default();
    for item in items {
        let Some(text) = item.scalar() else { continue };
        let (key, value) = match cut(text, separators) {
            Some((key, value)) => (key, string(item.span, value)),
            None => (text, Node::new(item.span, Value::Null)),
        };
        entries.put(MapEntry { key: resolve(key), key_span: item.span, value });
    }
    entries.all
}

fn names(path: &[&str], items: &[Node], resolve: &Resolve<'_>) -> Vec<MapEntry> {
    let mut entries = KeyedEntries::default();
    for item in items {
        let Some(name) = item.scalar() else { continue };
        let value = if path == ["depends_on"] {
            let condition = string(item.span, "service_started");
            Value::Map(vec![MapEntry { key: "condition".to_owned(), key_span: item.span, value: condition }])
        } else {
            Value::Null
        };
        entries.put(MapEntry { key: resolve(name), key_span: item.span, value: Node::new(item.span, value) });
    }
    entries.all
}

/// Entries by key, in the order of their first mention.
#[derive(Default)]
struct KeyedEntries {
    all: Vec<MapEntry>,
    places: BTreeMap<String, usize>,
}

impl KeyedEntries {
    /// Adds an entry, or replaces that of the same key.
    fn put(&mut self, entry: MapEntry) {
        if let Some(place) = self.places.get(&entry.key) {
            self.all[*place] = entry;
        } else {
            self.places.insert(entry.key.clone(), self.all.len());
            self.all.push(entry);
        }
    }
}

fn string(span: Span, text: &str) -> Node {
    Node::new(span, Value::Scalar(Scalar { text: text.to_owned(), kind: ScalarKind::String, interpolated: false }))
}

/// Returns a list in which each resource is there once: at the place of the first, with the settings of the last.
pub(super) fn unique(identity: Identity, items: Vec<Node>, resolve: &Resolve<'_>) -> Value {
    if identity == Identity::Position {
        return Value::List(items);
    }
    if identity == Identity::Port {
        return Value::List(unique_ports(items, resolve));
    }
    let mut kept: Vec<Node> = Vec::with_capacity(items.len());
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for item in items {
        let key = key(identity, &item, resolve);
        if let Some(place) = key.as_ref().and_then(|key| places.get(key).copied()) {
            kept[place] = item;
        } else {
            places.extend(key.map(|key| (key, kept.len())));
            kept.push(item);
        }
    }
    Value::List(kept)
}

/// Returns the identity of an item; `None`: it has none, so that no other is the same.
fn key(identity: Identity, item: &Node, resolve: &Resolve<'_>) -> Option<String> {
    let text = |key: &str| item.get(key).and_then(Node::scalar).map(resolve);
    let Some(short) = item.scalar().map(resolve) else {
        return match identity {
            Identity::Mount | Identity::Device => text("target").map(|target| tidy(&target)),
            Identity::File => text("target").or_else(|| text("source")),
            Identity::Text | Identity::Position | Identity::Port => None,
        };
    };
    match identity {
        Identity::Mount | Identity::Device => {
            let mut parts = short.split(':');
            let first = parts.next().unwrap_or_default();
            Some(tidy(parts.next().unwrap_or(first)))
        }
        Identity::File | Identity::Text | Identity::Position | Identity::Port => Some(short),
    }
}

fn tidy(path: &str) -> String {
    let bare = path.trim_end_matches('/');
    if bare.is_empty() { path.to_owned() } else { bare.to_owned() }
}

/// Returns the ports, each once: the last counts. A range of which one port is published again is divided.
fn unique_ports(items: Vec<Node>, resolve: &Resolve<'_>) -> Vec<Node> {
    let (mut kept, mut seen) = (Vec::with_capacity(items.len()), BTreeSet::new());
    for item in items.into_iter().rev() {
        let given = published(&item, resolve, seen.len() < PORTS_MAX);
        let free: Vec<&String> = given.iter().filter(|port| !seen.contains(*port)).collect();
        if free.len() == given.len() {
            kept.push(item);
        } else {
            let short = |port: &String| string(item.span, port.trim_start_matches("0.0.0.0:").trim_start_matches(':'));
            kept.extend(free.into_iter().rev().map(short));
        }
        seen.extend(given);
    }
    kept.reverse();
    kept
}

/// Returns the ports of one item, each as `ADDRESS:HOST:CONTAINER/PROTOCOL`; a long range as one. Empty where it can't
/// be read.
fn published(item: &Node, resolve: &Resolve<'_>, divides: bool) -> Vec<String> {
    let Some(text) = port(item, &mut |text| resolve(text)) else { return Vec::new() };
    match ports::parse(&text) {
        Ok(mut ports) if ports.len() == 1 || (divides && ports.len() <= RANGE_MAX) => {
            for port in &mut ports {
                port.address.get_or_insert_with(|| "0.0.0.0".to_owned());
            }
            ports.iter().map(ports::text).collect()
        }
        Ok(_) | Err(_) => vec![text],
    }
}
