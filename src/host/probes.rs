//! Probes a service by HTTP or TCP. Every request has a deadline and every response a size limit. Not here: the check
//! that the process which responded is the service.

use std::error::Error as _;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use reqwest::redirect::Policy;
use reqwest::{Client, Method, Response, Url};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::debug;

use crate::host::elapsed::elapsed_ms;
use crate::model::desired::{HttpProbe, Pointer, Probe};
use crate::model::facts::ProbeReading;

/// Size limit of a body in bytes: health pages are short, and longer ones are truncated.
const BODY_BYTES_MAX: usize = 1 << 20;
/// Redirects for a missing slash or a moved page: more is a loop.
const REDIRECTS_MAX: usize = 3;
/// Characters of a value that a message shows.
const SHOWN_CHARS_MAX: usize = 80;

/// Returns a failed reading with this reason.
pub(crate) fn failed(detail: impl Into<String>) -> ProbeReading {
    ProbeReading::Failed { failures: 1, detail: detail.into() }
}

/// Returns true for anything but false, 0, null or empty.
#[must_use]
pub fn truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

/// Returns the port of this host that a probe connects to; `None`: it connects to none.
pub(crate) fn local_port(probe: &Probe) -> Option<u16> {
    match probe {
        Probe::Http(http) => {
            let url = Url::parse(&http.url).ok()?;
            is_local(url.host_str()?).then(|| url.port_or_known_default()).flatten()
        }
        Probe::Tcp { host, port } => is_local(host).then_some(*port),
        Probe::Exec(_) | Probe::Log(_) | Probe::Runtime => None,
    }
}

fn is_local(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback() || address.is_unspecified());
    address || bare.eq_ignore_ascii_case("localhost")
}

/// Sends one GET and checks its response: status, body, JSON pointer.
pub(crate) async fn http(probe: &HttpProbe, deadline: Duration) -> ProbeReading {
    // A probe that expects a redirect must not follow it.
    let follow = !probe.status.iter().any(|status| (300..400).contains(status));
    let request = async {
        let mut response = send(Method::GET, &probe.url, None, follow).await?;
        check_status(&response, |status| {
            if probe.status.is_empty() { (200..300).contains(&status) } else { probe.status.contains(&status) }
        })?;
        if probe.body.is_none() && probe.pointer.is_none() {
            return Ok(());
        }
        let body = body_of(&mut response).await?;
        check_body(probe, &body)
    };
    match within(deadline, &probe.url, request).await {
        Ok(()) => ProbeReading::Passed,
        Err(ProbeError::Response(detail)) => failed(detail),
        Err(ProbeError::Request(reason)) => ProbeReading::Unknown(reason),
    }
}

/// Probes that the port accepts a connection.
pub(crate) async fn tcp(host: &str, port: u16, deadline: Duration) -> ProbeReading {
    let began = Instant::now();
    let ended = timeout(deadline, TcpStream::connect((host, port))).await;
    let (took_ms, is_open) = (elapsed_ms(began), matches!(ended, Ok(Ok(_))));
    debug!(target: "host", host, port, took_ms, is_open, "TCP connection tried");
    match ended {
        Ok(Ok(_)) => ProbeReading::Passed,
        Ok(Err(error)) => failed(format!("{host}:{port}: {error}")),
        Err(_) => failed(format!("{host}:{port}: no connection within {}", seconds(deadline))),
    }
}

/// Returns the value at a JSON pointer in the response of a URL.
pub(crate) async fn value_at(url: &str, pointer: &str, deadline: Duration) -> Result<Value, String> {
    let request = async {
        let mut response = send(Method::GET, url, None, true).await?;
        check_status(&response, |status| (200..300).contains(&status))?;
        let body = body_of(&mut response).await?;
        let value: Value = parse(&body)?;
        value.pointer(pointer).cloned().ok_or_else(|| ProbeError::Response(format!("the answer has no {pointer}")))
    };
    within(deadline, url, request).await.map_err(ProbeError::into_text)
}

/// Sends a request that must be answered with a 2xx; returns the body in any case.
pub(crate) async fn call(
    method: &str,
    url: &str,
    json: Option<&Value>,
    deadline: Duration,
) -> (Result<(), String>, Vec<u8>) {
    let mut body = Vec::new();
    let request = async {
        let method = Method::from_bytes(method.to_ascii_uppercase().as_bytes())
            .map_err(|_| ProbeError::Request(format!("{method} is not an HTTP method")))?;
        let mut response = send(method, url, json, true).await?;
        // Some servers work while they send the body, and some explain an error in it.
        body = body_of(&mut response).await?;
        check_status(&response, |status| (200..300).contains(&status))
    };
    let result = within(deadline, url, request).await.map_err(ProbeError::into_text);
    (result, body)
}

/// Shortens a value for messages.
pub(crate) fn shown(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= SHOWN_CHARS_MAX {
        return text;
    }
    format!("{}…", text.chars().take(SHOWN_CHARS_MAX).collect::<String>())
}

/// Failure of a probe.
enum ProbeError {
    /// Unaccepted response, or none.
    Response(String),
    /// Invalid request.
    Request(String),
}

