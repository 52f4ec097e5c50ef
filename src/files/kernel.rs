//! Texts that the kernel makes, below /proc and /sys, and small tables of the host (/etc/passwd): bounded, since a
//! process writes its own arguments and names there.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// Reads the first `bytes_max` bytes of a file.
pub fn read(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The same as text; bytes that are none are replaced.
pub fn read_text(path: &Path, bytes_max: u64) -> io::Result<String> {
    Ok(String::from_utf8_lossy(&read(path, bytes_max)?).into_owned())
}
