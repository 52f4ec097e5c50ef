//! What is called beside a change, as it is written: hooks of a service, notifiers of the whole manifest; and how a
//! service is brought back.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::manifest::wire::example::Example;
use crate::manifest::wire::health::RequestBlock;
use crate::manifest::wire::shape::{CommandLine, OneOrMany};
use crate::model::hooks::RunEvent;
use crate::model::lifecycle::{Class, State};
use crate::syntax::located::Located;
use crate::syntax::scalar::Period;

/// What lcm calls when it starts or stops this service, one after the other.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HooksBlock {
    /// Before it starts. One that is `required` and fails prevents the start.
    #[schemars(example = Example(r#"[{ "exec": ["./fetch_model.sh"], "timeout": "2m", "required": true }]"#))]
    pub pre_start: Option<OneOrMany<Located<HookBlock>>>,
    /// After it has started and answers.
    #[schemars(example = Example(r#"[{ "exec": ["./warm.sh"] }]"#))]
    pub post_start: Option<OneOrMany<Located<HookBlock>>>,
    /// Before it is stopped. One that is `required` and fails prevents the stop.
    #[schemars(example = Example(r#"[{ "http": { "url": "http://localhost:8188/save" }, "required": true }]"#))]
    pub pre_stop: Option<OneOrMany<Located<HookBlock>>>,
    /// After it has ended.
    #[schemars(example = Example(r#"[{ "exec": ["./collect.sh"] }]"#))]
    pub post_stop: Option<OneOrMany<Located<HookBlock>>>,
}

/// One call, by `exec` or by `http`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HookBlock {
    /// A command, run in the folder of this file. A string goes through `sh -c`.
    #[schemars(example = ["./warm.sh"])]
    pub exec: Option<Located<CommandLine>>,
    /// A request.
    #[schemars(example = Example(r#"{ "method": "POST", "url": "http://localhost:8188/warm" }"#))]
    pub http: Option<Located<RequestBlock>>,
    /// How long it may take.
    #[schemars(extend("default" = "30s"), example = "2m")]
    pub timeout: Option<Located<Period>>,
    /// Before a change: whether its failure prevents it.
    #[schemars(extend("default" = false), example = true)]
    pub required: Option<Located<bool>>,
}

/// Somebody who is told of changes, by `exec` with the event as JSON on stdin, or by `http` with the event as its
/// body. It prevents none and delays none.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NotifierBlock {
    /// A command, run in the folder of this file. A string goes through `sh -c`.
    #[schemars(example = ["./tell.sh"])]
    pub exec: Option<Located<CommandLine>>,
    /// A request. Without a `json` of its own, the event is its body.
    #[schemars(example = Example(r#"{ "url": "http://localhost:9000/lcm" }"#))]
    pub http: Option<Located<RequestBlock>>,
    /// Before a change or after it.
    #[schemars(extend("default" = "after"), example = &"before")]
    pub when: Option<WhenValue>,
    /// Changes to these states. Without it and without `classes`: to any.
    #[schemars(example = &"online", example = ["failed", "timeout"])]
    pub states: Option<Located<OneOrMany<Located<State>>>>,
    /// Changes to states of these classes.
    #[schemars(example = &"in_error", example = ["operational", "in_error"])]
    pub classes: Option<Located<OneOrMany<Located<Class>>>>,
    /// Of these services; without it, of all.
    #[schemars(example = &"comfyui", example = ["comfyui", "ollama"])]
    pub services: Option<Located<OneOrMany<Located<String>>>>,
    /// Events of whole runs. Without `states`, `classes` and `services`, only these.
    #[schemars(example = &"run_failed", example = ["mode_changed", "run_failed"])]
    pub events: Option<Located<OneOrMany<Located<RunEvent>>>>,
    /// How long it may take.
    #[schemars(extend("default" = "10s"), example = "5s")]
    pub timeout: Option<Located<Period>>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum WhenValue {
    /// Once it is about to be made.
    Before,
    /// Once it is made, or was seen.
    After,
}

/// How often, and how soon, a service that failed is brought back.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecoverBlock {
    /// So often, until it has been well for a while; 0: never by itself.
    #[schemars(extend("default" = 3), example = 5)]
    pub attempts: Option<Located<u32>>,
    /// Waited for before the second attempt; twice as long before each further one.
    #[schemars(extend("default" = "1s"), example = "10s")]
    pub backoff: Option<Located<Period>>,
    /// The wait grows no longer than this.
    #[schemars(extend("default" = "1h"), example = "10m")]
    pub max_backoff: Option<Located<Period>>,
}
