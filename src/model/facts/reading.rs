//! Readings that may fail.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::secret::Masker;

/// A reading, or the reason why there is none. If a reading failed, nothing is known; it does not mean that nothing is
/// there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reading<T> {
    /// Nothing was read: the manifest does not need it.
    #[default]
    NotAsked,
    Known(T),
    /// Reason why the reading failed.
    Unknown(String),
}

impl<T> Reading<T> {
    /// Returns the reading, if it succeeded.
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

    /// Used by serde.
    pub(crate) fn is_not_asked(&self) -> bool {
        matches!(self, Self::NotAsked)
    }

    /// Returns the reason why the reading failed, if it did.
    pub fn unknown(&self) -> Option<&str> {
        match self {
            Self::Unknown(reason) => Some(reason),
            Self::NotAsked | Self::Known(_) => None,
        }
    }

    /// Masks the reason why the reading failed.
    pub(crate) fn mask_reason(&mut self, masker: &Masker) {
        if let Self::Unknown(reason) = self {
            masker.mask_in_place(reason);
        }
    }
}
