//! JSON schema: the wire types' own, adapted to how the reader treats variables and empty values.

mod editor;

use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform as _};
use serde_json::{Value, json};

use crate::manifest::wire::Manifest;
use crate::syntax::scalar::VARIABLE_PATTERN;

/// Schema identifier: a name, not an address. Editors find the schema by the path in the manifest's first line.
const ID: &str = "urn:lcm:schema:manifest:1";

/// Returns the JSON schema by which editors validate manifests, in draft 7: the draft that their YAML servers support
/// best.
#[must_use]
pub fn schema() -> Value {
    let settings = SchemaSettings::draft07().for_deserialize();
    let mut schema = settings.into_generator().into_root_schema_for::<Manifest>();
    RecursiveTransform(adapt_to_reader).transform(&mut schema);
    schema.insert("$id".to_owned(), ID.into());
    let mut schema = schema.to_value();
    editor::annotate(&mut schema);
    schema
}

/// Adapts a schema to the reader: no key takes `null`, and a variable may stand for a number or a boolean.
fn adapt_to_reader(schema: &mut Schema) {
    let Some(object) = schema.as_object_mut() else { return };
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = &types[..] {
            let only = only.clone();
            object.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(choices)) = object.get_mut("anyOf") {
        choices.retain(|choice| *choice != json!({ "type": "null" }));
        if let [Value::Object(only)] = &choices[..] {
            let only = only.clone();
            object.remove("anyOf");
            // A reference has no siblings in this draft.
            if only.contains_key("$ref") {
                object.insert("allOf".to_owned(), json!([only]));
            } else {
                object.extend(only);
            }
        }
    }
    // The reader skips such keys beside fixed ones.
    if object.get("additionalProperties") == Some(&Value::Bool(false)) {
        object.insert("patternProperties".to_owned(), json!({ "^x-": true }));
    }
    // These formats give the size of a Rust type.
    object.remove("format");
    let number_or_boolean = match object.get("type") {
        Some(Value::String(name)) if ["integer", "boolean"].contains(&name.as_str()) => name.clone(),
        _ => return,
    };
    object.insert("type".to_owned(), json!([number_or_boolean, "string"]));
    object.insert("pattern".to_owned(), VARIABLE_PATTERN.into());
}
