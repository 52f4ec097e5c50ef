//! All texts that people read, in one file for a reader: help, explanations, goldens, descriptions of the schemas.
//! `cargo test --test cli texts` writes `target/tmp/texts.md`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::banned;
use crate::lcm::{Lcm, studio};

#[test]
fn every_text_speaks_the_language_of_the_field() {
    let mut texts = String::new();
    for section in [help(), explanations(), goldens(), descriptions()] {
        assert!(section.len() > 2_000, "too little to be all of it:\n{section}");
        texts.push_str(&section);
    }
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("texts.md");
    fs::write(&path, &texts).expect("written");
    let banned = banned::pattern();
    // A table of former terms names them.
    let lines = texts.lines().enumerate().filter(|(_, line)| !line.contains(" → "));
    let found = lines.filter_map(|(number, line)| Some((number + 1, banned.find(line)?.as_str())));
    let found: Vec<(usize, &str)> = found.collect();
    assert!(found.is_empty(), "{}: {found:?}", path.display());
}

/// `lcm --help`, and that of each command.
fn help() -> String {
    let folder = studio();
    let run = |words: &[&str]| Lcm::new(folder.path()).args(words).run().code(0).stdout;
    let main = run(&["--help"]);
    let commands = main.lines().take_while(|line| !line.starts_with("Options:"));
    let commands = commands.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names: Vec<&str> = commands.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.len() > 15, "{main}");
    let mut texts = section("lcm --help", &main);
    for name in names.into_iter().filter(|name| *name != "help") {
        texts += &section(&format!("lcm {name} --help"), &run(&[name, "--help"]));
    }
    texts
}

/// The page of each code.
fn explanations() -> String {
    let folder = studio();
    let run = |words: &[&str]| Lcm::new(folder.path()).args(words).run().code(0).stdout;
    let listed = run(&["explain"]);
    let codes =
        listed.lines().filter(|line| line.starts_with("lcm::")).filter_map(|line| line.split_whitespace().next());
    codes.map(|code| section(&format!("lcm explain {code}"), &run(&["explain", code]))).collect()
}

/// Plans and statuses of the gallery, and the scripts' output.
fn goldens() -> String {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut paths: Vec<PathBuf> = Vec::new();
    for folder in fs::read_dir(tests.join("gallery")).expect("the gallery").flatten() {
        paths.extend(["plan.txt", "status.txt"].map(|name| folder.path().join(name)));
    }
    let snapshots = fs::read_dir(tests.join("cli/snapshots")).expect("the scripts' output").flatten();
    paths.extend(snapshots.map(|entry| entry.path()));
    paths.sort();
    let read = |path: &PathBuf| Some((path.display().to_string(), fs::read_to_string(path).ok()?));
    paths
        .iter()
        .filter_map(read)
        .map(|(path, text)| section(path.trim_start_matches(env!("CARGO_MANIFEST_DIR")), &text))
        .collect()
}

/// Each description of the schemas once.
fn descriptions() -> String {
    let schemas = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas")).expect("the schemas").flatten();
    let mut paths: Vec<PathBuf> = schemas.map(|entry| entry.path()).collect();
    paths.sort();
    let mut seen = BTreeSet::new();
    let mut texts = String::new();
    for path in paths {
        let schema: Value = serde_json::from_slice(&fs::read(&path).expect("a schema")).expect("JSON");
        let mut found = Vec::new();
        gather(&schema, &mut found);
        found.retain(|text| seen.insert(text.clone()));
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        texts += &section(&name, &found.join("\n\n"));
    }
    texts
}

fn gather(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(text)) = map.get("description") {
                found.push(text.clone());
            }
            map.values().for_each(|value| gather(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| gather(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn section(title: &str, text: &str) -> String {
    let mut section = String::new();
    let _ = writeln!(section, "# {title}\n\n{}\n", text.trim_end());
    section
}
