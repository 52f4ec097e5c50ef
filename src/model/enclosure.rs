//! Where lcm runs: on a machine, or in a container that ends with its job.
//!
//! Files like `/.dockerenv` and variables like `container=` prove nothing: images keep them, and a container can be used
//! as a machine (LXC, systemd-nspawn, WSL, a development container). What matters is whether a process that lcm starts
//! can outlive it, and whose file system lcm sees:
//!
//! - In the initial pid namespace, outside of a container's control group and mounts: a machine.
//! - In the initial pid namespace, but in a container (`--pid=host`): its runtime kills all that the container started
//!   when the container ends, so nothing is started from there. The host's processes are visible.
//! - In another pid namespace, the kernel kills everything in it when its first process ends. Where that one is a
//!   service manager, or does not descend to lcm (`docker exec` into a container that runs on), processes outlive lcm: a
//!   machine. Where lcm descends from it (`docker run IMG lcm`, `sh -c`, GitLab's script), they end with the job. A
//!   CI that runs its steps by `docker exec` (GitHub's job containers, act) removes the container after the job.
//!
//! Pure; readings are taken by `host::enclosure`.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Number of the initial pid namespace, fixed in the kernel (`PROC_PID_INIT_INO`).
const INITIAL_PID_NAMESPACE: &str = "pid:[4026531836]";

/// First processes that go on when one of their descendants ends, by the name that the kernel has (15 characters).
/// `tini`, `docker-init`, `dumb-init` and `catatonit` are none: they end with the one child that they start.
const SERVICE_MANAGERS: [&str; 11] = [
    "systemd",
    "init",
    "openrc-init",
    "runit",
    "runsvdir",
    "s6-svscan",
    "supervisord",
    "procd",
    "dinit",
    "dockerd",
    "containerd",
];

/// Readings of the surroundings of this process; `None`: not readable.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// `pid:[4026531836]`.
    pub pid_namespace: Option<String>,
    /// Id of the container, from mounts and control groups.
    pub container: Option<String>,
    /// Program of process 1.
    pub first: Option<String>,
    /// True if process 1 is an ancestor of this process.
    pub descends_from_first: Option<bool>,
    /// True if a CI system runs this process, according to its environment.
    pub is_ci: bool,
}

/// Place where lcm runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enclosure {
    /// Processes outlive lcm.
    Machine,
    /// A container: processes that lcm starts end with it.
    Job {
        /// True if the container shares the host's pid namespace.
        host_pids: bool,
    },
}

/// Returns where lcm runs, judged from readings.
#[must_use]
pub fn judge(surroundings: &Surroundings) -> Enclosure {
    let Surroundings { pid_namespace, container, first, descends_from_first, is_ci } = surroundings;
    let in_container = container.is_some();
    let initial = pid_namespace.as_deref().map_or(!in_container, |namespace| namespace == INITIAL_PID_NAMESPACE);
    if initial {
        return if in_container { Enclosure::Job { host_pids: true } } else { Enclosure::Machine };
    }
    let is_managed = first.as_deref().is_some_and(|first| SERVICE_MANAGERS.contains(&first));
    let descends = descends_from_first.unwrap_or(in_container);
    if !is_managed && (descends || (*is_ci && in_container)) {
        Enclosure::Job { host_pids: false }
    } else {
        Enclosure::Machine
    }
}

/// Returns the id of the container that these mounts (`/proc/self/mountinfo`) were made for: engines mount files of
/// their own, from a folder named after the container, over `/etc/hostname` and its like.
#[must_use]
pub fn container_of_mounts(mountinfo: &str) -> Option<String> {
    const OWN_FILES: [&str; 4] = ["/etc/hostname", "/etc/hosts", "/etc/resolv.conf", "/run/.containerenv"];
    let is_id = |name: &&str| name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    mountinfo.lines().find_map(|line| {
        let mount = mount(line)?;
        let own = OWN_FILES.iter().any(|file| mount.point == Path::new(file));
        let root = mount.root.to_str().filter(|_| own)?;
        root.split('/').find(is_id).map(str::to_owned)
    })
}

