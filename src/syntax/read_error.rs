//! Error of a deserialization through serde: a [`Fault`] and its position in the tree.

use std::fmt;

use serde::de::{self, Expected, Unexpected};

use crate::syntax::fault::{Fault, suggest};
use crate::syntax::source::Span;

/// Code of a value of the wrong kind.
pub(crate) const WRONG_TYPE: &str = "lcm::manifest::type";

/// Fault that gets its span and path as it propagates to the root.
#[derive(Debug)]
pub(crate) struct ReadError {
    pub(crate) fault: Box<Fault>,
    pub(crate) span: Option<Span>,
    /// Positions from the faulty value up to the root.
    pub(crate) path: Vec<usize>,
    /// True if a required key is missing.
    pub(crate) absence: bool,
    /// Unknown key with the expected ones: the suggestion depends on the format that is read.
    pub(crate) unknown: Option<(String, &'static [&'static str])>,
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
        let fault = Fault::new("lcm::manifest::unknown_word", format!("unknown value `{variant}`"), "this value");
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

/// Shortens a long text; the mark of the cut lets a masker find the half of a secret.
fn short(text: &str) -> String {
    const CHARS_MAX: usize = 40;
    let cut = text.char_indices().nth(CHARS_MAX).map(|(at, _)| &text[..at]);
    cut.map_or_else(|| text.to_owned(), |begin| format!("{begin}…"))
}

pub(crate) fn empty() -> Fault {
    Fault::new("lcm::manifest::empty", "the value is empty", "no value here").help("write a value, or remove the key")
}

pub(crate) fn wrong_type(expected: &str, found: &str) -> Fault {
    let fault = Fault::new(WRONG_TYPE, format!("expected {expected}, found {found}"), format!("not {expected}"));
    if expected == "a string" && found.contains('`') { fault.help("quote it to use it as a string") } else { fault }
}

/// Translates serde's names of types into those of a manifest.
fn plain(expected: &dyn Expected) -> String {
    match expected.to_string().as_str() {
        "u16" => "a whole number from 0 to 65535".to_owned(),
        "u32" | "u64" => "a whole number, 0 or more".to_owned(),
        "i64" => "a whole number".to_owned(),
        "a boolean" => "`true` or `false`".to_owned(),
        other => other.to_owned(),
    }
}
