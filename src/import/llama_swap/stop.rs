//! `cmdStop` of a model: lcm stops a container or a process itself, so most of them only choose a signal or a time.

use crate::import::docker_run::{EngineCall, engine_call};
use crate::syntax::command_line;

/// Model's pid in a command, in lcm's notation.
const PID: &str = "$${PID}";
/// Redirections that don't change what a script stops.
const SILENCERS: [&str; 6] = [">/dev/null", "> /dev/null", "2>/dev/null", "2> /dev/null", "2>&1", "&>/dev/null"];

/// Way to stop a model.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum StopCommand {
    /// The engine stops containers, with a signal and a grace period in seconds where given.
    Engine {
        signal: Option<String>,
        grace_s: Option<u32>,
    },
    /// A signal to the model's pid; `None`: TERM, or one that lcm does not send.
    Signal(Option<&'static str>),
    /// Another command with the model's pid.
    WithPid,
    Command(Vec<String>),
}

/// Reads the words of a command.
pub(super) fn read(words: &[String]) -> StopCommand {
    if let Some(stop) = engine_stop(words) {
        return stop;
    }
    if let [first, rest @ .., last] = words
        && first.rsplit('/').next() == Some("kill")
        && last == PID
    {
        let wanted = rest.iter().map(|word| word.trim_start_matches('-')).find(|word| !["s", "n", ""].contains(word));
        return StopCommand::Signal(wanted.and_then(signal));
    }
    if words.iter().any(|word| word.contains(PID)) {
        return StopCommand::WithPid;
    }
    StopCommand::Command(words.to_vec())
}

/// Returns the name of a signal that lcm can stop a service with, from a name or a number.
fn signal(text: &str) -> Option<&'static str> {
    let bare = text.strip_prefix("SIG").unwrap_or(text);
    let by_number = crate::model::signal::SIGNALS.iter().find(|signal| signal.number.to_string() == bare);
    let name = by_number.map_or(bare, |signal| signal.name);
    crate::model::signal::stopping().find(|known| *known == name)
}

/// Returns the engine's stop, if the command is nothing else: `docker stop NAME`, or a script of several such.
fn engine_stop(words: &[String]) -> Option<StopCommand> {
    let script = match words {
        [shell, flag, script] if !shell.starts_with('-') && flag.starts_with('-') && flag.ends_with('c') => {
            Some(script)
        }
        _ => None,
    };
    let Some(script) = script else { return of_calls(&[engine_call(words)?]) };
    let quiet = SILENCERS.iter().fold(script.clone(), |script, silencer| script.replace(silencer, ""));
    let mut calls = Vec::new();
    for part in quiet.replace("&&", ";").replace("||", ";").split([';', '\n']) {
        let words = command_line::split(part).ok()?;
        let is_nothing = words.is_empty() || ["true", ":"].contains(&words[0].as_str());
        if !is_nothing {
            calls.push(engine_call(&words)?);
        }
    }
    of_calls(&calls)
}

fn of_calls(calls: &[EngineCall]) -> Option<StopCommand> {
    let (mut signal, mut grace_s) = (None, None);
    let stops = |call: &EngineCall| ["stop", "kill", "rm"].contains(&call.subcommand.as_str());
    if calls.is_empty() || !calls.iter().all(stops) {
        return None;
    }
    for call in calls.iter().filter(|call| call.subcommand != "rm") {
        let mut words = call.arguments.iter();
        while let Some(word) = words.next() {
            let (name, attached) =
                word.split_once('=').map_or((word.as_str(), None), |(name, value)| (name, Some(value)));
            let mut value = || attached.or_else(|| words.next().map(String::as_str)).unwrap_or_default();
            match name {
                "-t" | "--time" | "--timeout" if call.subcommand == "stop" => grace_s = value().parse().ok(),
                "-s" | "--signal" => signal = Some(value().to_owned()),
                _ => {
                    // `-t30` is one word.
                    if let Some(seconds) = name.strip_prefix("-t").and_then(|seconds| seconds.parse().ok()) {
                        grace_s = Some(seconds);
                    }
                }
            }
        }
        if call.subcommand == "kill" && signal.is_none() {
            signal = Some("KILL".to_owned());
        }
    }
    Some(StopCommand::Engine { signal: signal.as_deref().and_then(self::signal).map(str::to_owned), grace_s })
}

#[cfg(test)]
mod tests {
    use super::{StopCommand, read};
    use crate::syntax::command_line;

    fn engine(signal: Option<&str>, grace_s: Option<u32>) -> StopCommand {
        StopCommand::Engine { signal: signal.map(str::to_owned), grace_s }
    }

    #[test]
    fn commands_that_lcm_replaces_are_told_from_others() {
        for (line, wanted) in [
            ("docker stop vllm", engine(None, None)),
            ("docker stop -t 30 vllm", engine(None, Some(30))),
            ("sudo docker container stop --time=5 vllm", engine(None, Some(5))),
            ("docker kill vllm", engine(Some("KILL"), None)),
            ("docker kill -s SIGINT vllm", engine(Some("INT"), None)),
            ("docker rm -f vllm", engine(None, None)),
            ("sh -c 'docker stop -t7 a 2>/dev/null; docker rm a || true'", engine(None, Some(7))),
            ("kill $${PID}", StopCommand::Signal(None)),
            ("kill -9 $${PID}", StopCommand::Signal(Some("KILL"))),
            ("/bin/kill -s INT $${PID}", StopCommand::Signal(Some("INT"))),
            ("stop.sh $${PID}", StopCommand::WithPid),
        ] {
            assert_eq!(read(&command_line::split(line).unwrap()), wanted, "{line}");
        }
        for line in ["curl -X POST http://localhost/stop", "docker exec a stop", "sh -c 'docker stop a; rm -r /tmp/a'"]
        {
            let words = command_line::split(line).unwrap();
            assert_eq!(read(&words), StopCommand::Command(words.clone()), "{line}");
        }
    }
}
