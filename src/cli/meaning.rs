//! Answers to a command that lcm does not have: the one that a user of other tools means by it, else the nearest by
//! spelling. A command that is near by spelling alone may do the opposite of what is meant.

use clap::Command;
use clap::error::{ContextKind, ContextValue, Error, ErrorKind};
use strsim::osa_distance;

use crate::cli::args::manifest;
use crate::cli::exit::Exit;
use crate::cli::pages::search;
use crate::cli::stop::{Code, EarlyExit};
use crate::model::safe_text;

/// Commands of other tools, and what does the same here.
const MEANT: [(&[&str], &str); 18] = [
    (
        &["up", "deploy", "create", "sync", "reconcile"],
        "`lcm apply` starts what the manifest wants; `lcm plan` shows it first",
    ),
    (&["ps", "ls", "list", "top", "services", "get", "info"], "`lcm status` shows all services, GPUs and goals"),
    (&["diff", "preview", "dry-run", "dryrun"], "`lcm plan` shows what an apply would change"),
    (
        &["rm", "destroy", "delete", "remove", "teardown"],
        "`lcm down` stops all services and removes the containers that lcm created",
    ),
    (&["pause", "freeze"], "`lcm suspend SERVICE` pauses a service until `lcm resume SERVICE`"),
    (
        &["unpause", "unsuspend", "continue", "release", "unhold"],
        "`lcm resume SERVICE` releases a hold and continues a paused service",
    ),
    (&["kill"], "`lcm stop SERVICE` stops a service; `lcm terminate SERVICE` also keeps it from being started again"),
    (&["hold", "ignore"], "`lcm maintain SERVICE` leaves a service alone until `lcm resume SERVICE`"),
    (
        &["config", "lint", "check", "verify"],
        "`lcm validate` checks a manifest offline; `lcm doctor` checks this machine",
    ),
    (&["events", "journal", "audit"], "`lcm history` shows what changed, and `lcm history --runs` the runs"),
    (&["log", "tail"], "`lcm logs SERVICE` shows the output of a service; `-f` follows it"),
    (
        &["modes", "mode", "use", "activate"],
        "`lcm switch MODE` sets the mode from now on; `lcm status` shows the present one",
    ),
    (
        &["import", "convert", "translate"],
        "`lcm init --from FILE` translates a Compose or llama-swap file to a manifest",
    ),
    (&["run", "exec", "launch"], "`lcm start SERVICE` starts a service and its dependencies"),
    (&["reload", "refresh"], "`lcm apply` brings changed settings to the services; `lcm restart SERVICE` restarts one"),
    (&["prune", "clean"], "`lcm apply --prune` stops and removes orphans"),
    (
        &["inspect", "describe", "show-service"],
        "`lcm status -v SERVICE` shows one service, with its possible next states",
    ),
    (&["version"], "`lcm --version` shows version, build and formats"),
];

/// Farthest spelling of a suggested command.
const DISTANCE_MAX: usize = 2;
/// Length of a word in a message.
const SHOWN_MAX: usize = 60;

/// Returns lcm's own answer to an error of the command line; `None`: the answer of clap is enough.
pub(super) fn answer(error: &Error, command: &Command) -> Option<EarlyExit> {
    if error.kind() != ErrorKind::InvalidSubcommand {
        return None;
    }
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) else { return None };
    let shown = safe_text::short(word, SHOWN_MAX);
    let refusal = EarlyExit::new(Exit::Usage, Code::Usage, format!("lcm has no command `{shown}`"));
    Some(refusal.with(Vec::new(), Some(help(word, &shown, command))))
}

fn help(word: &str, shown: &str, command: &Command) -> String {
    const ALL: &str = "`lcm --help` lists all commands";
    let lower = word.to_lowercase();
    if let Some((_, does)) = MEANT.iter().find(|(words, _)| words.contains(&lower.as_str())) {
        return (*does).to_owned();
    }
    let names = command.get_subcommands().filter(|command| !command.is_hide_set()).map(Command::get_name);
    let nearest = names.map(|name| (osa_distance(&lower, name), name)).min();
    if let Some((_, name)) = nearest.filter(|(distance, _)| *distance <= DISTANCE_MAX && *distance < lower.len()) {
        return format!("did you mean `lcm {name}`? {ALL}");
    }
    if manifest::is_file(word) {
        return format!("`lcm plan {shown}` plans this manifest; every command takes one as `-m {shown}`");
    }
    if search::find(word).is_ok() {
        return format!("`lcm explain {shown}` explains it; {ALL}");
    }
    ALL.to_owned()
}

#[cfg(test)]
mod tests {
    use super::{MEANT, answer};
    use crate::cli::help;

    fn told(words: &[&str]) -> String {
        let words = [&["lcm"], words].concat();
        let error = help::command().try_get_matches_from(words).expect_err("a wrong command line");
        answer(&error, &help::command()).expect("an answer").message()
    }

    #[test]
    fn a_command_of_another_tool_is_answered_by_its_meaning() {
        for (word, command) in [
            ("up", "`lcm apply`"),
            ("ps", "`lcm status`"),
            ("top", "`lcm status`"),
            ("diff", "`lcm plan`"),
            ("rm", "`lcm down`"),
            ("pause", "`lcm suspend"),
            ("unpause", "`lcm resume"),
            ("kill", "`lcm stop SERVICE`"),
            ("lint", "`lcm validate`"),
            ("events", "`lcm history`"),
            ("log", "`lcm logs"),
            ("use", "`lcm switch MODE`"),
            ("convert", "`lcm init --from FILE`"),
            ("run", "`lcm start"),
            ("version", "`lcm --version`"),
            ("PS", "`lcm status`"),
            ("aply", "did you mean `lcm apply`?"),
            ("modes/video.yaml", "`lcm plan modes/video.yaml`"),
            ("preemption", "`lcm explain preemption`"),
            ("fly", "`lcm --help`"),
        ] {
            let text = told(&[word]);
            assert!(text.starts_with(&format!("lcm has no command `{word}`")) && text.contains(command), "{text}");
        }
        assert!(told(&["--color=never", "up", "-d"]).contains("`lcm apply`"));
    }

    #[test]
    fn every_answer_names_commands_that_there_are() {
        let command = help::command();
        for (words, does) in MEANT {
            for part in does.split("`lcm ").skip(1) {
                let name = part.split([' ', '`']).next().unwrap_or_default();
                let is_option = name.starts_with('-');
                assert!(is_option || command.find_subcommand(name).is_some(), "{words:?}: lcm {name}");
            }
        }
        // clap answers a wrong option.
        let error = help::command().try_get_matches_from(["lcm", "plan", "--nope"]).expect_err("a wrong option");
        assert!(answer(&error, &command).is_none());
    }
}
