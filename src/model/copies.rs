//! Copies of one service: how many are wanted, how many are ready and up to date, and what a change of their number or
//! of their spec takes and gives back. Plain arithmetic.
//!
//! Not here: the decision to change anything, which is the planner's.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::model::size::Mebibytes;

/// Most copies that one service may have, and the bound of each count read from outside: a Swarm or Kubernetes cluster
/// runs some hundred thousand tasks at the most, and its counts times a GPU's memory stay far from an overflow.
pub const COPIES_MAX: u32 = 100_000;

/// Copies that a rolling update runs beside the wanted ones.
pub const SURGE: u32 = 1;

/// Copies (replicas) of one service, as its runtime reports them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Copies {
    /// Number of copies that the runtime is set to keep running.
    #[serde(deserialize_with = "bounded")]
    pub wanted: u32,
    /// Number of copies that are ready, of any revision.
    #[serde(deserialize_with = "bounded")]
    pub ready: u32,
    /// Number of copies of the current revision.
    #[serde(deserialize_with = "bounded")]
    pub updated: u32,
}

impl Copies {
    /// One copy, ready and up to date: the default, which is left out of every format.
    pub const ONE: Self = Self { wanted: 1, ready: 1, updated: 1 };

    /// Creates the counts that a runtime reports, each bounded to [`COPIES_MAX`].
    #[must_use]
    pub fn bounded(wanted: u32, ready: u32, updated: u32) -> Self {
        let [wanted, ready, updated] = [wanted, ready, updated].map(|count| count.min(COPIES_MAX));
        Self { wanted, ready, updated }
    }

    /// Returns true if exactly `wanted` copies are requested, ready and up to date.
    #[must_use]
    pub fn is_settled(self, wanted: u32) -> bool {
        self == Self { wanted, ready: wanted, updated: wanted }
    }
}

impl fmt::Display for Copies {
    /// `2 of 3 copies ready, 1 updated`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} of {} ready, {} updated", self.ready, number_of(self.wanted), self.updated)
    }
}

/// Change in the number of copies (replicas) made by a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CopiesChange {
    #[serde(deserialize_with = "bounded")]
    pub from: u32,
    #[serde(deserialize_with = "bounded")]
    pub to: u32,
    /// Surge of a rolling update: extra copies that run besides the wanted ones until the update ends; absent for other
    /// steps.
    #[serde(default, deserialize_with = "bounded", skip_serializing_if = "is_none")]
    pub surge: u32,
    /// Memory freed on each of the step's GPUs when a rolling update ends, in MiB; absent if it is zero.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub returns_mib: Mebibytes,
    /// Host memory freed when a rolling update ends, in MiB; absent if it is zero.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub returns_ram_mib: Mebibytes,
}

impl CopiesChange {
    /// Change from one number to another, without an update.
    #[must_use]
    pub fn scale(from: u32, to: u32) -> Self {
        Self { from, to, surge: 0, returns_mib: Mebibytes::ZERO, returns_ram_mib: Mebibytes::ZERO }
    }

    /// Rolling update, which also changes the number where `from` and `to` differ.
    #[must_use]
    pub fn roll(from: u32, to: u32) -> Self {
        Self { surge: SURGE, ..Self::scale(from, to) }
    }

    /// Returns the largest number of copies at any moment of the step.
    #[must_use]
    pub fn most(self) -> u32 {
        self.from.max(self.to).saturating_add(self.surge)
    }

    /// Returns the copies that exist at some moment of the step, and not before it.
    #[must_use]
    pub fn added(self) -> u32 {
        self.most().saturating_sub(self.from)
    }

    /// Returns true if the step ends with fewer copies than it begins with, and adds none in between.
    #[must_use]
    pub fn is_scale_down(self) -> bool {
        self.to < self.from && self.surge == 0
    }
}

impl fmt::Display for CopiesChange {
    /// `2 → 3 copies`; `3 copies, 1 more at a time`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.from != self.to {
            write!(formatter, "{} → ", self.from)?;
        }
        formatter.write_str(&number_of(self.to))?;
        if self.surge > 0 {
            write!(formatter, ", {} more at a time", self.surge)?;
        }
        Ok(())
    }
}

/// `1 copy`, `3 copies`.
#[must_use]
pub fn number_of(copies: u32) -> String {
    format!("{copies} {}", if copies == 1 { "copy" } else { "copies" })
}

impl Default for CopiesChange {
    /// One copy before and after.
    fn default() -> Self {
        Self::scale(1, 1)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_none(count: &u32) -> bool {
    *count == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_nothing(amount: &Mebibytes) -> bool {
    *amount == Mebibytes::ZERO
}

/// Reads a count of at most [`COPIES_MAX`].
fn bounded<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    u32::deserialize(deserializer).map(|count| count.min(COPIES_MAX))
}

#[cfg(test)]
mod tests {
    use super::{COPIES_MAX, Copies, CopiesChange};
    use crate::model::size::Mebibytes;

    #[test]
    fn a_change_counts_its_most_copies_and_those_it_adds() {
        let counts = |change: CopiesChange| (change.most(), change.added(), change.is_scale_down());
        assert_eq!(counts(CopiesChange::scale(2, 5)), (5, 3, false));
        assert_eq!(counts(CopiesChange::scale(5, 2)), (5, 0, true));
        assert_eq!(counts(CopiesChange::roll(3, 3)), (4, 1, false));
        assert_eq!(counts(CopiesChange::roll(3, 5)), (6, 3, false));
        assert_eq!(counts(CopiesChange::roll(5, 3)), (6, 1, false));
    }

    #[test]
    fn changes_and_counts_are_shown_in_words() {
        assert_eq!(CopiesChange::scale(2, 1).to_string(), "2 → 1 copy");
        assert_eq!(CopiesChange::roll(3, 3).to_string(), "3 copies, 1 more at a time");
        assert_eq!(Copies { wanted: 3, ready: 2, updated: 1 }.to_string(), "2 of 3 copies ready, 1 updated");
    }

    #[test]
    fn counts_from_outside_are_bounded_and_defaults_are_left_out() {
        let copies: Copies = serde_json::from_str(r#"{"wanted":4000000000,"ready":0,"updated":0}"#).expect("counts");
        assert_eq!(copies.wanted, COPIES_MAX);
        assert_eq!(Copies::bounded(u32::MAX, 1, 1).wanted, COPIES_MAX);
        let text = |change: CopiesChange| serde_json::to_string(&change).expect("JSON");
        assert_eq!(text(CopiesChange::scale(1, 2)), r#"{"from":1,"to":2}"#);
        let change = CopiesChange { returns_mib: Mebibytes(7), ..CopiesChange::roll(1, 1) };
        assert_eq!(text(change), r#"{"from":1,"to":1,"surge":1,"returns_mib":7}"#);
    }

    #[test]
    fn copies_are_settled_only_as_wanted() {
        let of = |wanted, ready, updated| Copies { wanted, ready, updated };
        assert!(of(2, 2, 2).is_settled(2) && !of(2, 2, 2).is_settled(3));
        assert!(!of(2, 3, 2).is_settled(2) && !of(2, 2, 1).is_settled(2) && !of(2, 1, 2).is_settled(2));
    }
}
