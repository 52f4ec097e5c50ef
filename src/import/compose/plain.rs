//! Merged model as plain data, with all variables interpolated as Compose does it now. Translation does not use it:
//! a manifest keeps its variables.

use serde_json::{Map, Value as Json};

use crate::syntax::tree::{Node, Value};

/// Returns a tree as JSON; every scalar is a text.
pub(super) fn json(node: &Node, resolve: &dyn Fn(&str) -> String) -> Json {
    match &node.value {
        Value::Null => Json::Null,
        Value::Scalar(scalar) => Json::String(resolve(&scalar.text)),
        Value::List(items) => Json::Array(items.iter().map(|item| json(item, resolve)).collect()),
        Value::Map(entries) => {
            let entries = entries.iter().map(|entry| (entry.key.clone(), json(&entry.value, resolve)));
            Json::Object(entries.collect::<Map<String, Json>>())
        }
    }
}
