//! Whatever the real binary says as JSON, in any test, fits the committed schema of its format, and says nothing that
//! the schema does not describe. The harnesses ask this of each run; a test has nothing to do for it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use jsonschema::Validator;
use serde_json::{Map, Value};

/// What a call of `lcm` will leave behind as JSON.
pub(crate) struct Promised {
    what: String,
    stdout: bool,
    files: Vec<PathBuf>,
}

impl Promised {
    /// Read from its command line; of another program nothing is known.
    pub(crate) fn by(command: &Command) -> Self {
        let words: Vec<String> = command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
        let lcm = command.get_program() == env!("CARGO_BIN_EXE_lcm");
        let after = |option: &'static str| {
            let joined = words.iter().filter_map(move |word| word.strip_prefix(option)?.strip_prefix('='));
            let apart = words.windows(2).filter(move |pair| pair[0] == option).map(|pair| pair[1].as_str());
            joined.chain(apart).filter(move |_| lcm)
        };
        let folder = command.get_current_dir().unwrap_or(Path::new("."));
        Self {
            what: format!("lcm {}", words.join(" ")),
            stdout: after("--format").any(|format| format == "json"),
            files: after("--out").chain(after("--json-into")).map(|file| folder.join(file)).collect(),
        }
    }

    /// Fails with the document, and with what of it does not fit.
    #[track_caller]
    pub(crate) fn check(&self, stdout: &str) {
        if self.stdout {
            self.check_text(stdout);
        }
        for file in self.files.iter().filter(|file| file.is_file()) {
            self.check_text(&fs::read_to_string(file).expect("what lcm wrote is readable"));
        }
    }

    /// One document, or one a line.
    #[track_caller]
    fn check_text(&self, text: &str) {
        // `init --out` writes a manifest.
        if !text.starts_with('{') {
            return;
        }
        let documents = serde_json::Deserializer::from_str(text).into_iter::<Value>();
        for document in documents {
            let document = document.unwrap_or_else(|error| panic!("$ {}\nnot JSON: {error}\n{text}", self.what));
            check(&document, &self.what);
        }
    }
}

/// Holds one document against the schema that its `format` names.
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

/// Each schema is compiled once.
fn validator(format: &str) -> Arc<Validator> {
    static ALL: LazyLock<Mutex<BTreeMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);
    let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(validator) = all.get(format) {
        return Arc::clone(validator);
    }
    let name = format.trim_start_matches("lcm.").split('/').next().unwrap_or_default();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("schemas/{name}.schema.json"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{format} has no schema: {path:?}: {error}"));
    let mut schema: Value = serde_json::from_str(&text).expect("a schema is JSON");
    assert_eq!(schema["title"], format, "{path:?}");
    close(&mut schema, false);
    let validator = Arc::new(jsonschema::validator_for(&schema).expect("a schema"));
    all.insert(format.to_owned(), Arc::clone(&validator));
    validator
}

/// What is published stays open, so that later fields break no reader. Here nothing is said that it does not describe.
fn close(schema: &mut Value, is_part: bool) {
    let Value::Object(keys) = schema else { return };
    let has_fields = keys.contains_key("properties");
    for (key, value) in keys.iter_mut() {
        match key.as_str() {
            "properties" | "$defs" => each(value, |schema| close(schema, false)),
            "items" | "additionalProperties" => close(value, false),
            // What is one of several, has the fields beside them too.
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
