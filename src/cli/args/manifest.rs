//! Manifests on the command line.

use std::path::Path;

use crate::files::named;

/// File that is read where none is named.
pub(crate) const MANIFEST: &str = "lcm.yaml";

/// Returns whether an argument names a file rather than a service.
pub(crate) fn is_file(name: &str) -> bool {
    let path = Path::new(name);
    if named::is_stream(path) {
        return true;
    }
    let of_yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
    of_yaml || name.contains(std::path::is_separator) || path.is_file()
}
