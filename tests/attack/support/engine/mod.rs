//! A Docker engine that the test plays at a unix socket: honest by itself, it keeps a few containers as data and starts
//! nothing. A hook sees each request with its honest answer and may turn it into a hostile one.

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

/// More than any client may read of one answer: the end of an endless one, so that no test writes for ever.
const ENDLESS_BYTES_MAX: u64 = 8 << 30;

/// An answer as an honest engine gives it.
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

/// How the engine behaves toward one request.
#[derive(Clone, Debug)]
pub(crate) enum Reaction {
    /// A whole answer with its length.
    Json(u16, Value),
    /// Any text as a body, JSON or not.
    Text(u16, String),
    /// These bytes in place of an HTTP answer, then the connection is closed.
    Raw(Vec<u8>),
    /// Begins with `head`, then repeats `chunk` until the client has enough.
    Endless { head: String, chunk: Vec<u8> },
    /// One byte after the other, with a pause after each.
    Drip { body: String, pause: Duration },
    /// Promises the whole body, sends its first half and closes.
    Cut(String),
    /// Says nothing until the client closes.
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

    /// The hook decides about each answer; what a request changes has been changed by then.
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
                // A client that goes away in mid-answer is what hostile answers are for.
                thread::spawn(move || drop(answer(stream, &shared)));
            }
        });
        Self { path, shared }
    }

    pub(crate) fn socket(&self) -> &Path {
        &self.path
    }

    /// Looks at the containers, or changes them by hand.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Machine) -> T) -> T {
        change(&mut self.shared.machine.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Method and path of each request so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the clients took of all answers.
    pub(crate) fn sent_bytes(&self) -> u64 {
        self.shared.sent_bytes.load(Ordering::Acquire)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        // A last client, for which accepting wakes up.
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
