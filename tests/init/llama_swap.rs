//! Configurations of llama-swap, each with a table: every key of the original, and the place that it went to. A key that
//! is in no table fails, and so does a note that is not at its place in the manifest.

use std::fs;

use serde_json::Value;
use tempfile::TempDir;

use crate::lcm::Lcm;
use tables::{Table, Went};

mod tables;

/// Two GPUs, and nothing runs.
const WORLD: &str = r#"{
  "format": "lcm.world/1", "host": "box", "observed_at": "2026-11-20T10:00:00Z",
  "gpus": { "known": [
    { "id": "GPU-0", "index": 0, "capacity": 24564, "used": 0 }, { "id": "GPU-1", "index": 1, "capacity": 24564, "used": 0 }
  ] },
  "containers": { "known": [{ "id": "c1", "name": "old-llm", "image": "x", "state": "exited", "exit_code": 0 }] },
  "listeners": { "known": [] }
}"#;

/// Translated configuration.
struct Draft {
    folder: TempDir,
    notes: String,
    text: String,
    manifest: Value,
}

impl Draft {
    fn lcm(&self, words: &[&str]) -> Lcm {
        let lcm = Lcm::new(self.folder.path()).args(words);
        lcm.env("MODELS", "/models").env("HF_TOKEN", "hf_given_by_the_caller")
    }

    /// Returns the comments of the manifest as one line.
    fn comments(&self) -> String {
        let comments = self.text.lines().filter_map(|line| line.split_once('#'));
        comments.flat_map(|(_, comment)| comment.split_whitespace()).collect::<Vec<_>>().join(" ")
    }

    /// Returns the services that a plan stops and starts for a mode: `-tts +stt`.
    fn changes(&self, mode: &str) -> String {
        let plan = self.lcm(&["plan", "--mode", mode, "--format", "json"]).simulated().run().code(0);
        let plan: Value = serde_json::from_str(&plan.stdout).expect("a plan");
        let steps = plan["steps"].as_array().expect("steps");
        let mut changes: Vec<String> = steps
            .iter()
            .map(|step| {
                let sign = if step["action"] == "start" { "+" } else { "-" };
                format!("{sign}{}", step["service"].as_str().expect("a name"))
            })
            .collect();
        changes.sort();
        changes.join(" ")
    }

    fn apply(&self, mode: &str) {
        self.lcm(&["apply", "--yes", "--mode", mode]).simulated().run().code(0);
    }
}

fn parsed(text: &str) -> Value {
    let options = serde_saphyr::options! { strict_booleans: true };
    serde_saphyr::from_str_with_options(text, options).expect("YAML")
}

/// Translates and validates a configuration.
fn drafted(config: &str) -> Draft {
    let folder = TempDir::with_prefix("lcm-init-").expect("a folder");
    fs::write(folder.path().join("config.yaml"), config).expect("written");
    fs::write(folder.path().join("world.json"), WORLD).expect("written");
    let mut draft = Draft { folder, notes: String::new(), text: String::new(), manifest: Value::Null };
    let init = draft.lcm(&["init", "--from", "config.yaml", "--name", "swap"]).run().code(0);
    draft.notes = init.stderr.lines().filter(|line| line.contains("note: ")).collect::<Vec<_>>().join("\n");
    draft.text = fs::read_to_string(draft.folder.path().join("lcm.yaml")).expect("a manifest");
    draft.manifest = parsed(&draft.text);
    draft.lcm(&["validate"]).run().code(0);
    draft
}

/// Returns the paths of all values that are no maps.
fn leaves(value: &Value, path: &str, found: &mut Vec<String>) {
    match value.as_object().filter(|map| !map.is_empty()) {
        Some(map) => map.iter().for_each(|(key, value)| leaves(value, &format!("{path}/{key}"), found)),
        None => found.push(path.to_owned()),
    }
}

