//! Probes as they are written: health, busy, and what is called to stop a service, to evict its memory or
//! to wake it.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, Error};

use crate::manifest::wire::example::Example;
use crate::manifest::wire::shape::{CommandLine, Commands, OneOrMany};
use crate::runtime::list::runtimes_with_health_check;
use crate::syntax::fault::Fault;
use crate::syntax::located::Located;
use crate::syntax::scalar::{ByteSize, Period, ScalarText, VARIABLE_PATTERN};
use crate::syntax::source::Span;

macro_rules! define_health {
    ($($runtime:ident)*) => {
        /// How it is seen to answer: by one of `http`, `tcp`, `exec`, `log`, `docker`, or by being alive.
        #[derive(Debug, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct HealthBlock {
            /// A URL of its own, over plain HTTP: any 2xx is well.
            #[schemars(example = "http://localhost:8188/system_stats")]
            pub http: Option<Located<String>>,
            /// A port that takes connections: `HOST:PORT`, or a port of this machine.
            #[schemars(example = "localhost:5432", example = 5432)]
            pub tcp: Option<Located<ScalarText>>,
            /// A command that exits with 0; in the container for containers. A string goes through `sh -c`.
            #[schemars(example = ["./ready.sh"])]
            pub exec: Option<Located<CommandLine>>,
            /// A regular expression that stands in the output since this start.
            #[schemars(example = "Uvicorn running on")]
            pub log: Option<Located<String>>,
            $(
                #[schemars(description = crate::runtime::$runtime::wire::HEALTH_DESCRIPTION, example = true)]
                pub $runtime: Option<Located<bool>>,
            )*
            /// With `http`: the statuses that are well, in place of any 2xx.
            #[schemars(example = 200, example = [200, 401])]
            pub status: Option<OneOrMany<Located<StatusValue>>>,
            /// With `http`: must stand in the body.
            #[schemars(example = "\"ready\"")]
            pub body: Option<Located<String>>,
            /// With `http`: a JSON pointer into the body, to something that is not false, 0, null or empty.
            #[schemars(example = "/status")]
            pub pointer: Option<Located<JsonPointer>>,
            /// With `pointer`: what must stand there.
            #[schemars(example = &"ok")]
            pub equals: Option<Located<serde_json::Value>>,
            /// With `http` or `tcp`: whose listener may answer at a port of this host. `own`: the service's, and no other program
            /// counts as the service. `any`: a proxy may stand before it; the port is then none that the service needs.
            #[schemars(extend("default" = "own"), example = &"any")]
            pub listener: Option<Located<Listener>>,
            /// Deadline of one probe.
            #[schemars(extend("default" = "5s"), example = "2s")]
            pub probe_timeout: Option<Located<Period>>,
            /// Time between two probes. Without it, it grows with the wait, between 10 ms and 2 s.
            #[schemars(example = "500ms")]
            pub interval: Option<Located<Period>>,
            /// Failures before it count for nothing; a success counts at once.
            #[schemars(extend("default" = "0s"), example = "30s")]
            pub warm_time: Option<Located<Period>>,
            /// How long a start may take, after the warm time.
            #[schemars(extend("default" = "60s"), example = "120s")]
            pub timeout: Option<Located<Period>>,
            /// So many failures in a row, within one observation, make a running service unhealthy.
            #[schemars(extend("default" = 3), range(min = 1), example = 5)]
            pub failures: Option<Located<u32>>,
            /// So many successes in a row make a starting service healthy.
            #[schemars(extend("default" = 1), range(min = 1), example = 3)]
            pub successes: Option<Located<u32>>,
            /// For so long it must have answered.
            #[schemars(extend("default" = "0s"), example = "10s")]
            pub stable_for: Option<Located<Period>>,
        }

        impl HealthBlock {
            /// Returns the runtimes whose own health check is asked for, by key.
            pub(crate) fn own_checks(&self) -> Vec<(&'static str, Span)> {
                let checks = [$((stringify!($runtime), self.$runtime.as_ref())),*];
                let asked = checks.into_iter().filter_map(|(name, check)| Some((name, check.filter(|check| check.value)?)));
                asked.map(|(name, check)| (name, check.span)).collect()
            }
        }
    };
}
runtimes_with_health_check!(define_health);

