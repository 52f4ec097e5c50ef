//! Identity of one incarnation of a service.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::names::{ObjectName, RuntimeName};

/// One instance of a service: a container or a process tree. A recreated container and a restarted process tree are new
/// instances.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(from = "ReadShape")]
#[schemars(!from)]
pub struct Instance {
    /// Runtime that the instance runs on.
    pub runtime: RuntimeName,
    /// Id of the instance. `docker`: the container's id. `process`: a random id of the start, or pid and start time of
    /// an adopted process.
    pub id: String,
    /// Name of the instance, such as the container's name; absent if the runtime has no names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<ObjectName>,
    /// Role of the instance; absent for the service itself.
    #[serde(default, skip_serializing_if = "Role::is_main")]
    pub role: Role,
}

/// Role of an instance for its service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The service itself.
    #[default]
    Main,
    /// The service's previous revision, kept aside while a newer one starts.
    Previous,
}

impl Role {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
    fn is_main(&self) -> bool {
        *self == Self::Main
    }
}

impl Instance {
    /// Creates the instance of a service itself.
    #[must_use]
    pub fn new(runtime: RuntimeName, id: impl Into<String>, name: Option<ObjectName>) -> Self {
        Self { runtime, id: id.into(), name, role: Role::Main }
    }

    /// Returns true if a runtime of this name carries the instance.
    #[must_use]
    pub fn is_of(&self, runtime: &RuntimeName) -> bool {
        self.runtime == *runtime
    }

    /// Returns the name of the object; empty where there is none.
    #[must_use]
    pub fn object(&self) -> &str {
        self.name.as_ref().map_or("", ObjectName::as_str)
    }
}

/// Shapes that an instance is read in.
#[derive(Deserialize)]
#[serde(untagged)]
enum ReadShape {
    Present(PresentShape),
    Earlier(EarlierShape),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PresentShape {
    runtime: RuntimeName,
    id: String,
    #[serde(default)]
    name: Option<ObjectName>,
    #[serde(default)]
    role: Role,
}

/// Shape before instances named their runtime: in saved plans and pending calls that an earlier lcm wrote.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum EarlierShape {
    Container { id: String, name: ObjectName },
    Tree { id: String },
}

impl From<ReadShape> for Instance {
    fn from(shape: ReadShape) -> Self {
        match shape {
            ReadShape::Present(PresentShape { runtime, id, name, role }) => Self { runtime, id, name, role },
            ReadShape::Earlier(EarlierShape::Container { id, name }) => {
                Self::new(RuntimeName::known("docker"), id, Some(name))
            }
            ReadShape::Earlier(EarlierShape::Tree { id }) => Self::new(RuntimeName::known("process"), id, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json, to_value};

    use super::{Instance, Role};
    use crate::model::names::RuntimeName;

    fn read(value: Value) -> Result<Instance, serde_json::Error> {
        from_value(value)
    }

    #[test]
    fn an_instance_names_its_runtime_and_reads_what_an_earlier_lcm_wrote() {
        let tree = Instance::new(RuntimeName::known("process"), "salt", None);
        let container = Instance::new(RuntimeName::known("docker"), "c1", Some("web".into()));
        assert_eq!(to_value(&tree).expect("JSON"), json!({ "runtime": "process", "id": "salt" }));
        let written = json!({ "runtime": "docker", "id": "c1", "name": "web" });
        assert_eq!(to_value(&container).expect("JSON"), written);
        for instance in [&tree, &container, &Instance { role: Role::Previous, ..container.clone() }] {
            assert_eq!(read(to_value(instance).expect("JSON")).as_ref().ok(), Some(instance));
        }
        assert_eq!(read(json!({ "tree": { "id": "salt" } })).ok(), Some(tree));
        assert_eq!(read(json!({ "container": { "id": "c1", "name": "web" } })).ok(), Some(container));
        read(json!({ "runtime": "docker" })).expect_err("no id");
        read(json!({ "tree": { "id": "salt", "name": "web" } })).expect_err("a tree has no name");
    }
}
