//! Pages of `lcm explain`: codes of lcm's messages, lifecycle states, exit codes, warnings, and topics. Their texts are
//! beside this file; tests compare them with the codes, states and messages in the source.

pub(crate) mod search;

use crate::report::output::Output;
use crate::report::sheet::Sheet;
use crate::report::style::{Paint, Style};
use crate::report::table::{self, Cell};

/// Kind of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PageKind {
    Topic,
    State,
    Exit,
    Warning,
    Code,
}

/// Texts of each kind, in the order of the list.
const PAGES: [(PageKind, &str); 7] = [
    (PageKind::Topic, include_str!("pages/topics.md")),
    (PageKind::State, include_str!("pages/states.md")),
    (PageKind::Exit, include_str!("pages/exits.md")),
    (PageKind::Warning, include_str!("pages/warnings.md")),
    (PageKind::Code, include_str!("pages/manifest.md")),
    (PageKind::Code, include_str!("pages/plan.md")),
    (PageKind::Code, include_str!("pages/command.md")),
];

/// Headings of the list.
const HEADINGS: [(PageKind, &str); 5] = [
    (PageKind::Topic, "Topics"),
    (PageKind::State, "States of a service"),
    (PageKind::Exit, "Exit codes"),
    (PageKind::Warning, "Warnings, by a part of their text"),
    (PageKind::Code, "Codes of messages"),
];

/// One code, state, exit code, warning or topic, and its explanation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    kind: PageKind,
    title: &'static str,
    text: &'static str,
}

impl Page {
    /// Returns the last word of a code, the number of an exit code, the phrase of a warning, else the title.
    fn name(self) -> &'static str {
        match self.kind {
            PageKind::Code => self.title.rsplit("::").next().unwrap_or(self.title),
            PageKind::Exit => self.title.trim_start_matches("exit "),
            PageKind::Warning => self.title.trim_start_matches("warning: "),
            PageKind::Topic | PageKind::State => self.title,
        }
    }
}

/// Returns every page, in the order of the list.
fn pages() -> impl Iterator<Item = Page> {
    PAGES.into_iter().flat_map(|(kind, file)| {
        file.split("# ").skip(1).filter_map(move |page| {
            let (title, text) = page.split_once('\n')?;
            Some(Page { kind, title: title.trim(), text: text.trim() })
        })
    })
}

/// Returns the names that can be completed: one word each.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    pages().filter(|page| page.kind != PageKind::Warning).map(Page::name)
}

pub(crate) fn shown(page: Page, style: Style) -> Output {
    let title = match page.kind {
        PageKind::State => format!("{} (state of a service)", page.title),
        PageKind::Exit => format!("exit code {}", page.name()),
        PageKind::Topic | PageKind::Warning | PageKind::Code => page.title.to_owned(),
    };
    Sheet::new().line(style.paint(Paint::Strong, &title)).gap().own(page.text).output(style)
}

/// Lists each page by kind, with its first sentence.
pub(crate) fn list(style: Style) -> Output {
    let mut sheet = Sheet::new();
    for (number, (kind, heading)) in HEADINGS.into_iter().enumerate() {
        if number > 0 {
            sheet.gap();
        }
        let of_kind = pages().filter(|page| page.kind == kind);
        let rows: Vec<Vec<Cell>> = of_kind
            .map(|page| {
                let name = if kind == PageKind::Code { page.title } else { page.name() };
                vec![Cell::new(name).paint(Paint::Strong), Cell::new(first_sentence(page.text)).paint(Paint::Dim)]
            })
            .collect();
        sheet.line(style.paint(Paint::Strong, &format!("{heading}:"))).block(0, table::lines(&rows, style));
    }
    sheet.output(style)
}

fn first_sentence(text: &'static str) -> &'static str {
    let end = [". ", ".\n"].iter().filter_map(|end| text.find(end)).min().unwrap_or(text.len());
    text.get(..end).unwrap_or(text).trim_end_matches('.')
}

#[cfg(test)]
mod tests;