/// Whose listener may answer a health probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Listener {
    Own,
    Any,
}

/// How it is seen to be working: by `http` with `pointer`, or by `exec`. A probe that fails counts as busy.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BusyBlock {
    /// A URL of its own, over plain HTTP.
    #[schemars(example = "http://localhost:8188/prompt")]
    pub http: Option<Located<String>>,
    /// With `http`: a JSON pointer into the body; busy while something is there but false, 0, null or empty.
    #[schemars(example = "/exec_info/queue_remaining")]
    pub pointer: Option<Located<JsonPointer>>,
    /// A command: busy while it exits with 0. A string goes through `sh -c`.
    #[schemars(example = ["./busy.sh"])]
    pub exec: Option<Located<CommandLine>>,
    /// Deadline of one probe.
    #[schemars(extend("default" = "5s"), example = "2s")]
    pub probe_timeout: Option<Located<Period>>,
}

/// How it gives GPU memory back without stopping: by `http` or by `exec`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EvictBlock {
    /// A request, or several, one after the other.
    #[schemars(example = Example(r#"{ "method": "POST", "url": "http://localhost:8188/free", "json": { "unload_models": true } }"#))]
    pub http: Option<OneOrMany<Located<RequestBlock>>>,
    /// A command, or a list of commands. A string goes through `sh -c`.
    #[schemars(example = ["./unload.sh"])]
    pub exec: Option<Located<Commands>>,
    /// What it may still hold afterwards, on each GPU.
    #[schemars(extend("default" = "512MiB"), example = "1GiB")]
    pub resident: Option<Located<ByteSize>>,
    /// Deadline of one call.
    #[schemars(extend("default" = "30s"), example = "10s")]
    pub timeout: Option<Located<Period>>,
}

/// How it takes GPU memory again that it gave back: by `http` or by `exec`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WakeBlock {
    /// A request, or several, one after the other.
    #[schemars(example = Example(r#"{ "method": "POST", "url": "http://localhost:8000/wake_up" }"#))]
    pub http: Option<OneOrMany<Located<RequestBlock>>>,
    /// A command, or a list of commands. A string goes through `sh -c`.
    #[schemars(example = ["./load.sh"])]
    pub exec: Option<Located<Commands>>,
    /// Deadline of one call.
    #[schemars(extend("default" = "30s"), example = "2m")]
    pub timeout: Option<Located<Period>>,
}

/// A request.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestBlock {
    /// The method.
    #[schemars(extend("default" = "POST"), example = &"DELETE")]
    pub method: Option<Method>,
    /// A URL of its own, over plain HTTP.
    #[schemars(example = "http://localhost:11434/api/generate")]
    pub url: Located<String>,
    /// A JSON body.
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

/// How it is stopped: by a signal, or by a command.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StopBlock {
    /// The signal. Without it: TERM for processes, the image's own for containers.
    #[schemars(example = &"INT")]
    pub signal: Option<Located<ScalarText>>,
    /// How long it may take to end; what is left then is killed.
    #[schemars(extend("default" = "10s"), example = "30s")]
    pub grace: Option<Located<Period>>,
    /// A command in place of the signal. A string goes through `sh -c`.
    #[schemars(example = ["./stop.sh"])]
    pub exec: Option<Located<CommandLine>>,
}

/// A JSON pointer: empty, or parts with a slash before each.
#[derive(Clone, Debug)]
pub(crate) struct JsonPointer(pub String);

/// A status of HTTP.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StatusValue(pub u16);

impl<'de> Deserialize<'de> for JsonPointer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() || text.starts_with('/') {
            return Ok(Self(text));
        }
        let fault = Fault::new("lcm::manifest::type", format!("`{text}` is no JSON pointer"), "it begins with a slash");
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
            format!("{status} is no status of HTTP"),
            "from 100 to 599",
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
