//! Machine that an engine runs on: what is known and what is proven about it.

use std::sync::Arc;

use tokio::sync::OnceCell;

use crate::host::enclosure::Enclosed;
use crate::model::enclosure::MountFact;
use crate::runtime::docker::drive::transport::Introduction;

/// Location of an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineLocation {
    /// The engine sees the same files as lcm.
    Here,
    /// The engine runs the container that lcm is in.
    Outside(Outside),
    /// On another machine, as long as nothing else is proven; with the reason.
    Elsewhere(String),
}

/// Host around a container, as lcm sees it from inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outside {
    /// Hostname.
    pub(crate) host: String,
    /// Host id as labels have it; `None`: the engine has no id.
    pub(super) host_id: Option<String>,
    /// Mounts of lcm's own container; `None`: the engine does not know that container.
    pub(crate) mounts: Option<Vec<MountFact>>,
}

/// Knowledge of an engine's location.
#[derive(Debug)]
pub(super) struct Home {
    pub(super) enclosed: Enclosed,
    /// True if the manifest names the engine.
    pub(super) is_named: bool,
    pub(super) introduction: Arc<Introduction>,
    /// Version; requested only if no answer names it.
    pub(super) version: OnceCell<String>,
    pub(super) place: OnceCell<EngineLocation>,
}

impl Home {
    pub(super) fn new(enclosed: Enclosed, is_named: bool) -> Self {
        Self { enclosed, is_named, introduction: Arc::default(), version: OnceCell::new(), place: OnceCell::new() }
    }
}
