//! The schemas that are committed are those that the binary prints, and what it says fits them.
//! `LCM_BLESS=1 cargo test --test cli schemas` writes them anew.

use std::path::Path;

use serde_json::Value;

use crate::lcm::{Lcm, studio};

#[test]
fn what_is_committed_is_what_is_printed() {
    let folder = studio();
    let schemas = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
    let mut stale = Vec::new();
    for name in ["plan", "status", "history", "event", "hook"] {
        let printed = Lcm::new(folder.path()).args(&["schema", name]).run().code(0).stdout;
        let path = schemas.join(format!("{name}.schema.json"));
        if std::env::var_os("LCM_BLESS").is_some() {
            std::fs::create_dir_all(&schemas).and_then(|()| std::fs::write(&path, &printed)).expect("written");
        }
        if std::fs::read_to_string(&path).unwrap_or_default() != printed {
            stale.push(name);
        }
    }
    assert_eq!(stale, [""; 0], "LCM_BLESS=1 cargo test --test cli schemas writes them anew");
}

#[test]
fn what_is_said_fits_its_schema() {
    let folder = studio();
    let lcm = |words: &[&str]| Lcm::new(folder.path()).args(words).simulated().run();
    let plan = lcm(&["plan", "--mode", "both", "--format", "json"]).code(4).json();
    check("plan", &[plan]);
    let events = lcm(&["apply", "--format", "json"]).code(0).events();
    check("event", &events);
    let status = lcm(&["status", "--format", "json"]).code(0).json();
    check("status", &[status]);
}

#[track_caller]
pub(crate) fn check(name: &str, documents: &[Value]) {
    assert!(!documents.is_empty());
    for document in documents {
        let faults = faults(name, document);
        assert!(faults.is_empty(), "{faults:?} in {document:#}");
    }
}

/// What in a document is not as its schema says.
pub(crate) fn faults(name: &str, document: &Value) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("schemas/{name}.schema.json"));
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(path).expect("committed")).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    validator.iter_errors(document).map(|fault| fault.to_string()).collect()
}
