//! Machine that an engine runs on, as far as that is proven: only then its bind folders, ports and GPUs are this
//! host's.
//!
//! Proof is the process at the other end of the engine's socket, which the kernel names (`SO_PEERCRED`) to each
//! connection: an engine that is visible here; where processes are hidden from this user (`hidepid`), one of root's.
//! Where a service manager listens for an engine (socket activation), both must be visible. Any other process that
//! holds the socket (ssh, socat, Docker Desktop's backend) forwards it, unless one of the engine's containers has a
//! process here, in a control group of the container's id. In a container the peer is invisible; there the engine that
//! knows lcm's own container is the host's, and its mounts translate paths. A name, `docker info` and contexts prove
//! nothing.
//!
//! In the usual case no request is sent: the peer is known from the first connection.

use std::collections::BTreeMap;
use std::path::Path;

use bollard::models::ContainerInspectResponse;
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use crate::host::enclosure::Enclosed;
use crate::host::{host_id, proc};
use crate::model::desired::Service;
use crate::model::enclosure::{Enclosure, MountFact, host_path};
use crate::model::facts::PathFact;
use crate::runtime::DriverError;
use crate::runtime::docker::drive::create;
use crate::runtime::docker::drive::engine::{Engine, READ_DEADLINE, short};
use crate::runtime::docker::drive::home::{EngineLocation, Outside};
use crate::runtime::docker::drive::transport::PeerId;
use crate::runtime::docker::intent::ContainerSpec;

/// Program names, as the kernel has them, of engines, and of service managers that listen for one.
const ENGINES: [&str; 2] = ["dockerd", "podman"];
const MANAGERS: [&str; 2] = ["systemd", "init"];

/// Containers inspected at most for a process here.
const PROOFS_MAX: usize = 4;

/// Process that holds an engine's socket.
#[derive(Clone, Debug, Default)]
struct Peer {
    /// Process id; 0: not visible here.
    pid: i32,
    program: String,
    /// Container that the process runs in.
    container: Option<String>,
    /// True if a process of an engine is visible here.
    beside_engine: bool,
    /// True if the process is root's and hidden from this user.
    is_hidden: bool,
}

/// Proof by a peer of the engine's location.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Proof {
    Here,
    Outside,
    Elsewhere(String),
    /// Not proven; with the reason to report if nothing else proves the location.
    None(String),
}

fn prove(peer: Option<&Peer>, enclosed: &Enclosed) -> Proof {
    let Some(peer) = peer else { return Proof::None("the kernel does not name the process at its socket".to_owned()) };
    if peer.pid == 0 {
        return Proof::None("the process at its socket is outside of this container".to_owned());
    }
    let holder = format!("its socket is held by {} (pid {})", peer.program, peer.pid);
    let own = enclosed.container.as_ref();
    if let Some(container) = peer.container.as_ref().filter(|container| own != Some(container)) {
        return Proof::Elsewhere(format!("{holder}, in container {}", short(container)));
    }
    let is_engine = peer.is_hidden
        || ENGINES.contains(&peer.program.as_str())
        || (MANAGERS.contains(&peer.program.as_str()) && peer.beside_engine);
    match enclosed.enclosure {
        _ if !is_engine => Proof::None(format!("{holder}, which runs no containers here")),
        Enclosure::Job { host_pids: true } if peer.container.is_none() => Proof::Outside,
        Enclosure::Machine | Enclosure::Job { .. } => Proof::Here,
    }
}

impl Engine {
    /// Returns the engine's location.
    pub async fn place(&self) -> Result<&EngineLocation, DriverError> {
        self.home.place.get_or_try_init(|| Box::pin(self.find_place())).await
    }

    /// Refuses an engine that is not this machine's, unless the manifest names it.
    pub async fn require_meant(&self) -> Result<(), DriverError> {
        match self.place().await? {
            EngineLocation::Elsewhere(reason) if !self.home.is_named => Err(DriverError::Refused(format!(
                "the engine at {endpoint} is not proven to be this machine's: {reason}; to use it, name it in the \
                 manifest: `docker: {{ host: \"{endpoint}\" }}` (its containers then count as another machine's)",
                endpoint = self.endpoint
            ))),
            EngineLocation::Here | EngineLocation::Outside(_) | EngineLocation::Elsewhere(_) => Ok(()),
        }
    }

    /// Returns the reason why the engine is not this machine's; `None` also before the first request to it.
    #[must_use]
    pub fn elsewhere(&self) -> Option<&str> {
        match self.home.place.get()? {
            EngineLocation::Elsewhere(reason) => Some(reason),
            EngineLocation::Here | EngineLocation::Outside(_) => None,
        }
    }

    /// Returns the host around lcm's container, if this engine runs that container.
    #[must_use]
    pub fn outside(&self) -> Option<&Outside> {
        match self.home.place.get()? {
            EngineLocation::Outside(outside) => Some(outside),
            EngineLocation::Here | EngineLocation::Elsewhere(_) => None,
        }
    }

