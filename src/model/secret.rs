//! A value that must not be shown: it has no `Display`, its `Debug` is stars, and it can't be serialized. [`Masker`]
//! hides such values in free text, in whatever notation they stand there.

mod masker;
mod needles;
mod notation;
mod search;
mod value;

pub use self::masker::Masker;
pub use self::value::{MASK, Secret};
