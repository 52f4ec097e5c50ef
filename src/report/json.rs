//! The same reports for programs. Each format carries its version, and its schema is committed under `schemas/`.

use std::fmt::Write as _;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::model::event::Event;
use crate::model::facts::Facts;
use crate::model::harmless::is_unseen;
use crate::model::hooks::{HookPayload, RunPayload};
use crate::model::plan::Plan;
use crate::report::history::History;
use crate::report::output::Output;
use crate::report::problems::CheckedManifests;
use crate::report::status::Status;

/// A whole document, for people to read too; ends in a newline.
#[must_use]
pub fn document<T: Serialize>(value: &T) -> Output {
    ended(&serde_json::to_string_pretty(value).expect("reports are made of maps, lists, texts and numbers"))
}

/// One line of a stream; ends in a newline.
#[must_use]
pub fn line<T: Serialize>(value: &T) -> Output {
    ended(&serde_json::to_string(value).expect("reports are made of maps, lists, texts and numbers"))
}

/// JSON itself leaves as they are what a terminal obeys in one letter, and what turns or hides text. They stand in
/// strings alone, and are written by their numbers: a program reads the same, and who looks at it sees them.
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

/// What `lcm plan --format json` says.
#[must_use]
pub fn plan_schema() -> Value {
    schema::<Plan>("lcm.plan/2")
}

/// What `lcm status --format json` says.
#[must_use]
pub fn status_schema() -> Value {
    schema::<Status>("lcm.status/1")
}

/// What `lcm history --format json` says.
#[must_use]
pub fn history_schema() -> Value {
    schema::<History>("lcm.history/1")
}

/// Each line of `lcm apply --format json`.
#[must_use]
pub fn event_schema() -> Value {
    schema::<Event>("lcm.event/1")
}

#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it is there to be described")]
enum HookOrRun {
    Change(HookPayload),
    Run(RunPayload),
}

/// What hooks and notifiers are told.
#[must_use]
pub fn hook_schema() -> Value {
    schema::<HookOrRun>("lcm.hook/2")
}

/// A world file: what `lcm observe` says, and what `--world` takes. `instances`: the part of each runtime, by name.
#[must_use]
pub fn world_schema(instances: impl FnOnce(&mut SchemaGenerator) -> Map<String, Value>) -> Value {
    let mut generator = generator();
    let parts = instances(&mut generator);
    let mut schema = titled::<Facts>("lcm.world/2", generator);
    if let Some(described) = schema.pointer_mut("/properties/instances").and_then(Value::as_object_mut) {
        described.insert("properties".to_owned(), Value::Object(parts));
    }
    schema
}

/// What `lcm validate --format json` says.
#[must_use]
pub fn problems_schema() -> Value {
    schema::<CheckedManifests>("lcm.problems/1")
}

/// Described as it is written, not as it is read: what may be left out when reading is always there.
fn generator() -> SchemaGenerator {
    SchemaSettings::draft2020_12().for_serialize().into_generator()
}

fn schema<T: JsonSchema>(title: &str) -> Value {
    titled::<T>(title, generator())
}

fn titled<T: JsonSchema>(title: &str, generator: SchemaGenerator) -> Value {
    let Value::Object(said) = generator.into_root_schema_for::<T>().to_value() else { return Value::Bool(true) };
    // What it is comes first, for whoever opens the file.
    let mut schema = serde_json::Map::new();
    schema.insert("$schema".to_owned(), said.get("$schema").cloned().unwrap_or_default());
    schema.insert("title".to_owned(), Value::String(title.to_owned()));
    schema.extend(said.into_iter().filter(|(key, _)| key != "$schema" && key != "title"));
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
