//! What holds for a whole command: its environment, and how it may speak.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

use clap::{Args, ValueEnum};

use crate::report::fold::folded;
use crate::report::print;
use crate::report::style::{Paint, Style};

/// Where the terminal's width can't be told.
const WIDTH_DEFAULT: usize = 100;

/// Apart, since every help has them.
const HEADING: &str = "With every command";

/// How to speak; these go with every command.
#[derive(Debug, Args)]
pub(super) struct OutputArgs {
    /// Paint the output; `NO_COLOR` is honoured by `auto`
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN", help_heading = HEADING)]
    color: Color,
    /// Say more: whole routes, and what is kept
    #[arg(short, long, global = true, help_heading = HEADING)]
    verbose: bool,
    /// Say nothing but the answer and errors
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = HEADING)]
    quiet: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

/// One command's surroundings.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) environment: BTreeMap<String, String>,
    pub(super) stdout: Style,
    pub(super) stderr: Style,
    pub(super) verbose: bool,
    pub(super) quiet: bool,
}

impl Session {
    pub(super) fn new(args: &OutputArgs) -> Self {
        // What is not UTF-8 can't be named in a manifest.
        let environment: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let style = |terminal: bool, columns: Option<usize>| Style {
            colored: is_colored(args.color, &environment, terminal),
            width: columns.filter(|_| terminal),
            bars: terminal && !args.quiet,
        };
        let stdout = style(io::stdout().is_terminal(), width_of(&environment, io::stdout()));
        let stderr = style(io::stderr().is_terminal(), width_of(&environment, io::stderr()));
        Self { stdout, stderr, verbose: args.verbose, quiet: args.quiet, environment }
    }

    /// Columns of the terminal that narration goes to.
    pub(super) fn width(&self) -> usize {
        width_of(&self.environment, io::stderr()).unwrap_or(WIDTH_DEFAULT)
    }

    /// Whether a terminal can draw over what stands there. The log of a CI keeps every drawing, and some have a terminal.
    pub(super) fn may_redraw(&self) -> bool {
        let said = |name: &str| self.environment.get(name).map_or("", String::as_str);
        said("TERM") != "dumb" && matches!(said("CI"), "" | "0" | "false")
    }

    pub(super) fn note(&self, line: &str) {
        if !self.quiet {
            print::note(line);
        }
    }

    pub(super) fn warn(&self, message: &str) {
        self.note(&folded(&format!("{} {message}", self.stderr.paint(Paint::Warn, "warning:")), self.stderr));
    }
}

/// What the environment says counts more than what the terminal does.
fn width_of(environment: &BTreeMap<String, String>, stream: impl AsFd) -> Option<usize> {
    let said = environment.get("COLUMNS").and_then(|columns| columns.parse().ok());
    let asked = || print::size_of(stream).map(|size| size.columns);
    said.or_else(asked).filter(|columns| *columns > 0)
}

/// `NO_COLOR` counts when it is there and not empty: no-color.org.
fn is_colored(color: Color, environment: &BTreeMap<String, String>, terminal: bool) -> bool {
    match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            let forbidden = environment.get("NO_COLOR").is_some_and(|value| !value.is_empty());
            let dumb = environment.get("TERM").is_some_and(|term| term == "dumb");
            terminal && !forbidden && !dumb
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Color, is_colored};

    #[test]
    fn colour_is_for_terminals_that_want_it() {
        let none = BTreeMap::new();
        let no_color = BTreeMap::from([("NO_COLOR".to_owned(), "1".to_owned())]);
        assert!(is_colored(Color::Auto, &none, true));
        assert!(!is_colored(Color::Auto, &none, false));
        assert!(!is_colored(Color::Auto, &no_color, true));
        assert!(is_colored(Color::Always, &no_color, false));
        assert!(!is_colored(Color::Never, &none, true));
    }
}
