//! What a machine's readings owe to where lcm and the engine run: the host's name around a container, what is mounted of
//! the host, and whether the engine is this machine's at all.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::host::{enclosure, host_id, probes};
use crate::model::desired::{Desired, Probe, Service};
use crate::model::enclosure::{Enclosure, EnclosureFact, MountFact, host_path, is_mounted_alike};
use crate::model::facts::{Facts, PathFact};
use crate::runtime::DriverError;
use crate::runtime::contract::OuterHost;
use crate::runtime::machine::Machine;
use crate::shared;

impl Machine {
    /// Adds to a reading which host it is of.
    pub(super) async fn located(&self, facts: Facts) -> Facts {
        let enclosure = self.enclosure_fact().await;
        let outer: Vec<OuterHost> = self.runtimes.iter().map(|runtime| runtime.outer_host()).collect();
        Facts {
            host: outer.iter().find_map(|outer| outer.hostname.clone()).unwrap_or_else(host_id::hostname),
            host_id: outer.into_iter().find_map(|outer| outer.id),
            host_identity: Some(host_id::identity(&self.enclosed)),
            enclosure,
            ..facts
        }
    }

    /// Reads where paths of the manifest lead now. Of two runtimes with one path, the earlier in the list counts.
    pub(super) fn paths(&self, desired: &Desired) -> BTreeMap<String, PathFact> {
        self.runtimes.iter().rev().flat_map(|runtime| runtime.paths(desired)).collect()
    }

    /// Refuses to start what would end with the container that lcm runs in.
    pub(super) fn require_lasting(&self, service: &Service) -> Result<(), DriverError> {
        // An object of an engine ends with the engine alone.
        match self.enclosed.enclosure {
            Enclosure::Job { .. } if service.object().is_some() => Ok(()),
            Enclosure::Machine => Ok(()),
            Enclosure::Job { .. } => Err(DriverError::Refused(format!(
                "service {} is a process, and one that is started in this container ends with it: start it by lcm on the \
                 host",
                service.name
            ))),
        }
    }

    /// Proves that a shared file is the host's.
    pub(super) async fn prove_host_path(&self, path: &Path) -> Result<(), DriverError> {
        if self.enclosed.enclosure == Enclosure::Machine {
            return Ok(());
        }
        let mounts = self.mounts().await;
        let folder = path.parent().unwrap_or(Path::new("/"));
        if is_hosts(folder, mounts.as_deref()) {
            return Ok(());
        }
        Err(DriverError::Refused(format!(
            "{} is inside the container that lcm runs in, not on the host; mount the host's: `docker run {}`",
            path.display(),
            mount_option(folder)
        )))
    }

    /// Reason why a probe would ask this host for a container of another one.
    pub(super) fn asks_wrong_host(&self, service: &Service, asked: &Probe) -> Option<String> {
        let port = probes::local_port(asked).filter(|_| self.is_on_remote_engine(service))?;
        // A port that is forwarded to the container is meant.
        (!service.health.any_listener).then(|| {
            format!(
                "its probe asks port {port} of this host, and its engine is another machine's: name that machine in the \
                 probe, or write `listener: any` where the port is forwarded"
            )
        })
    }

    pub(super) fn is_on_remote_engine(&self, service: &Service) -> bool {
        self.runtime(&service.workload.runtime).is_ok_and(|runtime| runtime.elsewhere().is_some())
    }

    async fn enclosure_fact(&self) -> Option<EnclosureFact> {
        let Enclosure::Job { host_pids } = self.enclosed.enclosure else { return None };
        let mounts = self.mounts().await;
        let lacking = |folder: &Path| (!is_hosts(folder, mounts.as_deref())).then(|| mount_option(folder));
        let lock = shared::lock(&self.environment);
        let lock = lacking(lock.parent().unwrap_or(Path::new("/")));
        let own_store = lacking(&self.state_dir);
        let pids = (!host_pids).then(|| "--pid=host".to_owned());
        let right = enclosure::lacking_right(host_pids).map(str::to_owned);
        let lacks = [pids, right, own_store.clone(), lock].into_iter().flatten().collect();
        Some(EnclosureFact { lacks, own_store, mounts: mounts.unwrap_or_default() })
    }

    /// Mounts of lcm's own container; `None`: no runtime knows it.
    async fn mounts(&self) -> Option<Vec<MountFact>> {
        for runtime in &self.runtimes {
            if let Some(mounts) = runtime.own_mounts().await {
                return Some(mounts);
            }
        }
        None
    }
}

/// Whether a folder here is the host's of the same path.
fn is_hosts(folder: &Path, mounts: Option<&[MountFact]>) -> bool {
    let Ok(folder) = fs::canonicalize(folder) else { return false };
    match mounts {
        Some(mounts) => host_path(mounts, &folder).is_some_and(|host| host == folder),
        None => is_mounted_alike(&enclosure::mounts(), &folder),
    }
}

fn mount_option(folder: &Path) -> String {
    format!("-v {0}:{0}", folder.display())
}
