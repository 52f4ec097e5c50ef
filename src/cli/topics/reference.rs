//! Description of every key of a manifest, from the schema: type, default and example of each.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;

use serde_json::Value;

const TITLE: &str = "# lcm.yaml: every key of a manifest\n\nA manifest is a YAML file. `lcm validate` reports all its \
                     errors, and `lcm schema manifest` prints the JSON schema that editors check it by.\n";

/// Returns the reference in Markdown, a section for each kind of map, the outermost first.
pub(super) fn markdown(schema: &Value) -> String {
    let mut text = TITLE.to_owned();
    let mut open = VecDeque::from([(String::new(), schema)]);
    // Maps with the same keys are described once.
    let mut described: BTreeMap<Vec<&str>, String> = BTreeMap::new();
    let mut followed: BTreeSet<(String, &str)> = BTreeSet::new();
    while let Some((path, object)) = open.pop_front() {
        let Some(properties) = object["properties"].as_object() else { continue };
        let title = if path.is_empty() { "Top level".to_owned() } else { format!("`{path}`") };
        let keys: Vec<&str> = properties.keys().map(String::as_str).collect();
        if let Some(first) = described.get(&keys) {
            // Writing to a string can't fail.
            let _ = write!(text, "\n## {title}\n\nThe same keys as {first}.\n");
            continue;
        }
        let _ = write!(text, "\n## {title}\n\n");
        described.insert(keys, title);
        for (key, property) in properties {
            let _ = writeln!(text, "- **{key}**{}", described_key(property));
            let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            let mut names = Vec::new();
            referred(property, &below, &mut names);
            for (path, name) in names {
                // A map that is a part of itself would lead to ever longer paths.
                if followed.insert((key.clone(), name)) {
                    open.push_back((path, &schema["definitions"][name]));
                }
            }
        }
    }
    text
}

/// Returns the text of a key: what it takes, what it does, its default and examples.
fn described_key(property: &Value) -> String {
    let takes = property["errorMessage"].as_str().and_then(|error| error.split_once(" takes ")).map(|(_, takes)| takes);
    let takes = takes.map(|takes| takes.split(", such as").next().unwrap_or(takes));
    let takes = takes.map(|takes| format!(" ({takes})")).unwrap_or_default();
    let text = property["markdownDescription"].as_str().unwrap_or_default().replace("\n\n", " ");
    format!("{takes}: {text}")
}

/// Adds the definitions that a key's values refer to, each with its path: `services.NAME`, `notify[]`.
fn referred<'s>(property: &'s Value, path: &str, names: &mut Vec<(String, &'s str)>) {
    if let Some(name) = property["$ref"].as_str().and_then(|reference| reference.strip_prefix("#/definitions/")) {
        names.push((path.to_owned(), name));
    }
    for union in ["allOf", "anyOf", "oneOf"] {
        property[union].as_array().into_iter().flatten().for_each(|choice| referred(choice, path, names));
    }
    if property["items"].is_object() {
        referred(&property["items"], &format!("{path}[]"), names);
    }
    if property["additionalProperties"].is_object() {
        referred(&property["additionalProperties"], &format!("{path}.NAME"), names);
    }
}
