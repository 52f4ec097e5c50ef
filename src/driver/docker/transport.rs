//! The way to an engine, with a bound on what it may answer: the client reads answers whole, and an engine may be
//! another program, or another user's. Each request has a connection of its own, so that what is counted is one answer.

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use bollard::BollardRequest;
use bollard::errors::Error;
use futures_util::future::BoxFuture;
use hyper::body::Incoming;
use hyper::header::{HOST, HeaderValue};
use hyper::{Method, Response, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// An answer of the engine's books: a list of two thousand containers has some 4 KiB for each.
const ANSWER_BYTES_MAX: u64 = 8 << 20;
/// Objects in it, each of which takes up to 1 KiB once it is read; such a list has some thirty for each container.
const ANSWER_OBJECTS_MAX: u64 = 64 << 10;
/// A stream of log lines, or of a command's output. What is behind it is not read.
const STREAM_BYTES_MAX: u64 = 48 << 20;
/// Progress of a pull: ten lines a second for each of three layers, for some hours.
const PULL_BYTES_MAX: u64 = 64 << 20;

/// An engine's address.
#[derive(Clone, Debug)]
pub(super) enum Address {
    Unix(PathBuf),
    /// Host and port.
    Tcp(String),
}

/// Process at the other end of a socket, as the kernel names it.
#[derive(Clone, Copy, Debug)]
pub(super) struct PeerId {
    /// 0: it is not in this pid namespace.
    pub(super) pid: i32,
    pub(super) uid: u32,
}

type Answer = BoxFuture<'static, Result<Response<Incoming>, Error>>;

/// Returns what sends each request by itself, and reads a bounded answer. `peer` becomes the process at the other end
/// of a unix socket.
pub(super) fn transport(
    address: Address,
    peer: Arc<OnceLock<PeerId>>,
) -> impl Fn(BollardRequest) -> Answer + Send + Sync + 'static {
    move |request| {
        let (address, peer) = (address.clone(), Arc::clone(&peer));
        let limits = Limits::of(request.method(), request.uri().path());
        Box::pin(async move {
            match address {
                Address::Unix(path) => {
                    let stream = UnixStream::connect(path).await?;
                    if let Ok(found) = stream.peer_cred()
                        && let Some(pid) = found.pid()
                    {
                        let _ = peer.set(PeerId { pid, uid: found.uid() });
                    }
                    send(stream, limits, request).await
                }
                Address::Tcp(host) => send(TcpStream::connect(host).await?, limits, request).await,
            }
        })
    }
}

/// Whether an answer was cut off for its size.
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

async fn send<S>(stream: S, limits: Limits, mut request: BollardRequest) -> Result<Response<Incoming>, Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let host = request.uri().host().and_then(|host| HeaderValue::from_str(host).ok());
    request.headers_mut().insert(HOST, host.unwrap_or(HeaderValue::from_static("localhost")));
    if let Some(path) = request.uri().path_and_query() {
        *request.uri_mut() = Uri::from(path.clone());
    }
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(Counted { stream, limits })).await?;
    // It ends with the answer, or when the answer is no longer read.
    tokio::spawn(connection.with_upgrades());
    Ok(sender.send_request(request).await?)
}

/// What may still be read of one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limits {
    bytes_max: u64,
    bytes_left: u64,
    /// `None`: it is no JSON, or read line by line.
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

/// A connection that ends where its limits do.
struct Counted<S> {
    stream: S,
    limits: Limits,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        Poll::Ready(self.limits.spend(&buffer.filled()[before..]))
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
    fn answers_are_bounded_by_what_is_asked() {
        let bytes = |method, path: &str| Limits::of(&method, path).bytes_max;
        assert_eq!(bytes(Method::GET, "/containers/logs/json"), 8 << 20);
        assert_eq!(bytes(Method::GET, "/containers/abc/logs"), STREAM_BYTES_MAX);
        assert_eq!(bytes(Method::POST, "/exec/abc/start"), STREAM_BYTES_MAX);
        assert_eq!(bytes(Method::POST, "/containers/abc/start"), 8 << 20);
        assert_eq!(bytes(Method::POST, "/images/create"), PULL_BYTES_MAX);
        let mut limits = Limits::of(&Method::GET, "/containers/json");
        let objects = vec![b'{'; usize::try_from(ANSWER_OBJECTS_MAX).expect("it fits")];
        limits.spend(&objects).expect("as many as it may have");
        assert!(limits.spend(b"{").expect_err("one more").to_string().contains("65536 objects"));
        assert!(limits.spend(&vec![b' '; 9 << 20]).expect_err("too large").to_string().contains("8 MiB"));
    }
}
