//! Transport to an engine, with a bound on the size of answers: the client reads answers whole, and an engine may be
//! another program, or another user's.
//!
//! Readings that follow each other at once share a connection; the bound is on each single answer all the same. A
//! change has a connection of its own: if one breaks, it is known whether the request was sent.

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bollard::BollardRequest;
use bollard::errors::Error;
use futures_util::future::BoxFuture;
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::header::{HOST, HeaderValue, SERVER};
use hyper::{Method, Response, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// Bytes of an answer about the engine's state: a list of two thousand containers has some 4 KiB for each.
const ANSWER_BYTES_MAX: u64 = 8 << 20;
/// Objects in such an answer, each of which takes up to 1 KiB once parsed; such a list has some thirty for each
/// container.
const ANSWER_OBJECTS_MAX: u64 = 64 << 10;
/// Bytes of a stream of log lines, or of a command's output. The rest is not read.
const STREAM_BYTES_MAX: u64 = 48 << 20;
/// Bytes of a pull's progress: ten lines a second for each of three layers, for some hours.
const PULL_BYTES_MAX: u64 = 64 << 20;

/// Address of an engine.
#[derive(Clone, Debug)]
pub(super) enum EngineAddress {
    Unix(PathBuf),
    /// Host and port.
    Tcp(String),
}

/// Process at the other end of a socket, as the kernel names it.
#[derive(Clone, Copy, Debug)]
pub(super) struct PeerId {
    /// Process id; 0: not in this pid namespace.
    pub(super) pid: i32,
    pub(super) uid: u32,
}

/// Facts of an engine that come with the first connection and the first answer.
#[derive(Debug, Default)]
pub(super) struct Introduction {
    /// Process at the other end of a unix socket.
    pub(super) peer: OnceLock<PeerId>,
    /// Server header, as in each answer: `Docker/20.10.24+dfsg1 (linux)`.
    pub(super) server: OnceLock<String>,
}

type ResponseFuture = BoxFuture<'static, Result<Response<Incoming>, Error>>;

/// Age at which an idle connection is not used again, since the engine may have closed it.
const IDLE_MAX: Duration = Duration::from_millis(500);
/// Idle connections kept: more than the client ever uses at once.
const IDLE_CONNECTIONS_MAX: usize = 16;

/// Returns a transport that sends requests and reads bounded answers.
pub(super) fn transport(
    address: EngineAddress,
    introduction: Arc<Introduction>,
) -> impl Fn(BollardRequest) -> ResponseFuture + Send + Sync + 'static {
    let idle = IdleConnections(Arc::default());
    move |request| {
        let (address, introduction, idle) = (address.clone(), Arc::clone(&introduction), idle.clone());
        let limits = Limits::of(request.method(), request.uri().path());
        Box::pin(async move {
            // The answer of a reading ends, and the reading may be repeated.
            let is_reading = request.method() == Method::GET && limits.objects_left.is_some();
            let mut unsent = directed(request);
            if is_reading && let Some(mut used) = idle.take() {
                *lock(&used.limits) = limits;
                match used.sender.try_send_request(unsent).await {
                    Ok(response) => {
                        idle.put(used);
                        return Ok(response);
                    }
                    // The engine had closed the connection: the request was not sent.
                    Err(mut error) => match error.take_message() {
                        Some(request) => unsent = request,
                        None => return Err(error.into_error().into()),
                    },
                }
            }
            let mut fresh = connect(&address, &introduction).await?;
            *lock(&fresh.limits) = limits;
            let response = fresh.sender.send_request(unsent).await?;
            if is_reading {
                idle.put(fresh);
            }
            if let Some(Ok(server)) = response.headers().get(SERVER).map(HeaderValue::to_str) {
                introduction.server.get_or_init(|| server.to_owned());
            }
            Ok(response)
        })
    }
}

/// Connection to the engine, and what may still be read of its present answer.
struct EngineConnection<B> {
    sender: SendRequest<B>,
    limits: Arc<Mutex<Limits>>,
    used_at: Instant,
}

/// Connections whose answers were read, or are being read. Clones share them.
struct IdleConnections<B>(Arc<Mutex<Vec<EngineConnection<B>>>>);

impl<B> Clone for IdleConnections<B> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<B> IdleConnections<B> {
    /// Returns a connection that waits for a request, if any.
    fn take(&self) -> Option<EngineConnection<B>> {
        let mut idle = lock(&self.0);
        idle.retain(|connection| !connection.sender.is_closed() && connection.used_at.elapsed() < IDLE_MAX);
        let ready = idle.iter().position(|connection| connection.sender.is_ready())?;
        Some(idle.swap_remove(ready))
    }

