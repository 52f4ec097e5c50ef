//! Running sums of one GPU, for the search: items that could be made to give way there, and items started there.
//!
//! They only count. Which item gives way to which, and whether rightly, is judged in [`cost`](super::problem::cost).

use super::problem::{Item, ItemId};

/// Items that could be made to give way on one GPU, the least important first.
#[derive(Clone, Debug, Default)]
pub(super) struct Dispensable {
    ids: Vec<ItemId>,
    /// MiB of each and of all before it.
    sums: Vec<i64>,
}

impl Dispensable {
    pub(super) fn push(&mut self, id: ItemId, amount: i64) {
        self.ids.push(id);
        self.sums.push(self.sums.last().copied().unwrap_or(0) + amount);
    }

    /// How many come after this item in importance.
    pub(super) fn below(&self, id: ItemId) -> usize {
        self.ids.partition_point(|other| *other > id)
    }

    /// How many come from this item on.
    pub(super) fn from(&self, first: ItemId) -> usize {
        self.ids.partition_point(|other| *other >= first)
    }

    pub(super) fn at(&self, position: usize) -> ItemId {
        self.ids[position]
    }

    pub(super) fn sum(&self, count: usize) -> i64 {
        count.checked_sub(1).map_or(0, |last| self.sums[last])
    }

    /// How many of the first `most` make up for what is missing.
    pub(super) fn enough(&self, missing: i64, most: usize) -> usize {
        if missing <= 0 { 0 } else { (self.sums[..most].partition_point(|sum| *sum < missing) + 1).min(most) }
    }
}

/// Sums of the items that are started on one GPU. An item that never preempts counts among what is taken, but not among
/// the items that others give way to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Started {
    /// MiB of all.
    pub(super) taken: i64,
    /// MiB of those whose need counts against others.
    pub(super) drawn: i64,
    /// Number of items that others may have to give way to.
    pub(super) claims: i64,
}

impl Started {
    pub(super) fn book(&mut self, item: &Item, sign: i64) {
        self.taken += sign * item.need;
        self.drawn += if item.draws() { sign * item.need } else { 0 };
        self.claims += if item.claims_memory() { sign } else { 0 };
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self { taken: self.taken + other.taken, drawn: self.drawn + other.drawn, claims: self.claims + other.claims }
    }
}
