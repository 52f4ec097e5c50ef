//! `lcm completions`: a completion script for a shell, and the candidates that the script requests at each Tab.
//!
//! Names of services, modes and goals come from the manifest that the line so far names, or from `lcm.yaml` where it
//! names none. Only the manifest is read; a broken one gives no candidates and no message: a prompt is no place for
//! errors.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::{Arg, Command, ValueEnum};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate, PathCompleter, ValueCompleter};
use clap_complete::env::{Bash, EnvCompleter, Fish, Zsh};

use crate::cli::answer::{data, unwritten};
use crate::cli::args::manifest as manifest_args;
use crate::cli::exit::Exit;
use crate::cli::pages;
use crate::cli::stop::EarlyExit;
use crate::cli::terminal::session;
use crate::files::named;
use crate::manifest::ModeSelection;
use crate::model::desired::Desired;
use crate::model::lifecycle::State;
use crate::model::safe_text;
use crate::reconcile::wire;
use crate::report::output::Output;
use crate::report::print;

/// Variable that names the requesting shell. Left in the environment alone it has no effect: see [`answer`].
const VARIABLE: &str = "LCM_COMPLETE";

/// Maximum length of a description, in characters: a shell shows one line for each candidate.
const DESCRIPTION_MAX: usize = 200;

/// Print a script that completes commands, options and names
///
/// bash: `source <(lcm completions bash)` in ~/.bashrc. zsh: the same with `zsh` in ~/.zshrc, after `compinit`.
/// fish: `lcm completions fish > ~/.config/fish/completions/lcm.fish`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Shell to print the script for
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl Shell {
    fn completer(self) -> &'static dyn EnvCompleter {
        match self {
            Self::Bash => &Bash,
            Self::Zsh => &Zsh,
            Self::Fish => &Fish,
        }
    }
}

pub(crate) fn run(args: &Args) -> Result<Exit, EarlyExit> {
    let mut script = Vec::new();
    let written = args.shell.completer().write_registration(VARIABLE, "lcm", "lcm", &program(), &mut script);
    written.map_err(|error| unwritten(&error))?;
    data(&Output::plain(&String::from_utf8_lossy(&script)))?;
    Ok(Exit::Done)
}

/// Prints candidates, where a completion script made the call: each script calls `lcm -- …`, which is no other command.
pub(crate) fn answer(command: impl FnOnce() -> Command) -> Option<Exit> {
    std::env::args_os().nth(1).filter(|word| word == "--")?;
    let shell = std::env::var(VARIABLE).ok().and_then(|shell| Shell::from_str(&shell, false).ok())?;
    let words: Vec<OsString> = std::env::args_os().skip(2).collect();
    let line: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let mut command = with_names(command(), &manifest_of(&line));
    if !current(&line).starts_with('-') {
        let without = |command: Command| command.disable_help_flag(true).mut_args(without_options);
        command = without(command).mut_subcommands(without);
    }
    let mut answer = Vec::new();
    let folder = std::env::current_dir().ok();
    let written = shell.completer().write_complete(&mut command, words, folder.as_deref(), &mut answer);
    let _ = written.map(|()| print::data(&Output::plain(&String::from_utf8_lossy(&answer))));
    Some(Exit::Done)
}

/// Returns the argument at the cursor; the last one where the shell does not report its index.
fn current(line: &[String]) -> &str {
    let index = std::env::var("_CLAP_COMPLETE_INDEX").ok().and_then(|index| index.parse::<usize>().ok());
    let word = index.map_or_else(|| line.last(), |index| line.get(index));
    word.map_or("", String::as_str)
}

/// Hides an option where a name is completed: a dozen options would stand beside it.
fn without_options(arg: Arg) -> Arg {
    let is_option = !arg.is_positional();
    arg.hide(is_option)
}

/// Returns the program for the script to call: an absolute path for a build in a folder, `lcm` for one on the PATH.
fn program() -> String {
    let called = std::env::args_os().next().map(PathBuf::from).unwrap_or_default();
    let is_path = called.components().count() > 1;
    let path = if is_path { std::path::absolute(&called).unwrap_or(called) } else { PathBuf::from("lcm") };
    path.display().to_string()
}

/// Returns the manifest that a line names so far.
fn manifest_of(line: &[String]) -> PathBuf {
    let mut named = None;
    for (place, word) in line.iter().enumerate().skip(1) {
        let before = line[place - 1].as_str();
        let value =
            word.strip_prefix("--manifest=").or_else(|| word.strip_prefix("-m").filter(|value| !value.is_empty()));
        // `-f` follows a log, and names a manifest elsewhere.
        let is_short = before == "-f" && !line.iter().any(|word| word == "logs");
        if is_short || matches!(before, "-m" | "--manifest") {
            return PathBuf::from(word);
        }
        if let Some(value) = value {
            return PathBuf::from(value);
        }
        // A word after another option is its value: a snapshot, an output file.
        if !before.starts_with('-')
            && !word.starts_with('-')
            && manifest_args::is_file(word)
            && Path::new(word).is_file()
        {
            named = named.or_else(|| Some(PathBuf::from(word)));
        }
    }
    named.unwrap_or_else(|| PathBuf::from(manifest_args::MANIFEST))
}

