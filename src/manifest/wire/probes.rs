//! Probes and calls of a service as written in a manifest: health, busy, stop, evict and wake.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, Error};
use serde_json::{Value, json};

use crate::manifest::wire::example::Example;
use crate::manifest::wire::shape::{CommandLine, Commands, OneOrMany};
use crate::model::signal;
use crate::runtime::list::runtimes_with_health_check;
use crate::syntax::fault::Fault;
use crate::syntax::located::Located;
use crate::syntax::pattern::{ADDRESS_PATTERN, URL_PATTERN};
use crate::syntax::scalar::{ByteSize, DurationText, ScalarText, VARIABLE_PATTERN};
use crate::syntax::source::Span;

macro_rules! define_health {
    ($($runtime:ident)*) => {
        /// Health probe: one of `http`, `tcp`, `exec`, `log` and `docker`. Without a probe, a service that is alive
        /// counts as healthy.
        #[derive(Debug, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        #[schemars(rename = "Health", transform = at_most_one_probe)]
        pub(crate) struct HealthBlock {
            /// URL of the service itself, over plain HTTP (not https). Any 2xx status counts as healthy.
            #[schemars(regex(pattern = URL_PATTERN), example = "http://localhost:8188/system_stats")]
            pub http: Option<Located<String>>,
            /// Port that accepts connections: `HOST:PORT`, or a port of this machine.
            #[schemars(
                extend("pattern" = ADDRESS_PATTERN, "minimum" = 1, "maximum" = 65535),
                example = "localhost:5432",
                example = 5432
            )]
            pub tcp: Option<Located<ScalarText>>,
            /// Command that exits with 0 if the service is healthy; for a container, it runs inside the container. A
            /// string is run by `sh -c`.
            #[schemars(example = ["./ready.sh"])]
            pub exec: Option<Located<CommandLine>>,
            /// Regular expression; the service is healthy once its output since the start matches.
            #[schemars(example = "Uvicorn running on")]
            pub log: Option<Located<String>>,
            $(
                #[schemars(description = crate::runtime::$runtime::wire::HEALTH_DESCRIPTION, example = true)]
                pub $runtime: Option<Located<bool>>,
            )*
            /// With `http`: the statuses that count as healthy, instead of any 2xx.
            #[schemars(example = 200, example = [200, 401])]
            pub status: Option<OneOrMany<Located<StatusValue>>>,
            /// With `http`: text that the body must contain.
            #[schemars(example = "\"ready\"")]
            pub body: Option<Located<String>>,
            /// With `http`: JSON pointer into the body. The service is healthy if the value there is not false, 0, null or
            /// empty.
            #[schemars(example = "/status")]
            pub pointer: Option<Located<JsonPointer>>,
            /// With `pointer`: the value that must be found there.
            #[schemars(example = &"ok")]
            pub equals: Option<Located<serde_json::Value>>,
            /// With `http` or `tcp`: the listener that may answer at a port of this host. `own`: only the service
            /// itself; an answer from any other program does not count. `any`: also a different program, such as a
            /// proxy in front of the service; the port then does not have to be free for the service to start.
            #[schemars(extend("default" = "own"), example = &"any")]
            pub listener: Option<Located<Listener>>,
            /// Time limit of one probe.
            #[schemars(extend("default" = "5s"), example = "2s")]
            pub probe_timeout: Option<Located<DurationText>>,
            /// Time between two probes. Unset: 10 ms at first, growing to 2 s.
            #[schemars(example = "500ms")]
            pub interval: Option<Located<DurationText>>,
            /// Time after a start during which failures do not count; a success counts at once.
            #[schemars(extend("default" = "0s"), example = "30s")]
            pub warm_time: Option<Located<DurationText>>,
            /// Time limit of a start, counted after `warm_time`.
            #[schemars(extend("default" = "60s"), example = "120s")]
            pub timeout: Option<Located<DurationText>>,
            /// Number of consecutive failures that make a running service unhealthy. lcm repeats a failed probe at once
            /// until that number is reached; failures that an earlier lcm command observed do not count.
            #[schemars(extend("default" = 3), range(min = 1), example = 5)]
            pub failures: Option<Located<u32>>,
            /// Consecutive successes that make a starting service healthy.
            #[schemars(extend("default" = 1), range(min = 1), example = 3)]
            pub successes: Option<Located<u32>>,
            /// Time for which the service must keep answering before it counts as healthy.
            #[schemars(extend("default" = "0s"), example = "10s")]
            pub stable_for: Option<Located<DurationText>>,
        }

        /// Probes of which a service has at most one, by key; a runtime's own check counts where it is `true`.
        const PROBES: &[(&str, bool)] =
            &[("http", false), ("tcp", false), ("exec", false), ("log", false), $((stringify!($runtime), true)),*];

        impl HealthBlock {
            /// Returns the runtimes whose own health check is requested, by key.
            pub(crate) fn own_checks(&self) -> Vec<(&'static str, Span)> {
                let checks = [$((stringify!($runtime), self.$runtime.as_ref())),*];
                let asked = checks.into_iter().filter_map(|(name, check)| Some((name, check.filter(|check| check.value)?)));
                asked.map(|(name, check)| (name, check.span)).collect()
            }
        }
    };
}
runtimes_with_health_check!(define_health);