/// Returns true if the mounts alone show that a path is the host's: it lies on a mount of the same path of another file
/// system than the container's own.
#[must_use]
pub fn is_mounted_alike(mountinfo: &str, path: &Path) -> bool {
    let mounts = mountinfo.lines().filter_map(mount).filter(|mount| path.starts_with(&mount.point));
    // Of mounts over one another, the last one is visible.
    let nearest = mounts.reduce(|nearest, mount| {
        let is_nearer = mount.point.as_os_str().len() >= nearest.point.as_os_str().len();
        if is_nearer { mount } else { nearest }
    });
    nearest.is_some_and(|mount| mount.root == mount.point && mount.point != Path::new("/"))
}

struct Mount {
    /// Path in the file system that is mounted.
    root: PathBuf,
    point: PathBuf,
}

/// Parses `36 35 98:0 /root /mnt options … - type source options`.
fn mount(line: &str) -> Option<Mount> {
    let mut fields = line.split(' ').skip(3);
    Some(Mount { root: unescaped(fields.next()?), point: unescaped(fields.next()?) })
}

/// Unescapes a field: the kernel writes space, tab, line end and backslash in octal.
fn unescaped(field: &str) -> PathBuf {
    let mut text = field.to_owned();
    for (code, character) in [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")] {
        text = text.replace(code, character);
    }
    PathBuf::from(text)
}

/// The container that lcm runs in, as far as it concerns the manifest's services.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnclosureFact {
    /// Missing options of `docker run`, without which the host's process trees can't be observed; empty if none is
    /// missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lacks: Vec<String>,
    /// Missing option of `docker run` that would mount the host's store. Without it, lcm uses a store inside the
    /// container, and the host's holds and restart attempts are unknown. Absent if lcm uses the host's store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_store: Option<String>,
    /// Folders of the host that are mounted in the container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<MountFact>,
}

/// A bind mount of the container that lcm runs in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MountFact {
    /// Path on the host.
    pub host: PathBuf,
    /// Path in the container.
    pub here: PathBuf,
}

