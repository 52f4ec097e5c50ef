//! [`Node`] to wire types, through serde. A value that can't be read is told, taken out, and the rest is read again,
//! until nothing is left to tell: so one run shows every unknown key and every wrong type of a file.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Expected, Unexpected};

use crate::syntax::fault::{Fault, suggest};
use crate::syntax::problem::Problem;
use crate::syntax::reader::Reader;
use crate::syntax::source::{Sources, Span};
use crate::syntax::tree::Node;

/// Whoever has more of them than this in one file looks at the first ones only.
const FAULTS_MAX: usize = 100;

/// Names the fault of a key that is not among those expected.
pub(crate) type UnknownKey = fn(field: &str, expected: &[&str]) -> Fault;

/// Reads a tree; what could not be read is missing in the answer and stands in `problems`.
pub(crate) fn read<T: for<'de> Deserialize<'de>>(
    root: &mut Node,
    sources: &Sources,
    unknown_key: UnknownKey,
    problems: &mut Vec<Problem>,
) -> Option<T> {
    for _ in 0..FAULTS_MAX {
        let error = match T::deserialize(Reader { node: root }) {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        let path: Vec<usize> = error.path.iter().rev().copied().collect();
        // What is missing beside something unreadable may be just that.
        let consequence = error.absence && root.walk(&path).is_some_and(|node| node.damaged);
        if !consequence {
            let fault = error.unknown.map(|(field, expected)| unknown_key(&field, expected));
            let Fault { code, message, label, help } = fault.unwrap_or(*error.fault);
            let place = sources.place(error.span.unwrap_or(root.span));
            let problem = Problem::error(code, message).at(place, label);
            problems.push(Problem { help, ..problem });
        }
        if path.is_empty() {
            return None;
        }
        root.remove(&path);
    }
    None
}

/// A fault on its way up, which learns its place and path as it goes.
#[derive(Debug)]
pub(crate) struct ReadError {
    fault: Box<Fault>,
    pub(crate) span: Option<Span>,
    /// Positions from the faulty value up to the root.
    pub(crate) path: Vec<usize>,
    /// Something that must be there is not.
    absence: bool,
    /// A key that is not among those expected there: which one was meant depends on the format that is read.
    unknown: Option<(String, &'static [&'static str])>,
}

impl ReadError {
    pub(crate) fn new(fault: Fault) -> Self {
        Self { fault: Box::new(fault), span: None, path: Vec::new(), absence: false, unknown: None }
    }

    pub(crate) fn at(mut self, span: Span) -> Self {
        self.span.get_or_insert(span);
        self
    }

    pub(crate) fn below(mut self, position: usize) -> Self {
        self.path.push(position);
        self
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fault.fmt(formatter)
    }
}

impl std::error::Error for ReadError {}

impl de::Error for ReadError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(Fault::unpack(&message.to_string()))
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        if unexpected == Unexpected::Unit {
            return Self::new(empty());
        }
        let found = match unexpected {
            Unexpected::Bool(value) => format!("`{value}`"),
            Unexpected::Unsigned(value) => format!("the number `{value}`"),
            Unexpected::Signed(value) => format!("the number `{value}`"),
            Unexpected::Float(value) => format!("the number `{value}`"),
            Unexpected::Str(text) => format!("the string `{}`", short(text)),
            Unexpected::Seq => "a list".to_owned(),
            Unexpected::Map => "a map".to_owned(),
            other => other.to_string(),
        };
        Self::new(wrong_type(&plain(expected), &found))
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(unexpected, expected)
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let fault = Fault::new("lcm::manifest::unknown_word", format!("`{variant}` is not known here"), "this word");
        Self::new(fault.help(suggest(variant, expected.iter().copied())))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let fault = Fault::new("lcm::manifest::unknown_key", format!("unknown key `{field}`"), "this key");
        Self { unknown: Some((field.to_owned(), expected)), ..Self::new(fault) }
    }

    fn missing_field(field: &'static str) -> Self {
        let fault = Fault::new("lcm::manifest::missing", format!("the key `{field}` is missing"), "in here");
        Self { absence: true, ..Self::new(fault) }
    }
}

/// The begin of a long text; the mark of the cut lets a masker find the half of a secret.
fn short(text: &str) -> String {
    const CHARS_MAX: usize = 40;
    let cut = text.char_indices().nth(CHARS_MAX).map(|(at, _)| &text[..at]);
    cut.map_or_else(|| text.to_owned(), |begin| format!("{begin}…"))
}

pub(crate) fn empty() -> Fault {
    Fault::new("lcm::manifest::empty", "there is no value", "nothing stands here")
        .help("write a value, or remove the key")
}

pub(crate) fn wrong_type(expected: &str, found: &str) -> Fault {
    let fault =
        Fault::new("lcm::manifest::type", format!("expected {expected}, found {found}"), format!("not {expected}"));
    if expected == "a string" && found.contains('`') { fault.help("put it in quotes to mean the text") } else { fault }
}

/// Rust's words for types are not the reader's.
fn plain(expected: &dyn Expected) -> String {
    match expected.to_string().as_str() {
        "u16" => "a whole number from 0 to 65535".to_owned(),
        "u32" | "u64" => "a whole number, 0 or more".to_owned(),
        "i64" => "a whole number".to_owned(),
        "a boolean" => "`true` or `false`".to_owned(),
        other => other.to_owned(),
    }
}