/// Adds to the schema that two probes exclude each other.
fn at_most_one_probe(schema: &mut Schema) {
    let pair = |one: &str, other: &str, is_own_check: bool| {
        let set = if is_own_check { json!({ other: { "const": true } }) } else { json!({}) };
        json!({ "required": [one, other], "properties": set })
    };
    let pairs = PROBES.iter().enumerate().flat_map(|(at, (one, _))| {
        PROBES[at + 1..].iter().map(move |(other, is_own_check)| pair(one, other, *is_own_check))
    });
    schema.insert("not".to_owned(), json!({ "anyOf": pairs.collect::<Vec<Value>>() }));
}

/// Adds to the schema that `http` and `exec` exclude each other.
fn not_both_calls(schema: &mut Schema) {
    schema.insert("not".to_owned(), json!({ "required": ["http", "exec"] }));
}

/// Adds to the schema that a call is by `http` or by `exec`.
pub(crate) fn one_call(schema: &mut Schema) {
    schema.insert("oneOf".to_owned(), json!([{ "required": ["http"] }, { "required": ["exec"] }]));
}

/// Returns the schema of the calls and probes of a service that extends no template: what a template could add is
/// required there.
pub(super) fn complete_calls() -> Value {
    let call = json!({ "anyOf": [{ "required": ["http"] }, { "required": ["exec"] }] });
    let busy = json!({ "anyOf": [{ "required": ["http", "pointer"] }, { "required": ["exec"] }] });
    json!({ "evict": call, "wake": call, "busy": busy })
}

/// Returns the pattern of the signals that stop a service.
fn signal_pattern() -> String {
    let names: Vec<&str> = signal::stopping().collect();
    format!("^(SIG)?({})$|{VARIABLE_PATTERN}", names.join("|"))
}

/// Listener that may answer a health probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Listener {
    Own,
    Any,
}

/// Busy probe: by `http` with `pointer`, or by `exec`. A probe that fails counts as busy.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Busy", transform = not_both_calls)]
pub(crate) struct BusyBlock {
    /// URL of the service itself, over plain HTTP (not https).
    #[schemars(regex(pattern = URL_PATTERN), example = "http://localhost:8188/prompt")]
    pub http: Option<Located<String>>,
    /// With `http`: JSON pointer to a value in the body; the service is busy unless that is absent, false, 0, null or
    /// empty.
    #[schemars(example = "/exec_info/queue_remaining")]
    pub pointer: Option<Located<JsonPointer>>,
    /// Command that exits with 0 while the service is busy. A string is run by `sh -c`.
    #[schemars(example = ["./busy.sh"])]
    pub exec: Option<Located<CommandLine>>,
    /// Time limit of one probe.
    #[schemars(extend("default" = "5s"), example = "2s")]
    pub probe_timeout: Option<Located<DurationText>>,
}

