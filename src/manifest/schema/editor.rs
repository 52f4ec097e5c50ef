//! Annotations that YAML language servers read: the text that a key hovers with, errors in the words of the manifest
//! instead of the schema's, and snippets. Nothing here changes which manifests are valid.

use serde_json::{Map, Value, json};

use crate::manifest::wire::service::{BLOCK_KEYS, BlockKeys};
use crate::syntax::scalar::{DURATION_PATTERN, SIZE_PATTERN, VARIABLE_PATTERN};

/// Longest example that an error quotes, in characters: an editor shows errors in one line.
const EXAMPLE_MAX: usize = 60;
/// Most values of an enumeration that an error lists.
const CHOICES_MAX: usize = 6;
/// Most references followed to learn what a key takes: the wire types nest far less.
const DEPTH_MAX: usize = 8;

type Definitions = Map<String, Value>;

/// Annotates each key of a schema with what an editor shows of it.
pub(super) fn annotate(schema: &mut Value) {
    let definitions = schema["definitions"].as_object().cloned().unwrap_or_default();
    annotate_keys(schema, &definitions);
    for object in schema["definitions"].as_object_mut().into_iter().flat_map(Definitions::values_mut) {
        annotate_keys(object, &definitions);
    }
    add_snippets(schema);
}

fn annotate_keys(object: &mut Value, definitions: &Definitions) {
    let Some(properties) = object.get_mut("properties").and_then(Value::as_object_mut) else { return };
    for (key, property) in properties {
        let Some(property) = property.as_object_mut() else { continue };
        let error = expectation(key, property, definitions);
        if let Some(markdown) = markdown(property) {
            property.insert("markdownDescription".to_owned(), markdown.into());
        }
        property.insert("errorMessage".to_owned(), error.clone().into());
        property.insert("patternErrorMessage".to_owned(), error.into());
        own_text_first(property);
    }
}

/// Places the reference of a key beside its text. Language servers then show the key's own text; inside `allOf`, they
/// show the type's.
fn own_text_first(property: &mut Map<String, Value>) {
    let reference = match property.get("allOf").and_then(Value::as_array).map(Vec::as_slice) {
        Some([Value::Object(only)]) if only.len() == 1 => only.get("$ref").cloned(),
        _ => None,
    };
    if let Some(reference) = reference {
        property.remove("allOf");
        property.insert("$ref".to_owned(), reference);
    }
}

/// Returns the text of a key as Markdown, with its default and examples.
fn markdown(property: &Map<String, Value>) -> Option<String> {
    let text = property.get("description")?.as_str()?.replace('\n', " ");
    let default = property.get("default").map(|default| format!("\n\nDefault: `{}`", yaml(default)));
    let examples = property.get("examples").and_then(Value::as_array).map(|examples| {
        let examples: Vec<String> = examples.iter().map(|example| format!("`{}`", yaml(example))).collect();
        format!("\n\nExamples: {}", examples.join(" · "))
    });
    Some(format!("{text}{}{}", default.unwrap_or_default(), examples.unwrap_or_default()))
}

