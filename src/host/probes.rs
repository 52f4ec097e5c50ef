//! Asks a service whether it answers: by HTTP, by TCP. Every question has a deadline and
//! every answer a bound. Whether the one who answered is the service, is not asked here.

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

/// Health pages are short; a longer one is cut.
const BODY_BYTES_MAX: usize = 1 << 20;
/// A path that lacks its slash, a page that moved: more than this is a circle.
const REDIRECTS_MAX: usize = 3;
/// Of a value that a message shows.
const SHOWN_CHARS_MAX: usize = 80;

/// One that did not pass, for this reason.
pub(crate) fn failed(detail: impl Into<String>) -> ProbeReading {
    ProbeReading::Failed { failures: 1, detail: detail.into() }
}

/// Anything but false, 0, null or empty.
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

/// The port of this host that a probe asks, where it asks one.
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

/// One GET, and all that is demanded of its answer.
pub(crate) async fn http(probe: &HttpProbe, deadline: Duration) -> ProbeReading {
    // Whoever wants to see a redirect must not be sent on.
    let follow = !probe.status.iter().any(|status| (300..400).contains(status));
    let asked = async {
        let mut response = ask(Method::GET, &probe.url, None, follow).await?;
        check_status(&response, |status| {
            if probe.status.is_empty() { (200..300).contains(&status) } else { probe.status.contains(&status) }
        })?;
        if probe.body.is_none() && probe.pointer.is_none() {
            return Ok(());
        }
        let body = body_of(&mut response).await?;
        check_body(probe, &body)
    };
    match within(deadline, &probe.url, asked).await {
        Ok(()) => ProbeReading::Passed,
        Err(ProbeError::Answer(detail)) => failed(detail),
        Err(ProbeError::Question(reason)) => ProbeReading::Unknown(reason),
    }
}

/// Whether somebody takes a connection.
pub(crate) async fn tcp(host: &str, port: u16, deadline: Duration) -> ProbeReading {
    let began = Instant::now();
    let ended = timeout(deadline, TcpStream::connect((host, port))).await;
    let (took_ms, is_open) = (elapsed_ms(began), matches!(ended, Ok(Ok(_))));
    debug!(target: "host", host, port, took_ms, is_open, "TCP connection tried");
    match ended {
        Ok(Ok(_)) => ProbeReading::Passed,
        Ok(Err(error)) => failed(format!("{host}:{port}: {error}")),
        Err(_) => failed(format!("{host}:{port} took no connection within {}", seconds(deadline))),
    }
}

/// What a pointer finds in the JSON that a URL answers with.
pub(crate) async fn value_at(url: &str, pointer: &str, deadline: Duration) -> Result<Value, String> {
    let asked = async {
        let mut response = ask(Method::GET, url, None, true).await?;
        check_status(&response, |status| (200..300).contains(&status))?;
        let body = body_of(&mut response).await?;
        let value: Value = parse(&body)?;
        value.pointer(pointer).cloned().ok_or_else(|| ProbeError::Answer(format!("the answer has no {pointer}")))
    };
    within(deadline, url, asked).await.map_err(ProbeError::into_text)
}

/// A call that must be answered with a 2xx; and what was answered in any case.
pub(crate) async fn call(
    method: &str,
    url: &str,
    json: Option<&Value>,
    deadline: Duration,
) -> (Result<(), String>, Vec<u8>) {
    let mut body = Vec::new();
    let asked = async {
        let method = Method::from_bytes(method.to_ascii_uppercase().as_bytes())
            .map_err(|_| ProbeError::Question(format!("{method} is no HTTP method")))?;
        let mut response = ask(method, url, json, true).await?;
        // Some servers do the work while they answer, and some say with their body what is wrong.
        body = body_of(&mut response).await?;
        check_status(&response, |status| (200..300).contains(&status))
    };
    let answered = within(deadline, url, asked).await.map_err(ProbeError::into_text);
    (answered, body)
}

/// A short form of a value, for messages.
pub(crate) fn shown(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= SHOWN_CHARS_MAX {
        return text;
    }
    format!("{}…", text.chars().take(SHOWN_CHARS_MAX).collect::<String>())
}

