//! Long texts on a terminal: wrapped at a width that reads well, headings bold, code indented.

use crate::report::fold::columns;
use crate::report::manual::document::{Block, Document, Emphasis, Inline, Span, plain};
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
    let mut sheet = Sheet::new();
    blocks(&document.0, 0, style, &mut sheet);
    sheet.output(style)
}

fn blocks(blocks: &[Block], indent: usize, style: Style, sheet: &mut Sheet) {
    for (at, block) in blocks.iter().enumerate() {
        if at > 0 {
            sheet.gap();
        }
        match block {
            Block::Heading(_, inline) => {
                sheet.block(indent, [style.paint(Paint::Strong, &plain(inline))]);
            }
            Block::Paragraph(inline) => {
                sheet.block(indent, [painted(inline, style)]);
            }
            Block::Code(code) => {
                sheet.laid_out(
                    &code
                        .lines()
                        .map(|line| format!("{:1$}{line}", "", indent + CODE_INDENT))
                        .collect::<Vec<_>>()
                        .join("\n"),
                );
            }
            Block::List(items) => list(items, indent, style, sheet),
            Block::Table { head, rows } => rows_of(head, rows, indent, style, sheet),
        }
    }
}

fn list(items: &[Vec<Block>], indent: usize, style: Style, sheet: &mut Sheet) {
    for item in items {
        let (first, rest) = match item.split_first() {
            Some((Block::Paragraph(inline), rest)) => (painted(inline, style), rest),
            Some(_) => (String::new(), &item[..]),
            None => continue,
        };
        sheet.block(indent, [format!("- {first}")]);
        blocks(rest, indent + 2, style, sheet);
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
    let text = |span: &Span| match span.emphasis {
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
        let (code, rest): (Vec<&str>, Vec<&str>) = shown.lines().partition(|line| line.starts_with("    word"));
        assert_eq!(code.len(), 1, "{}", &*shown);
        assert!(rest.iter().all(|line| line.chars().count() <= 80), "{}", &*shown);
        assert!(shown.starts_with("t\n\nword") && shown.contains("\n- a word") && shown.contains("\na\n  word"));
    }
}
