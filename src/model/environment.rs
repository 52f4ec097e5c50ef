//! Values of environment variables.

use crate::model::secret::Secret;

/// Value of one variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnvValue {
    Plain(String),
    /// `None`: the secret is missing; [`missing_secrets`](crate::model::desired::Service::missing_secrets) names the
    /// places that were searched.
    Secret(Option<Secret>),
}
