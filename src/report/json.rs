//! Reports for programs. Each format carries its version, and its schema is committed under `schemas/`.

use std::fmt::Write as _;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::model::event::Event;
use crate::model::facts::Facts;
use crate::model::hooks::{HookPayload, RunPayload};
use crate::model::plan::Plan;
use crate::model::safe_text::is_unseen;
use crate::report::doctor::DoctorReport;
use crate::report::history::History;
use crate::report::modes::Modes;
use crate::report::output::Output;
use crate::report::problems::CheckedManifests;
use crate::report::status::Status;

/// Returns a whole document, readable for people too; ends in a newline.
#[must_use]
pub fn document<T: Serialize>(value: &T) -> Output {
    ended(&serde_json::to_string_pretty(value).expect("reports are made of maps, lists, texts and numbers"))
}

/// Returns one line of a stream; ends in a newline.
#[must_use]
pub fn line<T: Serialize>(value: &T) -> Output {
    ended(&serde_json::to_string(value).expect("reports are made of maps, lists, texts and numbers"))
}

/// Escapes characters that JSON leaves as they are and that control a terminal, or turn or hide text. They occur only
/// in strings, and are written by number: a program reads the same text, and a person sees them.
fn ended(json: &str) -> Output {
    let mut text = String::with_capacity(json.len() + 1);
    if json.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)) {
        text.push_str(json);
        text.push('\n');
        return Output::new(text);
    }
    for letter in json.chars() {
        if letter != '\n' && is_unseen(letter) {
            for unit in letter.encode_utf16(&mut [0; 2]) {
                let _ = write!(text, "\\u{unit:04x}");
            }
        } else {
            text.push(letter);
        }
    }
    text.push('\n');
    Output::new(text)
}

/// Instances are written alike for every runtime.
const INSTANCE: [(&str, &str); 2] = [
    ("`{ container: { id, name } }`", "`{ runtime: \"docker\", id, name }`"),
    ("`{ tree: { id } }`", "`{ runtime: \"process\", id }`"),
];
const REASONS: &[(&str, &str)] = &[("no_room", "no_capacity"), ("`budget_spent` with a next attempt", "backoff")];
const WORLD: &[(&str, &str)] = &[
    ("`engine`, `engine_elsewhere`, `containers`, `networks`", "`instances.docker.reading`"),
    ("`trees`, `pid_files`", "`instances.process.reading`"),
    ("words", "holds"),
    ("`word` of a hold", "hold"),
    ("the owner `stranger`", "foreign"),
];

/// Returns the schema of `lcm plan --format json`.
#[must_use]
pub fn plan_schema() -> Value {
    schema::<Plan>("lcm.plan/2", &[&INSTANCE, REASONS].concat())
}

/// Returns the schema of `lcm status --format json`.
#[must_use]
pub fn status_schema() -> Value {
    schema::<Status>("lcm.status/2", &[("word", "hold")])
}

/// Returns the schema of `lcm modes --format json`.
#[must_use]
pub fn modes_schema() -> Value {
    schema::<Modes>("lcm.modes/1", &[])
}

/// Returns the schema of `lcm history --format json`.
#[must_use]
pub fn history_schema() -> Value {
    schema::<History>("lcm.history/2", &[("quiet_runs", "unchanged_runs")])
}

/// Returns the schema of each line of `lcm apply --format json`.
#[must_use]
pub fn event_schema() -> Value {
    schema::<Event>("lcm.event/2", &[("a hook's outcome `well`", "succeeded")])
}

#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only described by the schema")]
enum HookOrRun {
    Change(HookPayload),
    Run(RunPayload),
}

/// Returns the schema of the input of hooks and notifiers.
#[must_use]
pub fn hook_schema() -> Value {
    schema::<HookOrRun>("lcm.hook/2", &[&INSTANCE, REASONS].concat())
}

/// Returns the schema of a snapshot file: the output of `lcm observe` and the input of `--world`. `instances`: the part
/// of each runtime, by name.
#[must_use]
pub fn world_schema(instances: impl FnOnce(&mut SchemaGenerator) -> Map<String, Value>) -> Value {
    let mut generator = generator();
    let parts = instances(&mut generator);
    let mut schema = titled::<Facts>("lcm.world/2", WORLD, generator);
    if let Some(described) = schema.pointer_mut("/properties/instances").and_then(Value::as_object_mut) {
        described.insert("properties".to_owned(), Value::Object(parts));
    }
    schema
}

/// Returns the schema of `lcm validate --format json`.
#[must_use]
pub fn problems_schema() -> Value {
    schema::<CheckedManifests>("lcm.problems/1", &[])
}

/// Returns the schema of `lcm doctor --format json`.
#[must_use]
pub fn doctor_schema() -> Value {
    schema::<DoctorReport>("lcm.doctor/1", &[])
}

/// Table of terms that changed with the format's second version.
fn renames(renamed: &[(&str, &str)]) -> Option<String> {
    if renamed.is_empty() {
        return None;
    }
    let quoted = |term: &str| if term.contains(['`', ' ']) { term.to_owned() } else { format!("`{term}`") };
    let rows = renamed.iter().map(|(old, new)| format!("- {} → {}", quoted(old), quoted(new)));
    Some(format!("Renamed since version 1 of the format:\n\n{}", rows.collect::<Vec<_>>().join("\n")))
}

/// Returns a generator of schemas for written documents: keys that are optional when read are always there.
fn generator() -> SchemaGenerator {
    SchemaSettings::draft2020_12().for_serialize().into_generator()
}

/// `renamed`: terms of the format's first version, and what they are called now.
fn schema<T: JsonSchema>(title: &str, renamed: &[(&str, &str)]) -> Value {
    titled::<T>(title, renamed, generator())
}

fn titled<T: JsonSchema>(title: &str, renamed: &[(&str, &str)], generator: SchemaGenerator) -> Value {
    let Value::Object(generated) = generator.into_root_schema_for::<T>().to_value() else { return Value::Bool(true) };
    // The title comes first, for readers of the file.
    let mut schema = serde_json::Map::new();
    schema.insert("$schema".to_owned(), generated.get("$schema").cloned().unwrap_or_default());
    schema.insert("title".to_owned(), Value::String(title.to_owned()));
    let own = generated.get("description").and_then(Value::as_str).map(str::to_owned);
    let description = own.into_iter().chain(renames(renamed)).collect::<Vec<_>>().join("\n\n");
    if !description.is_empty() {
        schema.insert("description".to_owned(), description.into());
    }
    let rest = ["$schema", "title", "description"];
    schema.extend(generated.into_iter().filter(|(key, _)| !rest.contains(&key.as_str())));
    Value::Object(schema)
}

#[cfg(test)]
mod tests {
    use super::{document, line};

    #[test]
    fn one_value_is_one_line_that_no_terminal_obeys_and_reads_back() {
        let hostile = "a\u{9b}2J\u{7f}\u{202e}\u{2028}\u{e0041}\n\u{1b}]0;x\u{7}\u{feff}é🦀";
        let text = line(&hostile);
        assert_eq!(text.lines().count(), 1);
        assert!(!text.trim_end().contains(super::is_unseen), "{text:?}");
        assert_eq!(serde_json::from_str::<String>(&text).expect("JSON"), hostile);
        assert_eq!(serde_json::from_str::<Vec<String>>(&document(&[hostile])).expect("JSON"), [hostile]);
        assert!(text.contains("é🦀"), "{text}");
    }
}
