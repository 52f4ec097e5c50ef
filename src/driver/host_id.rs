//! Identity of this machine, as lcm writes it on containers: at a shared engine it tells one machine's containers from
//! another's. `HOSTNAME/DIGEST`: people know the name, and the digest stays when the machine is renamed.

use std::fmt::Write as _;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::files::kernel;

/// Where systemd, and D-Bus where there is no systemd, keep a machine's id.
const MACHINE_ID: [&str; 2] = ["/etc/machine-id", "/var/lib/dbus/machine-id"];
/// 32 digits and a line end; what is longer is no machine id.
const MACHINE_ID_BYTES_MAX: u64 = 64;
/// Engines put one of these into each container. The hostname in there is random, so that it identifies nothing.
const IN_CONTAINER: [&str; 2] = ["/.dockerenv", "/run/.containerenv"];

/// Identifiers are not to leave a machine as they are (machine-id(5)), and so many digits are not hit by chance.
const DIGEST_BYTES: usize = 8;

/// `None`: nothing identifies this machine. Then nothing is compared.
pub(crate) fn host_id() -> Option<String> {
    let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let in_container = IN_CONTAINER.iter().any(|file| Path::new(file).exists());
    let id = MACHINE_ID.iter().find_map(|path| machine_id(Path::new(path)));
    id.or_else(|| (!in_container && !hostname.is_empty()).then(|| hostname.clone())).map(|id| named(&hostname, &id))
}

fn machine_id(path: &Path) -> Option<String> {
    let text = kernel::read_text(path, MACHINE_ID_BYTES_MAX).ok()?;
    let id = text.trim();
    // An image that was not booted yet has an empty one, or `uninitialized`.
    (id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| id.to_ascii_lowercase())
}

fn named(hostname: &str, id: &str) -> String {
    let mut text = format!("{hostname}/");
    for byte in Sha256::digest(format!("lcm host {id}").as_bytes()).iter().take(DIGEST_BYTES) {
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
