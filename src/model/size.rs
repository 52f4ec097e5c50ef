//! GPU memory, counted in MiB throughout: what a service needs is rounded up, what a GPU has is rounded down, so that
//! rounding never grants memory that is not there.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Sub};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

const BYTES_IN_MIB: u64 = 1 << 20;

// A figure from outside (a snapshot, a saved plan, a mark) is read as [`Mebibytes::MAX`] at most, so that sums of half
// a million of them fit into any figure here.
/// An amount of GPU memory in MiB (2^20 bytes).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Mebibytes(pub u64);

impl Mebibytes {
    pub const ZERO: Self = Self(0);
    /// As much as 64 bits can count in bytes: no driver can report more.
    pub const MAX: Self = Self(u64::MAX / BYTES_IN_MIB);

    /// Returns a figure from outside, bounded to [`Mebibytes::MAX`].
    #[must_use]
    pub fn bounded(mebibytes: u64) -> Self {
        Self(mebibytes).min(Self::MAX)
    }

    /// Rounds an amount that is needed up to the next whole MiB.
    #[must_use]
    pub fn needed(bytes: u64) -> Self {
        Self(bytes.div_ceil(BYTES_IN_MIB))
    }

    /// Rounds an amount that is available down to whole MiB.
    #[must_use]
    pub fn available(bytes: u64) -> Self {
        Self(bytes / BYTES_IN_MIB)
    }
}

impl<'de> Deserialize<'de> for Mebibytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u64::deserialize(deserializer).map(Self::bounded)
    }
}

impl fmt::Display for Mebibytes {
    /// Writes `20 000 MiB`: digits in groups of three, so that they are easy to count.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        let mut text = String::with_capacity(digits.len() * 4 / 3);
        for (position, digit) in digits.chars().enumerate() {
            if position > 0 && (digits.len() - position).is_multiple_of(3) {
                text.push(' ');
            }
            text.push(digit);
        }
        formatter.pad(&format!("{text} MiB"))
    }
}

impl Add for Mebibytes {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Mebibytes {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Mebibytes {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Sum for Mebibytes {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::Mebibytes;

    #[test]
    fn need_rounds_up_and_supply_rounds_down() {
        assert_eq!(Mebibytes::needed(20_000_000_000), Mebibytes(19_074));
        assert_eq!(Mebibytes::available(20_000_000_000), Mebibytes(19_073));
    }

    #[test]
    fn a_figure_from_outside_is_bounded() {
        assert_eq!(serde_json::from_str::<Mebibytes>("18446744073709551615").expect("read"), Mebibytes::MAX);
        assert_eq!(Mebibytes::needed(u64::MAX).min(Mebibytes::MAX), Mebibytes::available(u64::MAX));
        let sum: u64 = (0..500_000).map(|_| Mebibytes::MAX.0).sum();
        assert!(i64::try_from(sum).is_ok());
        assert_eq!(Mebibytes(u64::MAX) + Mebibytes(1), Mebibytes(u64::MAX));
    }

    #[test]
    fn digits_stand_in_groups_of_three() {
        assert_eq!(Mebibytes(24_564).to_string(), "24 564 MiB");
        assert_eq!(Mebibytes(512).to_string(), "512 MiB");
        assert_eq!(Mebibytes(1_000_000).to_string(), "1 000 000 MiB");
    }
}
