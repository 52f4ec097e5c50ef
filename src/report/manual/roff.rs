//! Long texts as manual pages.

use std::fmt::Write as _;

use crate::report::manual::document::{Block, Document, Emphasis, Inline, TextSpan, plain};

pub(super) fn sections(document: &Document) -> String {
    let mut page = String::new();
    blocks(&document.0, &mut page);
    page
}

// Writing to a string can't fail.
fn blocks(blocks: &[Block], page: &mut String) {
    for block in blocks {
        match block {
            Block::Heading(level, inline) => {
                let (request, text) = (if *level <= 2 { "SH" } else { "SS" }, plain(inline).replace('"', ""));
                let _ = writeln!(page, ".{request} \"{}\"", escaped(&text.replace('`', "")));
            }
            Block::Paragraph(inline) => {
                let _ = writeln!(page, ".PP\n{}", line(inline));
            }
            Block::Code(code) => {
                page.push_str(".PP\n.RS 4\n.EX\n");
                for line in code.lines() {
                    let _ = writeln!(page, "{}", escaped(line));
                }
                page.push_str(".EE\n.RE\n");
            }
            Block::List(items) => list(items, page),
            Block::Table { head, rows } => rows.iter().for_each(|row| entry(head, row, page)),
        }
    }
}

fn list(items: &[Vec<Block>], page: &mut String) {
    for item in items {
        let rest = match item.split_first() {
            Some((Block::Paragraph(inline), rest)) => {
                let _ = writeln!(page, ".IP \\(bu 2\n{}", line(inline));
                rest
            }
            Some(_) | None => &item[..],
        };
        if !rest.is_empty() {
            page.push_str(".RS 2\n");
            blocks(rest, page);
            page.push_str(".RE\n");
        }
    }
}

/// Writes a row of a table as a term with its texts.
fn entry(head: &[Inline], row: &[Inline], page: &mut String) {
    let Some((term, texts)) = row.split_first() else { return };
    let _ = writeln!(page, ".TP\n{}", line(term));
    for (at, text) in texts.iter().enumerate().filter(|(_, text)| !text.is_empty()) {
        if at > 0 {
            page.push_str(".br\n");
        }
        let name = head.get(at + 1).map(plain).filter(|name| texts.len() > 1 && !name.is_empty());
        let name = name.map(|name| format!("{}: ", escaped(&name))).unwrap_or_default();
        let _ = writeln!(page, "{name}{}", line(text));
    }
}

/// Returns a stretch of text as one line of input.
fn line(inline: &Inline) -> String {
    let span = |span: &TextSpan| match span.emphasis {
        Emphasis::Strong => format!("\\fB{}\\fR", escaped(&span.text)),
        Emphasis::Code => format!("\\fI{}\\fR", escaped(&span.text)),
        Emphasis::None => escaped(&span.text),
    };
    let text: String = inline.iter().map(span).collect();
    // A request begins with a point or a quote in the first column.
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

/// Escapes a text for roff: a backslash begins a request, a hyphen may become a dash, a letter beyond ASCII needs its
/// number, and a point or a quote at a line's beginning is a request as well.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    if text.starts_with(['.', '\'']) {
        escaped.push_str("\\&");
    }
    for letter in text.chars() {
        match letter {
            '\\' => escaped.push_str("\\e"),
            '-' => escaped.push_str("\\-"),
            '\'' => escaped.push_str("\\(aq"),
            '~' => escaped.push_str("\\(ti"),
            '^' => escaped.push_str("\\(ha"),
            '`' => escaped.push_str("\\(ga"),
            letter if letter.is_ascii() => escaped.push(letter),
            letter => {
                let _ = write!(escaped, "\\[u{:04X}]", u32::from(letter));
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::sections;
    use crate::report::manual::document::Document;

    #[test]
    fn nothing_in_a_text_is_a_request() {
        let page = sections(&Document::parse("# x\n\n.sh rm -rf\n\n```\n.so /etc/passwd\n'a \\n\n```\n\n- `.x` y\n"));
        let requests = [".SH", ".PP", ".RS", ".RE", ".EX", ".EE", ".IP"];
        for line in page.lines().filter(|line| line.starts_with(['.', '\''])) {
            assert!(requests.iter().any(|request| line.starts_with(request)), "{line}");
        }
        assert!(page.contains("\\&.so /etc/passwd") && page.contains("\\(aqa \\en"), "{page}");
    }
}
