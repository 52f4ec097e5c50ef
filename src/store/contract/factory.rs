//! Stores that the contract is tested against.

use std::ops::Deref;

use jiff::Timestamp;

use crate::store::handle::Store;
use crate::store::memory::MemoryStore;
use crate::store::sqlite::Sqlite;

/// Maker of handles on one store.
pub(super) trait Factory {
    /// Returns a factory of a store without records.
    fn new() -> Self;

    /// Opens the store, beside others that have it open.
    fn open(&self) -> Handle<'_>;
}

pub(super) enum Handle<'a> {
    Memory(&'a MemoryStore),
    Sqlite(Sqlite),
}

impl<'a> Deref for Handle<'a> {
    type Target = dyn Store + 'a;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Memory(memory) => *memory,
            Self::Sqlite(sqlite) => sqlite,
        }
    }
}

pub(super) struct InMemory(MemoryStore);

impl Factory for InMemory {
    fn new() -> Self {
        Self(MemoryStore::default())
    }

    fn open(&self) -> Handle<'_> {
        Handle::Memory(&self.0)
    }
}

pub(super) struct OnDisk(tempfile::TempDir);

impl Factory for OnDisk {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn open(&self) -> Handle<'_> {
        Handle::Sqlite(Sqlite::at(self.0.path()))
    }
}

pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + second).expect("in range")
}
