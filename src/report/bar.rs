//! GPU memory as a bar: foreign memory, services, free memory and the reserve, distinguished by their signs alone. Only
//! for people at a terminal; the figures next to it show the same.

use crate::model::size::Mebibytes;
use crate::report::style::{Paint, Style};

/// Width of a bar: enough to see a gigabyte on a small GPU, with space for two columns of figures next to it.
const CELLS: usize = 24;

/// Sign and colour of each part, in the order in which they appear.
const PARTS: [(&str, &str, Paint); 4] = [
    ("▒", "foreign", Paint::Warn),
    ("█", "services", Paint::Good),
    ("·", "free", Paint::Dim),
    ("-", "reserve", Paint::Dim),
];

/// Memory on a GPU at one moment, by part, in MiB.
#[derive(Clone, Copy, Debug)]
pub struct BarParts {
    pub capacity: Mebibytes,
    pub foreign: Mebibytes,
    /// All memory that counts as used, including foreign memory.
    pub used: Mebibytes,
    pub reserve: Mebibytes,
}

impl BarParts {
    /// Returns the memory that one more service may take.
    #[must_use]
    pub fn free(&self) -> Mebibytes {
        self.capacity - self.reserve - self.used
    }

    /// Returns the memory beyond the capacity. Zero for a GPU that was never read, whose capacity is unknown.
    #[must_use]
    pub fn over(&self) -> Mebibytes {
        if self.capacity > Mebibytes::ZERO { (self.used + self.reserve) - self.capacity } else { Mebibytes::ZERO }
    }
}

/// Returns `[▒████████████·········-]`.
#[must_use]
pub fn bar(parts: BarParts, style: Style) -> String {
    let cells = cells(parts);
    let painted = PARTS.iter().zip(cells).map(|((sign, _, paint), count)| style.paint(*paint, &sign.repeat(count)));
    format!("[{}]", painted.collect::<String>())
}

/// Returns `▒ foreign  █ services  · free  - reserve`.
#[must_use]
pub fn legend(style: Style) -> String {
    let words = PARTS.iter().map(|(sign, word, paint)| format!("{} {word}", style.paint(*paint, sign)));
    words.collect::<Vec<_>>().join("  ")
}

/// Returns the cells of each part, which sum up to the bar's width; a part above zero has one at least.
fn cells(parts: BarParts) -> [usize; 4] {
    let amounts = [parts.foreign, parts.used - parts.foreign, parts.free(), parts.reserve];
    // For an overcommitted GPU the bar represents all that it holds.
    let whole = parts.capacity.max(amounts.iter().copied().sum()).0.max(1);
    let share = |amount: Mebibytes| {
        let cells = u128::from(amount.0) * CELLS as u128 / u128::from(whole);
        usize::try_from(cells).unwrap_or(CELLS).max(usize::from(amount > Mebibytes::ZERO))
    };
    let mut cells = amounts.map(share);
    // A rounding error shows least on the largest part.
    let largest = (0..amounts.len()).max_by_key(|part| amounts[*part]).unwrap_or_default();
    let others: usize = (0..cells.len()).filter(|part| *part != largest).map(|part| cells[part]).sum();
    cells[largest] = CELLS.saturating_sub(others);
    cells
}

#[cfg(test)]
mod tests {
    use super::{BarParts, CELLS, bar, cells};
    use crate::model::size::Mebibytes;
    use crate::report::style::Style;

    fn parts(foreign: u64, used: u64, reserve: u64) -> BarParts {
        BarParts {
            capacity: Mebibytes(24_576),
            foreign: Mebibytes(foreign),
            used: Mebibytes(used),
            reserve: Mebibytes(reserve),
        }
    }

    #[test]
    fn each_part_has_its_sign() {
        assert_eq!(bar(parts(2_048, 12_288, 1_024), Style::PLAIN), "[▒▒██████████···········-]");
        assert_eq!(bar(parts(0, 0, 0), Style::PLAIN), format!("[{}]", "·".repeat(CELLS)));
        assert_eq!(bar(parts(1, 24_575, 1), Style::PLAIN), "[▒██████████████████████-]", "the least has a cell too");
        assert_eq!(bar(parts(1_024, 30_000, 1_024), Style::PLAIN), "[▒██████████████████████-]", "overcommitted");
    }

    #[test]
    fn nothing_is_over_where_the_capacity_is_unknown() {
        assert_eq!(parts(0, 30_000, 1_024).over(), Mebibytes(6_448));
        assert_eq!(BarParts { capacity: Mebibytes::ZERO, ..parts(0, 30_000, 1_024) }.over(), Mebibytes::ZERO);
    }

    #[test]
    fn a_bar_is_always_as_long() {
        for foreign in [0, 1, 511, 9_000, 24_576] {
            for held in [0, 1, 300, 12_288, 24_000, 90_000] {
                for reserve in [0, 1, 512, 8_192] {
                    let of = parts(foreign, foreign + held, reserve);
                    assert_eq!(cells(of).iter().sum::<usize>(), CELLS, "{of:?}");
                }
            }
        }
    }
}
