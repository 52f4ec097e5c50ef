//! Containers as the engine reports them.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::endpoint::Endpoint;
use crate::model::facts::{Marks, is_zero};
use crate::model::settings::Settings;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContainerFact {
    pub id: String,
    /// Without the engine's leading slash.
    pub name: String,
    /// As it was named when the container was made.
    pub image: String,
    /// That name means another image by now.
    #[serde(default)]
    pub image_moved: bool,
    pub state: ContainerState,
    #[serde(default)]
    pub exit_code: Option<i64>,
    #[serde(default)]
    pub oom_killed: bool,
    /// The image's own health check, where it has one.
    #[serde(default)]
    pub health: Option<EngineHealth>,
    /// Known where the list was not enough and the container was inspected.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub started_at: Option<Timestamp>,
    #[serde(default)]
    pub marks: Option<Marks>,
    /// Its image carries the same marks: they came with the image, and prove nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub marks_inherited: bool,
    /// Another tool's project, by Compose's label.
    #[serde(default)]
    pub compose_project: Option<String>,
    /// Host ports that it publishes.
    #[serde(default)]
    pub ports: Vec<Endpoint>,
    /// `always`, `unless-stopped`, `on-failure`; known for inspected containers.
    #[serde(default)]
    pub restart_policy: Option<String>,
    /// Absent where it was not inspected, or does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub devices: Option<Devices>,
    /// When it last ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub finished_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub created_at: Option<Timestamp>,
    /// How often the engine has restarted it by its restart policy.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub restart_count: u32,
    /// The engine removes it, with its anonymous volumes, when it ends (`docker run --rm`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub auto_remove: bool,
    /// Real settings; absent where it was not inspected for a service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<Box<Settings>>,
}

impl ContainerFact {
    /// A container of which nothing else is known.
    #[must_use]
    pub fn plain(id: impl Into<String>, name: impl Into<String>, state: ContainerState) -> Self {
        Self {
            id: id.into(),
            name: name.into(),
            image: String::new(),
            image_moved: false,
            state,
            exit_code: None,
            oom_killed: false,
            health: None,
            started_at: None,
            marks: None,
            marks_inherited: false,
            compose_project: None,
            ports: Vec::new(),
            restart_policy: None,
            devices: None,
            finished_at: None,
            created_at: None,
            restart_count: 0,
            auto_remove: false,
            settings: None,
        }
    }
}

/// GPUs that a container was made with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Devices {
    All,
    None,
    /// Each by its index or its UUID.
    These(Vec<String>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ContainerState {
    Created,
    Running,
    Paused,
    Restarting,
    Removing,
    Exited,
    Dead,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EngineHealth {
    Starting,
    Healthy,
    Unhealthy,
}
