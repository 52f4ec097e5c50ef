//! The same reports for programs. Each format carries its version, and its schema is committed under `schemas/`.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde_json::Value;

use crate::model::event::Event;
use crate::model::facts::Facts;
use crate::model::hooks::Occasion;
use crate::model::plan::Plan;
use crate::report::history::History;
use crate::report::problems::Checked;
use crate::report::status::Status;

/// A whole document, for people to read too; ends in a newline.
#[must_use]
pub fn document<T: Serialize>(value: &T) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("reports are made of maps, lists, texts and numbers");
    text.push('\n');
    text
}

/// One line of a stream; ends in a newline.
#[must_use]
pub fn line<T: Serialize>(value: &T) -> String {
    let mut text = serde_json::to_string(value).expect("reports are made of maps, lists, texts and numbers");
    text.push('\n');
    text
}

/// What `lcm plan --format json` says.
#[must_use]
pub fn plan_schema() -> Value {
    schema::<Plan>("lcm.plan/1")
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

/// What hooks and notifiers are told.
#[must_use]
pub fn hook_schema() -> Value {
    schema::<Occasion>("lcm.hook/1")
}

/// A world file: what `lcm observe` says, and what `--world` takes.
#[must_use]
pub fn world_schema() -> Value {
    schema::<Facts>("lcm.world/1")
}

/// What `lcm validate --format json` says.
#[must_use]
pub fn problems_schema() -> Value {
    schema::<Checked>("lcm.problems/1")
}

/// Described as it is written, not as it is read: what may be left out when reading is always there.
fn schema<T: JsonSchema>(title: &str) -> Value {
    let generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let Value::Object(said) = generator.into_root_schema_for::<T>().to_value() else { return Value::Bool(true) };
    // What it is comes first, for whoever opens the file.
    let mut schema = serde_json::Map::new();
    schema.insert("$schema".to_owned(), said.get("$schema").cloned().unwrap_or_default());
    schema.insert("title".to_owned(), Value::String(title.to_owned()));
    schema.extend(said.into_iter().filter(|(key, _)| key != "$schema" && key != "title"));
    Value::Object(schema)
}
