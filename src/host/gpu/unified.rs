//! Memory that a GPU shares with its host: what is declared of it is there, at most as much as the host has.

use std::path::Path;

use crate::files::kernel;
use crate::model::size::Mebibytes;

const MEMORY: &str = "/proc/meminfo";

/// What is declared, at most the host's memory; that alone where the kernel does not tell of it.
pub(super) fn capacity(declared: Mebibytes) -> Mebibytes {
    total(Path::new(MEMORY)).map_or(declared, |total| declared.min(total))
}

fn total(table: &Path) -> Option<Mebibytes> {
    let table = kernel::table(table).ok()?;
    let line = table.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(Mebibytes(kibibytes >> 10))
}

/// Instead of a capacity: boards that share the machine's memory have none of their own to tell.
pub(super) const MEMORY_UNTOLD: &str =
    "its driver does not tell how much memory it has; declare it under `gpus.devices`";

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
    fn a_table_that_is_none_bounds_nothing() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "MemFree: 7 kB\nMemTotal: many\n").expect("written");
        assert_eq!(total(file.path()), None);
        std::fs::write(file.path(), "MemFree: 7 kB\nMemTotal:       130023424 kB\n").expect("written");
        assert_eq!(total(file.path()), Some(Mebibytes(126_976)));
    }
}