/// Adds candidates to each value by its name in the help, so that a new command has them too.
fn with_names(command: Command, manifest: &Path) -> Command {
    let manifest = manifest.to_owned();
    let with = move |arg: Arg| {
        let called = arg.get_value_names().and_then(|names| names.first()).map(ToString::to_string).unwrap_or_default();
        let of_manifest = |kind: fn(&Desired) -> Candidates| {
            let manifest = manifest.clone();
            move |current: &OsStr| candidates(&load(&manifest).as_ref().map(kind).unwrap_or_default(), current)
        };
        match called.as_str() {
            "SERVICE" => arg.add(ArgValueCompleter::new(of_manifest(services))),
            "MODE" => arg.add(ArgValueCompleter::new(of_manifest(modes))),
            "GOAL" => arg.add(ArgValueCompleter::new(of_manifest(goals))),
            "MANIFEST|SERVICE" => {
                let (of_services, files) = (of_manifest(services), manifests());
                arg.add(ArgValueCompleter::new(move |current: &OsStr| {
                    of_services(current).into_iter().chain(files.complete(current)).collect()
                }))
            }
            "MANIFEST" => arg.add(ArgValueCompleter::new(manifests())),
            "STATE" => arg.add(ArgValueCompleter::new(|current: &OsStr| candidates(&states(), current))),
            "CODE" => arg.add(ArgValueCompleter::new(|current: &OsStr| candidates(&codes(), current))),
            _ => arg,
        }
    };
    command.mut_subcommands(move |subcommand| subcommand.mut_args(&with))
}

/// Completes YAML files, and the folders that lead to them.
fn manifests() -> PathCompleter {
    PathCompleter::any()
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml"))
}

/// Candidates, with their descriptions where there are any.
type Candidates = BTreeMap<String, Option<String>>;

fn services(desired: &Desired) -> Candidates {
    desired
        .services
        .iter()
        .map(|(name, service)| (name.to_string(), Some(service.workload.runtime.as_str().to_owned())))
        .collect()
}

fn modes(desired: &Desired) -> Candidates {
    desired.modes.iter().map(|(name, mode)| (name.to_string(), mode.description.clone())).collect()
}

fn goals(desired: &Desired) -> Candidates {
    desired.goals.iter().map(|(name, goal)| (name.to_string(), goal.description.clone())).collect()
}

fn states() -> Candidates {
    State::ALL.into_iter().map(|state| (state.to_string(), Some(state.meaning().to_owned()))).collect()
}

/// Returns codes by their last words: a shell splits words at a colon.
fn codes() -> Candidates {
    pages::names().map(|code| (code.to_owned(), None)).collect()
}

fn candidates(names: &Candidates, current: &OsStr) -> Vec<CompletionCandidate> {
    let current = current.to_string_lossy();
    let fitting = names.iter().filter(|(name, _)| name.starts_with(current.as_ref()));
    // A shell takes each line for a candidate, and a description for the rest of its line.
    let short = |description: &String| safe_text::short(description, DESCRIPTION_MAX).into();
    fitting.map(|(name, about)| CompletionCandidate::new(name).help(about.as_ref().map(short))).collect()
}

fn load(manifest: &Path) -> Option<Desired> {
    // At a Tab, standard input belongs to the shell.
    if named::is_stream(manifest) {
        return None;
    }
    wire::load(manifest, &session::environment(), &ModeSelection { mode_optional: true, ..ModeSelection::default() })
        .ok()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::manifest_of;

    #[test]
    fn the_line_names_the_manifest() {
        let folder = tempfile::tempdir().expect("a folder");
        let there = folder.path().join("video.yaml").display().to_string();
        std::fs::write(&there, "").expect("written");
        let named = |line: &str| {
            let line: Vec<String> = line.replace("THERE", &there).split(' ').map(str::to_owned).collect();
            manifest_of(&line)
        };
        let there = PathBuf::from(&there);
        assert_eq!(named("lcm logs -m one.yaml -f "), PathBuf::from("one.yaml"));
        assert_eq!(named("lcm plan -f one.yaml "), PathBuf::from("one.yaml"));
        assert_eq!(named("lcm logs --manifest=one.yaml "), PathBuf::from("one.yaml"));
        assert_eq!(named("lcm logs -mone.yaml "), PathBuf::from("one.yaml"));
        assert_eq!(named("lcm plan THERE --mode "), there);
        assert_eq!(named("lcm plan --world THERE --mode "), PathBuf::from("lcm.yaml"));
        assert_eq!(named("lcm plan not-there.yaml --mode "), PathBuf::from("lcm.yaml"));
    }
}
