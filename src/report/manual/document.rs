//! Text in Markdown as blocks: the part of Markdown that lcm's texts use.

use std::mem;

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// Text as blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Document(pub(super) Vec<Block>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Block {
    /// Heading with its level, starting at 1.
    Heading(u8, Inline),
    Paragraph(Inline),
    /// Lines of code or of a terminal, as they stand.
    Code(String),
    List(Vec<Vec<Block>>),
    Table {
        head: Vec<Inline>,
        rows: Vec<Vec<Inline>>,
    },
}

/// Stretch of text that wraps.
pub(super) type Inline = Vec<TextSpan>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TextSpan {
    pub(super) text: String,
    pub(super) emphasis: Emphasis,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Emphasis {
    None,
    Strong,
    Code,
}

/// Returns a stretch of text without its emphasis; code keeps its backticks.
pub(super) fn plain(inline: &Inline) -> String {
    let text = |span: &TextSpan| match span.emphasis {
        Emphasis::Code => format!("`{}`", span.text),
        Emphasis::None | Emphasis::Strong => span.text.clone(),
    };
    inline.iter().map(text).collect()
}

impl Document {
    pub(super) fn parse(markdown: &str) -> Self {
        let mut reader = Reader::default();
        for event in Parser::new_ext(markdown, Options::ENABLE_TABLES) {
            reader.take(event);
        }
        reader.end_paragraph();
        Self(reader.open.pop().unwrap_or_default())
    }
}

/// State of the parsing.
struct Reader {
    /// Blocks of the document and of each list item around the current place, the innermost last.
    open: Vec<Vec<Block>>,
    /// Items of each open list.
    lists: Vec<Vec<Vec<Block>>>,
    inline: Inline,
    emphasis: Emphasis,
    code: Option<String>,
    /// Rows of the open table, the head first.
    table: Vec<Vec<Inline>>,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            open: vec![Vec::new()],
            lists: Vec::new(),
            inline: Vec::new(),
            emphasis: Emphasis::None,
            code: None,
            table: Vec::new(),
        }
    }
}

impl Reader {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(&tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) => match &mut self.code {
                Some(code) => code.push_str(&text),
                None => self.push(&text, self.emphasis),
            },
            Event::Code(text) => self.push(&text, Emphasis::Code),
            Event::SoftBreak | Event::HardBreak => self.push(" ", self.emphasis),
            // lcm's texts have none of the rest.
            Event::InlineMath(_)
            | Event::DisplayMath(_)
            | Event::Html(_)
            | Event::InlineHtml(_)
            | Event::FootnoteReference(_)
            | Event::Rule
            | Event::TaskListMarker(_) => {}
        }
    }

    fn start(&mut self, tag: &Tag<'_>) {
        match tag {
            Tag::CodeBlock(_) => self.code = Some(String::new()),
            Tag::List(_) => {
                self.end_paragraph();
                self.lists.push(Vec::new());
            }
            Tag::Item => self.open.push(Vec::new()),
            Tag::Strong => self.emphasis = Emphasis::Strong,
            Tag::Table(_) => self.table.clear(),
            Tag::TableHead | Tag::TableRow => self.table.push(Vec::new()),
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Paragraph => self.end_paragraph(),
            TagEnd::Heading(level) => {
                let inline = mem::take(&mut self.inline);
                self.add(Block::Heading(level as u8, inline));
            }
            TagEnd::CodeBlock => {
                let code = self.code.take().unwrap_or_default();
                self.add(Block::Code(code));
            }
            TagEnd::Item => {
                self.end_paragraph();
                let item = self.open.pop().unwrap_or_default();
                if let Some(list) = self.lists.last_mut() {
                    list.push(item);
                }
            }
            TagEnd::List(_) => {
                let items = self.lists.pop().unwrap_or_default();
                self.add(Block::List(items));
            }
            TagEnd::Strong => self.emphasis = Emphasis::None,
            TagEnd::TableCell => {
                let cell = mem::take(&mut self.inline);
                if let Some(row) = self.table.last_mut() {
                    row.push(cell);
                }
            }
            TagEnd::Table => {
                let mut rows = mem::take(&mut self.table);
                let head = if rows.is_empty() { Vec::new() } else { rows.remove(0) };
                self.add(Block::Table { head, rows });
            }
            _ => {}
        }
    }

    /// Ends a paragraph; the text of a list item has no paragraph of its own.
    fn end_paragraph(&mut self) {
        let inline = mem::take(&mut self.inline);
        if !inline.is_empty() {
            self.add(Block::Paragraph(inline));
        }
    }

    fn push(&mut self, text: &str, emphasis: Emphasis) {
        match self.inline.last_mut() {
            Some(last) if last.emphasis == emphasis && emphasis != Emphasis::Code => last.text.push_str(text),
            Some(_) | None => self.inline.push(TextSpan { text: text.to_owned(), emphasis }),
        }
    }

    fn add(&mut self, block: Block) {
        if let Some(blocks) = self.open.last_mut() {
            blocks.push(block);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Block, Document, plain};

    #[test]
    fn the_parts_of_a_text_are_found() {
        let text = "# a `b`\n\none **two**\nthree\n\n- x\n  - y\n- z `c`\n\n| h | i |\n|---|---|\n| `1` | 2 |\n\n```sh\nls\n```\n";
        let Document(blocks) = Document::parse(text);
        let [Block::Heading(1, heading), Block::Paragraph(paragraph), Block::List(items), table, Block::Code(code)] =
            &blocks[..]
        else {
            panic!("{blocks:#?}");
        };
        assert_eq!((plain(heading).as_str(), plain(paragraph).as_str()), ("a `b`", "one two three"));
        assert!(matches!(&items[0][..], [Block::Paragraph(_), Block::List(inner)] if inner.len() == 1), "{items:#?}");
        assert!(matches!(&items[1][..], [Block::Paragraph(text)] if plain(text) == "z `c`"), "{items:#?}");
        assert!(matches!(table, Block::Table { head, rows } if head.len() == 2 && plain(&rows[0][0]) == "`1`"));
        assert_eq!(code, "ls\n");
    }
}
