//! Identity of one incarnation of a service.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use crate::model::names::{ObjectName, RuntimeName};

/// One incarnation of a service, told from the next one of the same name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "InstanceShape", into = "InstanceShape")]
pub struct Instance {
    /// Runtime that carries it.
    pub runtime: RuntimeName,
    /// Identity at the runtime, new for each incarnation.
    pub id: String,
    /// Name of the object at the runtime; absent where that names none.
    pub name: Option<ObjectName>,
    pub role: Role,
}

/// Part that an instance plays for its service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The service itself.
    #[default]
    Main,
    /// Its previous revision, put aside while a newer one is brought up.
    Previous,
}

impl Instance {
    /// Of a service itself.
    #[must_use]
    pub fn new(runtime: RuntimeName, id: impl Into<String>, name: Option<ObjectName>) -> Self {
        Self { runtime, id: id.into(), name, role: Role::Main }
    }

    /// Returns true if a runtime of this name carries it.
    #[must_use]
    pub fn is_of(&self, runtime: &RuntimeName) -> bool {
        self.runtime == *runtime
    }

    /// The name of its object; empty where it has none.
    #[must_use]
    pub fn object(&self) -> &str {
        self.name.as_ref().map_or("", ObjectName::as_str)
    }
}

/// A thing that can be told from the next of the same name.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Instance")]
enum InstanceShape {
    Container {
        id: String,
        #[schemars(with = "String")]
        name: ObjectName,
    },
    /// A process tree, by the salt of its start, or by `pid:ticks` where it was adopted.
    Tree { id: String },
}

/// Runtimes of the two shapes that instances have in JSON.
const OF_CONTAINER: RuntimeName = RuntimeName::known("docker");
const OF_TREE: RuntimeName = RuntimeName::known("process");

impl From<InstanceShape> for Instance {
    fn from(shape: InstanceShape) -> Self {
        match shape {
            InstanceShape::Container { id, name } => Self::new(OF_CONTAINER, id, Some(name)),
            InstanceShape::Tree { id } => Self::new(OF_TREE, id, None),
        }
    }
}

impl From<Instance> for InstanceShape {
    fn from(instance: Instance) -> Self {
        match instance.name {
            Some(name) => Self::Container { id: instance.id, name },
            None => Self::Tree { id: instance.id },
        }
    }
}

impl JsonSchema for Instance {
    fn schema_name() -> Cow<'static, str> {
        InstanceShape::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        InstanceShape::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        InstanceShape::json_schema(generator)
    }
}
