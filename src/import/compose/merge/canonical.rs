//! Canonical form of a Compose service: "merges apply to the expanded form" (Compose specification, "Compose file").
//! Lists of `KEY=value` become maps, single values become lists, and a list has each unique resource once.

use std::collections::BTreeMap;

use crate::import::compose::values::{cut, port};
use crate::syntax::ports;
use crate::syntax::source::Span;
use crate::syntax::tree::{MapEntry, Node, Scalar, ScalarKind, Value};

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
    let mut entries: Vec<MapEntry> = Vec::with_capacity(items.len());
    for item in items {
        let Some(text) = item.scalar() else { continue };
        let (key, value) = match cut(text, separators) {
            Some((key, value)) => (key, string(item.span, value)),
            None => (text, Node::new(item.span, Value::Null)),
        };
        put(&mut entries, MapEntry { key: resolve(key), key_span: item.span, value });
    }
    entries
}

fn names(path: &[&str], items: &[Node], resolve: &Resolve<'_>) -> Vec<MapEntry> {
    let mut entries: Vec<MapEntry> = Vec::with_capacity(items.len());
    for item in items {
        let Some(name) = item.scalar() else { continue };
        let value = if path == ["depends_on"] {
            let condition = string(item.span, "service_started");
            Value::Map(vec![MapEntry { key: "condition".to_owned(), key_span: item.span, value: condition }])
        } else {
            Value::Null
        };
        put(&mut entries, MapEntry { key: resolve(name), key_span: item.span, value: Node::new(item.span, value) });
    }
    entries
}

fn put(entries: &mut Vec<MapEntry>, entry: MapEntry) {
    match entries.iter_mut().find(|other| other.key == entry.key) {
        Some(other) => *other = entry,
        None => entries.push(entry),
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
        match key.as_ref().and_then(|key| places.get(key).copied()) {
            Some(place) => kept[place] = item,
            None => {
                places.extend(key.map(|key| (key, kept.len())));
                kept.push(item);
            }
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

/// Returns the ports, each once. A range of which one port is published again is divided.
fn unique_ports(items: Vec<Node>, resolve: &Resolve<'_>) -> Vec<Node> {
    let mut kept: Vec<(Node, Vec<String>)> = Vec::with_capacity(items.len());
    for item in items {
        let given = published(&item, resolve);
        let mut place = None;
        let mut position = 0;
        while position < kept.len() {
            let (other, held) = &kept[position];
            if !held.iter().any(|port| given.contains(port)) {
                position += 1;
                continue;
            }
            let rest: Vec<String> = held.iter().filter(|port| !given.contains(port)).cloned().collect();
            let span = other.span;
            let short = |port: &str| string(span, port.trim_start_matches("0.0.0.0:").trim_start_matches(':'));
            let apart: Vec<_> = rest.into_iter().map(|port| (short(&port), vec![port])).collect();
            place = place.or(Some(position));
            kept.splice(position..=position, apart);
        }
        kept.insert(place.unwrap_or(kept.len()).min(kept.len()), (item, given));
    }
    kept.into_iter().map(|(item, _)| item).collect()
}

/// Returns the ports of one item, each as `ADDRESS:HOST:CONTAINER/PROTOCOL`; empty where it can't be read.
fn published(item: &Node, resolve: &Resolve<'_>) -> Vec<String> {
    let Some(text) = port(item, &mut |text| resolve(text)) else { return Vec::new() };
    let Ok(mut ports) = ports::parse(&text) else { return vec![text] };
    for port in &mut ports {
        port.address.get_or_insert_with(|| "0.0.0.0".to_owned());
    }
    ports.iter().map(ports::text).collect()
}
