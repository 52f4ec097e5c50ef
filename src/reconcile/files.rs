//! Files that commands read: bounded, and text.

use std::io;
use std::path::{Component, Path, PathBuf};

use crate::files::{Refused, named};

/// Longest file: a plan or snapshot of a few thousand services is shorter; lcm writes nothing larger.
const BYTES_MAX: u64 = 64 << 20;

/// Reads a text file that the command line names.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    let file = named::read_argument(path, BYTES_MAX).map_err(|error| match Refused::of(&error) {
        Some(refused) => io::Error::new(error.kind(), format!("it {}", refused.reason())),
        None => error,
    })?;
    String::from_utf8(file.bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not text in UTF-8"))
}

/// Returns the path without `.` and `..`, so that one file has one name wherever it is named from.
pub(crate) fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(plain.pop()),
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => plain.push(part),
        }
    }
    plain
}
