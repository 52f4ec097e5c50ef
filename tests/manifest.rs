//! Tests of the manifest stage over whole files: a corpus of valid and invalid manifests, each checked by the loader
//! and by the JSON schema, and golden texts of rendered problems. `LCM_BLESS=1` writes the schema and the golden texts
//! anew.
//!
//! The first lines of a corpus file declare its expectations: `# expect: CODES` (sorted), `# schema: ok` where only the
//! loader can know, `# set: NAME=value …` for lcm's environment, `# mode: NAME` for `--mode`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use lcm::manifest::{ModeSelection, load, schema};
use lcm::model::desired::Desired;
use lcm::model::mode_set::ModeSet;
use lcm::syntax::Environment;
use lcm::syntax::problem::Problems;

#[path = "manifest/cases/mod.rs"]
mod cases;

/// Returns the corpus, from the folder that tests run in.
fn corpus(kind: &str) -> Vec<PathBuf> {
    let folder = Path::new("tests/manifest").join(kind);
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    files
}

/// Returns the directives in the comments at the top of a file, by key.
fn directives(path: &Path) -> BTreeMap<String, String> {
    let text = fs::read(path).unwrap();
    String::from_utf8_lossy(&text)
        .lines()
        .map_while(|line| line.strip_prefix("# "))
        .filter_map(|line| line.split_once(": "))
        .map(|(key, value)| (key.to_owned(), value.trim().to_owned()))
        .collect()
}

/// Loads a corpus file by its own directives.
fn load_by_directives(path: &Path) -> Result<Desired, Problems> {
    let directives = directives(path);
    let environment: Environment = directives
        .get("set")
        .into_iter()
        .flat_map(|set| set.split_whitespace())
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let mode = directives.get("mode").map(|mode| ModeSet::parse(mode));
    load(path, &environment, &ModeSelection { mode, ..ModeSelection::default() })
}

/// Checks a file against the schema; `None`: it is no YAML, so there is nothing to check.
fn check_schema(validator: &jsonschema::Validator, path: &Path) -> Option<Result<(), String>> {
    let text = fs::read_to_string(path).ok()?;
    let options = serde_saphyr::options! { strict_booleans: true };
    let document: serde_json::Value = serde_saphyr::from_str_with_options(&text, options).ok()?;
    Some(validator.validate(&document).map_err(|error| format!("{error} at {}", error.instance_path())))
}

/// Compares a text with a file beside the tests, or writes it where `LCM_BLESS=1`.
fn golden(path: &str, found: &str) {
    if std::env::var_os("LCM_BLESS").is_some_and(|bless| bless == "1") {
        fs::create_dir_all(Path::new(path).parent().unwrap()).unwrap();
        fs::write(path, found).unwrap();
    }
    let wanted = fs::read_to_string(path).unwrap_or_default();
    assert_eq!(found, wanted, "{path} differs; LCM_BLESS=1 writes it anew");
}

#[test]
fn valid_manifests_load() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let mut wrong = Vec::new();
    for path in corpus("valid") {
        if let Err(problems) = load_by_directives(&path) {
            wrong.push(format!("{problems}"));
        }
        let checked = check_schema(&validator, &path);
        if checked != Some(Ok(())) {
            wrong.push(format!("{}: by the schema {checked:?}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// An editor must find no fault in the examples for newcomers.
#[test]
fn the_examples_pass_the_schema() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    for path in [
        "quickstart/lcm.yaml",
        "studio/lcm.yaml",
        "studio/modes/chat.yaml",
        "studio/modes/video.yaml",
        "studio/modes/voice.yaml",
    ] {
        let path = Path::new("examples").join(path);
        assert_eq!(check_schema(&validator, &path), Some(Ok(())), "{}", path.display());
    }
}

#[test]
fn invalid_manifests_are_refused_for_their_reasons() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let mut wrong = Vec::new();
    for path in corpus("invalid") {
        let name = path.display();
        let directives = directives(&path);
        let wanted = directives.get("expect").unwrap_or_else(|| panic!("{name} expects nothing"));
        let Err(problems) = load_by_directives(&path) else {
            wrong.push(format!("{name} loads"));
            continue;
        };
        let mut codes: Vec<&str> = problems.0.iter().map(|problem| problem.code).collect();
        codes.sort_unstable();
        if codes.join(", ") != *wanted {
            wrong.push(format!("{name}: {codes:?}\n{problems}"));
        }
        for problem in &problems.0 {
            let odd = problem.message.chars().any(char::is_control) || problem.message.contains("struct");
            assert!(!odd, "{name}: {}", problem.message);
        }
        if let Some(checked) = check_schema(&validator, &path) {
            let passes = directives.get("schema").is_some_and(|schema| schema == "ok");
            if checked.is_ok() != passes {
                wrong.push(format!("{name}: by the schema {checked:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_corpus_is_large_enough() {
    assert!(corpus("valid").len() >= 35 && corpus("invalid").len() >= 50);
}

#[test]
fn the_committed_schema_is_the_codes_own() {
    let mut text = serde_json::to_string_pretty(&schema()).unwrap();
    text.push('\n');
    golden("schemas/manifest.schema.json", &text);
}

/// Every key has a description and an example for editors; every object is closed.
#[test]
fn the_schema_describes_every_key() {
    let schema = schema();
    let mut objects = vec![&schema];
    objects.extend(schema["definitions"].as_object().unwrap().values());
    let mut keys = 0;
    for object in objects {
        let Some(properties) = object.get("properties").and_then(|properties| properties.as_object()) else { continue };
        assert_eq!(object["additionalProperties"], false, "{object:#}");
        for (key, property) in properties {
            keys += 1;
            assert!(property["description"].is_string(), "{key} has no description");
            assert!(property["examples"].is_array(), "{key} has no example");
        }
    }
    assert!(keys > 80, "{keys}");
}

/// Examples in the schema must pass the schema.
#[test]
fn the_examples_of_the_schema_are_valid() {
    let schema = schema();
    let mut objects = vec![&schema];
    objects.extend(schema["definitions"].as_object().unwrap().values());
    for object in objects {
        let Some(properties) = object.get("properties").and_then(|properties| properties.as_object()) else { continue };
        for (key, property) in properties {
            let mut alone = property.clone();
            alone["definitions"] = schema["definitions"].clone();
            let validator = jsonschema::validator_for(&alone).unwrap();
            let default = property.get("default");
            for example in property["examples"].as_array().unwrap().iter().chain(default) {
                let checked = validator.validate(example);
                assert!(checked.is_ok(), "{key}: {example}: {}", checked.unwrap_err());
            }
        }
    }
}

#[test]
fn rendered_problems_read_well() {
    for name in [
        "unknown-keys",
        "duplicate-in-include",
        "cycle",
        "wrong-sizes",
        "wanted-and-stopped",
        "restart",
        "syntax",
        "what-people-write-first",
        "indentation",
    ] {
        let problems = load_by_directives(Path::new(&format!("tests/manifest/invalid/{name}.yaml"))).unwrap_err();
        golden(&format!("tests/manifest/golden/{name}.txt"), &problems.render(false, 100));
        // Colours add nothing but colour.
        let plain = strip_colors(&problems.render(true, 100));
        assert_eq!(plain, problems.render(false, 100), "{name}");
    }
}

fn strip_colors(text: &str) -> String {
    let pattern = regex_lite::Regex::new("\u{1b}\\[[0-9;]*m").unwrap();
    let plain = pattern.replace_all(text, "");
    let lines: Vec<&str> = plain.lines().map(str::trim_end).collect();
    format!("{}\n", lines.join("\n"))
}
