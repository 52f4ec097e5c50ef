//! Capacity of GPUs that share memory with the host: the declared size, at most the host's memory.

use std::path::Path;

use crate::files::kernel;
use crate::model::size::Mebibytes;

const MEMORY: &str = "/proc/meminfo";

/// Returns the declared size, at most the host's memory if the kernel reports that.
pub(super) fn capacity(declared: Mebibytes) -> Mebibytes {
    total(Path::new(MEMORY)).map_or(declared, |total| declared.min(total))
}

fn total(table: &Path) -> Option<Mebibytes> {
    let table = kernel::table(table).ok()?;
    let line = table.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(Mebibytes(kibibytes >> 10))
}

/// Reason in place of a capacity: boards with unified memory have none of their own to report.
pub(super) const MEMORY_UNREPORTED: &str =
    "its driver does not report how much memory it has; declare it under `gpus.devices`";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{MEMORY, capacity, total};
    use crate::model::size::Mebibytes;

    #[test]
    fn a_gpu_without_memory_of_its_own_has_no_more_than_the_host() {
        let host = total(Path::new(MEMORY)).expect("this host has memory");
        assert!(host > Mebibytes::ZERO);
        assert_eq!(capacity(Mebibytes(u64::MAX)), host);
        assert_eq!(capacity(Mebibytes(1)), Mebibytes(1));
    }

    #[test]
    fn a_malformed_table_gives_no_bound() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "MemFree: 7 kB\nMemTotal: many\n").expect("written");
        assert_eq!(total(file.path()), None);
        std::fs::write(file.path(), "MemFree: 7 kB\nMemTotal:       130023424 kB\n").expect("written");
        assert_eq!(total(file.path()), Some(Mebibytes(126_976)));
    }
}
