//! World files: the facts of a machine as text, each runtime's part read by the runtime. The only place that reads one.

use schemars::SchemaGenerator;
use serde_json::{Map, Value, json};

use crate::model::facts::{FORMAT, Facts};
use crate::model::harmless;
use crate::runtime::registration::Registration;
use crate::runtime::registry::RUNTIMES;

/// The format before runtimes had parts of their own. It is read for ever, and written no more.
pub const FORMAT_1: &str = "lcm.world/1";

/// Reads a world file. The error is a sentence without its end.
pub fn read(text: &str) -> Result<Facts, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let mut facts: Facts = match value.get("format").and_then(Value::as_str) {
        // From the text, so that an error has its line.
        Some(FORMAT) => serde_json::from_str(text).map_err(|error| error.to_string())?,
        Some(FORMAT_1) => upgraded(value)?,
        Some(other) => {
            let other = harmless::short(other, 40);
            return Err(format!("its format is {other}, and this lcm reads {FORMAT} and {FORMAT_1}"));
        }
        None => return Err(format!("it has no `format`; a world file says `\"format\": \"{FORMAT}\"`")),
    };
    for (name, written) in facts.instances.take_unread() {
        let known = RUNTIMES.iter().find(|runtime| runtime.name == name);
        let Some(Registration { facts: format, .. }) = known else {
            return Err(format!("its instances.{name} are of a runtime that this lcm has not"));
        };
        if written.format != format.format {
            let found = harmless::short(&written.format, 40);
            return Err(format!("its instances.{name} have format {found}, and this lcm reads {}", format.format));
        }
        let read = (format.read)(written.reading);
        facts.instances.insert(read.map_err(|error| format!("instances.{name}: {error}"))?);
    }
    Ok(facts)
}

/// A world of format 1 in the present shape.
fn upgraded(value: Value) -> Result<Facts, String> {
    let Value::Object(mut world) = value else { return Err("it is no object".to_owned()) };
    let mut instances = Map::new();
    for runtime in RUNTIMES {
        if let Some(reading) = (runtime.facts.upgrade)(&mut world) {
            let part = json!({ "format": runtime.facts.format, "reading": reading });
            instances.insert(runtime.name.to_string(), part);
        }
    }
    world.insert("format".to_owned(), FORMAT.into());
    world.insert("instances".to_owned(), Value::Object(instances));
    serde_json::from_value(Value::Object(world)).map_err(|error| error.to_string())
}

/// Describes the part of each runtime in a world file, by name.
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

    fn world(format: &str) -> Value {
        json!({ "format": format, "host": "box", "observed_at": "2026-01-02T03:04:05Z" })
    }

    #[test]
    fn a_world_of_format_1_is_read_and_written_anew() {
        let mut old = world("lcm.world/1");
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
    fn what_can_not_be_read_is_named() {
        let refused = |change: &dyn Fn(&mut Value)| {
            let mut world = world("lcm.world/2");
            change(&mut world);
            read(&world.to_string()).expect_err("refused")
        };
        let instances = |name: &str, part: Value| {
            let name = name.to_owned();
            refused(&move |world: &mut Value| world["instances"] = json!({ name.clone(): part.clone() }))
        };
        let later = refused(&|world| world["format"] = "lcm.world/9".into());
        assert!(later.contains("lcm.world/9") && later.contains("lcm.world/2 and lcm.world/1"), "{later}");
        assert!(refused(&|world| world["format"] = Value::Null).contains("no `format`"));
        let unknown = instances("podman", json!({ "format": "podman/1", "reading": {} }));
        assert!(unknown.contains("instances.podman"), "{unknown}");
        let format = instances("docker", json!({ "format": "docker/7", "reading": {} }));
        assert!(format.contains("docker/7") && format.contains("docker/1"), "{format}");
        let field = instances("docker", json!({ "format": "docker/1", "reading": { "contaners": 1 } }));
        assert!(field.contains("instances.docker") && field.contains("contaners"), "{field}");
        // What belongs to a runtime is not at the top any more.
        let moved = refused(&|world| world["trees"] = json!({ "known": [] }));
        assert!(moved.contains("unknown field `trees`") && moved.contains("line 1"), "{moved}");
    }
}