    /// Returns true if the engine sees the same files as lcm.
    pub(super) async fn is_here(&self) -> Result<bool, DriverError> {
        Ok(*self.place().await? == EngineLocation::Here)
    }

    /// Returns the id of this host, as it is written on new containers.
    pub(super) fn own_host_id(&self) -> Option<&str> {
        match self.outside() {
            // A machine id that is mounted is more exact than the engine's.
            Some(outside) => self.host_id.as_deref().or(outside.host_id.as_deref()),
            None => self.host_id.as_deref(),
        }
    }

    /// Returns the container's volumes by their paths on the engine's host, resolved now: the engine would follow a
    /// symbolic link anew at each start. A folder of lcm's own container is refused: the engine would create an empty
    /// one of that name on the host.
    pub(super) async fn host_volumes(
        &self,
        service: &Service,
        container: &ContainerSpec,
    ) -> Result<Vec<String>, DriverError> {
        let place = self.place().await?;
        let translated = container.volumes.iter().map(|volume| {
            let Some(path) = create::host_path(volume) else { return Ok(volume.clone()) };
            let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.into());
            let found = match place {
                EngineLocation::Elsewhere(_) => path.into(),
                EngineLocation::Here => real,
                EngineLocation::Outside(outside) => {
                    let mounts = outside.mounts.as_deref().unwrap_or_default();
                    host_path(mounts, &real).ok_or_else(|| own_folder(service, volume, path, outside))?
                }
            };
            Ok(format!("{}{}", found.display(), &volume[path.len()..]))
        });
        translated.collect()
    }

    /// Translates host folders of containers to paths on the engine's host. Empty for another machine's engine.
    #[must_use]
    pub fn on_its_host(&self, paths: BTreeMap<String, PathFact>) -> BTreeMap<String, PathFact> {
        if self.elsewhere().is_some() {
            return BTreeMap::new();
        }
        let Some(outside) = self.outside() else { return paths };
        let mounts = outside.mounts.as_deref().unwrap_or_default();
        let translate = |(path, fact): (String, PathFact)| {
            // Empty means unknown, and is not compared.
            let host = host_path(mounts, Path::new(&fact.real)).map(|host| host.display().to_string());
            (path, PathFact { real: host.unwrap_or_default(), ..fact })
        };
        paths.into_iter().map(translate).collect()
    }

    async fn find_place(&self) -> Result<EngineLocation, DriverError> {
        if !self.endpoint.starts_with("unix://") {
            return Ok(EngineLocation::Elsewhere("it is reached over the network".to_owned()));
        }
        if self.home.introduction.peer.get().is_none() {
            // The first connection names the peer.
            self.call("report its version", READ_DEADLINE, self.docker.version()).await?;
        }
        let peer = self.home.introduction.peer.get().map(|id| peer(*id));
        let is_visible = peer.as_ref().is_some_and(|peer| peer.pid > 0);
        Ok(match prove(peer.as_ref(), &self.home.enclosed) {
            Proof::Here => EngineLocation::Here,
            Proof::Elsewhere(reason) => EngineLocation::Elsewhere(reason),
            Proof::Outside => EngineLocation::Outside(self.inspect_outside().await?),
            Proof::None(reason) => {
                let outside = self.inspect_outside().await?;
                if outside.mounts.is_some() {
                    EngineLocation::Outside(outside)
                } else if is_visible && self.has_process_here().await {
                    EngineLocation::Here
                } else {
                    EngineLocation::Elsewhere(reason)
                }
            }
        })
    }

    /// Returns the host as the engine reports it, and the mounts of lcm's own container.
    async fn inspect_outside(&self) -> Result<Outside, DriverError> {
        let unknown = Outside { host: String::new(), host_id: None, mounts: None };
        let Some(id) = &self.home.enclosed.container else { return Ok(unknown) };
        let call = self.docker.inspect_container(id, None);
        let found = self.find(format!("inspect container {}", short(id)), call).await?;
        let info = self.call("describe itself", READ_DEADLINE, self.docker.info()).await?;
        let host = info.name.unwrap_or_default();
        let host_id = info.id.filter(|id| !id.is_empty()).map(|id| host_id::named(&host, &id));
        // An id is long enough to be no other container's, at any engine.
        let mounts = found.filter(|found| found.id.as_ref() == Some(id)).map(mounts);
        Ok(Outside { host, host_id, mounts })
    }

    /// Returns true if a process of one of the engine's containers runs here. A failed request proves nothing.
    async fn has_process_here(&self) -> bool {
        let running = self.running_ids().await.unwrap_or_default();
        for id in running.iter().take(PROOFS_MAX) {
            let call = self.docker.inspect_container(id, None);
            let found = self.find(format!("inspect container {}", short(id)), call).await.ok().flatten();
            let pid = found.and_then(|found| i32::try_from(found.state?.pid?).ok()).filter(|pid| *pid > 0);
            if pid.and_then(proc::container).as_ref() == Some(id) {
                return true;
            }
        }
        false
    }
}