/// What went wrong with asking.
enum ProbeError {
    /// What was answered, or that nothing was.
    Answer(String),
    /// The question itself makes no sense.
    Question(String),
}

impl ProbeError {
    fn into_text(self) -> String {
        match self {
            Self::Answer(text) | Self::Question(text) => text,
        }
    }
}

async fn within<T>(
    deadline: Duration,
    url: &str,
    asked: impl Future<Output = Result<T, ProbeError>>,
) -> Result<T, ProbeError> {
    let began = Instant::now();
    let ended = timeout(deadline, asked).await;
    let result = match &ended {
        Ok(Ok(_)) => "accepted",
        Ok(Err(ProbeError::Answer(detail) | ProbeError::Question(detail))) => detail,
        Err(_) => "timed out",
    };
    debug!(target: "host", url, took_ms = elapsed_ms(began), result, "HTTP request ended");
    match ended {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(ProbeError::Answer(detail))) => Err(ProbeError::Answer(format!("{url}: {detail}"))),
        Ok(Err(ProbeError::Question(detail))) => Err(ProbeError::Question(format!("{url}: {detail}"))),
        Err(_) => Err(ProbeError::Answer(format!("{url}: no answer within {}", seconds(deadline)))),
    }
}

/// Past every proxy: a probe is meant for this machine, whatever the environment says.
async fn ask(method: Method, url: &str, json: Option<&Value>, follow: bool) -> Result<Response, ProbeError> {
    let url = Url::parse(url).map_err(|error| ProbeError::Question(error.to_string()))?;
    if url.scheme() != "http" {
        return Err(ProbeError::Question(format!("{}:// can't be asked, only http:// can", url.scheme())));
    }
    let policy = if follow { Policy::limited(REDIRECTS_MAX) } else { Policy::none() };
    let client = Client::builder().no_proxy().redirect(policy).pool_max_idle_per_host(0).build();
    let client = client.map_err(|error| ProbeError::Question(root_cause(&error)))?;
    let mut request = client.request(method, url);
    if let Some(json) = json {
        request = request.header("content-type", "application/json").body(json.to_string());
    }
    request.send().await.map_err(|error| {
        let cause = root_cause(&error);
        if error.is_builder() { ProbeError::Question(cause) } else { ProbeError::Answer(cause) }
    })
}

/// The last cause says it: `connection refused`, not "error sending request".
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
    if accepted(status.as_u16()) { Ok(()) } else { Err(ProbeError::Answer(format!("answered {status}"))) }
}

async fn body_of(response: &mut Response) -> Result<Vec<u8>, ProbeError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| ProbeError::Answer(root_cause(&error)))? {
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
        return Err(ProbeError::Answer(format!("the answer does not contain `{text}`")));
    }
    probe.pointer.as_ref().map_or(Ok(()), |pointer| check_pointer(pointer, &parse(body)?))
}

fn check_pointer(pointer: &Pointer, value: &Value) -> Result<(), ProbeError> {
    let path = &pointer.path;
    let found = value.pointer(path).ok_or_else(|| ProbeError::Answer(format!("the answer has no {path}")))?;
    match &pointer.equals {
        Some(wanted) if wanted == found => Ok(()),
        Some(wanted) => Err(ProbeError::Answer(format!("{path} is {}, not {}", shown(found), shown(wanted)))),
        None if truthy(found) => Ok(()),
        None => Err(ProbeError::Answer(format!("{path} is {}", shown(found)))),
    }
}

fn parse(body: &[u8]) -> Result<Value, ProbeError> {
    serde_json::from_slice(body).map_err(|error| ProbeError::Answer(format!("the answer is no JSON: {error}")))
}

/// `5s`, `250ms`.
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
    fn this_host_has_many_names() {
        for host in ["localhost", "127.0.0.1", "127.1.2.3", "[::1]", "::1", "0.0.0.0"] {
            assert!(is_local(host), "{host}");
        }
        assert!(!is_local("192.0.2.1") && !is_local("example.org"));
    }
}