    fn put(&self, connection: EngineConnection<B>) {
        let mut idle = lock(&self.0);
        if idle.len() < IDLE_CONNECTIONS_MAX {
            idle.push(EngineConnection { used_at: Instant::now(), ..connection });
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn connect<B>(address: &EngineAddress, introduction: &Introduction) -> Result<EngineConnection<B>, Error>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    match address {
        EngineAddress::Unix(path) => {
            let stream = UnixStream::connect(path).await?;
            if let Ok(found) = stream.peer_cred()
                && let Some(pid) = found.pid()
            {
                let _ = introduction.peer.set(PeerId { pid, uid: found.uid() });
            }
            shake_hands(stream).await
        }
        EngineAddress::Tcp(host) => shake_hands(TcpStream::connect(host).await?).await,
    }
}

async fn shake_hands<S, B>(stream: S) -> Result<EngineConnection<B>, Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    // Until a request sets its limits, no answer may be read.
    let limits = Arc::new(Mutex::new(Limits { bytes_max: 0, bytes_left: 0, objects_left: None }));
    let counted = Counted { stream, limits: Arc::clone(&limits) };
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(counted)).await?;
    // The task ends with the last answer, or when that is no longer read.
    tokio::spawn(connection.with_upgrades());
    Ok(EngineConnection { sender, limits, used_at: Instant::now() })
}

/// Returns true if an answer was cut off for its size.
pub(super) fn is_too_large(error: &Error) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    // Error chains are short; this one ends in the operating system's.
    while let Some(error) = cause {
        if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::FileTooLarge) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Returns the request in the form for a server: a path, and the host in a header.
fn directed(mut request: BollardRequest) -> BollardRequest {
    let host = request.uri().host().and_then(|host| HeaderValue::from_str(host).ok());
    request.headers_mut().insert(HOST, host.unwrap_or(HeaderValue::from_static("localhost")));
    if let Some(path) = request.uri().path_and_query() {
        *request.uri_mut() = Uri::from(path.clone());
    }
    request
}

/// Limits of what may still be read of one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limits {
    bytes_max: u64,
    bytes_left: u64,
    /// JSON objects left; `None`: the answer is not JSON, or is read line by line.
    objects_left: Option<u64>,
}

impl Limits {
    fn of(method: &Method, path: &str) -> Self {
        let ends = |end: &str| path.trim_end_matches('/').ends_with(end);
        let (bytes_max, objects_left) = match *method {
            Method::GET if ends("/logs") => (STREAM_BYTES_MAX, None),
            Method::POST if path.contains("/exec/") && ends("/start") => (STREAM_BYTES_MAX, None),
            Method::POST if ends("/images/create") => (PULL_BYTES_MAX, None),
            _ => (ANSWER_BYTES_MAX, Some(ANSWER_OBJECTS_MAX)),
        };
        Self { bytes_max, bytes_left: bytes_max, objects_left }
    }

    fn spend(&mut self, bytes: &[u8]) -> io::Result<()> {
        let too_large = |reason: String| io::Error::new(io::ErrorKind::FileTooLarge, reason);
        self.bytes_left = self
            .bytes_left
            .checked_sub(bytes.len() as u64)
            .ok_or_else(|| too_large(format!("its answer is larger than {} MiB", self.bytes_max >> 20)))?;
        if let Some(left) = self.objects_left {
            let objects = bytes.split(|byte| *byte == b'{').skip(1).count() as u64;
            let left = left.checked_sub(objects);
            self.objects_left =
                Some(left.ok_or_else(|| too_large(format!("its answer has more than {ANSWER_OBJECTS_MAX} objects")))?);
        }
        Ok(())
    }
}

/// Stream that fails at its limits.
struct Counted<S> {
    stream: S,
    limits: Arc<Mutex<Limits>>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let spent = lock(&self.limits).spend(&buffer.filled()[before..]);
        Poll::Ready(spent)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use hyper::Method;

    use super::{ANSWER_OBJECTS_MAX, Limits, PULL_BYTES_MAX, STREAM_BYTES_MAX};

    #[test]
    fn answers_are_bounded_by_the_kind_of_request() {
        let bytes = |method, path: &str| Limits::of(&method, path).bytes_max;
        assert_eq!(bytes(Method::GET, "/containers/logs/json"), 8 << 20);
        assert_eq!(bytes(Method::GET, "/containers/abc/logs"), STREAM_BYTES_MAX);
        assert_eq!(bytes(Method::POST, "/exec/abc/start"), STREAM_BYTES_MAX);
        assert_eq!(bytes(Method::POST, "/containers/abc/start"), 8 << 20);
        assert_eq!(bytes(Method::POST, "/images/create"), PULL_BYTES_MAX);
        let mut limits = Limits::of(&Method::GET, "/containers/json");
        let objects = vec![b'{'; usize::try_from(ANSWER_OBJECTS_MAX).expect("it fits")];
        limits.spend(&objects).expect("as many as allowed");
        assert!(limits.spend(b"{").expect_err("one more").to_string().contains("65536 objects"));
        assert!(limits.spend(&vec![b' '; 9 << 20]).expect_err("too large").to_string().contains("8 MiB"));
    }
}
