//! What holds for a whole command: its environment, and how it may speak.

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

/// Of a terminal that does not tell: what terminals have been for long.
const COLUMNS_UNTOLD: usize = 80;

/// Where the terminal's width can't be told.
const WIDTH_DEFAULT: usize = 100;

/// Apart, since every help has them.
const HEADING: &str = "With every command";

/// How to speak; these go with every command.
#[derive(Debug, Args)]
pub(crate) struct OutputArgs {
    /// Paint the output; `auto` does at a terminal, and heeds `NO_COLOR` and `CLICOLOR_FORCE`
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN", help_heading = HEADING)]
    color: Color,
    /// Say more: whole routes, and what is kept
    #[arg(short, long, global = true, help_heading = HEADING)]
    verbose: bool,
    /// Say nothing but the answer and errors
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = HEADING)]
    quiet: bool,
}

/// One command's surroundings.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) stdout: Style,
    pub(crate) stderr: Style,
    pub(crate) verbose: bool,
    pub(crate) quiet: bool,
    /// Where narration waits while a table stands on the terminal.
    aside: Option<Mutex<Vec<Output>>>,
}

impl Session {
    pub(crate) fn new(args: &OutputArgs) -> Self {
        let environment = environment();
        let style = |terminal: bool, columns: Option<usize>| Style {
            colored: is_colored(args.color, &environment, terminal),
            // One that does not tell its size is a terminal all the same.
            width: terminal.then(|| columns.unwrap_or(COLUMNS_UNTOLD)),
            bars: terminal && !args.quiet,
        };
        let stdout = style(io::stdout().is_terminal(), width_of(&environment, io::stdout()));
        let stderr = style(io::stderr().is_terminal(), width_of(&environment, io::stderr()));
        Self { stdout, stderr, verbose: args.verbose, quiet: args.quiet, environment, aside: None }
    }

    /// Columns of the terminal that narration goes to.
    pub(crate) fn width(&self) -> usize {
        width_of(&self.environment, io::stderr()).unwrap_or(WIDTH_DEFAULT)
    }

    /// Whether a terminal can draw over what stands there. The log of a CI keeps every drawing, and some have a terminal.
    pub(crate) fn may_redraw(&self) -> bool {
        let said = |name: &str| self.environment.get(name).map_or("", String::as_str);
        !is_dumb(&self.environment) && matches!(said("CI"), "" | "0" | "false")
    }

    /// The same, with narration kept for [`Session::kept`] instead of written.
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

    /// What was kept since it was last asked.
    pub(crate) fn kept(&self) -> Vec<Output> {
        let kept =
            |aside: &Mutex<Vec<Output>>| std::mem::take(&mut *aside.lock().unwrap_or_else(PoisonError::into_inner));
        self.aside.as_ref().map(kept).unwrap_or_default()
    }

    /// Reports what must be known, quiet or not, as one line.
    pub(crate) fn say(&self, line: &str) {
        self.show(sentence(line, self.stderr));
    }

    /// The same, of several lines.
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

/// lcm's own. What is not UTF-8 can't be named in a manifest.
pub(crate) fn environment() -> BTreeMap<String, String> {
    let pairs = std::env::vars_os();
    pairs.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect()
}

/// What the environment says counts more than what the terminal does.
fn width_of(environment: &BTreeMap<String, String>, stream: impl AsFd) -> Option<usize> {
    let said = environment.get("COLUMNS").and_then(|columns| columns.parse().ok()).filter(|columns| *columns > 0);
    let asked = || print::size_of(stream).map(|size| size.columns);
    said.or_else(asked)
}
