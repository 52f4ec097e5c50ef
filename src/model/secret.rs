//! A value that must not be shown: it has no `Display`, its `Debug` is stars, and it can't be serialized.

use std::fmt;

/// What stands where a secret would.
pub const MASK: &str = "***";

/// Shorter values would blot out half of a log for nothing.
const MASKED_LENGTH_MIN: usize = 4;

/// A secret's text. [`Secret::reveal`] is the only way out, and easy to search for.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The value itself, for the environment of the service that asked for it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(MASK)
    }
}

/// `text` with every secret in it replaced by stars, the longest first so that none shows in part.
#[must_use]
pub fn mask<'a>(text: &str, secrets: impl Iterator<Item = &'a Secret>) -> String {
    let mut values: Vec<&str> = secrets.map(Secret::reveal).filter(|value| value.len() >= MASKED_LENGTH_MIN).collect();
    values.sort_unstable_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b)));
    values.dedup();
    values.into_iter().fold(text.to_owned(), |text, value| text.replace(value, MASK))
}

#[cfg(test)]
mod tests {
    use super::{Secret, mask};

    #[test]
    fn a_secret_shows_nowhere() {
        let secrets = [Secret::new("hf_abc"), Secret::new("hf_abcdef"), Secret::new("1")];
        assert_eq!(format!("{:?}", secrets[0]), "***");
        assert_eq!(mask("1 token hf_abcdef and hf_abc", secrets.iter()), "1 token *** and ***");
    }
}
