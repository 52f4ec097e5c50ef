//! The `process` key as written in a manifest.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::manifest::wire::example::Example;
use crate::manifest::wire::shape::{CommandLine, EnvironmentValue, NamedMap, OneOrMany, Pairs};
use crate::manifest::wire::ulimit::{self, UlimitBlock};
use crate::syntax::located::Located;
use crate::syntax::scalar::ByteSize;

/// Type of this runtime's key, under the name that the list of runtimes expects.
pub(crate) use self::ProcessBlock as Block;

/// Description of the key for editors.
pub(crate) const DESCRIPTION: &str = "A process tree that lcm starts and supervises.";

/// Suggestion for a service without a runtime.
pub(crate) const HINT: &str = "`process:` with a command";

/// Key that no other runtime has, and that identifies the map.
pub(crate) const MARK: &str = "inherit";
/// Key that a plain text in place of the block stands for.
pub(crate) const MAIN_KEY: &str = "command";
/// Block that an editor offers, as JSON with places to fill in, and its description.
pub(crate) const SNIPPET: (&str, &str) = (r#"{ "command": ["${2:./serve.sh}"] }"#, "Service as a process");

/// Keys that only this runtime has.
pub(crate) const KEYS: &[&str] = &["shell", "cwd", "inherit", "log", "nice", "pid_file"];

/// Keys that other runtimes have too, and a service does not.
pub(crate) const SHARED_KEYS: &[&str] = &["command", "environment", "env_file", "ulimits"];

/// False: the keys are lcm's own, not those of Compose.
pub(crate) const HAS_COMPOSE_KEYS: bool = false;

/// Examples for editors.
pub(crate) fn examples() -> Value {
    json!([{ "command": ["./start_comfy.sh"], "cwd": "." }])
}

/// Schema of a complete block.
pub(crate) fn complete() -> Value {
    json!({ "required": ["command"] })
}

/// A process tree that lcm starts. Its environment does not depend on where lcm is called: it has a fixed set of
/// variables plus those given here.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "Process")]
#[serde(deny_unknown_fields)]
pub(crate) struct ProcessBlock {
    /// Command to run: a list is run directly, a string through `shell`.
    #[schemars(example = ["./start_comfy.sh", "--port", "8188"], example = "exec ./start_comfy.sh > /dev/null")]
    pub command: Option<Located<CommandLine>>,
    /// Shell that runs a command given as a string.
    #[schemars(extend("default" = "sh"), example = &"bash")]
    pub shell: Option<Located<String>>,
    /// Working folder, relative to this file.
    #[schemars(extend("default" = "."), example = "../comfy")]
    pub cwd: Option<Located<String>>,
    /// Environment variables. `{ env: NAME }` is a secret from lcm's own environment, masked in all output;
    /// `{ file: PATH }` is a secret from a file.
    #[schemars(example = Example(r#"{ "MODE": "fast", "HF_TOKEN": { "env": "HF_TOKEN" } }"#), example = ["MODE=fast"])]
    pub environment: Option<Located<Pairs<EnvironmentValue>>>,
    /// Files of `KEY=value` lines, relative to this one; their values are secrets. `environment` overrides them.
    #[schemars(example = ".env", example = [".env", "secrets.env"])]
    pub env_file: Option<OneOrMany<Located<String>>>,
    /// Names of variables whose values are always masked in output, even if they do not look like secrets.
    #[serde(default)]
    #[schemars(example = ["DB_PASSWORD"])]
    pub secret: Vec<Located<String>>,
    /// Names of variables that are not secret, even if a value looks like a secret: their values are shown in output,
    /// and a changed value counts as a change to the service's spec.
    #[serde(default)]
    #[schemars(example = ["MODEL"])]
    pub plain: Vec<Located<String>>,
    /// Names of variables to inherit from lcm's own environment, if they are set there.
    #[serde(default)]
    #[schemars(example = ["CUDA_HOME"])]
    pub inherit: Vec<Located<String>>,
    /// Limits of the log file that receives the service's output.
    #[schemars(example = Example(r#"{ "max_size": "20MiB", "files": 3 }"#))]
    pub log: Option<Located<Log>>,
    /// With `match`: pid file of a running process that another program started, which lcm adopts. With `write`: pid
    /// file of the service's first process, which lcm writes for other programs.
    #[schemars(
        example = Example(r#"{ "path": "/run/comfy.pid", "match": "main.py" }"#),
        example = Example(r#"{ "path": "/run/comfy.pid", "write": true }"#)
    )]
    pub pid_file: Option<Located<PidFileBlock>>,
    /// Ulimits of the process, by name: one number for both the soft and the hard limit, or each separately; -1 is no
    /// limit. Unset: the limits that lcm itself has. A limit above lcm's own hard limit needs root.
    #[schemars(
        extend("propertyNames" = ulimit::names()),
        example = Example(r#"{ "nofile": 65536, "memlock": { "soft": -1, "hard": -1 } }"#)
    )]
    pub ulimits: Option<NamedMap<Located<UlimitBlock>>>,
    /// Scheduling priority of the process, from -20 (runs first) to 19 (runs last). Unset: lcm's own, usually 0. A
    /// value below lcm's own needs root.
    #[schemars(range(min = -20, max = 19), example = 10)]
    pub nice: Option<Located<i32>>,
}

/// Limits of a log file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Log {
    /// Size at which the log is rotated.
    #[schemars(extend("default" = "20MiB"), example = "100MiB")]
    pub max_size: Option<Located<ByteSize>>,
    /// Number of rotated log files to keep besides the current one; at most 100.
    #[schemars(extend("default" = 3), example = 5)]
    pub files: Option<Located<u32>>,
}

/// A pid file: of a process to adopt (`match`), or of the process that lcm starts (`write`).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [
    { "required": ["match"] },
    { "required": ["write"], "properties": { "write": { "not": { "const": false } } } },
]))]
#[schemars(rename = "PidFile")]
pub(crate) struct PidFileBlock {
    /// Path of the pid file, relative to this file.
    #[schemars(example = "/run/comfy.pid")]
    pub path: Located<String>,
    /// Text that the process's arguments must contain, because the pid may belong to a different process by now.
    #[serde(rename = "match")]
    #[schemars(length(min = 1), example = "main.py")]
    pub matching: Option<Located<String>>,
    /// True if lcm writes the file at each start and removes it when the process has ended. Its folder must exist and
    /// be writable by its owner only.
    #[serde(default)]
    #[schemars(extend("default" = false), example = true)]
    pub write: Option<Located<bool>>,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::{KEYS, ProcessBlock, SHARED_KEYS};

    #[test]
    fn each_field_of_the_block_is_in_a_list_of_keys() {
        let schema = schemars::schema_for!(ProcessBlock);
        let fields = schema.get("properties").and_then(Value::as_object).expect("properties");
        let fields: BTreeSet<&str> = fields.keys().map(String::as_str).collect();
        // No advice names the last two as keys of another place.
        let listed = [KEYS, SHARED_KEYS, &["secret", "plain"]].concat();
        assert_eq!(fields, listed.into_iter().collect());
    }
}
