//! Running sums of one GPU, for the search: what could be made to go there, and what is started there.
//!
//! They only count. Who goes for whom, and whether rightly, is judged in [`cost`](super::problem::cost).

use super::problem::{Item, ItemId};

/// What could be made to go on one GPU, the least important first.
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

/// What is started on one GPU. For whose sake others rightly give way, and what is drawn against them, is another sum
/// than what is taken: nobody goes for a modest one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Started {
    /// MiB of all.
    pub(super) taken: i64,
    /// MiB of those whose need counts against others.
    pub(super) drawn: i64,
    /// How many others may have to go for.
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
