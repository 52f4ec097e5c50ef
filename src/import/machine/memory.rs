//! Amounts of GPU memory as a draft writes them: rounded up from what was measured.

use crate::import::writer::YamlValue;
use crate::model::size::Mebibytes;

/// So much is added to what was measured at most, up to a whole step.
pub(super) const STEP: Mebibytes = Mebibytes(512);

/// Where a whole step would not fit.
pub(super) const STEP_SMALL: Mebibytes = Mebibytes(64);

/// Returns an amount, rounded up to whole steps.
pub(super) fn rounded(held: Mebibytes, step: Mebibytes) -> Mebibytes {
    Mebibytes(held.0.div_ceil(step.0) * step.0)
}

/// `6GiB` or `5632MiB`.
pub(super) fn size(memory: Mebibytes) -> YamlValue {
    let gibibytes = memory.0 / 1024;
    YamlValue::word(if memory.0 > 0 && memory.0.is_multiple_of(1024) {
        format!("{gibibytes}GiB")
    } else {
        format!("{}MiB", memory.0)
    })
}
