//! Identity of this machine. lcm labels containers with `HOSTNAME/DIGEST`, which distinguishes the machines that share
//! an engine: people know the name, and the digest stays when the machine is renamed. Plans carry the digests of
//! machine and boot.
//!
//! A container's host name is random, and its machine id, if any, is the image's: only a machine id mounted from the
//! host counts. The boot id is the host's in every container.

use std::fmt::Write as _;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::files::kernel;
use crate::host::enclosure::{self, Enclosed};
use crate::host::proc;
use crate::model::enclosure::is_mounted_alike;
use crate::model::host::HostIdentity;

/// Files in which systemd, or D-Bus where there is no systemd, keeps a machine's id.
const MACHINE_ID: [&str; 2] = ["/etc/machine-id", "/var/lib/dbus/machine-id"];
/// 32 digits and a line end; a longer file is no machine id.
const MACHINE_ID_BYTES_MAX: u64 = 64;

/// Length of the digest. An id must not leave the machine unhashed (machine-id(5)); 64 bits don't collide by chance.
const DIGEST_BYTES: usize = 8;

/// Returns `HOSTNAME/DIGEST`; `None`: nothing identifies this machine, and then nothing is compared.
pub(crate) fn host_id(enclosed: &Enclosed) -> Option<String> {
    let hostname = hostname();
    let in_container = enclosed.container.is_some();
    let id = own_machine_id(enclosed);
    id.or_else(|| (!in_container && !hostname.is_empty()).then(|| hostname.clone())).map(|id| named(&hostname, &id))
}

/// Identity of this host in plans.
pub(crate) fn identity(enclosed: &Enclosed) -> HostIdentity {
    let machine = own_machine_id(enclosed).map(|id| digest("host", &id));
    HostIdentity { machine, boot: proc::boot_id().map(|id| digest("boot", &id)) }
}

/// Name of this machine, or of the container that lcm runs in.
pub(crate) fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn own_machine_id(enclosed: &Enclosed) -> Option<String> {
    let mounts = enclosed.container.as_ref().map(|_| enclosure::mounts());
    let paths = MACHINE_ID.iter().map(Path::new);
    let mut paths = paths.filter(|path| mounts.as_ref().is_none_or(|mounts| is_mounted_alike(mounts, path)));
    paths.find_map(machine_id)
}

fn machine_id(path: &Path) -> Option<String> {
    let text = kernel::read_text(path, MACHINE_ID_BYTES_MAX).ok()?;
    let id = text.trim();
    // An image that was never booted has an empty id, or `uninitialized`.
    (id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| id.to_ascii_lowercase())
}

pub(crate) fn named(hostname: &str, id: &str) -> String {
    format!("{hostname}/{}", digest("host", id))
}

fn digest(kind: &str, id: &str) -> String {
    let mut text = String::new();
    for byte in Sha256::digest(format!("lcm {kind} {id}").as_bytes()).iter().take(DIGEST_BYTES) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{machine_id, named};

    #[test]
    fn a_machine_id_is_32_digits_and_nothing_else_counts() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("machine-id");
        for (text, is_id) in [
            ("3d1219c7c4c5404aaa1f6d2a48adfda4\n", true),
            ("uninitialized\n", false),
            ("", false),
            ("3d1219c7c4c5404aaa1f6d2a48adfda4ff", false),
            (&"0".repeat(10_000), false),
        ] {
            std::fs::write(&path, text).expect("a file");
            assert_eq!(machine_id(&path).is_some(), is_id, "{text:.40}");
        }
    }

    #[test]
    fn the_id_itself_is_not_written_and_a_new_hostname_changes_no_digest() {
        let (one, other) = (named("one", "3d12"), named("two", "3d12"));
        assert!(!one.contains("3d12") && one.starts_with("one/"), "{one}");
        assert_eq!(one.strip_prefix("one/"), other.strip_prefix("two/"));
        assert_ne!(named("one", "3d12"), named("one", "3d13"));
    }
}
