//! The JSON schema: the wire types' own, made to say what the reader does with variables and empty values.

use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform as _};
use serde_json::{Value, json};

use crate::manifest::wire::Manifest;
use crate::syntax::scalar::VARIABLE_PATTERN;

/// A name, not an address: editors find the schema by the path that the manifest's first line gives.
const ID: &str = "urn:lcm:schema:manifest:1";

/// Returns the JSON schema that editors validate manifests by, in draft 7: the one that their YAML servers know best.
#[must_use]
pub fn schema() -> Value {
    let settings = SchemaSettings::draft07().for_deserialize();
    let mut schema = settings.into_generator().into_root_schema_for::<Manifest>();
    RecursiveTransform(say_what_is_read).transform(&mut schema);
    schema.insert("$id".to_owned(), ID.into());
    schema.to_value()
}

/// No key takes `null`; and where a number or a boolean is wanted, a variable may stand for it.
fn say_what_is_read(schema: &mut Schema) {
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
    // These say the size of a Rust type.
    object.remove("format");
    let number_or_boolean = match object.get("type") {
        Some(Value::String(name)) if ["integer", "boolean"].contains(&name.as_str()) => name.clone(),
        _ => return,
    };
    object.insert("type".to_owned(), json!([number_or_boolean, "string"]));
    object.insert("pattern".to_owned(), VARIABLE_PATTERN.into());
}
