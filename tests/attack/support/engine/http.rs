//! HTTP/1.1 requests and responses, as far as an engine's client sends and reads them.

use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;

use serde_json::Value;

/// Maximum length of a request: it describes one container at most.
const REQUEST_BYTES_MAX: usize = 1 << 20;

#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path without the API version and the query.
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) body: Value,
}

impl Request {
    /// Returns true for a request such as `GET /version`.
    pub(crate) fn is(&self, method: &str, path: &str) -> bool {
        self.method == method && self.path == path
    }

    pub(crate) fn lists_containers(&self) -> bool {
        self.is("GET", "/containers/json")
    }

    pub(crate) fn inspects_container(&self) -> bool {
        self.method == "GET"
            && self.path.starts_with("/containers/")
            && self.path.ends_with("/json")
            && !self.lists_containers()
    }

    /// Returns the decoded value of a query field.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        let pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.filter(|(field, _)| *field == name).map(|(_, value)| decoded(value)).next()
    }
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = (*first == b'%').then(|| tail.get(..2)).flatten().and_then(|hex| std::str::from_utf8(hex).ok());
        if let Some(byte) = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            bytes.push(byte);
            rest = &tail[2..];
        } else {
            bytes.push(if *first == b'+' { b' ' } else { *first });
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

pub(super) fn read(stream: &mut UnixStream) -> io::Result<Request> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 8192];
    loop {
        let head_end = bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4);
        if let Some(end) = head_end {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            if bytes.len() >= end + content_length(&head) {
                return Ok(request(&head, &bytes[end..]));
            }
        }
        let count = stream.read(&mut chunk)?;
        if count == 0 || bytes.len() > REQUEST_BYTES_MAX {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&chunk[..count]);
    }
}

fn request(head: &str, body: &[u8]) -> Request {
    let mut words = head.split_whitespace();
    let method = words.next().unwrap_or_default().to_owned();
    let target = words.next().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let version = path.strip_prefix("/v1.").and_then(|rest| rest.find('/').map(|at| &rest[at..]));
    let path = version.unwrap_or(path).to_owned();
    Request { method, path, query: query.to_owned(), body: serde_json::from_slice(body).unwrap_or_default() }
}

fn content_length(head: &str) -> usize {
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    let mut length =
        fields.filter(|(name, _)| name.eq_ignore_ascii_case("content-length")).map(|(_, value)| value.trim());
    length.next_back().and_then(|value| value.parse().ok()).unwrap_or(0)
}

/// Returns the head of a response; without a length, the response ends with the connection.
pub(super) fn head(status: u16, length: Option<usize>) -> Vec<u8> {
    let length = length.map(|length| format!("content-length: {length}\r\n")).unwrap_or_default();
    format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\napi-version: 1.41\r\n{length}connection: close\r\n\r\n")
        .into_bytes()
}

pub(super) fn whole(status: u16, body: &str) -> Vec<u8> {
    [&head(status, Some(body.len())), body.as_bytes()].concat()
}