/// Returns the host's path of a path in the container; `None`: the path is the container's own.
#[must_use]
pub fn host_path(mounts: &[MountFact], path: &Path) -> Option<PathBuf> {
    let over = mounts.iter().filter(|mount| path.starts_with(&mount.here));
    let nearest = over.max_by_key(|mount| mount.here.components().count())?;
    let rest = path.strip_prefix(&nearest.here).ok()?;
    // Joining an empty path would add a slash.
    Some(if rest.as_os_str().is_empty() { nearest.host.clone() } else { nearest.host.join(rest) })
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{Enclosure, MountFact, Surroundings, container_of_mounts, host_path, is_mounted_alike, judge};

    const ID: &str = "ea67db2b00eefe4bb8ef2eb79b006269d25f84b23ad781779d86c0fa27fcd422";

    fn around(namespace: &str, container: bool, first: &str, descends: Option<bool>, is_ci: bool) -> Surroundings {
        Surroundings {
            pid_namespace: Some(namespace.to_owned()),
            container: container.then(|| ID.to_owned()),
            first: Some(first.to_owned()),
            descends_from_first: descends,
            is_ci,
        }
    }

    #[test]
    fn a_container_that_ends_with_its_job_is_told_from_a_machine() {
        const INITIAL: &str = "pid:[4026531836]";
        const OWN: &str = "pid:[4026532183]";
        let (machine, job) = (Enclosure::Machine, Enclosure::Job { host_pids: false });
        for (what, around, expected) in [
            ("a machine", around(INITIAL, false, "systemd", Some(true), false), machine),
            (
                "a virtual machine whose first process is an agent",
                around(INITIAL, false, "agent", Some(true), true),
                machine,
            ),
            ("docker run lcm", around(OWN, true, "lcm", Some(true), false), job),
            ("docker run sh -c", around(OWN, true, "sh", Some(true), false), job),
            ("docker run --init", around(OWN, true, "docker-init", Some(true), false), job),
            ("GitHub's job container, by docker exec", around(OWN, true, "tail", Some(false), true), job),
            ("a development container, by docker exec", around(OWN, true, "sleep", Some(false), false), machine),
            ("a development container with its own engine", around(OWN, true, "dockerd", Some(true), true), machine),
            ("systemd in a container", around(OWN, true, "systemd", Some(true), true), machine),
            ("LXC and WSL", around(OWN, false, "init", Some(true), false), machine),
            ("unshare --pid --fork lcm", around(OWN, false, "lcm", Some(true), false), job),
            ("parents hidden in a container", around(OWN, true, "sh", None, false), job),
            ("parents hidden outside of one", around(OWN, false, "sh", None, false), machine),
            ("--pid=host", around(INITIAL, true, "systemd", Some(false), false), Enclosure::Job { host_pids: true }),
        ] {
            assert_eq!(judge(&around), expected, "{what}");
        }
        assert_eq!(judge(&Surroundings::default()), machine, "nothing is readable");
    }

    #[test]
    fn a_container_is_known_by_the_files_that_its_engine_mounts() {
        let docker =
            format!("87 69 254:0 /var/lib/docker/containers/{ID}/hostname /etc/hostname rw - ext4 /dev/vda rw\n");
        assert_eq!(container_of_mounts(&docker).as_deref(), Some(ID));
        let podman = format!("9 8 0:5 /overlay-containers/{ID}/userdata/hosts /etc/hosts rw - tmpfs tmpfs rw\n");
        assert_eq!(container_of_mounts(&podman).as_deref(), Some(ID));
        let data = format!("87 69 254:0 /srv/{ID} /srv/data rw - ext4 /dev/vda rw\n");
        assert_eq!(container_of_mounts(&data), None, "any folder may be named so");
        assert_eq!(container_of_mounts("broken\n\n1 2 3"), None);
    }

    #[test]
    fn a_path_is_shown_to_be_the_hosts_by_a_mount_of_the_same_path() {
        let mounts = "69 45 0:39 / / rw - overlay overlay rw\n\
                      86 69 254:0 /run/lock /run/lock rw - ext4 /dev/vda rw\n\
                      87 69 254:0 /other /var/lib/lcm rw - ext4 /dev/vda rw\n\
                      88 69 0:46 / /run rw - tmpfs tmpfs rw\n\
                      89 69 254:0 /with\\040space /with\\040space rw - ext4 /dev/vda rw\n";
        for (path, expected) in [
            ("/run/lock/lcm.lock", true),
            ("/run/lcm.lock", false),
            ("/var/lib/lcm", false),
            ("/tmp/lcm.lock", false),
            ("/with space/lcm.lock", true),
        ] {
            assert_eq!(is_mounted_alike(mounts, Path::new(path)), expected, "{path}");
        }
    }

    #[test]
    fn a_path_is_translated_through_the_nearest_mount() {
        let mount = |host: &str, here: &str| MountFact { host: host.into(), here: here.into() };
        let mounts =
            [mount("/srv/job/7", "/builds/p"), mount("/srv/models", "/builds/p/models"), mount("/tmp/f", "/f")];
        for (path, expected) in [
            ("/builds/p", Some("/srv/job/7")),
            ("/builds/p/conf/a", Some("/srv/job/7/conf/a")),
            ("/builds/p/models/x", Some("/srv/models/x")),
            ("/builds/product", None),
            ("/f", Some("/tmp/f")),
            ("/etc", None),
        ] {
            assert_eq!(host_path(&mounts, Path::new(path)), expected.map(PathBuf::from), "{path}");
        }
    }
}
