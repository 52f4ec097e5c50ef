//! Why a command ends before its work: what to say, and with which code.

use crate::cli::exit::Exit;
use crate::report::fold::folded;
use crate::report::style::{Paint, Style};

/// An early end.
#[derive(Debug)]
pub(super) struct Stop {
    pub(super) exit: Exit,
    message: Message,
}

/// What kind of refusal it is; [`Code::as_str`] is what `lcm explain` takes.
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
    /// A fragment, to be headed by `error[code]:`.
    Said { code: Code, message: String },
    /// A report that has its own head, the same without colours, and what it comes to.
    Shown { text: String, plain: String, sentence: String },
}

impl Stop {
    pub(super) fn new(exit: Exit, code: Code, message: impl Into<String>) -> Self {
        Self { exit, message: Message::Said { code, message: message.into() } }
    }

    /// An error or a refusal before anything changed.
    pub(super) fn refused(code: Code, message: impl Into<String>) -> Self {
        Self::new(Exit::Refused, code, message)
    }

    /// The same, with a text that is laid out already, once with paint and once without.
    pub(super) fn shown(text: String, plain: String, sentence: String) -> Self {
        Self { exit: Exit::Refused, message: Message::Shown { text, plain, sentence } }
    }

    /// The same, with more to say.
    pub(super) fn and(self, more: &str) -> Self {
        match self.message {
            Message::Said { code, message } => Self::new(self.exit, code, format!("{message}; {more}")),
            shown @ Message::Shown { .. } => Self { exit: self.exit, message: shown },
        }
    }

    /// For programs: neither headed nor painted.
    pub(super) fn message(&self) -> &str {
        match &self.message {
            Message::Said { message, .. } => message,
            Message::Shown { plain, .. } => plain.trim_end(),
        }
    }

    /// For a place that has room for one line, and puts its own end to it.
    pub(super) fn sentence(&self) -> &str {
        let said = match &self.message {
            Message::Said { message, .. } => message,
            Message::Shown { sentence, .. } => sentence,
        };
        said.lines().next().unwrap_or_default().trim_end_matches(['.', ':'])
    }

    pub(super) fn text(&self, style: Style) -> String {
        match &self.message {
            Message::Said { code, message } => {
                let head = format!("error[{}]:", code.as_str());
                folded(&format!("{} {message}", style.paint(Paint::Bad, &head)), style)
            }
            Message::Shown { text, .. } => text.trim_end().to_owned(),
        }
    }
}
