//! One handle on a whole store, for callers that need more than one of its concerns.

use super::attempts::AttemptStore;
use super::holds::HoldStore;
use super::journal::Journal;

/// Store of a project: its journal, holds and attempts.
pub trait Store: Journal + HoldStore + AttemptStore {}

impl<T: Journal + HoldStore + AttemptStore + ?Sized> Store for T {}
