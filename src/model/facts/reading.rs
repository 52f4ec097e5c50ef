//! What was read, or the reason for which it could not be.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::secret::Masker;

/// A reading that failed is not an absence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reading<T> {
    /// The manifest has no use for it.
    #[default]
    NotAsked,
    Known(T),
    /// Why it could not be read.
    Unknown(String),
}

impl<T> Reading<T> {
    /// What was read, if it was.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::NotAsked | Self::Unknown(_) => None,
        }
    }

    pub fn known_mut(&mut self) -> Option<&mut T> {
        match self {
            Self::Known(value) => Some(value),
            Self::NotAsked | Self::Unknown(_) => None,
        }
    }

    /// For serde.
    pub(crate) fn is_not_asked(&self) -> bool {
        matches!(self, Self::NotAsked)
    }

    /// Why it is unknown, if it is.
    pub fn unknown(&self) -> Option<&str> {
        match self {
            Self::Unknown(reason) => Some(reason),
            Self::NotAsked | Self::Known(_) => None,
        }
    }

    /// Masks why it is unknown.
    pub(crate) fn mask_reason(&mut self, masker: &Masker) {
        if let Self::Unknown(reason) = self {
            masker.mask_in_place(reason);
        }
    }
}
