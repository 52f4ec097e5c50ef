//! Resolution of the manifest's paths: the target without symbolic links, and its inode.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::model::desired::Desired;
use crate::model::facts::PathFact;
use crate::model::names::RuntimeName;

/// Resolves the host paths of one runtime's services.
#[must_use]
pub fn of_runtime(desired: &Desired, runtime: &RuntimeName) -> BTreeMap<String, PathFact> {
    let services = desired.services.values().filter(|service| service.workload.is_of(runtime));
    services.flat_map(|service| read(&service.workload.spec.host_paths())).collect()
}

/// Resolves these paths; missing ones are left out.
pub(crate) fn read(paths: &[PathBuf]) -> BTreeMap<String, PathFact> {
    paths.iter().filter_map(|path| Some((path.to_str()?.to_owned(), fact(path)?))).collect()
}

fn fact(path: &Path) -> Option<PathFact> {
    let real = fs::canonicalize(path).ok()?;
    let id = id(&fs::metadata(&real).ok()?);
    Some(PathFact { real: real.to_str()?.to_owned(), id })
}

/// `DEVICE:INODE`.
pub(crate) fn id(metadata: &fs::Metadata) -> String {
    format!("{}:{}", metadata.dev(), metadata.ino())
}
