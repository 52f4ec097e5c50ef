//! What may be written to stdout or stderr. Only this stage makes it, and each of its formats by rules of its own: a
//! command that writes something new has to pass here, so that no text of others gets to a terminal or a parser as it is.

use std::fmt;
use std::ops::Deref;

use crate::model::harmless::{self, is_unseen};

/// A text in one format, in which what others wrote is no more than text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output(String);

impl Output {
    /// For the formats of this stage, which have made it harmless.
    pub(super) fn new(text: String) -> Self {
        Self(text)
    }

    /// A file of lcm's own in another format (a manifest's draft, a manual page, a script for a shell), whose lines stay.
    /// Shells separate their candidates by a vertical tab.
    #[must_use]
    pub fn plain(text: &str) -> Self {
        let stays = |letter: &char| matches!(letter, '\n' | '\t' | '\u{b}') || !is_unseen(*letter);
        Self(text.chars().filter(stays).collect())
    }

    /// An empty line, between two outputs.
    #[must_use]
    pub fn gap() -> Self {
        Self("\n".to_owned())
    }

    /// Without the ends of its last lines.
    #[must_use]
    pub fn trimmed(mut self) -> Self {
        self.0.truncate(self.0.trim_end().len());
        self
    }

    /// As one line of lcm's that nothing paints.
    #[must_use]
    pub fn unpainted(&self) -> String {
        harmless::lines(&self.0, false)
    }
}

impl Deref for Output {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Output {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Output {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// One after the other.
impl FromIterator<Output> for Output {
    fn from_iter<I: IntoIterator<Item = Output>>(outputs: I) -> Self {
        let mut all = Self::default();
        all.extend(outputs);
        all
    }
}

impl Extend<Output> for Output {
    fn extend<I: IntoIterator<Item = Output>>(&mut self, outputs: I) {
        for output in outputs {
            self.0.push_str(&output.0);
        }
    }
}

impl PartialEq<str> for Output {
    fn eq(&self, text: &str) -> bool {
        self.0 == text
    }
}

impl PartialEq<&str> for Output {
    fn eq(&self, text: &&str) -> bool {
        self.0 == *text
    }
}

impl PartialEq<String> for Output {
    fn eq(&self, text: &String) -> bool {
        self.0 == *text
    }
}
