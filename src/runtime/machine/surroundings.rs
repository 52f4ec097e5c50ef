//! Readings that depend on where lcm and the engine run: the host's name around a container, the folders mounted from
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
    /// Adds the identity of the host to a reading.
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

    /// Resolves paths of the manifest as of now. If two runtimes have one path, the earlier in the list counts.
    pub(super) fn paths(&self, desired: &Desired) -> BTreeMap<String, PathFact> {
        self.runtimes.iter().rev().flat_map(|runtime| runtime.paths(desired)).collect()
    }

    /// Refuses to start a process that would end with the container that lcm runs in.
    pub(super) fn require_lasting(&self, service: &Service) -> Result<(), DriverError> {
        // An object of an engine outlives this container.
        match self.enclosed.enclosure {
            Enclosure::Job { .. } if service.object().is_some() => Ok(()),
            Enclosure::Machine => Ok(()),
            Enclosure::Job { .. } => Err(DriverError::Refused(format!(
                "service {} is a process, which would end with the container that lcm runs in: start it by lcm on the \
                 host",
                service.name
            ))),
        }
    }

    /// Checks that a shared file is the host's.
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

    /// Returns the reason why a probe would reach this host in place of the host of the container.
    pub(super) fn probes_wrong_host(&self, service: &Service, probe: &Probe) -> Option<String> {
        let port = probes::local_port(probe).filter(|_| self.is_on_remote_engine(service))?;
        // `listener: any` declares a port that is forwarded to the container.
        (!service.health.any_listener).then(|| {
            format!(
                "its probe connects to port {port} of this host, but its engine is another machine's: name that \
                 machine in the probe, or write `listener: any` if the port is forwarded"
            )
        })
    }

    pub(super) fn is_on_remote_engine(&self, service: &Service) -> bool {
        self.runtime(&service.workload.runtime).is_ok_and(|runtime| runtime.elsewhere().is_some())
    }

    pub(super) async fn enclosure_fact(&self) -> Option<EnclosureFact> {
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

    /// Returns the mounts of lcm's own container; `None`: no runtime knows that container.
    async fn mounts(&self) -> Option<Vec<MountFact>> {
        for runtime in &self.runtimes {
            if let Some(mounts) = runtime.own_mounts().await {
                return Some(mounts);
            }
        }
        None
    }
}

/// Returns true if a folder here is the host's folder of the same path.
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
