//! Advice on an unknown key: its proper place, the key of lcm with the same purpose, or a spelling suggestion.
//!
//! Compose users bring Compose's keys: each that has another place or another name here gets advice of its own.

use crate::manifest::wire::service::{BLOCK_KEYS, BlockKeys};
use crate::syntax::fault::{Fault, suggest};

/// Kind of map that holds the key, recognised by a key that only this kind has.
#[derive(Clone, Copy)]
enum KeyScope {
    Service,
    Runtime(&'static BlockKeys),
    Other,
}

const IN_SERVICE: [&str; 15] = [
    "vram",
    "ram",
    "exclusive_start",
    "gpu",
    "priority",
    "phases",
    "depends_on",
    "health",
    "busy",
    "drain",
    "evict",
    "wake",
    "stop",
    "hooks",
    "recover",
];
/// Keys of other tools, and lcm's key for the same setting.
const SAME_AS: [(&[&str], &str); 13] = [
    (&["env", "envs"], "environment"),
    (&["cmd", "args", "exec", "run", "script"], "command"),
    (&["cmd", "command", "run", "script"], "exec"),
    (&["working_dir", "workdir", "dir", "directory"], "cwd"),
    (&["needs", "requires", "after"], "depends_on"),
    (&["memory", "gpu_memory", "gpu_mem", "mem"], "vram"),
    (&["retries"], "failures"),
    (&["retries", "max_attempts"], "attempts"),
    (&["delay", "interval"], "backoff"),
    (&["to", "end"], "until"),
    (&["start_period", "warmup", "warm_up"], "warm_time"),
    (&["url", "endpoint"], "http"),
    (&["port"], "tcp"),
];

/// Returns the fault for a key that is not among the `expected` ones.
pub(super) fn unknown_key(field: &str, expected: &[&str]) -> Fault {
    let level = level(expected);
    if field == "restart" && may_be_compose(level) {
        let fault = Fault::new("lcm::manifest::restart", "`restart` is not supported", "lcm decides what is restarted");
        return fault.help(
            "remove it: containers that lcm creates have no restart policy, because an engine that starts them by \
             itself would overcommit the GPU; `lcm apply` starts services, and `recover:`, a key of the service, sets \
             how often and how soon a failed one is restarted",
        );
    }
    let fault = Fault::new("lcm::manifest::unknown_key", format!("unknown key `{field}`"), "this key");
    let help = elsewhere(field, level).or_else(|| instead(field, level)).or_else(|| same(field, expected));
    fault.help(help.unwrap_or_else(|| suggest(field, expected.iter().copied())))
}

fn level(expected: &[&str]) -> KeyScope {
    match () {
        () if expected.contains(&"depends_on") => KeyScope::Service,
        () => BLOCK_KEYS.iter().find(|block| expected.contains(&block.mark)).map_or(KeyScope::Other, KeyScope::Runtime),
    }
}

/// Returns true for a map in which people write Compose's keys.
fn may_be_compose(level: KeyScope) -> bool {
    match level {
        KeyScope::Service => true,
        KeyScope::Runtime(block) => block.has_compose_keys,
        KeyScope::Other => false,
    }
}

/// Returns the place of a key that belongs one level up or down.
fn elsewhere(field: &str, level: KeyScope) -> Option<String> {
    let owner = BLOCK_KEYS.iter().find(|block| block.own.contains(&field)).map(|block| block.runtime);
    let takers = BLOCK_KEYS.iter().filter(|block| block.shared.contains(&field));
    let takers: Vec<String> = takers.map(|block| format!("`{}:`", block.runtime)).collect();
    match level {
        KeyScope::Service if !takers.is_empty() => Some(format!("`{field}` belongs under {}", takers.join(" or "))),
        KeyScope::Service => owner.map(|runtime| format!("`{field}` belongs under `{runtime}:`")),
        KeyScope::Runtime(BlockKeys { runtime: here, .. }) if IN_SERVICE.contains(&field) => {
            Some(format!("`{field}` belongs one level up, next to `{here}:`"))
        }
        KeyScope::Runtime(BlockKeys { runtime: here, .. }) => {
            let other = owner.filter(|runtime| runtime != here);
            other.map(|runtime| format!("`{field}` is a key of `{runtime}:`, not of `{here}:`"))
        }
        KeyScope::Other => None,
    }
}

/// Returns the replacement of a Compose key that works differently here.
fn instead(field: &str, level: KeyScope) -> Option<String> {
    if !may_be_compose(level) {
        return None;
    }
    let help = match field {
        "deploy" | "gpus" | "runtime" => {
            "remove it: lcm assigns the GPU; set `vram:` on the service to the memory that it needs, and `gpu:` if a \
             particular GPU is needed"
        }
        "build" => "lcm does not build images: build the image first, and name it in `image:`",
        "profiles" => "use `modes:`, next to `services:`, to define what runs together",
        "post_start" | "pre_stop" => {
            return Some(format!("write `hooks: {{ {field}: [{{ exec: [..] }}] }}` in the service"));
        }
        "stop_signal" | "stop_grace_period" => "write `stop: { signal: TERM, grace: 30s }` in the service",
        _ => return None,
    };
    Some(help.to_owned())
}

fn same(field: &str, expected: &[&str]) -> Option<String> {
    let (_, key) = SAME_AS.iter().find(|(words, key)| words.contains(&field) && expected.contains(key))?;
    Some(format!("did you mean `{key}`?"))
}

#[cfg(test)]
mod tests {
    use super::unknown_key;

    const SERVICE: [&str; 6] = ["process", "docker", "vram", "gpu", "depends_on", "health"];
    const DOCKER: [&str; 5] = ["image", "pull_policy", "command", "environment", "ports"];
    const PROCESS: [&str; 4] = ["command", "cwd", "environment", "inherit"];

    fn help(field: &str, expected: &[&str]) -> String {
        unknown_key(field, expected).help.expect("each has a help")
    }

    #[test]
    fn a_key_of_another_level_is_sent_there() {
        assert_eq!(help("image", &SERVICE), "`image` belongs under `docker:`");
        assert_eq!(help("command", &SERVICE), "`command` belongs under `process:` or `docker:`");
        assert_eq!(help("depends_on", &DOCKER), "`depends_on` belongs one level up, next to `docker:`");
        assert_eq!(help("health", &PROCESS), "`health` belongs one level up, next to `process:`");
        assert_eq!(help("ports", &PROCESS), "`ports` is a key of `docker:`, not of `process:`");
    }

    #[test]
    fn a_compose_key_gets_advice() {
        for field in ["deploy", "gpus", "runtime"] {
            assert!(help(field, &DOCKER).contains("`vram:`"), "{field}");
        }
        assert!(help("build", &SERVICE).contains("`image:`"));
        assert_eq!(unknown_key("restart", &DOCKER).code, "lcm::manifest::restart");
    }

    #[test]
    fn a_key_of_another_tool_is_translated() {
        assert_eq!(help("env", &PROCESS), "did you mean `environment`?");
        assert_eq!(help("working_dir", &PROCESS), "did you mean `cwd`?");
        assert_eq!(help("warmup", &["http", "warm_time"]), "did you mean `warm_time`?");
        assert_eq!(help("env", &["a", "b"]), "available: a, b");
    }
}
