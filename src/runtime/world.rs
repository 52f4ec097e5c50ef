//! Snapshot files (`--world FILE`): the facts of a machine as JSON, each runtime's part read by the runtime. Nothing
//! else reads them.

use schemars::SchemaGenerator;
use serde_json::{Map, Value, json};

use crate::model::facts::{FORMAT, Facts};
use crate::model::safe_text;
use crate::runtime::registration::Registration;
use crate::runtime::registry::RUNTIMES;

/// Format from before runtimes had parts of their own. It is read forever, and no longer written.
pub const FORMAT_1: &str = "lcm.world/1";

/// Reads a snapshot file. The error is a fragment in lower case, without a full stop.
pub fn read(text: &str) -> Result<Facts, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let mut facts: Facts = match value.get("format").and_then(Value::as_str) {
        // Parsed from the text, so that an error names its line.
        Some(FORMAT) => serde_json::from_str(text).map_err(|error| error.to_string())?,
        Some(FORMAT_1) => upgraded(value)?,
        Some(other) => {
            let other = safe_text::short(other, 40);
            return Err(format!("its format is {other}, and this lcm reads {FORMAT} and {FORMAT_1}"));
        }
        None => return Err(format!("it has no `format`: write `\"format\": \"{FORMAT}\"`")),
    };
    for (name, written) in facts.instances.take_unread() {
        let known = RUNTIMES.iter().find(|runtime| runtime.name == name);
        let Some(Registration { facts: format, .. }) = known else {
            return Err(format!("its instances.{name} are of a runtime that this lcm does not support"));
        };
        if written.format != format.format {
            let found = safe_text::short(&written.format, 40);
            return Err(format!("its instances.{name} have format {found}, and this lcm reads {}", format.format));
        }
        let read = (format.read)(written.reading);
        facts.instances.insert(read.map_err(|error| format!("instances.{name}: {error}"))?);
    }
    Ok(facts)
}

/// Converts a snapshot of format 1 to the present shape.
fn upgraded(value: Value) -> Result<Facts, String> {
    let Value::Object(mut snapshot) = value else { return Err("it is not a JSON object".to_owned()) };
    if snapshot.contains_key("instances") {
        return Err(format!("a snapshot of format {FORMAT_1} has no `instances`: write `\"format\": \"{FORMAT}\"`"));
    }
    let mut instances = Map::new();
    for runtime in RUNTIMES {
        if let Some(reading) = (runtime.facts.upgrade)(&mut snapshot) {
            let part = json!({ "format": runtime.facts.format, "reading": reading });
            instances.insert(runtime.name.to_string(), part);
        }
    }
    snapshot.insert("format".to_owned(), FORMAT.into());
    snapshot.insert("instances".to_owned(), Value::Object(instances));
    serde_json::from_value(Value::Object(snapshot)).map_err(|error| error.to_string())
}

/// Returns the schema of each runtime's part in a snapshot file, by runtime name.
#[must_use]
pub fn parts(generator: &mut SchemaGenerator) -> Map<String, Value> {
    let part = |runtime: &Registration| {
        let reading = (runtime.facts.schema)(generator);
        let properties = json!({ "format": { "const": runtime.facts.format }, "reading": reading });
        (runtime.name.to_string(), json!({ "properties": properties, "required": ["format", "reading"] }))
    };
    RUNTIMES.iter().map(part).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::read;
    use crate::runtime::docker::facts::DockerReading as _;
    use crate::runtime::process::facts::ProcessReading as _;

    fn snapshot(format: &str) -> Value {
        json!({ "format": format, "host": "box", "observed_at": "2026-01-02T03:04:05Z" })
    }

    #[test]
    fn a_snapshot_of_format_1_is_read_and_written_in_the_present_format() {
        let mut old = snapshot("lcm.world/1");
        old["engine"] = json!({ "endpoint": "unix:///run/docker.sock", "version": "20.10" });
        old["engine_elsewhere"] = "it is another's".into();
        old["containers"] = json!({ "known": [{ "id": "c1", "name": "web", "image": "i", "state": "running" }] });
        old["networks"] = json!({ "known": { "x": "n1" } });
        old["trees"] = json!({ "unknown": "no /proc" });
        old["pid_files"] = json!({ "web": "anyone may write it" });
        let facts = read(&old.to_string()).expect("format 1");
        let docker = facts.docker();
        assert_eq!(docker.containers.known().map(|all| all[0].name.as_str()), Some("web"));
        assert_eq!(docker.engine.as_ref().map(|engine| engine.version.as_str()), Some("20.10"));
        assert_eq!(docker.elsewhere.as_deref(), Some("it is another's"));
        assert!(docker.networks.known().is_some());
        assert_eq!(facts.processes().trees.unknown(), Some("no /proc"));
        assert_eq!(facts.processes().pid_files.len(), 1);

        let written = serde_json::to_string(&facts).expect("written");
        assert!(written.contains(r#""docker":{"format":"docker/1","reading":{"#), "{written}");
        assert_eq!(read(&written).expect("format 2"), facts);
    }

    #[test]
    fn unknown_formats_runtimes_and_fields_are_named() {
        let refused = |change: &dyn Fn(&mut Value)| {
            let mut snapshot = snapshot("lcm.world/2");
            snapshot["instances"] = json!({});
            change(&mut snapshot);
            read(&snapshot.to_string()).expect_err("refused")
        };
        let instances = |name: &str, part: Value| {
            let name = name.to_owned();
            refused(&move |snapshot: &mut Value| snapshot["instances"] = json!({ name.clone(): part.clone() }))
        };
        let later = refused(&|snapshot| snapshot["format"] = "lcm.world/9".into());
        assert!(later.contains("lcm.world/9") && later.contains("lcm.world/2 and lcm.world/1"), "{later}");
        assert!(refused(&|snapshot| snapshot["format"] = Value::Null).contains("no `format`"));
        let unknown = instances("podman", json!({ "format": "podman/1", "reading": {} }));
        assert!(unknown.contains("instances.podman"), "{unknown}");
        let format = instances("docker", json!({ "format": "docker/7", "reading": {} }));
        assert!(format.contains("docker/7") && format.contains("docker/1"), "{format}");
        let field = instances("docker", json!({ "format": "docker/1", "reading": { "contaners": 1 } }));
        assert!(field.contains("instances.docker") && field.contains("contaners"), "{field}");
        let none = refused(&|snapshot| {
            let _ = snapshot.as_object_mut().expect("an object").remove("instances");
        });
        assert!(none.contains("missing field `instances`"), "{none}");
        let mixed = refused(&|snapshot| snapshot["format"] = "lcm.world/1".into());
        assert!(mixed.contains("has no `instances`"), "{mixed}");
        // Keys of a runtime are no longer at the top level.
        let moved = refused(&|snapshot| snapshot["trees"] = json!({ "known": [] }));
        assert!(moved.contains("unknown field `trees`") && moved.contains("line 1"), "{moved}");
    }
}
