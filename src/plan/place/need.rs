//! Memory that an item takes once it is started: by set of GPUs, and by position in the set.

use std::rc::Rc;

/// Position of a GPU, or of the host's memory, among all memories. In a set the host's comes last.
pub(super) type GpuSlot = usize;

/// MiB that an item takes in each slot of a set.
#[derive(Clone, Debug)]
pub(super) enum ItemNeed {
    /// The same on each GPU, and this much of the host's memory, which is the last slot of each set.
    Even { on_gpu: i64, on_host: i64 },
    /// By set, and by position in it.
    BySet(Rc<[Vec<i64>]>),
}

impl ItemNeed {
    /// Returns the same need on each GPU, and none of the host's memory.
    pub(super) fn even(on_gpu: i64) -> Self {
        Self::Even { on_gpu, on_host: 0 }
    }

    /// Returns the MiB in the slot at this position of a set.
    pub(super) fn at(&self, set: usize, position: usize, slot: GpuSlot, host: Option<GpuSlot>) -> i64 {
        match self {
            Self::Even { on_host, .. } if Some(slot) == host => *on_host,
            Self::Even { on_gpu, .. } => *on_gpu,
            Self::BySet(amounts) => amounts[set][position],
        }
    }

    /// Returns the largest amount in one slot of any set, by which items are sorted.
    pub(super) fn largest(&self) -> i64 {
        match self {
            Self::Even { on_gpu: 0, on_host } => *on_host,
            Self::Even { on_gpu, .. } => *on_gpu,
            Self::BySet(amounts) => amounts.iter().flatten().copied().max().unwrap_or(0),
        }
    }
}
