//! Simulated Docker engine at a unix socket: honest by default, it keeps a few containers as data and starts nothing. A
//! hook gets each request with its honest response, and may replace that with a hostile one.

mod containers;
mod http;

use std::fs::{self, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

pub(crate) use containers::{IMAGE, Machine};
pub(crate) use http::Request;
use serde_json::Value;

use super::host::Host;

/// Length at which an endless response ends, so that no test writes forever: more than any client may read.
const ENDLESS_BYTES_MAX: u64 = 8 << 30;

/// Response of an honest engine.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn new(status: u16, body: Value) -> Self {
        Self { status, body }
    }
}

/// Behaviour of the engine for one request.
#[derive(Clone, Debug)]
pub(crate) enum Reaction {
    /// Complete response with its length.
    Json(u16, Value),
    /// Any text as a body, JSON or not.
    Text(u16, String),
    /// Raw bytes in place of an HTTP response, then the connection is closed.
    Raw(Vec<u8>),
    /// `head`, then `chunk` repeatedly until the client closes.
    Endless { head: String, chunk: Vec<u8> },
    /// One byte at a time, with a pause after each.
    Drip { body: String, pause: Duration },
    /// Announces the whole body, sends its first half and closes.
    Cut(String),
    /// Sends nothing until the client closes.
    Hang,
}

impl From<Answer> for Reaction {
    fn from(answer: Answer) -> Self {
        Self::Json(answer.status, answer.body)
    }
}

type Hook = dyn Fn(&Request, Answer) -> Reaction + Send + Sync;

struct Shared {
    machine: Mutex<Machine>,
    hook: Box<Hook>,
    seen: Mutex<Vec<String>>,
    sent_bytes: AtomicU64,
    ended: AtomicBool,
}

pub(crate) struct Engine {
    path: PathBuf,
    shared: Arc<Shared>,
}

impl Engine {
    pub(crate) fn honest(host: &Host) -> Self {
        Self::hostile(host, |_, answer| answer.into())
    }

    /// Starts an engine whose hook selects each response; the request has taken effect by then.
    pub(crate) fn hostile(host: &Host, hook: impl Fn(&Request, Answer) -> Reaction + Send + Sync + 'static) -> Self {
        let path = host.path("played.sock");
        let listener = UnixListener::bind(&path).expect("a socket");
        fs::set_permissions(&path, Permissions::from_mode(0o666)).expect("a socket for all");
        let shared = Arc::new(Shared {
            machine: Mutex::default(),
            hook: Box::new(hook),
            seen: Mutex::default(),
            sent_bytes: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if accepting.ended.load(Ordering::Acquire) {
                    return;
                }
                let shared = Arc::clone(&accepting);
                // A client may disconnect in the middle of a hostile response.
                thread::spawn(move || drop(answer(stream, &shared)));
            }
        });
        Self { path, shared }
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.path
    }

    /// Reads or changes the containers directly.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Machine) -> T) -> T {
        change(&mut self.shared.machine.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns method and path of each request so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the number of bytes that clients read of all responses.
    pub(crate) fn sent_bytes(&self) -> u64 {
        self.shared.sent_bytes.load(Ordering::Acquire)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        // Wakes the accept loop.
        let _ = UnixStream::connect(&self.path);
    }
}

fn answer(mut stream: UnixStream, shared: &Shared) -> io::Result<()> {
    let request = http::read(&mut stream)?;
    let noted = format!("{} {}", request.method, request.path);
    shared.seen.lock().unwrap_or_else(PoisonError::into_inner).push(noted);
    let honest = shared.machine.lock().unwrap_or_else(PoisonError::into_inner).answer(&request);
    let send = |stream: &mut UnixStream, bytes: &[u8]| {
        stream.write_all(bytes)?;
        shared.sent_bytes.fetch_add(bytes.len() as u64, Ordering::AcqRel);
        Ok::<(), io::Error>(())
    };
    match (shared.hook)(&request, honest) {
        Reaction::Json(status, Value::Null) => send(&mut stream, &http::head(status, Some(0))),
        Reaction::Json(status, body) => send(&mut stream, &http::whole(status, &body.to_string())),
        Reaction::Text(status, body) => send(&mut stream, &http::whole(status, &body)),
        Reaction::Raw(bytes) => send(&mut stream, &bytes),
        Reaction::Endless { head, chunk } => {
            send(&mut stream, &http::head(200, None))?;
            send(&mut stream, head.as_bytes())?;
            let mut sent = 0;
            while sent < ENDLESS_BYTES_MAX && !shared.ended.load(Ordering::Acquire) {
                send(&mut stream, &chunk)?;
                sent += chunk.len() as u64;
            }
            Ok(())
        }
        Reaction::Drip { body, pause } => {
            send(&mut stream, &http::head(200, Some(body.len())))?;
            for byte in body.into_bytes() {
                if shared.ended.load(Ordering::Acquire) {
                    break;
                }
                send(&mut stream, &[byte])?;
                thread::sleep(pause);
            }
            Ok(())
        }
        Reaction::Cut(body) => {
            send(&mut stream, &http::head(200, Some(body.len())))?;
            send(&mut stream, &body.as_bytes()[..body.len() / 2])
        }
        Reaction::Hang => io::copy(&mut &stream, &mut io::sink()).map(drop),
    }
}
