//! A process as it is written.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::manifest::wire::example::Example;
use crate::manifest::wire::shape::{CommandLine, EnvironmentValue, OneOrMany, Pairs};
use crate::syntax::located::Located;
use crate::syntax::scalar::ByteSize;

/// Type of this runtime's key, under the name that the list of runtimes knows.
pub(crate) use self::ProcessBlock as Block;

/// What editors show of the key.
pub(crate) const DESCRIPTION: &str = "A process tree that lcm starts and watches.";

/// What to write where a service has no runtime.
pub(crate) const HINT: &str = "`process:` with a command";

/// A key that no other runtime has, by which its map is known among others.
pub(crate) const MARK: &str = "inherit";

/// Keys that only this runtime has.
pub(crate) const KEYS: &[&str] = &["shell", "cwd", "inherit", "log", "pid_file"];

/// Keys that other runtimes have too, and a service has not.
pub(crate) const SHARED_KEYS: &[&str] = &["command", "environment", "env_file"];

/// Its words are its own.
pub(crate) const HAS_COMPOSE_KEYS: bool = false;

/// Examples for editors.
pub(crate) fn examples() -> Value {
    json!([{ "command": ["./start_comfy.sh"], "cwd": "." }])
}

/// To the schema: when the block is complete.
pub(crate) fn complete() -> Value {
    json!({ "required": ["command"] })
}

/// A process tree that lcm starts. Its environment is a fixed one and what stands here, wherever lcm is called from.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "Process")]
#[serde(deny_unknown_fields)]
pub(crate) struct ProcessBlock {
    /// What to run: a list as it is, a string through a shell.
    #[schemars(example = ["./start_comfy.sh", "--port", "8188"], example = "exec ./start_comfy.sh > /dev/null")]
    pub command: Option<Located<CommandLine>>,
    /// The shell for a command that is a string.
    #[schemars(extend("default" = "sh"), example = &"bash")]
    pub shell: Option<Located<String>>,
    /// The folder that it runs in, relative to this file.
    #[schemars(extend("default" = "."), example = "../comfy")]
    pub cwd: Option<Located<String>>,
    /// Its environment. `{ env: NAME }` is a secret, taken from lcm's own environment and masked everywhere;
    /// `{ file: PATH }` is one from a file.
    #[schemars(example = Example(r#"{ "MODE": "fast", "HF_TOKEN": { "env": "HF_TOKEN" } }"#), example = ["MODE=fast"])]
    pub environment: Option<Located<Pairs<EnvironmentValue>>>,
    /// Files of `KEY=value` lines, relative to this one; their values are secrets. `environment` goes over them.
    #[schemars(example = ".env", example = [".env", "secrets.env"])]
    pub env_file: Option<OneOrMany<Located<String>>>,
    /// Names of variables whose values are masked in every output, whatever they look like.
    #[serde(default)]
    #[schemars(example = ["DB_PASSWORD"])]
    pub secret: Vec<Located<String>>,
    /// Names of variables that are no secrets, whatever their values look like: they are shown, and a change of one is
    /// a change of the service.
    #[serde(default)]
    #[schemars(example = ["MODEL"])]
    pub plain: Vec<Located<String>>,
    /// Names taken over from lcm's own environment, where they are set.
    #[serde(default)]
    #[schemars(example = ["CUDA_HOME"])]
    pub inherit: Vec<Located<String>>,
    /// What becomes of its output.
    #[schemars(example = Example(r#"{ "max_size": "20MiB", "files": 3 }"#))]
    pub log: Option<Located<Log>>,
    /// With `match`: how to know a process that another program started, which is taken over as it runs. With `write`: a
    /// file for the pid of the service's first process, for other programs.
    #[schemars(
        example = Example(r#"{ "path": "/run/comfy.pid", "match": "main.py" }"#),
        example = Example(r#"{ "path": "/run/comfy.pid", "write": true }"#)
    )]
    pub pid_file: Option<Located<PidFileBlock>>,
}

/// Logs, cut off by size.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Log {
    /// The log is rotated when it has grown to this.
    #[schemars(extend("default" = "20MiB"), example = "100MiB")]
    pub max_size: Option<Located<ByteSize>>,
    /// Rotated copies kept beside the one being written, 100 at most.
    #[schemars(extend("default" = 3), example = 5)]
    pub files: Option<Located<u32>>,
}

/// A file with the pid of a process: of one that wrote it itself, or of one that lcm starts.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [
    { "required": ["match"] },
    { "required": ["write"], "properties": { "write": { "not": { "const": false } } } },
]))]
pub(crate) struct PidFileBlock {
    /// The file, relative to this one.
    #[schemars(example = "/run/comfy.pid")]
    pub path: Located<String>,
    /// Must stand in the process's arguments: a pid alone may be another's by now.
    #[serde(rename = "match")]
    #[schemars(length(min = 1), example = "main.py")]
    pub matching: Option<Located<String>>,
    /// lcm writes the file at each start, and removes it when the process has ended; its folder is there already, and only
    /// its owner can write it.
    #[serde(default)]
    #[schemars(extend("default" = false), example = true)]
    pub write: Option<Located<bool>>,
}
