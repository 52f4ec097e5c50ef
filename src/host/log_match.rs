//! Record of a log probe's match, in the service's state folder: output may be rotated away while the service keeps
//! running, so a start that matched once is not searched again.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::files::own::{self, Durability};

const FILE: &str = "matched.json";
/// Two digests and a container's id.
const BYTES_MAX: u64 = 1 << 16;

/// Match of a pattern in the output of one start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LogMatch {
    /// Identity of the start: a process tree's salt, or a container's id and start time.
    pub(crate) salt: String,
    /// Digest of the pattern under the salt, since a pattern may hold a secret; the pattern itself in a record of an
    /// earlier lcm.
    pub(crate) pattern: String,
}

impl LogMatch {
    pub(crate) fn new(salt: &str, pattern: &str) -> Self {
        Self { salt: salt.to_owned(), pattern: Self::digest(salt, pattern) }
    }

    /// Returns true if this pattern was found in the output of this start.
    pub(crate) fn is_of(&self, salt: &str, pattern: &str) -> bool {
        self.salt == salt && (self.pattern == Self::digest(salt, pattern) || self.pattern == pattern)
    }

    /// Reads the record in a service's folder; `None` also if it can't be read.
    pub(crate) fn read(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&own::read(&folder.join(FILE), BYTES_MAX).ok()?).ok()
    }

    /// Writes the record atomically into a folder that exists.
    pub(crate) fn write(&self, folder: &Path) -> io::Result<()> {
        let bytes = serde_json::to_vec(self).map_err(io::Error::other)?;
        own::replace(&folder.join(FILE), &bytes, Durability::Whole)
    }

    fn digest(salt: &str, pattern: &str) -> String {
        let digest = Sha256::digest(format!("{salt}\0{pattern}"));
        digest.iter().fold("sha256:".to_owned(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}
