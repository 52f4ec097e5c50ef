//! Claims: processes and containers that carry lcm's marks without proof that the project's owner started them. A claim
//! is reported. It blocks nothing, is never signalled or removed, and none of its numbers counts.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::names::{ProjectName, ServiceName};
use crate::model::safe_text;

/// Letters kept of a claimed name. Names in manifests are words; anyone can write any text into a mark.
pub const NAME_LETTERS_MAX: usize = 64;
/// Processes or containers reported as claims in one reading. Any user may start thousands; the first ones show who
/// does, and a plan stays readable.
pub const CLAIMS_MAX: usize = 20;

/// A process or container that carries lcm's marks, but that is not proven to belong to this project. Texts that it
/// supplied (names, program) are cut to one short line without control characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClaimFact {
    pub project: ProjectName,
    pub service: ServiceName,
    pub claimant: Claimant,
    /// Proof that is missing, as part of a sentence, such as `no shim of the owner started it`. A shim is the helper
    /// process with which lcm starts a service.
    pub reason: String,
}

/// Process or container that carries the marks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Claimant {
    Process { pid: i32, uid: u32, program: String },
    Container { id: String, name: String },
}

impl ClaimFact {
    /// Creates a claim, with names and texts from outside bounded and made harmless.
    #[must_use]
    pub fn new(project: &str, service: &str, claimant: Claimant, reason: impl Into<String>) -> Self {
        let claimant = match claimant {
            Claimant::Process { pid, uid, program } => Claimant::Process { pid, uid, program: bounded(&program) },
            Claimant::Container { id, name } => Claimant::Container { id: bounded(&id), name: bounded(&name) },
        };
        let (project, service) = (bounded(project).as_str().into(), bounded(service).as_str().into());
        Self { project, service, claimant, reason: reason.into() }
    }

    /// Returns the claim as a sentence: `pid 4711 (sleep) of uid 61001 carries lcm's marks, …`.
    #[must_use]
    pub fn sentence(&self) -> String {
        format!("{} carries lcm's marks but is not ours: {}; it is left alone", self.claimant, self.reason)
    }
}

impl fmt::Display for Claimant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process { pid, uid, program } => write!(formatter, "pid {pid} ({program}) of uid {uid}"),
            Self::Container { id, name } => {
                write!(formatter, "container {name} ({})", id.chars().take(12).collect::<String>())
            }
        }
    }
}

/// Returns the text as one harmless line, cut to [`NAME_LETTERS_MAX`].
#[must_use]
pub fn bounded(text: &str) -> String {
    // Four bytes a letter at most; what is cut off is not parsed first.
    let end = text.char_indices().nth(NAME_LETTERS_MAX * 4).map_or(text.len(), |(at, _)| at);
    let line = safe_text::line(&text[..end]);
    match line.char_indices().nth(NAME_LETTERS_MAX) {
        None => line,
        Some((at, _)) => format!("{}…", &line[..at]),
    }
}

#[cfg(test)]
mod tests {
    use super::{ClaimFact, Claimant, NAME_LETTERS_MAX};

    #[test]
    fn texts_of_others_are_one_harmless_line_of_bounded_length() {
        let hostile = format!("a\u{1b}]0;title\u{7}b\nc{}", "x".repeat(10_000));
        let process = Claimant::Process { pid: 7, uid: 61001, program: hostile.clone() };
        let claim = ClaimFact::new(&hostile, &hostile, process, "no proof");
        let texts = [claim.project.as_str(), claim.service.as_str(), &claim.sentence()];
        for text in texts {
            assert!(!text.contains(['\u{1b}', '\n', '\u{7}']), "{text:?}");
            assert!(text.chars().count() < 3 * NAME_LETTERS_MAX, "{text:?}");
        }
        assert!(claim.sentence().starts_with("pid 7 (ab cxx"), "{}", claim.sentence());
        assert!(claim.sentence().contains("of uid 61001 carries"), "{}", claim.sentence());
    }
}
