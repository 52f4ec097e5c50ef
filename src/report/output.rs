//! Texts that may be written to stdout or stderr. Only this stage makes them, each format by its own rules: a command
//! with a new kind of text has to pass through here, so that no foreign text reaches a terminal or a parser unescaped.

use std::fmt;
use std::ops::Deref;

use crate::model::safe_text::{self, is_unseen};

/// Text in one format, in which foreign text is no more than text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output(String);

impl Output {
    /// For the formats of this stage, which have escaped the text.
    pub(super) fn new(text: String) -> Self {
        Self(text)
    }

    /// Returns a file of lcm's own in another format (a manifest's draft, a manual page, a script for a shell), whose
    /// lines stay. Shells separate their candidates by a vertical tab.
    #[must_use]
    pub fn plain(text: &str) -> Self {
        let stays = |letter: &char| matches!(letter, '\n' | '\t' | '\u{b}') || !is_unseen(*letter);
        Self(text.chars().filter(stays).collect())
    }

    /// Returns an empty line, between two outputs.
    #[must_use]
    pub fn gap() -> Self {
        Self("\n".to_owned())
    }

    /// Returns the text without trailing line ends.
    #[must_use]
    pub fn trimmed(mut self) -> Self {
        self.0.truncate(self.0.trim_end().len());
        self
    }

    /// Returns the text as one line without paint.
    #[must_use]
    pub fn unpainted(&self) -> String {
        safe_text::lines(&self.0, false)
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

/// Joins outputs in order.
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
