//! Tests of the schema as YAML language servers use it: texts, errors and snippets.

use std::collections::BTreeMap;

use lcm::manifest::schema;
use serde_json::{Value, json};

/// Returns all maps of the schema with keys, by name; the manifest itself is "".
fn objects(schema: &Value) -> BTreeMap<String, Value> {
    let definitions = schema["definitions"].as_object().unwrap().clone();
    definitions.into_iter().chain([(String::new(), schema.clone())]).collect()
}

fn keys(schema: &Value) -> Vec<(String, Value)> {
    let of = |(name, object): (String, Value)| {
        let properties = object.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
        properties.into_iter().map(move |(key, property)| (format!("{name}.{key}"), property))
    };
    objects(schema).into_iter().flat_map(of).collect()
}

#[test]
fn every_key_hovers_with_its_own_text() {
    let mut with_a_type_of_their_own = 0;
    for (key, property) in keys(&schema()) {
        assert!(property.get("allOf").is_none(), "{key}: a language server shows the type's text, not the key's");
        let text = property["description"].as_str().unwrap();
        let markdown = property["markdownDescription"].as_str().unwrap();
        assert!(markdown.starts_with(&text.replace('\n', " ")), "{key}: {markdown}");
        assert!(markdown.contains("Example"), "{key}: {markdown}");
        assert_eq!(markdown.contains("\n\nDefault: `"), property.get("default").is_some(), "{key}: {markdown}");
        with_a_type_of_their_own += usize::from(property.get("$ref").is_some());
    }
    assert!(with_a_type_of_their_own > 20, "{with_a_type_of_their_own}");
}

#[test]
fn errors_name_the_key_and_what_it_takes() {
    let keys: BTreeMap<String, Value> = keys(&schema()).into_iter().collect();
    for (key, property) in &keys {
        let error = property["errorMessage"].as_str().unwrap();
        let name = key.split('.').next_back().unwrap();
        assert!(error.starts_with(&format!("`{name}` takes ")), "{key}: {error}");
        assert_eq!(property["errorMessage"], property["patternErrorMessage"], "{key}");
    }
    let error = |key: &str| keys[key]["errorMessage"].as_str().unwrap();
    assert_eq!(error("Service.priority"), "`priority` takes a whole number, such as `100`");
    assert!(error("Service.vram").starts_with("`vram` takes a size with its unit"), "{}", error("Service.vram"));
    assert_eq!(error("Health.warm_time"), "`warm_time` takes a duration with its unit, such as `30s`");
    assert!(error(".services").starts_with("`services` takes a map"), "{}", error(".services"));
    assert_eq!(error(".orphans"), "`orphans` takes `report` or `stop`, such as `stop`");
}

/// Returns a snippet's body as it stands once every placeholder `${1:text}` is accepted.
fn accepted(body: &Value) -> Value {
    let text = |text: &str| {
        let mut rest = text;
        let mut accepted = String::new();
        while let Some((before, placeholder)) = rest.split_once("${") {
            let (placeholder, after) = placeholder.split_once('}').unwrap();
            accepted.push_str(before);
            accepted.push_str(placeholder.split_once(':').unwrap().1);
            rest = after;
        }
        accepted + rest
    };
    match body {
        Value::String(body) => json!(text(body)),
        Value::Array(items) => items.iter().map(accepted).collect(),
        Value::Object(entries) => {
            Value::Object(entries.iter().map(|(key, value)| (text(key), accepted(value))).collect())
        }
        other => other.clone(),
    }
}

#[test]
fn snippets_are_valid_as_they_are() {
    let schema = schema();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let mut found = 0;
    let mut check = |document: &Value, label: &Value| {
        let checked = validator.validate(document);
        assert!(checked.is_ok(), "{label}: {}", checked.unwrap_err());
        found += 1;
    };
    for snippet in schema["defaultSnippets"].as_array().unwrap() {
        check(&accepted(&snippet["body"]), &snippet["label"]);
    }
    for (key, property) in schema["properties"].as_object().unwrap() {
        for snippet in property.get("defaultSnippets").and_then(Value::as_array).into_iter().flatten() {
            let mut document = json!({ "version": 1, "name": "studio", "services": {} });
            document[key] = accepted(&snippet["body"]);
            check(&document, &snippet["label"]);
        }
    }
    assert!(found >= 5, "{found}");
}

/// Errors are in the words of the manifest, without the pattern of a variable.
#[test]
fn values_that_people_write_first_are_answered_in_their_words() {
    let schema = schema();
    for (key, value) in
        [("priority", json!("high")), ("vram", json!(20_000)), ("gpu", json!("al")), ("health", json!("http://x"))]
    {
        let property = schema["definitions"]["Service"]["properties"][key].clone();
        let mut alone = property.clone();
        alone["definitions"] = schema["definitions"].clone();
        assert!(!jsonschema::validator_for(&alone).unwrap().is_valid(&value), "{key}: {value}");
        let error = property["errorMessage"].as_str().unwrap();
        assert!(!error.contains('\\') && error.contains(key), "{error}");
    }
}
