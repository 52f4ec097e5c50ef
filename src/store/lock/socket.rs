//! Abstract socket beside the lock file. A file can be unlinked or replaced while it is locked, and the next lcm would
//! lock another one; a name in the kernel can't.

use std::io;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with, sockopt};
use sha2::{Digest, Sha256};

use crate::store::lease::Process;

/// Name of the socket. It is the same for every path to one lock file, and fits the kernel's 107 bytes.
fn name(path: &Path) -> Vec<u8> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = std::fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    let whole: PathBuf = folder.join(path.file_name().unwrap_or_default());
    let digest = Sha256::digest(whole.as_os_str().as_bytes());
    let mut name = b"lcm-lock-".to_vec();
    let digit = |nibble: u8| b"0123456789abcdef"[usize::from(nibble)];
    name.extend(digest.iter().take(16).flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
    name
}

/// Binds the socket; [`io::ErrorKind::AddrInUse`] where another process has it.
pub(super) fn bind(path: &Path) -> io::Result<UnixListener> {
    UnixListener::bind_addr(&SocketAddr::from_abstract_name(name(path))?)
}

/// Returns the process that listens on the socket; `None` where there is none, or the kernel does not name it.
pub(super) fn holder(path: &Path) -> Option<Process> {
    let address = SocketAddrUnix::new_abstract_name(&name(path)).ok()?;
    // A listener whose queue is full must not block a caller that only needs its name.
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket: OwnedFd = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).ok()?;
    connect(&socket, &address).ok()?;
    let peer = sockopt::socket_peercred(&socket).ok()?;
    Some(Process { pid: peer.pid.as_raw_nonzero().get(), uid: peer.uid.as_raw() })
}
