//! One handle on a whole store, for callers that need more than one of its concerns.

use super::attempts::Attempts;
use super::holds::Holds;
use super::journal::Journal;

/// Store of a project: its journal, holds and attempts.
pub trait Store: Journal + Holds + Attempts {}

impl<T: Journal + Holds + Attempts + ?Sized> Store for T {}
