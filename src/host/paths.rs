//! Where paths of the manifest lead now: without symbolic links, and which file that is.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::model::desired::Desired;
use crate::model::facts::PathFact;
use crate::runtime::docker::intent::{ContainerSpec, DockerSpec};

/// Working folders of processes, read now.
#[must_use]
pub fn of_processes(desired: &Desired) -> BTreeMap<String, PathFact> {
    let folders = desired.services.values().filter_map(|service| service.workload.spec.host_folder());
    read(folders)
}

/// Host folders that containers mount, read now.
#[must_use]
pub fn of_containers(desired: &Desired) -> BTreeMap<String, PathFact> {
    let containers = desired.services.values().filter_map(|service| match service.workload.spec::<DockerSpec>() {
        Some(DockerSpec::Created(container)) => Some(container),
        None | Some(DockerSpec::Existing(_)) => None,
    });
    containers.flat_map(|container| of_container(container)).collect()
}

/// Host folders that one container mounts.
pub(crate) fn of_container(container: &ContainerSpec) -> BTreeMap<String, PathFact> {
    let sources = container.volumes.iter().filter_map(|volume| volume.split(':').next());
    read(sources.filter(|source| source.starts_with('/')).map(Path::new))
}

/// What is there is read; what is not is left out.
fn read<'a>(paths: impl Iterator<Item = &'a Path>) -> BTreeMap<String, PathFact> {
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
