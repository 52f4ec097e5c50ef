//! Attempts: how often lcm tried to start a service, and failures of it that were reported from outside. Both decide
//! whether the next plan starts it.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::error::StoreError;
use crate::model::facts::{self, FailureReport};
use crate::model::names::{ProjectName, ServiceName};

/// Attempts and reports of a store: the newest of each service.
#[async_trait]
pub trait AttemptStore: Send + Sync {
    /// Returns the attempts of each service of a project that has any.
    async fn attempts(&self, project: &ProjectName) -> Result<BTreeMap<ServiceName, facts::Attempts>, StoreError>;

    /// Replaces the attempts of a service; `None` restores its whole budget.
    async fn set_attempts(
        &self,
        project: &ProjectName,
        service: &ServiceName,
        attempts: Option<&facts::Attempts>,
    ) -> Result<(), StoreError>;

    /// Replaces the reported failure of a service; `None` withdraws it.
    async fn set_report(
        &self,
        project: &ProjectName,
        service: &ServiceName,
        report: Option<&FailureReport>,
    ) -> Result<(), StoreError>;
}