impl ProbeError {
    fn into_text(self) -> String {
        match self {
            Self::Response(text) | Self::Request(text) => text,
        }
    }
}

async fn within<T>(
    deadline: Duration,
    url: &str,
    request: impl Future<Output = Result<T, ProbeError>>,
) -> Result<T, ProbeError> {
    let began = Instant::now();
    let ended = timeout(deadline, request).await;
    let result = match &ended {
        Ok(Ok(_)) => "accepted",
        Ok(Err(ProbeError::Response(detail) | ProbeError::Request(detail))) => detail,
        Err(_) => "timed out",
    };
    debug!(target: "host", url, took_ms = elapsed_ms(began), result, "HTTP request ended");
    match ended {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(ProbeError::Response(detail))) => Err(ProbeError::Response(format!("{url}: {detail}"))),
        Ok(Err(ProbeError::Request(detail))) => Err(ProbeError::Request(format!("{url}: {detail}"))),
        Err(_) => Err(ProbeError::Response(format!("{url}: no answer within {}", seconds(deadline)))),
    }
}

/// Sends a request, bypassing every proxy that the environment names: a probe is meant for this machine.
async fn send(method: Method, url: &str, json: Option<&Value>, follow: bool) -> Result<Response, ProbeError> {
    let url = Url::parse(url).map_err(|error| ProbeError::Request(error.to_string()))?;
    if url.scheme() != "http" {
        return Err(ProbeError::Request(format!("{}:// is not supported, only http:// is", url.scheme())));
    }
    let policy = if follow { Policy::limited(REDIRECTS_MAX) } else { Policy::none() };
    let client = Client::builder().no_proxy().redirect(policy).pool_max_idle_per_host(0).build();
    let client = client.map_err(|error| ProbeError::Request(root_cause(&error)))?;
    let mut request = client.request(method, url);
    if let Some(json) = json {
        request = request.header("content-type", "application/json").body(json.to_string());
    }
    request.send().await.map_err(|error| {
        let cause = root_cause(&error);
        if error.is_builder() { ProbeError::Request(cause) } else { ProbeError::Response(cause) }
    })
}

/// Returns the innermost cause: `connection refused`, not "error sending request".
fn root_cause(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = cause.to_string();
        source = cause.source();
    }
    text
}

fn check_status(response: &Response, accepted: impl Fn(u16) -> bool) -> Result<(), ProbeError> {
    let status = response.status();
    if accepted(status.as_u16()) { Ok(()) } else { Err(ProbeError::Response(format!("answered {status}"))) }
}

async fn body_of(response: &mut Response) -> Result<Vec<u8>, ProbeError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| ProbeError::Response(root_cause(&error)))? {
        let headroom = BODY_BYTES_MAX - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(headroom)]);
        if body.len() == BODY_BYTES_MAX {
            break;
        }
    }
    Ok(body)
}

fn check_body(probe: &HttpProbe, body: &[u8]) -> Result<(), ProbeError> {
    if let Some(text) = probe.body.as_ref().filter(|text| !String::from_utf8_lossy(body).contains(text.as_str())) {
        return Err(ProbeError::Response(format!("the answer does not contain `{text}`")));
    }
    probe.pointer.as_ref().map_or(Ok(()), |pointer| check_pointer(pointer, &parse(body)?))
}

fn check_pointer(pointer: &Pointer, value: &Value) -> Result<(), ProbeError> {
    let path = &pointer.path;
    let found = value.pointer(path).ok_or_else(|| ProbeError::Response(format!("the answer has no {path}")))?;
    match &pointer.equals {
        Some(wanted) if wanted == found => Ok(()),
        Some(wanted) => Err(ProbeError::Response(format!("{path} is {}, not {}", shown(found), shown(wanted)))),
        None if truthy(found) => Ok(()),
        None => Err(ProbeError::Response(format!("{path} is {}", shown(found)))),
    }
}

fn parse(body: &[u8]) -> Result<Value, ProbeError> {
    serde_json::from_slice(body).map_err(|error| ProbeError::Response(format!("the answer is not JSON: {error}")))
}

/// Formats a duration: `5s`, `250ms`.
pub(crate) fn seconds(duration: Duration) -> String {
    if duration.subsec_millis() == 0 {
        format!("{}s", duration.as_secs())
    } else {
        format!("{}ms", duration.as_millis())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{is_local, truthy};

    #[test]
    fn anything_but_false_zero_null_or_empty_is_true() {
        for value in [json!(true), json!(1), json!(-0.5), json!("0"), json!([0]), json!({"a": null})] {
            assert!(truthy(&value), "{value}");
        }
        for value in [json!(false), json!(0), json!(0.0), json!(null), json!(""), json!([]), json!({})] {
            assert!(!truthy(&value), "{value}");
        }
    }

    #[test]
    fn every_name_of_this_host_is_local() {
        for host in ["localhost", "127.0.0.1", "127.1.2.3", "[::1]", "::1", "0.0.0.0"] {
            assert!(is_local(host), "{host}");
        }
        assert!(!is_local("192.0.2.1") && !is_local("example.org"));
    }
}
