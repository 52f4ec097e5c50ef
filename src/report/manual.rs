//! Long texts of lcm's own, written in Markdown: on a terminal, and as manual pages.

mod document;
mod roff;
mod terminal;

use crate::report::output::Output;
use crate::report::style::Style;

use self::document::Document;

/// Returns a text for a terminal or a pipe.
#[must_use]
pub fn terminal(markdown: &str, style: Style) -> Output {
    terminal::output(&Document::parse(markdown), style)
}

/// Returns a text as sections of a manual page, without title and name.
#[must_use]
pub fn roff(markdown: &str) -> String {
    roff::sections(&Document::parse(markdown))
}

/// Escapes a text for a manual page.
#[must_use]
pub fn escaped(text: &str) -> String {
    roff::escaped(text)
}
