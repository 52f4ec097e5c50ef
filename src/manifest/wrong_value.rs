//! Advice on a value of the wrong kind: how what was meant is written at this key.

use crate::manifest::wire::service::BLOCK_KEYS;
use crate::model::safe_text;
use crate::syntax::tree::{Node, Scalar, ScalarKind, Value};

/// Longest text that an advice repeats, in characters.
const TEXT_MAX: usize = 60;

/// Returns how to write a value at a path of keys, such as `services`, `a`, `health`; `None`: the message of the fault is enough.
pub(super) fn wrong_value(path: &[&str], value: &Node) -> Option<String> {
    let [.., key] = path else { return None };
    match &value.value {
        Value::Scalar(scalar) => of_scalar(path, key, scalar),
        Value::List(items) => of_list(path, key, items),
        Value::Null | Value::Map(_) => None,
    }
}

fn of_scalar(path: &[&str], key: &str, scalar: &Scalar) -> Option<String> {
    let text = safe_text::short(&scalar.text, TEXT_MAX);
    let is_url = text.starts_with("http://") || text.starts_with("https://");
    if path == ["version"] {
        return Some("write `version: 1`: this is the version of lcm's format, not of Compose's".to_owned());
    }
    let block = BLOCK_KEYS.iter().find(|block| block.runtime == key);
    if let (Some(block), ["services" | "templates", _, _]) = (block, path) {
        return Some(format!("write `{key}: {{ {}: {text} }}`", block.main));
    }
    if let ["services" | "templates" | "modes" | "goals", name] = path {
        return Some(format!("write the keys of `{name}` below it, indented by two more spaces"));
    }
    let help = match key {
        "health" if is_url => format!("write `health: {{ http: \"{text}\" }}`"),
        "health" => {
            "write `health: { http: \"http://localhost:8080/health\" }`, with the service's own address".to_owned()
        }
        "busy" => format!(
            "write `busy: {{ http: \"{}\", pointer: /queue }}`, or `busy: {{ exec: [./busy.sh] }}`",
            if is_url { &text } else { "http://localhost:8080/status" }
        ),
        "evict" | "wake" if is_url => format!("write `{key}: {{ http: {{ url: \"{text}\" }} }}`"),
        "evict" | "wake" => format!("write `{key}: {{ exec: [{text}] }}`"),
        "stop" if path.first() == Some(&"modes") => format!("write a list: `stop: [{text}]`"),
        "stop" => "write `stop: { signal: TERM, grace: 30s }`".to_owned(),
        "http" if is_number(scalar) => format!("write a URL: `http: \"http://localhost:{text}/\"`"),
        "priority" => "write a whole number, such as `priority: 100`; a higher one preempts a lower one".to_owned(),
        "depends_on" | "services" | "goals" | "phases" | "devices" | "allow" | "deny" => {
            format!("write a list: `{key}: [{text}]`")
        }
        "recover" => "write `recover: { attempts: 3 }`".to_owned(),
        _ => return None,
    };
    Some(help)
}

fn of_list(path: &[&str], key: &str, items: &[Node]) -> Option<String> {
    let names: Vec<&str> = items.iter().filter_map(Node::scalar).collect();
    let named = safe_text::short(&names.join(", "), TEXT_MAX);
    match path {
        ["services" | "templates" | "modes" | "goals"] => {
            let name = names.first().map_or_else(|| "NAME".to_owned(), |name| safe_text::short(name, TEXT_MAX));
            Some(format!("write a map, each entry under its name: `{key}: {{ {name}: {{ .. }} }}`"))
        }
        ["modes" | "goals", name] => Some(format!("write `{name}: {{ services: [{named}] }}`")),
        _ => None,
    }
}

fn is_number(scalar: &Scalar) -> bool {
    matches!(scalar.kind, ScalarKind::Integer)
}
