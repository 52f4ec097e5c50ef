//! Where paths of the manifest lead now: without symbolic links, and which file that is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::model::desired::{Desired, Runtime};
use crate::model::facts::PathFact;

/// Working folders of processes and host folders of mounts, read now.
#[must_use]
pub fn of_manifest(desired: &Desired) -> BTreeMap<String, PathFact> {
    read(named(desired).iter().map(PathBuf::as_path))
}

fn named(desired: &Desired) -> BTreeSet<PathBuf> {
    let of_service = desired.services.values().flat_map(|service| match &service.runtime {
        Runtime::Process(process) => vec![process.cwd.clone()],
        Runtime::Container(container) => {
            let sources = container.volumes.iter().filter_map(|volume| volume.split(':').next());
            sources.filter(|source| source.starts_with('/')).map(PathBuf::from).collect()
        }
        Runtime::Existing(_) => Vec::new(),
    });
    of_service.collect()
}

/// What is there is read; what is not is left out.
pub(crate) fn read<'a>(paths: impl Iterator<Item = &'a Path>) -> BTreeMap<String, PathFact> {
    paths.filter_map(|path| Some((path.to_str()?.to_owned(), fact(path)?))).collect()
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