fn peer(PeerId { pid, uid }: PeerId) -> Peer {
    let stat = proc::stat(pid);
    let exists = |pid| test_kill_process(pid) == Err(Errno::PERM);
    let is_hidden = stat.is_none() && uid == 0 && Pid::from_raw(pid).is_some_and(exists);
    let program = stat.map_or_else(|| "a process that has ended".to_owned(), |stat| stat.program);
    let is_manager = MANAGERS.contains(&program.as_str());
    let beside_engine = is_manager && is_engine_visible();
    Peer { pid, program, container: proc::container(pid), beside_engine, is_hidden }
}

fn is_engine_visible() -> bool {
    let mut pids = proc::pids().into_iter().flatten();
    pids.any(|pid| proc::stat(pid).is_some_and(|stat| ENGINES.contains(&stat.program.as_str())))
}

/// Returns the mounts of a container: binds and volumes alike have a path on the host.
fn mounts(container: ContainerInspectResponse) -> Vec<MountFact> {
    let mounts = container.mounts.unwrap_or_default().into_iter().filter_map(|mount| {
        let (host, here) = (mount.source?, mount.destination?);
        let are_paths = host.starts_with('/') && here.starts_with('/');
        are_paths.then(|| MountFact { host: host.into(), here: here.into() })
    });
    mounts.collect()
}

fn own_folder(service: &Service, volume: &str, path: &str, outside: &Outside) -> DriverError {
    let name = &service.name;
    let reason = if outside.mounts.is_some() {
        format!("{path} is inside the container that lcm runs in, not on the host")
    } else {
        format!("lcm runs in a container that the engine does not know, so it can't resolve {path} on the host")
    };
    DriverError::Missing(format!(
        "service {name} needs volume {volume}: {reason}, where the engine would create an empty folder in its place; \
         mount the host's folder there (`docker run -v {path}:{path}`), or run lcm on the host"
    ))
}

#[cfg(test)]
mod tests {
    use super::{Peer, Proof, prove};
    use crate::host::enclosure::Enclosed;
    use crate::model::enclosure::Enclosure;

    const OWN: &str = "ea67db2b00eefe4bb8ef2eb79b006269d25f84b23ad781779d86c0fa27fcd422";
    const OTHER: &str = "04191dd9d511580e81fdd7cf2c368e16608e46efa6db6190ceec25d2ac63933e";

    fn peer(pid: i32, program: &str, container: Option<&str>, beside_engine: bool) -> Peer {
        let (program, container) = (program.to_owned(), container.map(str::to_owned));
        Peer { pid, program, container, beside_engine, is_hidden: false }
    }

    fn enclosed(enclosure: Enclosure, container: bool) -> Enclosed {
        Enclosed { enclosure, container: container.then(|| OWN.to_owned()) }
    }

    #[test]
    fn only_an_engine_of_this_machine_is_local() {
        let machine = enclosed(Enclosure::Machine, false);
        let used_as_machine = enclosed(Enclosure::Machine, true);
        let job = enclosed(Enclosure::Job { host_pids: false }, true);
        let with_pids = enclosed(Enclosure::Job { host_pids: true }, true);
        let (dockerd, hidden) = (peer(9, "dockerd", None, false), peer(0, "", None, false));
        let by_hidepid = Peer { is_hidden: true, ..peer(9, "", None, false) };
        for (what, peer, enclosed, expected) in [
            ("an engine", &dockerd, &machine, "here"),
            ("an engine by socket activation", &peer(1, "systemd", None, true), &machine, "here"),
            ("a process of root's, hidden from this user", &by_hidepid, &machine, "here"),
            ("systemd without an engine", &peer(1, "systemd", None, false), &machine, "none"),
            ("a forwarded socket", &peer(9, "ssh", None, false), &machine, "none"),
            ("Docker Desktop", &peer(9, "com.docker.back", None, false), &machine, "none"),
            (
                "an engine in a container, seen from its host",
                &peer(9, "dockerd", Some(OTHER), false),
                &machine,
                "elsewhere",
            ),
            ("an engine beside lcm in a container", &peer(9, "dockerd", Some(OWN), false), &used_as_machine, "here"),
            ("the same, with control groups of its own", &dockerd, &used_as_machine, "here"),
            ("the host's, from a job container", &hidden, &job, "none"),
            ("the host's, with the host's pids", &dockerd, &with_pids, "outside"),
            ("forwarded, with the host's pids", &peer(9, "socat", None, false), &with_pids, "none"),
        ] {
            let found = match prove(Some(peer), enclosed) {
                Proof::Here => "here",
                Proof::Outside => "outside",
                Proof::Elsewhere(_) => "elsewhere",
                Proof::None(_) => "none",
            };
            assert_eq!(found, expected, "{what}");
        }
        assert!(matches!(prove(None, &machine), Proof::None(_)));
    }
}
