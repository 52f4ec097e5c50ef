//! Session of a command: its environment, and the style of its output.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};

use clap::Args;

use crate::cli::terminal::color::{Color, is_colored, is_dumb};
use crate::report::output::Output;
use crate::report::print;
use crate::report::sheet::sentence;
use crate::report::style::{Paint, Style};

/// Columns of a terminal that does not report its size: the traditional width.
const COLUMNS_UNKNOWN: usize = 80;

/// Columns assumed without a terminal.
const WIDTH_DEFAULT: usize = 100;

/// Heading of these options in the help: apart, since every command has them.
const HEADING: &str = "Global options";

/// Options for the output of every command.
#[derive(Debug, Args)]
pub(crate) struct OutputArgs {
    /// Colour the output; `auto` does so at a terminal, and follows `NO_COLOR` and `CLICOLOR_FORCE`
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN", help_heading = HEADING)]
    color: Color,
    /// Show more, such as every state of a change, and services that stay unchanged
    #[arg(short, long, global = true, help_heading = HEADING)]
    verbose: bool,
    /// Show only the result and errors
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = HEADING)]
    quiet: bool,
}

/// Environment and output settings of one command.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) stdout: Style,
    pub(crate) stderr: Style,
    pub(crate) verbose: bool,
    pub(crate) quiet: bool,
    /// Buffer of narration while a table is on the terminal.
    aside: Option<Mutex<Vec<Output>>>,
}

impl Session {
    pub(crate) fn new(args: &OutputArgs) -> Self {
        let environment = environment();
        let style = |terminal: bool, columns: Option<usize>| Style {
            colored: is_colored(args.color, &environment, terminal),
            // A terminal that does not report its size is a terminal all the same.
            width: terminal.then(|| columns.unwrap_or(COLUMNS_UNKNOWN)),
            bars: terminal && !args.quiet,
        };
        let stdout = style(io::stdout().is_terminal(), width_of(&environment, io::stdout()));
        let stderr = style(io::stderr().is_terminal(), width_of(&environment, io::stderr()));
        Self { stdout, stderr, verbose: args.verbose, quiet: args.quiet, environment, aside: None }
    }

    /// Returns the columns of the terminal that narration goes to.
    pub(crate) fn width(&self) -> usize {
        width_of(&self.environment, io::stderr()).unwrap_or(WIDTH_DEFAULT)
    }

    /// Returns true if the terminal can redraw in place. A CI log keeps every drawing, and some CIs provide a terminal.
    pub(crate) fn may_redraw(&self) -> bool {
        let value = |name: &str| self.environment.get(name).map_or("", String::as_str);
        !is_dumb(&self.environment) && matches!(value("CI"), "" | "0" | "false")
    }

    /// Returns a copy that buffers narration for [`Session::kept`] instead of writing it.
    pub(crate) fn aside(&self) -> Self {
        let Self { environment, stdout, stderr, verbose, quiet, aside: _ } = self;
        let aside = Some(Mutex::default());
        Self {
            environment: environment.clone(),
            stdout: *stdout,
            stderr: *stderr,
            verbose: *verbose,
            quiet: *quiet,
            aside,
        }
    }

    /// Returns the narration buffered since the last call.
    pub(crate) fn kept(&self) -> Vec<Output> {
        let kept =
            |aside: &Mutex<Vec<Output>>| std::mem::take(&mut *aside.lock().unwrap_or_else(PoisonError::into_inner));
        self.aside.as_ref().map(kept).unwrap_or_default()
    }

    /// Reports one line, also with `--quiet`.
    pub(crate) fn say(&self, line: &str) {
        self.show(sentence(line, self.stderr));
    }

    /// Reports a text of several lines, also with `--quiet`.
    pub(crate) fn show(&self, text: Output) {
        match &self.aside {
            Some(aside) => aside.lock().unwrap_or_else(PoisonError::into_inner).push(text),
            None => print::note(&text),
        }
    }

    pub(crate) fn note(&self, line: &str) {
        if !self.quiet {
            self.say(line);
        }
    }

    pub(crate) fn show_unless_quiet(&self, text: Output) {
        if !self.quiet {
            self.show(text);
        }
    }

    pub(crate) fn warn(&self, message: &str) {
        self.note(&format!("{} {message}", self.stderr.paint(Paint::Warn, "warning:")));
    }
}

/// Returns lcm's environment, without variables that are not UTF-8: a manifest can't name them.
pub(crate) fn environment() -> BTreeMap<String, String> {
    let pairs = std::env::vars_os();
    pairs.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect()
}

/// Returns the width of a stream: `COLUMNS` takes precedence over the terminal's size.
fn width_of(environment: &BTreeMap<String, String>, stream: impl AsFd) -> Option<usize> {
    let set = environment.get("COLUMNS").and_then(|columns| columns.parse().ok()).filter(|columns| *columns > 0);
    let reported = || print::size_of(stream).map(|size| size.columns);
    set.or_else(reported)
}