/// Checks that each row of a table holds, and that each key of the original has a row.
fn check(config: &str, rows: Table) -> Draft {
    let draft = drafted(config);
    let (original, comments) = (parsed(config), draft.comments());
    let context = || format!("{}\n{}", draft.notes, draft.text);
    for (path, went) in rows {
        assert!(original.pointer(path).is_some(), "{path} is not in the original");
        match went {
            Went::To(pointer, wanted) => {
                let wanted: Value = serde_json::from_str(wanted).expect("JSON");
                assert_eq!(draft.manifest.pointer(pointer), Some(&wanted), "{path} to {pointer}\n{}", context());
            }
            Went::Noted(note) => {
                assert!(draft.notes.contains(note), "{path} has no note `{note}`\n{}", context());
                assert!(comments.contains(note), "{path} has no comment `{note}`\n{}", context());
            }
        }
    }
    let mut all = Vec::new();
    leaves(&original, "", &mut all);
    let is_in = |leaf: &str, row: &str| leaf == row || leaf.strip_prefix(row).is_some_and(|rest| rest.starts_with('/'));
    let lost: Vec<&String> = all.iter().filter(|leaf| !rows.iter().any(|(row, _)| is_in(leaf, row))).collect();
    assert!(lost.is_empty(), "in no row of the table: {lost:?}");
    draft
}

#[test]
fn models_without_groups_one_at_a_time() {
    let draft = check(tables::ALONE, tables::ALONE_TABLE);
    assert_eq!(draft.manifest["modes"].as_object().expect("modes").len(), 2);
    assert_eq!(draft.manifest.pointer("/mode"), Some(&"coder".into()));
    assert!(draft.notes.contains("llama-swap preloads no model; this is the first mode"), "{}", draft.notes);
    assert!(!draft.text.contains("sk-in-clear") && !draft.text.contains("HEALTH"), "{}", draft.text);
    draft.apply("coder");
    assert_eq!(draft.changes("embed"), "+embed -coder");
}

#[test]
fn groups_at_the_top() {
    let draft = check(tables::GROUPS, tables::GROUPS_TABLE);
    assert_eq!(draft.manifest.pointer("/modes/loner/services/0"), Some(&"loner".into()));
    assert_eq!(draft.manifest.pointer("/modes/loner/others"), None);
    // A member that swaps stops its sibling and no other; an exclusive one stops all but the persistent ones.
    draft.apply("big-a");
    assert_eq!(draft.changes("tts"), "+tts");
    draft.apply("tts");
    assert_eq!(draft.changes("stt"), "+stt -tts");
    assert_eq!(draft.changes("big-b"), "+big-b -big-a -tts");
    assert_eq!(draft.changes("pair"), "+draft +target -big-a -tts");
    draft.apply("pair");
    assert_eq!(draft.changes("forever"), "");
    assert_eq!(draft.changes("big-a"), "+big-a -draft -target");
}

#[test]
fn groups_of_the_router() {
    let draft = check(tables::ROUTER, tables::ROUTER_TABLE);
    // Persistent members stay, and exclude each other all the same.
    draft.apply("v");
    assert_eq!(draft.changes("a"), "+a");
    draft.apply("a");
    assert_eq!(draft.changes("w"), "+w -v");
    assert_eq!(draft.changes("b"), "+b -a");
}

#[test]
fn sets_of_the_matrix() {
    let draft = check(tables::MATRIX, tables::MATRIX_TABLE);
    assert_eq!(draft.manifest.pointer("/modes/alone/services"), Some(&serde_json::json!(["alone"])));
    draft.apply("standard-gemma");
    assert_eq!(draft.changes("standard-qwen"), "+qwen -gemma");
    assert_eq!(draft.changes("full"), "+llama-70b -gemma -voxtral");
}

#[test]
fn commands_of_container_engines() {
    let draft = check(tables::ENGINES, tables::ENGINES_TABLE);
    draft.apply("vllm");
    assert_eq!(draft.changes("old"), "+old -vllm");
}

#[test]
fn faults_and_settings_of_the_proxy() {
    let draft = check(tables::FAULTS, tables::FAULTS_TABLE);
    assert!(!format!("{}{}", draft.text, draft.notes).contains("s3cr3t"), "{}", draft.text);
}
