//! Proxy of the real engine at a socket that every user may use, as members of its group may use the real one.

use std::fs::{self, Permissions};
use std::io;
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::host::Host;

const ENGINE: &str = "/var/run/docker.sock";

pub(crate) struct Proxy {
    path: PathBuf,
    ended: Arc<AtomicBool>,
}

impl Proxy {
    pub(crate) fn new(host: &Host) -> Self {
        let path = host.path("engine.sock");
        let listener = UnixListener::bind(&path).expect("a socket");
        fs::set_permissions(&path, Permissions::from_mode(0o666)).expect("a socket for all");
        let ended = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&ended);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if is_over.load(Ordering::Acquire) {
                    return;
                }
                thread::spawn(move || relay(&client));
            }
        });
        Self { path, ended }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        // Wakes the accept loop.
        let _ = UnixStream::connect(&self.path);
    }
}

/// Forwards both directions; the end of one is passed on.
fn relay(client: &UnixStream) {
    let Ok(engine) = UnixStream::connect(ENGINE) else { return };
    let copy = |from: &UnixStream, to: &UnixStream| {
        let _ = io::copy(&mut &*from, &mut &*to);
        let _ = to.shutdown(Shutdown::Write);
    };
    thread::scope(|scope| {
        scope.spawn(|| copy(client, &engine));
        copy(&engine, client);
        let _ = client.shutdown(Shutdown::Both);
        let _ = engine.shutdown(Shutdown::Both);
    });
}
