//! What to say about an unknown key: where it belongs, what does its work here, or which word was meant.
//!
//! Who comes from Compose brings its habits: each that has another place or another word here is answered by name.

use crate::manifest::wire::service::{BLOCK_KEYS, BlockKeys};
use crate::syntax::fault::{Fault, suggest};

/// Which map the key stands in, told by a key that only this one has.
#[derive(Clone, Copy)]
enum KeyScope {
    Service,
    Runtime(&'static BlockKeys),
    Other,
}

const IN_SERVICE: [&str; 13] = [
    "vram",
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
/// Words of other tools, and the key that says the same here.
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

/// An unknown key among those that are `expected`.
pub(super) fn unknown_key(field: &str, expected: &[&str]) -> Fault {
    let level = level(expected);
    if field == "restart" && may_be_compose(level) {
        let fault =
            Fault::new("lcm::manifest::restart", "`restart` is not a key of lcm", "who restarts what is lcm's to say");
        return fault.help(
            "remove it: containers that lcm creates have no restart policy, since an engine that starts them by \
             itself would overcommit the GPU; lcm brings up what is wanted when it is applied, and what failed as \
             often and as soon as `recover:`, a key of the service, says",
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

/// Returns true for a map in which people write keys of Compose's.
fn may_be_compose(level: KeyScope) -> bool {
    match level {
        KeyScope::Service => true,
        KeyScope::Runtime(block) => block.has_compose_keys,
        KeyScope::Other => false,
    }
}

/// A key of lcm's that stands one level up or down.
fn elsewhere(field: &str, level: KeyScope) -> Option<String> {
    let owner = BLOCK_KEYS.iter().find(|block| block.own.contains(&field)).map(|block| block.runtime);
    let takers = BLOCK_KEYS.iter().filter(|block| block.shared.contains(&field));
    let takers: Vec<String> = takers.map(|block| format!("`{}:`", block.runtime)).collect();
    match level {
        KeyScope::Service if !takers.is_empty() => Some(format!("`{field}` stands below {}", takers.join(" or "))),
        KeyScope::Service => owner.map(|runtime| format!("`{field}` stands below `{runtime}:`")),
        KeyScope::Runtime(BlockKeys { runtime: here, .. }) if IN_SERVICE.contains(&field) => {
            Some(format!("`{field}` stands one level up, beside `{here}:`"))
        }
        KeyScope::Runtime(BlockKeys { runtime: here, .. }) => {
            let other = owner.filter(|runtime| runtime != here);
            other.map(|runtime| format!("`{field}` is a key of `{runtime}:`, not of `{here}:`"))
        }
        KeyScope::Other => None,
    }
}

/// A key of Compose's whose work is done by something else here.
fn instead(field: &str, level: KeyScope) -> Option<String> {
    if !may_be_compose(level) {
        return None;
    }
    let help = match field {
        "deploy" | "gpus" | "runtime" => {
            "remove it: lcm hands the container its GPU; the service says with `vram:` how much it takes, and with \
             `gpu:` which one, where that matters"
        }
        "build" => "lcm builds no images: build it before, and name it in `image:`",
        "profiles" => "`modes:`, beside `services:`, says what runs together",
        "post_start" | "pre_stop" => {
            return Some(format!("write `hooks: {{ {field}: [{{ exec: [..] }}] }}` into the service"));
        }
        "stop_signal" | "stop_grace_period" => "write `stop: { signal: TERM, grace: 30s }` into the service",
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
        assert_eq!(help("image", &SERVICE), "`image` stands below `docker:`");
        assert_eq!(help("command", &SERVICE), "`command` stands below `process:` or `docker:`");
        assert_eq!(help("depends_on", &DOCKER), "`depends_on` stands one level up, beside `docker:`");
        assert_eq!(help("health", &PROCESS), "`health` stands one level up, beside `process:`");
        assert_eq!(help("ports", &PROCESS), "`ports` is a key of `docker:`, not of `process:`");
    }

    #[test]
    fn a_habit_of_compose_is_answered() {
        for field in ["deploy", "gpus", "runtime"] {
            assert!(help(field, &DOCKER).contains("`vram:`"), "{field}");
        }
        assert!(help("build", &SERVICE).contains("`image:`"));
        assert_eq!(unknown_key("restart", &DOCKER).code, "lcm::manifest::restart");
    }

    #[test]
    fn a_word_of_another_tool_is_translated() {
        assert_eq!(help("env", &PROCESS), "did you mean `environment`?");
        assert_eq!(help("working_dir", &PROCESS), "did you mean `cwd`?");
        assert_eq!(help("warmup", &["http", "warm_time"]), "did you mean `warm_time`?");
        assert_eq!(help("env", &["a", "b"]), "there are: a, b");
    }
}
