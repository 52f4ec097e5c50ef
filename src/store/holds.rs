//! Holds of a project, which override its manifest: holds on services, and the mode override.

use async_trait::async_trait;

use super::error::StoreError;
use crate::model::holds::{HoldRecord, Holds, ModeOverride};
use crate::model::names::{ProjectName, ServiceName};

/// Holds of a store: the newest of each service, and the newest mode override of each project.
#[async_trait]
pub trait HoldStore: Send + Sync {
    /// Returns the holds on services of a project, and its mode override.
    async fn holds(&self, project: &ProjectName) -> Result<Holds, StoreError>;

    /// Replaces the hold on a service; `None` releases it.
    async fn set_hold(
        &self,
        project: &ProjectName,
        service: &ServiceName,
        hold: Option<&HoldRecord>,
    ) -> Result<(), StoreError>;

    /// Replaces the mode override of a project; `None` clears it.
    async fn set_mode_override(&self, project: &ProjectName, switched: Option<&ModeOverride>)
    -> Result<(), StoreError>;
}
