//! Amounts of GPU memory in a draft: rounded up from measured ones.

use crate::import::writer::YamlValue;
use crate::model::size::Mebibytes;

/// Usual step to which a measured amount is rounded up, in MiB.
pub(super) const STEP: Mebibytes = Mebibytes(512);

/// Step in MiB where a usual one would exceed the capacity.
pub(super) const STEP_SMALL: Mebibytes = Mebibytes(64);

/// Returns an amount, rounded up to whole steps.
pub(super) fn rounded(held: Mebibytes, step: Mebibytes) -> Mebibytes {
    Mebibytes(held.0.div_ceil(step.0) * step.0)
}

/// Returns `6GiB` or `5632MiB`.
pub(super) fn size(memory: Mebibytes) -> YamlValue {
    let gibibytes = memory.0 / 1024;
    YamlValue::word(if memory.0 > 0 && memory.0.is_multiple_of(1024) {
        format!("{gibibytes}GiB")
    } else {
        format!("{}MiB", memory.0)
    })
}
