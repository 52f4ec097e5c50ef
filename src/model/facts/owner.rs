//! Owner of a process.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::instance::Instance;
use crate::model::names::{ProjectName, ServiceName};

/// Owner of a process, as far as lcm's marks prove one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Owner")]
pub enum ProcessOwner {
    /// A process tree that carries lcm's marks.
    Service { project: ProjectName, service: ServiceName },
    /// A container, by its id.
    Container(String),
    /// A foreign process: no marks prove that it belongs to lcm or to a container.
    #[serde(alias = "stranger")]
    Foreign,
}

impl ProcessOwner {
    /// Returns the owner of what belongs to an instance: an object by its id, else the service.
    #[must_use]
    pub fn of(project: &ProjectName, service: &ServiceName, instance: &Instance) -> Self {
        match &instance.name {
            Some(_) => Self::Container(instance.id.clone()),
            None => Self::Service { project: project.clone(), service: service.clone() },
        }
    }
}
