//! Machine that an engine runs on: what is known of it, and what was proven.

use std::sync::Arc;

use tokio::sync::OnceCell;

use crate::host::enclosure::Enclosed;
use crate::model::enclosure::MountFact;
use crate::runtime::docker::drive::transport::Introduction;

/// Where an engine runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineLocation {
    /// It sees the same files as lcm.
    Here,
    /// It runs the container that lcm is in.
    Outside(Outside),
    /// On another machine, for all that is proven, and the reason for that.
    Elsewhere(String),
}

/// A host as lcm sees it from a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outside {
    /// The host's name.
    pub(crate) host: String,
    /// As labels name it; `None`: the engine has no id.
    pub(super) host_id: Option<String>,
    /// `None`: the engine does not know lcm's own container.
    pub(crate) mounts: Option<Vec<MountFact>>,
}

/// What is known of an engine's place.
#[derive(Debug)]
pub(super) struct Home {
    pub(super) enclosed: Enclosed,
    /// The manifest names the engine.
    pub(super) is_named: bool,
    pub(super) introduction: Arc<Introduction>,
    /// Asked for where no answer names it.
    pub(super) version: OnceCell<String>,
    pub(super) place: OnceCell<EngineLocation>,
}

impl Home {
    pub(super) fn new(enclosed: Enclosed, is_named: bool) -> Self {
        Self { enclosed, is_named, introduction: Arc::default(), version: OnceCell::new(), place: OnceCell::new() }
    }
}
