//! Part of a manifest that ownership of containers depends on.

use std::collections::BTreeSet;

use crate::model::desired::Desired;
use crate::model::names::ProjectName;
use crate::runtime::docker::intent::DockerSpec;

/// Part of a manifest that ownership of containers depends on.
#[derive(Clone, Debug, Default)]
pub struct OwnershipScope {
    pub(super) aliases: BTreeSet<ProjectName>,
    pub(super) take_over: bool,
    /// Containers that the manifest names as existing ones; `None`: no manifest was given.
    pub(super) adopted: Option<BTreeSet<String>>,
}

impl OwnershipScope {
    #[must_use]
    pub fn of(desired: &Desired) -> Self {
        let adopted = desired.services.values().filter_map(|service| match service.workload.spec::<DockerSpec>() {
            Some(DockerSpec::Existing(existing)) => Some(existing.container.to_string()),
            Some(DockerSpec::Created(_)) | None => None,
        });
        Self { aliases: desired.aliases.clone(), take_over: desired.take_over, adopted: Some(adopted.collect()) }
    }
}

/// Marks that an image carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ImageMarks {
    /// The image no longer exists.
    Gone,
    None,
    /// Marks, by their salt, which may be empty.
    Salt(String),
}
