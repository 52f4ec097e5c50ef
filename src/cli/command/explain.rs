//! `lcm explain`: a page for every code that lcm's messages bear. The pages are texts beside this file; tests hold them
//! against the codes that the source has.

use crate::cli::args::names;
use crate::cli::command::plan::data;
use crate::cli::exit::Exit;
use crate::cli::stop::Stop;
use crate::cli::terminal::session::Session;
use crate::report::output::Output;
use crate::report::sheet::Sheet;
use crate::report::style::{Paint, Style};
use crate::report::table::{self, Cell};

/// What is wrong with a manifest, why a plan does what it does or does not, and why a command would not.
const PAGES: [&str; 3] =
    [include_str!("explain/manifest.md"), include_str!("explain/plan.md"), include_str!("explain/command.md")];

/// Explain a code that a message bears, with what to do about it
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Code to explain, whole or its last word; without one all are listed
    #[arg(value_name = "CODE")]
    code: Option<String>,
}

/// One code, and what there is to say of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Page {
    code: &'static str,
    text: &'static str,
}

pub(in crate::cli) fn run(session: &Session, args: &Args) -> Result<Exit, Stop> {
    let text = match &args.code {
        None => list(session.stdout),
        Some(code) => {
            let pages = find(code)?;
            let gap = |at: usize| if at > 0 { Output::gap() } else { Output::default() };
            let pages = pages.iter().enumerate();
            pages.flat_map(|(at, page)| [gap(at), shown(*page, session.stdout)]).collect()
        }
    };
    data(&text)?;
    Ok(Exit::Done)
}

/// Every page, in the order of the texts.
fn pages() -> impl Iterator<Item = Page> {
    PAGES.into_iter().flat_map(|file| file.split("# ").skip(1)).filter_map(|page| {
        let (code, text) = page.split_once('\n')?;
        Some(Page { code: code.trim(), text: text.trim() })
    })
}

/// The page of this code; a last word may be that of several.
fn find(code: &str) -> Result<Vec<Page>, Stop> {
    let found: Vec<Page> = pages().filter(|page| page.code == code || last_word(page.code) == code).collect();
    if found.is_empty() {
        let words = pages().map(|page| if code.contains(':') { page.code } else { last_word(page.code) });
        return Err(names::unknown_code(code, words));
    }
    Ok(found)
}

/// Of all codes.
pub(in crate::cli) fn last_words() -> impl Iterator<Item = &'static str> {
    pages().map(|page| last_word(page.code))
}

fn last_word(code: &str) -> &str {
    code.rsplit("::").next().unwrap_or(code)
}

fn shown(page: Page, style: Style) -> Output {
    Sheet::new().line(style.paint(Paint::Strong, page.code)).gap().own(page.text).output(style)
}

/// Each with its first sentence.
fn list(style: Style) -> Output {
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
