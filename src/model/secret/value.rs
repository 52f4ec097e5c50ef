//! A secret value, and the text that replaces it.

use std::cmp::Ordering;
use std::fmt;

/// Text that replaces a secret.
pub const MASK: &str = "***";

/// A secret's text. [`Secret::reveal`] is the only way out, and easy to search for.
/// Secrets are equal by their text.
#[derive(Clone)]
pub struct Secret {
    text: String,
    /// True if the manifest declares it (`secret:`): it is masked though it looks like an ordinary value.
    pub(super) is_declared: bool,
}

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_declared: false }
    }

    /// Creates a value that the manifest declares to be secret.
    pub fn declared(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_declared: true }
    }

    /// Returns the value itself, for the environment of the service that needs it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.text
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Secret {}

impl PartialOrd for Secret {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Secret {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(MASK)
    }
}
