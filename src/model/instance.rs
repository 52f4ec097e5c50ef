//! Identity of one incarnation of a service.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use crate::model::names::{ObjectName, RuntimeName};

/// One incarnation of a service, told from the next one of the same name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct Instance {
    /// Runtime that carries it.
    pub runtime: RuntimeName,
    /// Identity at the runtime, new for each incarnation.
    pub id: String,
    /// Name of the object at the runtime; absent where that names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub name: Option<ObjectName>,
    #[serde(default, skip_serializing_if = "Role::is_main")]
    pub role: Role,
}

/// Part that an instance plays for its service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The service itself.
    #[default]
    Main,
    /// Its previous revision, put aside while a newer one is brought up.
    Previous,
}

impl Role {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
    fn is_main(&self) -> bool {
        *self == Self::Main
    }
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

/// Both shapes: today's, and that of `lcm.plan/1`, where the kind of thing was the key.
impl<'de> Deserialize<'de> for Instance {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Fields {
            runtime: Option<RuntimeName>,
            id: String,
            #[serde(default)]
            name: Option<ObjectName>,
            #[serde(default)]
            role: Role,
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Shape {
            Present(Fields),
            Former(BTreeMap<RuntimeName, Fields>),
        }
        let (runtime, fields) = match Shape::deserialize(deserializer)? {
            Shape::Present(fields) => (fields.runtime.clone(), fields),
            Shape::Former(kinds) => {
                let one = kinds.into_iter().next();
                let (kind, fields) = one.ok_or_else(|| Error::custom("an instance without a runtime"))?;
                (Some(kind), fields)
            }
        };
        let runtime = runtime.ok_or_else(|| Error::missing_field("runtime"))?;
        Ok(Self { runtime, id: fields.id, name: fields.name, role: fields.role })
    }
}
