//! Early end of a command: its message and its exit code.

use crate::cli::exit::Exit;
use crate::report::output::Output;
use crate::report::sheet::Sheet;
use crate::report::style::{Paint, Style};

/// Indent of the lines listed below a message, in columns.
const LIST_INDENT: usize = 2;

/// Early end of a command.
#[derive(Debug)]
pub(super) struct EarlyExit {
    pub(super) exit: Exit,
    message: Message,
}

/// Kind of a refusal; [`Code::as_str`] is the code for `lcm explain`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    Adopt,
    AllUnknown,
    Audit,
    Declined,
    Empty,
    File,
    Held,
    Illegal,
    Lock,
    Locked,
    Log,
    Owned,
    OtherHost,
    SavedPlan,
    Span,
    Stale,
    Store,
    System,
    UnknownName,
    Usage,
    World,
}

impl Code {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Adopt => "lcm::command::adopt",
            Self::AllUnknown => "lcm::command::all_unknown",
            Self::Audit => "lcm::command::audit",
            Self::Declined => "lcm::command::declined",
            Self::Empty => "lcm::command::empty",
            Self::File => "lcm::command::file",
            Self::Held => "lcm::command::held",
            Self::Illegal => "lcm::command::illegal",
            Self::Lock => "lcm::command::lock",
            Self::Locked => "lcm::command::locked",
            Self::Log => "lcm::command::log",
            Self::Owned => "lcm::command::owned",
            Self::OtherHost => "lcm::command::other_host",
            Self::SavedPlan => "lcm::command::saved_plan",
            Self::Span => "lcm::command::span",
            Self::Stale => "lcm::command::stale",
            Self::Store => "lcm::command::store",
            Self::System => "lcm::command::system",
            Self::UnknownName => "lcm::command::unknown_name",
            Self::Usage => "lcm::command::usage",
            Self::World => "lcm::command::world",
        }
    }
}

#[derive(Debug)]
enum Message {
    /// Fragment, shown after `error[code]:`; below it the listed lines, and the help.
    Plain { code: Code, message: String, listed: Vec<String>, help: Option<String> },
    /// Rendered report with its own head, and its summary in one sentence.
    Shown { text: Output, sentence: String },
}

impl EarlyExit {
    pub(super) fn new(exit: Exit, code: Code, message: impl Into<String>) -> Self {
        Self { exit, message: Message::Plain { code, message: message.into(), listed: Vec::new(), help: None } }
    }

    /// Returns an error or a refusal before anything changed.
    pub(super) fn refused(code: Code, message: impl Into<String>) -> Self {
        Self::new(Exit::Refused, code, message)
    }

    /// Returns a refusal with a rendered report.
    pub(super) fn shown(text: Output, sentence: String) -> Self {
        Self { exit: Exit::Refused, message: Message::Shown { text, sentence } }
    }

    /// Adds lines below the message, and then the help.
    pub(super) fn with(self, lines: Vec<String>, then: Option<String>) -> Self {
        match self.message {
            Message::Plain { code, message, .. } => {
                Self { exit: self.exit, message: Message::Plain { code, message, listed: lines, help: then } }
            }
            shown @ Message::Shown { .. } => Self { exit: self.exit, message: shown },
        }
    }

    /// Appends a fragment to the message.
    pub(super) fn and(self, more: &str) -> Self {
        match self.message {
            Message::Plain { code, message, listed, help } => {
                Self::new(self.exit, code, format!("{message}; {more}")).with(listed, help)
            }
            shown @ Message::Shown { .. } => Self { exit: self.exit, message: shown },
        }
    }

    /// Returns the message for programs: without head and colours.
    pub(super) fn message(&self) -> String {
        match &self.message {
            Message::Plain { message, listed, help, .. } => {
                let listed = listed.iter().map(|line| format!("  {line}"));
                let lines = [message.clone()].into_iter().chain(listed).chain(help.clone());
                lines.collect::<Vec<_>>().join("\n")
            }
            Message::Shown { text, .. } => text.unpainted().trim_end().to_owned(),
        }
    }

    /// Returns the message as one line without its final punctuation.
    pub(super) fn sentence(&self) -> &str {
        let text = match &self.message {
            Message::Plain { message, .. } => message,
            Message::Shown { sentence, .. } => sentence,
        };
        text.lines().next().unwrap_or_default().trim_end_matches(['.', ':'])
    }

    pub(super) fn text(&self, style: Style) -> Output {
        match &self.message {
            Message::Plain { code, message, listed, help } => {
                let head = style.paint(Paint::Bad, &format!("error[{}]:", code.as_str()));
                let mut sheet = Sheet::new();
                sheet.line(format!("{head} {message}")).block(LIST_INDENT, listed);
                sheet.block(LIST_INDENT, help.iter().map(|help| format!("help: {help}")));
                sheet.output(style).trimmed()
            }
            Message::Shown { text, .. } => text.clone().trimmed(),
        }
    }
}
