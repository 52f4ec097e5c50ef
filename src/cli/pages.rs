//! Pages of `lcm explain` for the codes of lcm's messages. Their texts are beside this file; tests compare them with
//! the codes in the source.

use crate::cli::args::names;
use crate::cli::stop::EarlyExit;
use crate::report::output::Output;
use crate::report::sheet::Sheet;
use crate::report::style::{Paint, Style};
use crate::report::table::{self, Cell};

/// Texts on manifests, plans and commands.
const PAGES: [&str; 3] =
    [include_str!("pages/manifest.md"), include_str!("pages/plan.md"), include_str!("pages/command.md")];

/// One code and its explanation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    code: &'static str,
    text: &'static str,
}

/// Returns every page, in the order of the texts.
pub(crate) fn pages() -> impl Iterator<Item = Page> {
    PAGES.into_iter().flat_map(|file| file.split("# ").skip(1)).filter_map(|page| {
        let (code, text) = page.split_once('\n')?;
        Some(Page { code: code.trim(), text: text.trim() })
    })
}

/// Codes of earlier versions, and what they are called now.
const FORMER: [(&str, &str); 1] = [("no_room", "no_capacity")];

/// Returns the pages of a code, or of the last word of one, which several codes may share. Errors: an unknown code.
pub(crate) fn find(code: &str) -> Result<Vec<Page>, EarlyExit> {
    let former = |(former, _): &&(&str, &str)| last_word(code) == *former;
    let present = FORMER.iter().find(former).map_or_else(|| code.to_owned(), |(old, new)| code.replace(old, new));
    let found: Vec<Page> = pages().filter(|page| page.code == present || last_word(page.code) == present).collect();
    if found.is_empty() {
        let words = pages().map(|page| if code.contains(':') { page.code } else { last_word(page.code) });
        return Err(names::unknown_code(code, words));
    }
    Ok(found)
}

/// Returns the last word of each code.
pub(crate) fn last_words() -> impl Iterator<Item = &'static str> {
    pages().map(|page| last_word(page.code))
}

fn last_word(code: &str) -> &str {
    code.rsplit("::").next().unwrap_or(code)
}

pub(crate) fn shown(page: Page, style: Style) -> Output {
    Sheet::new().line(style.paint(Paint::Strong, page.code)).gap().own(page.text).output(style)
}

/// Lists each code with its first sentence.
pub(crate) fn list(style: Style) -> Output {
    let first = |text: &'static str| {
        let end = [". ", ".\n"].iter().filter_map(|end| text.find(end)).min().unwrap_or(text.len());
        text.get(..end).unwrap_or(text)
    };
    let rows: Vec<Vec<Cell>> = pages()
        .map(|page| vec![Cell::new(page.code).paint(Paint::Strong), Cell::new(first(page.text)).paint(Paint::Dim)])
        .collect();
    Sheet::new().block(0, table::lines(&rows, style)).output(style)
}

#[cfg(test)]
mod tests;