/// Returns an example as it stands in a manifest, on one line.
fn yaml(value: &Value) -> String {
    match value {
        Value::String(text) if is_plain(text) => text.clone(),
        Value::Object(entries) => {
            let entries: Vec<String> = entries.iter().map(|(key, value)| format!("{key}: {}", yaml(value))).collect();
            if entries.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", entries.join(", ")) }
        }
        Value::Array(items) => format!("[{}]", items.iter().map(yaml).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

/// Returns true if YAML reads a text in a flow map as this text without quotes.
fn is_plain(text: &str) -> bool {
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || "./_- ".contains(letter);
    // `20GB` and `1.5s` are texts; `1e5`, `0x10` and `12:30` are numbers to some readers.
    let is_amount = text.starts_with(|first: char| first.is_ascii_digit())
        && text.ends_with(|last: char| last.is_ascii_alphabetic())
        && !text.contains(['e', 'x', 'o', ' ']);
    let is_name = text.starts_with(|first: char| first.is_ascii_alphabetic() || "./".contains(first));
    (is_amount || is_name)
        && text.chars().all(is_word)
        && !text.ends_with(' ')
        && !["true", "false", "null", "yes", "no", "on", "off"].contains(&text.to_ascii_lowercase().as_str())
}

/// Returns an error for a value that the key does not take: "`priority` takes a whole number, such as `100`".
fn expectation(key: &str, property: &Map<String, Value>, definitions: &Definitions) -> String {
    let mut kinds = Vec::new();
    add_kinds(property, definitions, 0, &mut kinds);
    let kinds = match kinds.split_last() {
        None => "any value".to_owned(),
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
    };
    let examples = property.get("examples").and_then(Value::as_array);
    let example = examples.and_then(|examples| examples.first()).map(yaml);
    let example = example.filter(|example| example.chars().count() <= EXAMPLE_MAX);
    let example = example.map(|example| format!(", such as `{example}`")).unwrap_or_default();
    format!("`{key}` takes {kinds}{example}")
}

/// Adds the kinds of values that a schema takes, in the words of the manifest.
fn add_kinds(schema: &Map<String, Value>, definitions: &Definitions, depth: usize, kinds: &mut Vec<String>) {
    if depth > DEPTH_MAX {
        return;
    }
    let name = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix("#/definitions/"));
    if let Some(target) = name.and_then(|name| definitions.get(name)).and_then(Value::as_object) {
        return add_kinds(target, definitions, depth + 1, kinds);
    }
    for union in ["allOf", "anyOf", "oneOf"] {
        for choice in schema.get(union).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object) {
            add_kinds(choice, definitions, depth + 1, kinds);
        }
    }
    let mut add = |kind: String| {
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    };
    if let Some(choices) = schema.get("enum").and_then(Value::as_array) {
        let choices: Vec<String> =
            choices.iter().take(CHOICES_MAX).map(|choice| format!("`{}`", yaml(choice))).collect();
        return add(format!("one of {}", choices.join(", ")));
    }
    if let Some(only) = schema.get("const") {
        return add(format!("`{}`", yaml(only)));
    }
    let pattern = schema.get("pattern").and_then(Value::as_str).unwrap_or_default();
    if pattern.starts_with(SIZE_PATTERN) {
        return add("a size with its unit".to_owned());
    }
    if pattern.starts_with(DURATION_PATTERN) {
        return add("a duration with its unit".to_owned());
    }
    let types = match schema.get("type") {
        Some(Value::String(name)) => vec![name.as_str()],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    for name in &types {
        match *name {
            // A variable may stand for any number; the error names what it must become.
            "string" if types.len() > 1 && pattern == VARIABLE_PATTERN => {}
            // Words that YAML reads as numbers or booleans are texts here.
            "number" | "boolean" if types.contains(&"string") && pattern != VARIABLE_PATTERN => {}
            "string" => add("a text".to_owned()),
            "integer" => add("a whole number".to_owned()),
            "number" => add("a number".to_owned()),
            "boolean" => add("`true` or `false`".to_owned()),
            "array" => add("a list".to_owned()),
            "object" => add("a map".to_owned()),
            _ => {}
        }
    }
}

/// Adds the parts of a manifest that are tedious to write from memory.
fn add_snippets(schema: &mut Value) {
    let services: Vec<Value> = BLOCK_KEYS.iter().map(service_snippet).collect();
    let first = services.first().map(|snippet| snippet["body"].clone()).unwrap_or_default();
    let named = |body: Value| json!({ "${1:name}": body });
    schema["defaultSnippets"] = json!([snippet(
        "lcm manifest",
        "Manifest with one service and one mode",
        &json!({
            "version": 1,
            "name": "${6:studio}",
            "services": first,
            "modes": { "${7:chat}": { "services": ["${1:name}"] } },
            "mode": "${7:chat}"
        }),
    )]);
    let members = named(json!({ "services": ["${2:service}"] }));
    for (key, added) in [
        ("services", services),
        ("modes", vec![snippet("mode", "Services that run together", &members)]),
        ("goals", vec![snippet("goal", "Purpose that needs services", &members)]),
    ] {
        schema["properties"][key]["defaultSnippets"] = added.into();
    }
}

fn snippet(label: &str, description: &str, body: &Value) -> Value {
    json!({ "label": label, "description": description, "body": body })
}

/// Returns a whole service of one runtime.
fn service_snippet(block: &BlockKeys) -> Value {
    let (text, description) = block.snippet;
    let body: Value = serde_json::from_str(text).unwrap_or_default();
    let service = json!({
        block.runtime: body,
        "vram": "${4:8GB}",
        "health": { "http": "http://localhost:${3:8000}/", "timeout": "${5:120s}" }
    });
    snippet(block.runtime, description, &json!({ "${1:name}": service }))
}
