//! Merge of Compose files and of services that extend each other, by the chapter "Merge and override" of the Compose
//! specification. In: trees as read, with `!reset` and `!override`. Out: one tree in canonical form. Not here: files.
//!
//! docker-compose 1.29 differs in these: it sorts lists; a null value removes that of an earlier file, where the
//! specification keeps it (but for commands); `group_add` is replaced, where "a YAML sequence is merged by appending".

pub(super) mod canonical;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::syntax::tree::{MapEntry, MergeTag, Node, Value};
use canonical::{Form, Resolve, canonical, form, unique};

/// Returns a file's tree with all its services in canonical form.
pub(super) fn canonical_file(root: &Node, resolve: &Resolve<'_>) -> Node {
    let mut root = root.clone();
    if let Some(Node { value: Value::Map(services), .. }) = root.get_mut("services") {
        for entry in services {
            entry.value = canonical(&entry.value, resolve);
        }
    }
    root
}

/// Merges a file over those before it; both are in canonical form.
pub(super) fn files(base: &Node, over: &Node, resolve: &Resolve<'_>) -> Node {
    stripped(merged(&mut vec!["/"], base, over, resolve))
}

/// Merges a service over the one that it extends; both are in canonical form. The tags of `over` stay, for the files
/// before its own.
pub(super) fn extension(base: &Node, over: &Node, resolve: &Resolve<'_>) -> Node {
    merged(&mut Vec::new(), &stripped(base.clone()), over, resolve)
}

/// Returns a tree without values to reset, and without tags.
pub(super) fn stripped(mut node: Node) -> Node {
    node.merge_tag = MergeTag::Merge;
    let is_kept = |node: &Node| node.merge_tag != MergeTag::Reset;
    node.value = match node.value {
        Value::List(items) => Value::List(items.into_iter().filter(is_kept).map(stripped).collect()),
        Value::Map(entries) => {
            let entries = entries.into_iter().filter(|entry| is_kept(&entry.value));
            Value::Map(entries.map(|entry| MapEntry { value: stripped(entry.value), ..entry }).collect())
        }
        value @ (Value::Null | Value::Scalar(_)) => value,
    };
    node
}

/// Merges two values. The path has the keys from the service to the value; it begins with `/` outside of services.
fn merged<'a>(path: &mut Vec<&'a str>, base: &'a Node, over: &'a Node, resolve: &Resolve<'_>) -> Node {
    if over.merge_tag != MergeTag::Merge || base.merge_tag == MergeTag::Reset {
        return over.clone();
    }
    let form = match path[..] {
        ["/", ..] => Form::Other,
        [..] => form(path),
    };
    match (form, &base.value, &over.value) {
        // A null command means the image's own; any other null adds nothing.
        (Form::Command, _, _) => over.clone(),
        // Of a variable it means that the value comes from outside.
        (Form::Other, _, Value::Null) if !matches!(path[..], ["environment" | "labels", _]) => base.clone(),
        (Form::Logging, Value::Map(_), Value::Map(_)) if !same_driver(base, over, resolve) => over.clone(),
        (_, Value::Map(entries), Value::Map(later)) => {
            let mut all = entries.clone();
            let places: BTreeMap<&str, usize> =
                entries.iter().enumerate().map(|(place, entry)| (entry.key.as_str(), place)).collect();
            for entry in later {
                match places.get(entry.key.as_str()) {
                    Some(place) => {
                        let value = below(path, &entry.key, &entries[*place].value, &entry.value, resolve);
                        all[*place] = MapEntry { value, ..entry.clone() };
                    }
                    None => all.push(entry.clone()),
                }
            }
            Node { value: Value::Map(all), ..over.clone() }
        }
        (form, Value::List(items), Value::List(later)) => {
            let items = [&items[..], &later[..]].concat();
            let value = match form {
                Form::List(identity) => unique(identity, items, resolve),
                Form::Pairs | Form::Hosts | Form::Names | Form::Short(_) | Form::Logging | Form::Other => {
                    Value::List(items)
                }
                Form::Command => return over.clone(),
            };
            Node { value, ..over.clone() }
        }
        (_, _, Value::Null) if !matches!(path[..], ["environment" | "labels", _]) => base.clone(),
        (_, _, _) => over.clone(),
    }
}

/// Merges the values of one key. Within `services` the path begins anew at each service.
fn below<'a>(path: &mut Vec<&'a str>, key: &'a str, base: &'a Node, over: &'a Node, resolve: &Resolve<'_>) -> Node {
    if matches!(path[..], ["/", "services"]) {
        return merged(&mut Vec::new(), base, over, resolve);
    }
    path.push(key);
    let node = merged(path, base, over, resolve);
    path.pop();
    node
}

fn same_driver(base: &Node, over: &Node, resolve: &Resolve<'_>) -> bool {
    let driver = |node: &Node| node.get("driver").and_then(Node::scalar).map(resolve);
    match (driver(base), driver(over)) {
        (Some(one), Some(other)) => one == other,
        (None, _) | (_, None) => true,
    }
}
