//! GPU memory, counted in MiB throughout: what a service needs is rounded up, what a GPU has is rounded down,
//! so that rounding never promises memory that is not there.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Sub};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const BYTES_IN_MIB: u64 = 1 << 20;

/// An amount of GPU memory in MiB (2^20 bytes). Subtraction stops at zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Mebibytes(pub u64);

impl Mebibytes {
    pub const ZERO: Self = Self(0);

    /// For what is needed: the next whole MiB.
    #[must_use]
    pub fn needed(bytes: u64) -> Self {
        Self(bytes.div_ceil(BYTES_IN_MIB))
    }

    /// For what is there: whole ones only.
    #[must_use]
    pub fn available(bytes: u64) -> Self {
        Self(bytes / BYTES_IN_MIB)
    }
}

impl fmt::Display for Mebibytes {
    /// `20 000 MiB`: groups of three, so that digits can be counted at a glance.
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
    fn digits_stand_in_groups_of_three() {
        assert_eq!(Mebibytes(24_564).to_string(), "24 564 MiB");
        assert_eq!(Mebibytes(512).to_string(), "512 MiB");
        assert_eq!(Mebibytes(1_000_000).to_string(), "1 000 000 MiB");
    }
}
