//! Validates lcm's JSON against the committed schema of its format, without undescribed fields.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use jsonschema::Validator;
use serde_json::{Map, Value};

/// Validates one document against the schema that its `format` names.
#[track_caller]
pub(crate) fn check(document: &Value, what: &str) {
    let format = document["format"].as_str().unwrap_or_else(|| panic!("$ {what}\nno format in {document:#}"));
    let validator = validator(format);
    let faults: Vec<String> =
        validator.iter_errors(document).map(|fault| format!("{}: {fault}", fault.instance_path())).collect();
    assert!(
        faults.is_empty(),
        "$ {what}\ndoes not fit the schema of {format}:\n{}\nin {document:#}",
        faults.join("\n")
    );
}

/// Returns the compiled schema of a format; each is compiled once.
fn validator(format: &str) -> Arc<Validator> {
    static ALL: LazyLock<Mutex<BTreeMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);
    let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(validator) = all.get(format) {
        return Arc::clone(validator);
    }
    let name = format.trim_start_matches("lcm.").split('/').next().unwrap_or_default();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("schemas/{name}.schema.json"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{format} has no schema: {error}"));
    let mut schema: Value = serde_json::from_str(&text).expect("a schema is JSON");
    assert_eq!(schema["title"], format);
    close(&mut schema, false);
    let validator = Arc::new(jsonschema::validator_for(&schema).expect("a schema"));
    all.insert(format.to_owned(), Arc::clone(&validator));
    validator
}

/// Forbids undescribed fields in a schema. The published schemas allow them, so that later fields break no reader.
fn close(schema: &mut Value, is_part: bool) {
    let Value::Object(keys) = schema else { return };
    let has_fields = keys.contains_key("properties");
    for (key, value) in keys.iter_mut() {
        match key.as_str() {
            "properties" | "$defs" => each(value, |schema| close(schema, false)),
            "items" | "additionalProperties" => close(value, false),
            // An alternative also has the fields beside it.
            "oneOf" | "anyOf" | "allOf" => each(value, |schema| close(schema, has_fields || is_part)),
            _ => {}
        }
    }
    if has_fields && !is_part && !keys.contains_key("additionalProperties") {
        keys.insert("unevaluatedProperties".to_owned(), Value::Bool(false));
    }
}

fn each(schemas: &mut Value, act: impl FnMut(&mut Value)) {
    match schemas {
        Value::Object(all) => Map::values_mut(all).for_each(act),
        Value::Array(all) => all.iter_mut().for_each(act),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
