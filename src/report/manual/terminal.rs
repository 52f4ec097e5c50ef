//! Long texts on a terminal: wrapped at a width that reads well, headings bold, code indented.

use std::mem;

use crate::report::fold::columns;
use crate::report::manual::document::{Block, Document, Emphasis, Inline, TextSpan, plain};
use crate::report::output::Output;
use crate::report::sheet::Sheet;
use crate::report::style::{Paint, Style};
use crate::report::table::{self, Cell};

/// Columns of a text: wider lines are hard to read.
const COLUMNS: usize = 80;
/// Indent of code, in columns.
const CODE_INDENT: usize = 4;
/// Widest cell of a table that is shown as one; a table with longer texts is shown as a list.
const CELL_COLUMNS_MAX: usize = 26;

pub(super) fn output(document: &Document, style: Style) -> Output {
    let style = Style { width: Some(style.width.unwrap_or(COLUMNS).min(COLUMNS)), ..style };
    let mut page = TextPage { style, sheet: Sheet::new(), parts: Vec::new() };
    page.blocks(&document.0, 0);
    page.end_sheet();
    page.parts.into_iter().collect()
}

/// Page with its finished parts: texts wrap, and code does not.
struct TextPage {
    style: Style,
    sheet: Sheet,
    parts: Vec<Output>,
}

impl TextPage {
    fn end_sheet(&mut self) {
        let sheet = mem::take(&mut self.sheet);
        self.parts.push(sheet.output(self.style));
    }

    fn blocks(&mut self, blocks: &[Block], indent: usize) {
        for (at, block) in blocks.iter().enumerate() {
            if at > 0 {
                self.sheet.gap();
            }
            match block {
                Block::Heading(_, inline) => {
                    self.sheet.block(indent, [self.style.paint(Paint::Strong, &plain(inline))]);
                }
                Block::Paragraph(inline) => {
                    self.sheet.block(indent, [painted(inline, self.style)]);
                }
                Block::Code(code) => {
                    self.end_sheet();
                    let lines: Vec<String> =
                        code.lines().map(|line| format!("{:1$}{line}", "", indent + CODE_INDENT)).collect();
                    self.parts.push(Sheet::new().laid_out(&lines.join("\n")).unfolded(self.style));
                }
                Block::List(items) => self.list(items, indent),
                Block::Table { head, rows } => rows_of(head, rows, indent, self.style, &mut self.sheet),
            }
        }
    }

    fn list(&mut self, items: &[Vec<Block>], indent: usize) {
        for item in items {
            let (first, rest) = match item.split_first() {
                Some((Block::Paragraph(inline), rest)) => (painted(inline, self.style), rest),
                Some(_) => (String::new(), &item[..]),
                None => continue,
            };
            self.sheet.block(indent, [format!("- {first}")]);
            self.blocks(rest, indent + 2);
        }
    }
}

fn rows_of(head: &[Inline], rows: &[Vec<Inline>], indent: usize, style: Style, sheet: &mut Sheet) {
    let is_narrow = rows.iter().flatten().chain(head).all(|cell| columns(&plain(cell)) <= CELL_COLUMNS_MAX);
    if is_narrow {
        let head = head.iter().map(|cell| Cell::new(plain(cell)).paint(Paint::Strong)).collect();
        let rows = rows.iter().map(|row| row.iter().map(|cell| Cell::new(plain(cell))).collect());
        let rows: Vec<Vec<Cell>> = [head].into_iter().chain(rows).collect();
        sheet.block(indent, table::lines(&rows, style));
        return;
    }
    for row in rows {
        let Some((term, texts)) = row.split_first() else { continue };
        sheet.block(indent, [style.paint(Paint::Strong, &plain(term))]);
        // What a column is follows from the text, except in a table of several columns.
        let named = texts.iter().enumerate().filter(|(_, text)| !text.is_empty()).map(|(at, text)| {
            let name = head.get(at + 1).map(plain).filter(|name| texts.len() > 1 && !name.is_empty());
            format!("{}{}", name.map(|name| format!("{name}: ")).unwrap_or_default(), painted(text, style))
        });
        sheet.block(indent + 2, named);
    }
}

/// Returns a stretch of text; code keeps its backticks, as in all of lcm's messages.
fn painted(inline: &Inline, style: Style) -> String {
    let text = |span: &TextSpan| match span.emphasis {
        Emphasis::Strong => style.paint(Paint::Strong, &span.text),
        Emphasis::Code => format!("`{}`", span.text),
        Emphasis::None => span.text.clone(),
    };
    inline.iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::output;
    use crate::report::manual::document::Document;
    use crate::report::style::Style;

    #[test]
    fn a_text_fits_the_terminal_and_code_stays_as_it_is() {
        let long = "word ".repeat(40);
        let text =
            format!("# t\n\n{long}\n\n- **a** {long}\n\n```\n{long}\n```\n\n| k | v |\n|---|---|\n| a | {long} |\n");
        let shown = output(&Document::parse(&text), Style::PLAIN);
        let (code, rest): (Vec<&str>, Vec<&str>) = shown.lines().partition(|line| line.len() > 150);
        assert!(matches!(code[..], [code] if code.starts_with("    word")), "{}", &*shown);
        assert!(rest.iter().all(|line| line.chars().count() <= 80), "{}", &*shown);
        assert!(shown.starts_with("t\n\nword") && shown.contains("\n- a word") && shown.contains("\na\n  word"));
    }
}
