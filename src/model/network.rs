//! Networks that a runtime makes for the services of a manifest: observed, and as lines of a plan.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::names::{RuntimeName, ServiceName, StepId};

/// Network of this project, as observed for one manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedNetwork {
    pub runtime: RuntimeName,
    /// Name in the runtime.
    pub name: String,
    pub condition: NetworkCondition,
    /// Services of the manifest that join it.
    pub needed_by: BTreeSet<ServiceName>,
    /// Instances that use it, running or not: names by id.
    pub users: BTreeMap<String, String>,
}

/// Condition of a network of this project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkCondition {
    /// The manifest defines it, and it does not exist.
    Missing,
    /// It is as the manifest defines it.
    Made,
    /// lcm made it, and these settings differ from the manifest.
    Changed(Vec<&'static str>),
    /// lcm made it, and no service of the manifest joins it.
    Unneeded,
}

/// A network that the plan creates or removes, or that stays though no service needs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NetworkLine {
    /// Runtime that has the network.
    pub runtime: RuntimeName,
    /// Name of the network in the runtime.
    pub network: String,
    /// Change that the plan makes.
    pub change: NetworkChange,
    /// Steps that must succeed before the network is removed; absent if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<StepId>,
    /// Reason for the change, as a sentence.
    pub message: String,
}

/// Change of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NetworkChange {
    /// The network is created before the services that need it.
    Create,
    /// The network is removed.
    Remove,
    /// The network stays.
    Keep,
}

impl NetworkLine {
    /// Returns true if the network can be removed now.
    #[must_use]
    pub fn is_removable(&self) -> bool {
        self.change == NetworkChange::Remove && self.needs.is_empty()
    }
}
