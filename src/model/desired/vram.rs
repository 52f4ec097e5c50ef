//! GPU memory that differs from one GPU of a service to another, or follows the capacity of the GPU.
//!
//! Not here: the GPU that gets each amount, which [`crate::model::vram`] derives.

use std::fmt;

use crate::model::size::Mebibytes;

/// GPU memory of one copy on one GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VramAmount {
    Fixed(Mebibytes),
    Share(VramShare),
}

/// Share of a GPU's capacity, in hundredths of a percent: at most [`VramShare::WHOLE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct VramShare(pub u16);

impl VramShare {
    pub const WHOLE: Self = Self(10_000);

    /// Returns the share of a capacity, rounded up: a need is never understated.
    #[must_use]
    pub fn of(self, capacity: Mebibytes) -> Mebibytes {
        let part = u128::from(capacity.0) * u128::from(self.0);
        Mebibytes(u64::try_from(part.div_ceil(u128::from(Self::WHOLE.0))).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for VramShare {
    /// `45%`, `37.5%`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / 100, self.0 % 100);
        match (rest, rest % 10) {
            (0, _) => write!(formatter, "{whole}%"),
            (_, 0) => write!(formatter, "{whole}.{}%", rest / 10),
            (_, _) => write!(formatter, "{whole}.{rest:02}%"),
        }
    }
}

impl VramAmount {
    /// Returns the memory on a GPU with this capacity.
    #[must_use]
    pub fn on(self, capacity: Mebibytes) -> Mebibytes {
        match self {
            Self::Fixed(amount) => amount,
            Self::Share(share) => share.of(capacity),
        }
    }
}

impl fmt::Display for VramAmount {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(amount) => amount.fmt(formatter),
            Self::Share(share) => share.fmt(formatter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::VramShare;
    use crate::model::size::Mebibytes;

    #[test]
    fn a_share_is_rounded_up() {
        assert_eq!(VramShare(4_500).of(Mebibytes(24_564)), Mebibytes(11_054));
        assert_eq!(VramShare::WHOLE.of(Mebibytes(24_564)), Mebibytes(24_564));
        assert_eq!(VramShare(1).of(Mebibytes::MAX).0, Mebibytes::MAX.0.div_ceil(10_000));
        let shown = [4_500, 3_750, 1_205, 10_000].map(|share| VramShare(share).to_string());
        assert_eq!(shown, ["45%", "37.5%", "12.05%", "100%"]);
    }
}
