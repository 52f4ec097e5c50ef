//! Values of environments.

use crate::model::secret::Secret;

/// Value of one variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnvValue {
    Plain(String),
    /// `None`: it is wanted and not there; [`missing_secrets`](crate::model::desired::Service::missing_secrets) says where it was looked for.
    Secret(Option<Secret>),
}
