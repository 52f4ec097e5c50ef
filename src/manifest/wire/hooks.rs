//! Hooks of a service, notifiers of the whole manifest, and the recovery of failed services, as written in a manifest.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::manifest::wire::example::Example;
use crate::manifest::wire::probes::{RequestBlock, one_call};
use crate::manifest::wire::shape::{CommandLine, OneOrMany};
use crate::model::hooks::RunEvent;
use crate::model::lifecycle::{Class, State};
use crate::syntax::located::Located;
use crate::syntax::scalar::DurationText;

/// Hooks that lcm calls when it starts or stops this service, one after the other.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Hooks")]
pub(crate) struct HooksBlock {
    /// Hooks before the start. A hook that is `required` and fails prevents the start.
    #[schemars(example = Example(r#"[{ "exec": ["./fetch_model.sh"], "timeout": "2m", "required": true }]"#))]
    pub pre_start: Option<OneOrMany<Located<HookBlock>>>,
    /// Hooks after the service has started and is healthy.
    #[schemars(example = Example(r#"[{ "exec": ["./warm.sh"] }]"#))]
    pub post_start: Option<OneOrMany<Located<HookBlock>>>,
    /// Hooks before the stop. A hook that is `required` and fails prevents the stop.
    #[schemars(example = Example(r#"[{ "http": { "url": "http://localhost:8188/save" }, "required": true }]"#))]
    pub pre_stop: Option<OneOrMany<Located<HookBlock>>>,
    /// Hooks after the service has ended.
    #[schemars(example = Example(r#"[{ "exec": ["./collect.sh"] }]"#))]
    pub post_stop: Option<OneOrMany<Located<HookBlock>>>,
}

/// Hook: one call, by `exec` or by `http`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Hook", transform = one_call)]
pub(crate) struct HookBlock {
    /// Command, run in the folder of this file. A string is run by `sh -c`.
    #[schemars(example = ["./warm.sh"])]
    pub exec: Option<Located<CommandLine>>,
    /// HTTP request.
    #[schemars(example = Example(r#"{ "method": "POST", "url": "http://localhost:8188/warm" }"#))]
    pub http: Option<Located<RequestBlock>>,
    /// Time limit of the call.
    #[schemars(extend("default" = "30s"), example = "2m")]
    pub timeout: Option<Located<DurationText>>,
    /// For hooks before a change: true if the hook's failure prevents the change.
    #[schemars(extend("default" = false), example = true)]
    pub required: Option<Located<bool>>,
}

/// Receiver of change notifications: `exec` gets the event as JSON on stdin, `http` as the body of the request. A
/// notifier neither prevents nor delays a change.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Notifier", transform = one_call)]
pub(crate) struct NotifierBlock {
    /// Command, run in the folder of this file. A string is run by `sh -c`.
    #[schemars(example = ["./tell.sh"])]
    pub exec: Option<Located<CommandLine>>,
    /// HTTP request. Without its own `json`, the event is the body.
    #[schemars(example = Example(r#"{ "url": "http://localhost:9000/lcm" }"#))]
    pub http: Option<Located<RequestBlock>>,
    /// When the notification is sent: before or after the change.
    #[schemars(extend("default" = "after"), example = &"before")]
    pub when: Option<WhenValue>,
    /// Target states of the changes to report. If neither `states` nor `classes` is set: any state.
    #[schemars(example = &"online", example = ["failed", "timeout"])]
    pub states: Option<Located<OneOrMany<Located<State>>>>,
    /// Classes of the target states of the changes to report.
    #[schemars(example = &"in_error", example = ["operational", "in_error"])]
    pub classes: Option<Located<OneOrMany<Located<Class>>>>,
    /// Services whose changes are reported. Unset: all services.
    #[schemars(example = &"comfyui", example = ["comfyui", "ollama"])]
    pub services: Option<Located<OneOrMany<Located<String>>>>,
    /// Events of whole runs to report. With this key, state changes are reported only if `states`, `classes` or
    /// `services` is set too.
    #[schemars(example = &"run_failed", example = ["mode_changed", "run_failed"])]
    pub events: Option<Located<OneOrMany<Located<RunEvent>>>>,
    /// Time limit of the call.
    #[schemars(extend("default" = "10s"), example = "5s")]
    pub timeout: Option<Located<DurationText>>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "When")]
pub(crate) enum WhenValue {
    /// The notification is sent just before the change.
    Before,
    /// The notification is sent after the change was made or observed.
    After,
}

/// Recovery: how often, and how soon, a failed service is restarted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Recover")]
pub(crate) struct RecoverBlock {
    /// Number of restarts in a row that use up the restart budget; 0: no automatic restart. Once the budget is used up,
    /// lcm retries at longer intervals, as long as no other service has to stop for it. The count starts over once the
    /// service has been healthy for 10 minutes plus its longest start (`warm_time` and `timeout` of `health`).
    #[schemars(extend("default" = 3), example = 5)]
    pub attempts: Option<Located<u32>>,
    /// Wait before the second attempt; doubled before each further attempt.
    #[schemars(extend("default" = "1s"), example = "10s")]
    pub backoff: Option<Located<DurationText>>,
    /// Longest wait between two attempts.
    #[schemars(extend("default" = "1h"), example = "10m")]
    pub max_backoff: Option<Located<DurationText>>,
}
