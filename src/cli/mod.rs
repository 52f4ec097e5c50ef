//! Command line: arguments, confirmation, output and exit codes, with one file a command. Only this module uses all
//! others.
//!
//! In: arguments, the environment, standard input and signals.
//! Out: output through `report`, calls of `reconcile`, and an exit code; [`exit`] has the meanings.
//! Not here: the cycle itself, which is `reconcile`'s, and layout, which is `report`'s.

mod adoption;
mod answer;
mod args;
mod command;
mod consent;
mod dry_run;
mod ending;
mod execute;
pub mod exit;
mod formats;
mod help;
mod holds;
mod identity;
mod job;
mod meaning;
mod mode_override;
mod open_runs;
mod opened;
mod outputs;
mod pages;
mod plan_view;
mod prepare;
mod refusal;
mod saved;
mod status_look;
mod stop;
mod terminal;
mod topics;
mod version;
mod watch;
mod wire;

use std::io::{self, IsTerminal as _};

use clap::FromArgMatches as _;

use crate::cli::command::{Cli, completions};
use crate::cli::stop::Code;
use crate::cli::terminal::session::Session;
use crate::cli::terminal::{color, log, session};
use crate::model::safe_text;
use crate::report::print;
use crate::report::sheet::Sheet;
use crate::report::style::Style;
use exit::Exit;

/// Runs the program.
#[must_use]
pub fn main() -> Exit {
    print::still_on_panic();
    if let Some(exit) = completions::answer(help::command) {
        return exit;
    }
    let parsed = help::command().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            return match meaning::answer(&error, &help::command()) {
                Some(stop) => {
                    print::note(&stop.text(style_of_clap(io::stderr().is_terminal())));
                    stop.exit
                }
                None => show_clap(&error),
            };
        }
    };
    let session = Session::new(&cli.output);
    log::start().and_then(|()| command::run(&session, cli.command, help::command)).unwrap_or_else(|stop| {
        print::note(&stop.text(session.stderr));
        stop.exit
    })
}

/// Returns clap's error in the layout of all errors: with its code, and `help:` for clap's `tip:`.
fn as_an_error(text: &str) -> String {
    let head = format!("error[{}]:", Code::Usage.as_str());
    let text = text.replacen("error:", &head, 1);
    // Codes of the paint may stand before `tip:`.
    let renamed = |line: &str| match line.split_once("tip:") {
        Some((before, after)) if safe_text::lines(before, false).trim().is_empty() => format!("{before}help:{after}"),
        _ => line.to_owned(),
    };
    text.split_inclusive('\n').map(renamed).collect()
}

/// Returns the style of output before the command line is known.
fn style_of_clap(is_terminal: bool) -> Style {
    let is_painted = color::is_colored(color::requested(std::env::args_os()), &session::environment(), is_terminal);
    Style { colored: is_painted, ..Style::PLAIN }
}

/// Shows clap's output in place of a command: help on stdout, an error of the command line on stderr.
fn show_clap(answer: &clap::Error) -> Exit {
    let is_terminal = if answer.use_stderr() { io::stderr().is_terminal() } else { io::stdout().is_terminal() };
    let style = style_of_clap(is_terminal);
    // clap quotes words of the command line, which may come from a file name or from another program.
    let words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    let quoted = words.filter(|word| !safe_text::is_plain(word));
    let text =
        quoted.fold(answer.render().ansi().to_string(), |text, word| text.replace(&word, &safe_text::line(&word)));
    let text = if answer.use_stderr() { as_an_error(&text) } else { text };
    let text = Sheet::new().laid_out(&text).unfolded(style);
    if answer.use_stderr() {
        print::note(&text.trimmed());
        return Exit::Usage;
    }
    print::data(&text).map_or(Exit::Refused, |()| Exit::Done)
}
