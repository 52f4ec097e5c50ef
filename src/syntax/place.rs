//! Places in files, with line and column: what an error points at.

use std::fmt;
use std::path::PathBuf;

/// A stretch of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceLocation {
    /// As the user named it, or relative to the folder lcm was called in.
    pub file: PathBuf,
    /// In bytes.
    pub offset: usize,
    /// In bytes.
    pub length: usize,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
}

impl fmt::Display for SourceLocation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}
