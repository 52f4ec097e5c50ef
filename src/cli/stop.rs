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

#[derive(Debug)]
enum Message {
    /// A fragment, to be headed by `error:`.
    Said(String),
    /// A report that has its own head, and the same without colours.
    Shown { text: String, plain: String },
}

impl Stop {
    pub(super) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: Message::Said(message.into()) }
    }

    /// An error or a refusal before anything changed.
    pub(super) fn refused(message: impl Into<String>) -> Self {
        Self::new(Exit::Refused, message)
    }

    /// The same, with a text that is laid out already.
    pub(super) fn shown(text: impl Into<String>, plain: impl Into<String>) -> Self {
        Self { exit: Exit::Refused, message: Message::Shown { text: text.into(), plain: plain.into() } }
    }

    /// The same, with more to say.
    pub(super) fn and(self, more: &str) -> Self {
        Self::new(self.exit, format!("{}; {more}", self.message()))
    }

    /// For programs: neither headed nor painted.
    pub(super) fn message(&self) -> &str {
        match &self.message {
            Message::Said(message) => message,
            Message::Shown { plain, .. } => plain.trim_end(),
        }
    }

    pub(super) fn text(&self, style: Style) -> String {
        match &self.message {
            Message::Said(message) => folded(&format!("{} {message}", style.paint(Paint::Bad, "error:")), style),
            Message::Shown { text, .. } => text.trim_end().to_owned(),
        }
    }
}