/// Calls that make the service release its GPU memory: `http` or `exec`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Evict", transform = not_both_calls)]
pub(crate) struct EvictBlock {
    /// Request, or a list of requests, sent one after the other.
    #[schemars(example = Example(r#"{ "method": "POST", "url": "http://localhost:8188/free", "json": { "unload_models": true } }"#))]
    pub http: Option<OneOrMany<Located<RequestBlock>>>,
    /// Command, or a list of commands. A string is run by `sh -c`.
    #[schemars(example = ["./unload.sh"])]
    pub exec: Option<Located<Commands>>,
    /// GPU memory that the service may still hold afterwards, on each GPU.
    #[schemars(extend("default" = "512MiB"), example = "1GiB")]
    pub resident: Option<Located<ByteSize>>,
    /// Time limit of one call.
    #[schemars(extend("default" = "30s"), example = "10s")]
    pub timeout: Option<Located<DurationText>>,
}

/// Calls that make the service load into GPU memory again: `http` or `exec`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Wake", transform = not_both_calls)]
pub(crate) struct WakeBlock {
    /// Request, or a list of requests, sent one after the other.
    #[schemars(example = Example(r#"{ "method": "POST", "url": "http://localhost:8000/wake_up" }"#))]
    pub http: Option<OneOrMany<Located<RequestBlock>>>,
    /// Command, or a list of commands. A string is run by `sh -c`.
    #[schemars(example = ["./load.sh"])]
    pub exec: Option<Located<Commands>>,
    /// Time limit of one call.
    #[schemars(extend("default" = "30s"), example = "2m")]
    pub timeout: Option<Located<DurationText>>,
}

/// HTTP request.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Request")]
pub(crate) struct RequestBlock {
    /// HTTP method.
    #[schemars(extend("default" = "POST"), example = &"DELETE")]
    pub method: Option<Method>,
    /// URL to call, over plain HTTP (not https).
    #[schemars(regex(pattern = URL_PATTERN), example = "http://localhost:11434/api/generate")]
    pub url: Located<String>,
    /// JSON body.
    #[schemars(example = Example(r#"{ "model": "qwen2.5:32b", "keep_alive": 0 }"#))]
    pub json: Option<serde_json::Value>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// Stop procedure: a signal or a command.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Stop")]
pub(crate) struct StopBlock {
    /// Signal to send. Unset: TERM for processes, the image's own for containers.
    #[schemars(extend("pattern" = signal_pattern()), example = &"INT")]
    pub signal: Option<Located<ScalarText>>,
    /// Time that the service has to end after the signal or command; it is then killed.
    #[schemars(extend("default" = "10s"), example = "30s")]
    pub grace: Option<Located<DurationText>>,
    /// Command to run instead of sending the signal. A string is run by `sh -c`.
    #[schemars(example = ["./stop.sh"])]
    pub exec: Option<Located<CommandLine>>,
}

/// JSON pointer: empty, or parts with a slash before each.
#[derive(Clone, Debug)]
pub(crate) struct JsonPointer(pub String);

/// HTTP status.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StatusValue(pub u16);

impl<'de> Deserialize<'de> for JsonPointer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() || text.starts_with('/') {
            return Ok(Self(text));
        }
        let fault =
            Fault::new("lcm::manifest::type", format!("invalid JSON pointer `{text}`"), "must begin with a slash");
        Err(D::Error::custom(fault.help(format!("write `/{}`", text.replace('.', "/")))))
    }
}

impl<'de> Deserialize<'de> for StatusValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let status = u16::deserialize(deserializer)?;
        if (100..600).contains(&status) {
            return Ok(Self(status));
        }
        Err(D::Error::custom(Fault::new(
            "lcm::manifest::type",
            format!("invalid HTTP status {status}"),
            "must be from 100 to 599",
        )))
    }
}

impl JsonSchema for JsonPointer {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "JsonPointer".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": format!("^(/.*)?$|{VARIABLE_PATTERN}") })
    }
}

impl JsonSchema for StatusValue {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "StatusValue".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 100, "maximum": 599 })
    }
}
