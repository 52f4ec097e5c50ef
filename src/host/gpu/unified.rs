//! Capacity of GPUs that share memory with the host: the declared size, at most the host's memory.

use crate::host::memory;
use crate::model::size::Mebibytes;

/// Returns the declared size, at most the host's memory if the kernel reports that.
pub(super) fn capacity(declared: Mebibytes) -> Mebibytes {
    memory::total().map_or(declared, |total| declared.min(total))
}

/// Reason in place of a capacity: boards with unified memory have none of their own to report.
pub(super) const MEMORY_UNREPORTED: &str =
    "its driver does not report how much memory it has; declare it under `gpus.devices`";

#[cfg(test)]
mod tests {
    use super::capacity;
    use crate::host::memory;
    use crate::model::size::Mebibytes;

    #[test]
    fn a_gpu_without_memory_of_its_own_has_no_more_than_the_host() {
        let host = memory::total().expect("this host has memory");
        assert!(host > Mebibytes::ZERO);
        assert_eq!(capacity(Mebibytes(u64::MAX)), host);
        assert_eq!(capacity(Mebibytes(1)), Mebibytes(1));
    }
}
