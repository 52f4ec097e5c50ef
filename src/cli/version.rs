//! Output of `--version`. `-V` prints one line; `--version` adds what a bug report needs: the build, and the versions
//! of the formats.

use std::fmt::Write as _;
use std::sync::LazyLock;

use crate::cli::formats;
use crate::store::sqlite;

/// Version and commit, as `0.1.0 (1a2b3c4d5 2026-11-20)`; in a debug build `0.1.0 (debug)`, and without git `0.1.0`.
pub(crate) const SHORT: &str = env!("LCM_VERSION");

/// Returns the version, with build, formats and store below it.
pub(crate) fn long() -> &'static str {
    static LONG: LazyLock<String> = LazyLock::new(text);
    LONG.as_str()
}

fn text() -> String {
    let formats = formats::formats().collect::<Vec<_>>().join(", ");
    let (store, sqlite) = sqlite::versions();
    let mut text = SHORT.to_owned();
    for (what, value) in [
        ("build", env!("LCM_BUILD").to_owned()),
        ("formats", formats),
        ("store", format!("format {store}, SQLite {sqlite}")),
    ] {
        let _ = write!(text, "\n{what:9}{value}");
    }
    text
}
