//! Secret values: they have no `Display`, their `Debug` is stars, and they can't be serialized. [`Masker`] hides such
//! values in free text, in any notation.

mod masker;
mod needles;
mod notation;
mod search;
mod value;

pub use self::masker::Masker;
pub use self::value::{MASK, Secret};
