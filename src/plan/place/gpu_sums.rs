//! Running sums of one GPU, for the search: items that could be preempted there, and items started there.
//!
//! They only count. [`cost`](super::problem::cost) decides which item preempts which, and whether that is allowed.

use super::problem::{Item, ItemId};

/// Items that could be preempted on one GPU, the lowest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Dispensable {
    ids: Vec<ItemId>,
    /// MiB of each item and of all before it.
    sums: Vec<i64>,
}

impl Dispensable {
    pub(super) fn push(&mut self, id: ItemId, amount: i64) {
        self.ids.push(id);
        self.sums.push(self.sums.last().copied().unwrap_or(0) + amount);
    }

    /// Number of items lower than this one.
    pub(super) fn below(&self, id: ItemId) -> usize {
        self.ids.partition_point(|other| *other > id)
    }

    /// Number of items from this one on.
    pub(super) fn from(&self, first: ItemId) -> usize {
        self.ids.partition_point(|other| *other >= first)
    }

    pub(super) fn at(&self, position: usize) -> ItemId {
        self.ids[position]
    }

    pub(super) fn sum(&self, count: usize) -> i64 {
        count.checked_sub(1).map_or(0, |last| self.sums[last])
    }

    /// Number of items, of the first `most`, that free the missing MiB.
    pub(super) fn enough(&self, missing: i64, most: usize) -> usize {
        if missing <= 0 { 0 } else { (self.sums[..most].partition_point(|sum| *sum < missing) + 1).min(most) }
    }
}

/// Sums of the items that are started on one GPU. An item that never preempts counts in `taken`, but not in `claims`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Started {
    /// MiB of all items.
    pub(super) taken: i64,
    /// MiB of the items whose need counts against others.
    pub(super) drawn: i64,
    /// Number of items that may preempt others.
    pub(super) claims: i64,
}

impl Started {
    pub(super) fn book(&mut self, item: &Item, need: i64, sign: i64) {
        self.taken += sign * need;
        self.drawn += if item.draws() { sign * need } else { 0 };
        self.claims += if need > 0 && !item.never_preempts { sign } else { 0 };
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self { taken: self.taken + other.taken, drawn: self.drawn + other.drawn, claims: self.claims + other.claims }
    }
}
