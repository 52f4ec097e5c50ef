//! Calls of a container engine's command line within a command: by path, by `sudo`, or in a shell.

use crate::syntax::command_line;

/// Programs whose `run` takes Docker's flags.
const ENGINES: [&str; 2] = ["docker", "podman"];
const SHELLS: [&str; 4] = ["sh", "bash", "dash", "zsh"];
/// Flags of `sudo` that don't change the command.
const SUDO_FLAGS: [&str; 4] = ["-n", "-E", "-H", "--"];
/// Characters with which a script is more than one plain command.
const SHELL_SYNTAX: &[char] = &[';', '&', '|', '<', '>', '(', ')', '`', '*', '?', '[', '~', '#', '!', '{', '}', '\n'];
/// Flags of the engine itself that take a value: `docker --context lab run`.
const VALUE_FLAGS: [&str; 17] = [
    "-H",
    "--host",
    "-c",
    "--context",
    "--config",
    "-l",
    "--log-level",
    "--tlscacert",
    "--tlscert",
    "--tlskey",
    "--connection",
    "--url",
    "--identity",
    "--root",
    "--runroot",
    "--storage-driver",
    "--cgroup-manager",
];

/// Call of an engine's command line.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::import) struct EngineCall {
    /// `docker` or `podman`.
    pub(in crate::import) engine: &'static str,
    /// Names of the flags before the subcommand: they choose another engine, or how to reach it.
    pub(in crate::import) flags: Vec<String>,
    pub(in crate::import) by_sudo: bool,
    /// `run`, `start`, `stop`.
    pub(in crate::import) subcommand: String,
    pub(in crate::import) arguments: Vec<String>,
}

/// Returns the call that the command consists of; `None`: it is another program.
pub(in crate::import) fn engine_call(words: &[String]) -> Option<EngineCall> {
    let by_sudo = words.first().is_some_and(|first| program(first) == "sudo");
    let words = if by_sudo {
        let flags = words[1..].iter().take_while(|word| SUDO_FLAGS.contains(&word.as_str())).count();
        &words[1 + flags..]
    } else {
        words
    };
    let scripted = script(words).and_then(plain_command);
    let words = scripted.as_deref().unwrap_or(words);
    let engine = ENGINES.into_iter().find(|engine| words.first().is_some_and(|first| program(first) == *engine))?;
    let (mut flags, mut rest) = (Vec::new(), &words[1..]);
    while let Some(flag) = rest.first().filter(|word| word.starts_with('-')) {
        let (name, value) = flag.split_once('=').map_or((flag.as_str(), None), |(name, value)| (name, Some(value)));
        flags.push(name.to_owned());
        let takes_next = value.is_none() && VALUE_FLAGS.contains(&name);
        rest = rest.get(1 + usize::from(takes_next)..)?;
    }
    if rest.first().is_some_and(|word| word == "container") {
        rest = &rest[1..];
    }
    let (subcommand, arguments) = rest.split_first()?;
    Some(EngineCall { engine, flags, by_sudo, subcommand: subcommand.clone(), arguments: arguments.to_vec() })
}

/// Returns the script of `sh -c SCRIPT`.
fn script(words: &[String]) -> Option<&str> {
    let [shell, flag, script] = words else { return None };
    (SHELLS.contains(&program(shell)) && flag.starts_with('-') && flag.ends_with('c')).then_some(script)
}

/// Returns true if the command runs a script by a shell.
pub(in crate::import) fn is_shell_script(words: &[String]) -> bool {
    script(words).is_some()
}

/// Returns the words of a script that is one command without any syntax of the shell.
fn plain_command(script: &str) -> Option<Vec<String>> {
    // A variable of lcm's is filled in before the shell reads the script; `$$` is a variable of the shell's.
    let is_variable_alone = !script.contains("$$");
    let bare = script.replace("${", "").replace('}', if script.contains("${") { "" } else { "}" });
    if !is_variable_alone || bare.contains(SHELL_SYNTAX) {
        return None;
    }
    let mut words = command_line::split(script).ok()?;
    if words.first().is_some_and(|first| first == "exec") {
        words.remove(0);
    }
    Some(words)
}

/// Returns the name of a program without its folder.
fn program(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::engine_call;
    use crate::syntax::command_line;

    #[test]
    fn the_call_is_found_by_path_by_sudo_and_in_a_plain_script() {
        for (line, wanted) in [
            ("docker run --rm x", "docker [] run --rm x"),
            ("/usr/bin/docker container run x", "docker [] run x"),
            ("sudo -n docker run x", "docker [] run x"),
            ("sh -c 'docker run x'", "docker [] run x"),
            ("bash -lc \"exec podman run -p 1:2 x\"", "podman [] run -p 1:2 x"),
            ("sh -c 'docker run -v ${HOME}/m:/m x'", "docker [] run -v ${HOME}/m:/m x"),
            ("docker -H tcp://a --context=b run x", "docker [-H --context] run x"),
            ("docker compose up", "docker [] compose up"),
        ] {
            let call = engine_call(&command_line::split(line).unwrap()).unwrap();
            let told =
                format!("{} [{}] {} {}", call.engine, call.flags.join(" "), call.subcommand, call.arguments.join(" "));
            assert_eq!(told, wanted, "{line}");
        }
        for line in [
            "llama-server --port 1",
            "sh -c 'docker pull x && docker run x'",
            "sh -c 'docker run $$IMAGE'",
            "sh -c 'docker run x > log'",
            "docker",
            "",
            "sh ./docker",
            "docker-compose up",
        ] {
            assert_eq!(engine_call(&command_line::split(line).unwrap()), None, "{line}");
        }
    }
}
