//! Diagnostics of a manifest as values: all are collected, then reported at once.

use std::fmt;

use crate::model::secret::Masker;
use crate::syntax::place::SourceLocation;
use crate::syntax::source::Sources;

/// All diagnostics of a manifest, with its files for rendering; never empty in an `Err`.
#[derive(Debug)]
pub struct Problems(pub Vec<Problem>, pub(crate) Sources);

impl Problems {
    /// Returns true if any problem is more than a warning.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|problem| problem.severity == Severity::Error)
    }
}

impl fmt::Display for Problems {
    /// Writes one line per problem: `lcm.yaml:12:5: message`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, problem) in self.0.iter().enumerate() {
            if position > 0 {
                formatter.write_str("\n")?;
            }
            write!(formatter, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// One diagnostic, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub severity: Severity,
    /// Stable code: `lcm::manifest::unknown_key`.
    pub code: &'static str,
    pub message: String,
    /// Text under the underlined place.
    pub label: String,
    pub help: Option<String>,
    pub place: Option<SourceLocation>,
    /// Further places, each with its own label, such as the first definition of a duplicate name.
    pub related: Vec<(SourceLocation, String)>,
}

impl Problem {
    pub(crate) fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            message: message.into(),
            label: String::new(),
            help: None,
            place: None,
            related: Vec::new(),
        }
    }

    /// Masks secrets in all texts; places and codes stay.
    pub(crate) fn conceal(&mut self, masker: &Masker) {
        let texts = [&mut self.message, &mut self.label].into_iter().chain(&mut self.help);
        texts.chain(self.related.iter_mut().map(|(_, label)| label)).for_each(|text| masker.mask_in_place(text));
    }

    pub(crate) fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    pub(crate) fn at(mut self, place: SourceLocation, label: impl Into<String>) -> Self {
        self.place = Some(place);
        self.label = label.into();
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(crate) fn also(mut self, place: SourceLocation, label: impl Into<String>) -> Self {
        self.related.push((place, label.into()));
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(formatter, "{place}: ")?;
        }
        formatter.write_str(&self.message)?;
        if let Some(help) = &self.help {
            write!(formatter, "; {help}")?;
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Error,
    Warning,
}
