//! YAML writer with comments; the text reads back as exactly the given values. Values are one line each: a text that is
//! not safe without quotes is quoted by the rules of JSON.

use std::fmt::Write as _;

use crate::model::safe_text::is_unseen;

/// Width of comments, in columns: enough for a sentence, narrow enough for a window next to another.
const WIDTH: usize = 110;
/// Longest list on one line, in columns; in a longer one each item has its own line.
const FLOW_WIDTH_MAX: usize = 88;

/// Value of a key or of a list item.
#[derive(Clone, Debug)]
pub(super) enum YamlValue {
    /// Any text.
    Text(String),
    /// A number, a boolean, a size or a duration: written as it is.
    Word(String),
    /// List, on one line where it is short.
    List(Vec<YamlValue>),
    /// Map on one line, in braces.
    Flow(Vec<(String, YamlValue)>),
    Map(YamlBlock),
    /// A list whose items may have comments.
    Items(YamlBlock),
}

/// Lines of a map or of a list.
#[derive(Clone, Debug, Default)]
pub(super) struct YamlBlock(Vec<YamlLine>);

#[derive(Clone, Debug)]
enum YamlLine {
    Comment(String),
    Gap,
    Entry {
        key: Option<String>,
        value: YamlValue,
        beside: Option<String>,
        /// True for a proposal, which is written as a comment.
        off: bool,
    },
}

impl YamlValue {
    /// Text with variables, as in a Compose file.
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// Text in which a dollar sign is literal.
    pub(super) fn literal(text: &str) -> Self {
        Self::Text(text.replace('$', "$$"))
    }

    #[expect(clippy::needless_pass_by_value, reason = "words and numbers alike, as they come")]
    pub(super) fn word(word: impl ToString) -> Self {
        Self::Word(word.to_string())
    }

    pub(super) fn texts(texts: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self::List(texts.into_iter().map(Self::text).collect())
    }

    /// Returns `{ env: NAME }`.
    pub(super) fn secret(name: &str) -> Self {
        Self::Flow(vec![("env".to_owned(), Self::text(name))])
    }

    /// Returns the one-line form, if there is one.
    fn inline(&self) -> Option<String> {
        let joined = |values: &mut dyn Iterator<Item = Option<String>>| -> Option<String> {
            Some(values.collect::<Option<Vec<_>>>()?.join(", "))
        };
        match self {
            Self::Text(text) => Some(quoted(text)),
            Self::Word(word) => Some(word.clone()),
            Self::List(items) => {
                let line = format!("[{}]", joined(&mut items.iter().map(Self::inline))?);
                (items.is_empty() || line.chars().count() <= FLOW_WIDTH_MAX).then_some(line)
            }
            Self::Flow(entries) if entries.is_empty() => Some("{}".to_owned()),
            Self::Flow(entries) => {
                let mut entries =
                    entries.iter().map(|(key, value)| Some(format!("{}: {}", quoted(key), value.inline()?)));
                Some(format!("{{ {} }}", joined(&mut entries)?))
            }
            Self::Map(block) => (!block.holds_any()).then(|| "{}".to_owned()),
            Self::Items(block) => (!block.holds_any()).then(|| "[]".to_owned()),
        }
    }

    /// Writes the lines below the key; nothing for a value on the key's line.
    fn below(&self, text: &mut String, indent: usize) {
        match self {
            Self::Text(_) | Self::Word(_) | Self::Flow(_) => {}
            Self::List(items) => {
                for item in items {
                    entry(text, indent, None, item, None);
                }
            }
            Self::Map(block) | Self::Items(block) => block.write(text, indent),
        }
    }
}

impl YamlBlock {
    pub(super) fn put(&mut self, key: &str, value: YamlValue) -> &mut Self {
        self.line(Some(key), value, None, false)
    }

    /// Adds a key with a remark at the end of its line.
    pub(super) fn put_with(&mut self, key: &str, value: YamlValue, beside: impl Into<String>) -> &mut Self {
        self.line(Some(key), value, Some(beside.into()), false)
    }

    /// Adds a key as a comment, which the user enables by removing the `#`.
    pub(super) fn propose(&mut self, key: &str, value: YamlValue, beside: Option<&str>) -> &mut Self {
        self.line(Some(key), value, beside.map(str::to_owned), true)
    }

    /// Adds an item of a list.
    pub(super) fn item(&mut self, value: YamlValue, beside: Option<&str>) -> &mut Self {
        self.line(None, value, beside.map(str::to_owned), false)
    }

    /// Removes a key.
    pub(super) fn remove(&mut self, name: &str) {
        self.0.retain(|line| !matches!(line, YamlLine::Entry { key: Some(key), off: false, .. } if key == name));
    }

    /// Adds a comment on a line of its own, folded.
    pub(super) fn comment(&mut self, comment: impl Into<String>) -> &mut Self {
        self.0.push(YamlLine::Comment(comment.into()));
        self
    }

    /// Adds an empty line, but none at the beginning and no two in a row.
    pub(super) fn gap(&mut self) -> &mut Self {
        if !matches!(self.0.last(), None | Some(YamlLine::Gap)) {
            self.0.push(YamlLine::Gap);
        }
        self
    }

    /// Returns true if the block has an entry that is not a comment.
    pub(super) fn holds_any(&self) -> bool {
        self.0.iter().any(|line| matches!(line, YamlLine::Entry { off: false, .. }))
    }

    /// Returns the whole document.
    pub(super) fn document(&self) -> String {
        let mut text = String::new();
        self.write(&mut text, 0);
        text
    }

    fn line(&mut self, key: Option<&str>, value: YamlValue, beside: Option<String>, off: bool) -> &mut Self {
        self.0.push(YamlLine::Entry { key: key.map(str::to_owned), value, beside, off });
        self
    }

    fn write(&self, text: &mut String, indent: usize) {
        for line in &self.0 {
            match line {
                YamlLine::Gap => text.push('\n'),
                YamlLine::Comment(comment) => write_comment(text, indent, comment),
                YamlLine::Entry { key, value, beside, off: false } => {
                    entry(text, indent, key.as_deref(), value, beside.as_deref());
                }
                YamlLine::Entry { key, value, beside, off: true } => {
                    let mut proposal = String::new();
                    entry(&mut proposal, 0, key.as_deref(), value, beside.as_deref());
                    for line in proposal.lines() {
                        let _ = writeln!(text, "{:indent$}{}", "", format!("# {line}").trim_end());
                    }
                }
            }
        }
    }
}

fn entry(text: &mut String, indent: usize, key: Option<&str>, value: &YamlValue, beside: Option<&str>) {
    let head = key.map_or_else(|| "-".to_owned(), |key| format!("{}:", quoted(key)));
    let beside = beside.map(|beside| format!("  # {}", on_one_line(beside))).unwrap_or_default();
    let inline = value.inline();
    let shown = inline.as_ref().map(|inline| format!(" {inline}")).unwrap_or_default();
    let _ = writeln!(text, "{:indent$}{head}{shown}{beside}", "");
    // An empty map or list may hold comments.
    if inline.is_none() || matches!(value, YamlValue::Map(_) | YamlValue::Items(_)) {
        value.below(text, indent + 2);
    }
}

/// Writes a comment, folded at blanks.
fn write_comment(text: &mut String, indent: usize, comment: &str) {
    if comment.is_empty() {
        let _ = writeln!(text, "{:indent$}#", "");
    }
    for paragraph in comment.lines() {
        let mut line = String::new();
        for word in printable(paragraph).split_whitespace() {
            if !line.is_empty() && indent + 2 + line.chars().count() + 1 + word.chars().count() > WIDTH {
                let _ = writeln!(text, "{:indent$}# {line}", "");
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        let _ = writeln!(text, "{:indent$}{}", "", format!("# {line}").trim_end());
    }
}

fn on_one_line(comment: &str) -> String {
    printable(comment).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Removes line ends: a comment ends with its line, and YAML has several characters that end one.
fn printable(text: &str) -> String {
    text.chars().map(|character| if is_printable(character) { character } else { ' ' }).collect()
}

fn quoted(text: &str) -> String {
    if is_plain(text) {
        return text.to_owned();
    }
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            other if is_printable(other) => quoted.push(other),
            other => {
                let code = u32::from(other);
                let _ = if code > 0xffff { write!(quoted, "\\U{code:08x}") } else { write!(quoted, "\\u{code:04x}") };
            }
        }
    }
    quoted.push('"');
    quoted
}

/// Returns true for YAML's printable characters, except line ends, marks that a reader may treat specially, and those
/// that move or hide the text beside them.
fn is_printable(character: char) -> bool {
    if is_unseen(character) {
        return false;
    }
    match character {
        '\u{85}' | '\u{a0}' | '\u{2028}' | '\u{2029}' | '\u{feff}' => false,
        ' '..='~' | '\u{a1}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' => true,
        other => u32::from(other) >= 0x1_0000 && u32::from(other) & 0xfffe != 0xfffe,
    }
}

/// Words that some YAML reader takes for another type than text.
const WORDS: [&str; 14] =
    ["true", "false", "yes", "no", "on", "off", "null", "nan", "inf", "y", "n", "none", ".inf", ".nan"];

/// Returns true if a text needs no quotes, also within brackets and braces. Stricter than YAML.
fn is_plain(text: &str) -> bool {
    let measured = text.trim_start_matches(|digit: char| digit.is_ascii_digit());
    let is_measure = measured.len() < text.len() && ["ms", "s", "m", "h", "MiB", "GiB", "MB", "GB"].contains(&measured);
    // `.env`, `./data`, `-m`, `--model`: the rest distinguishes them from numbers and marks.
    let bare = text.strip_prefix("--").or_else(|| text.strip_prefix(['.', '-'])).unwrap_or(text);
    let begins = bare.starts_with(|first: char| first.is_ascii_alphabetic() || first == '/' || first == '_');
    let inner = |character: char| character.is_ascii_alphanumeric() || "/_.-+=@~: ".contains(character);
    let ends = !text.ends_with([' ', ':']) && !text.contains(": ");
    let is_word = WORDS.contains(&text.to_ascii_lowercase().as_str()) || text.to_ascii_lowercase().starts_with("-.");
    is_measure || (begins && ends && text.chars().all(inner) && !is_word)
}

#[cfg(test)]
mod tests {
    use super::{YamlBlock, YamlValue, quoted};

    #[test]
    fn an_unsafe_text_is_quoted() {
        for (text, wanted) in [
            ("ollama", "ollama"),
            ("/models/a-b_c.gguf", "/models/a-b_c.gguf"),
            ("30s", "30s"),
            ("", "\"\""),
            ("no", "\"no\""),
            ("12", "\"12\""),
            ("1e3", "\"1e3\""),
            ("- a", "\"- a\""),
            ("a: b #c", "\"a: b #c\""),
            ("ollama/ollama:0.12", "ollama/ollama:0.12"),
            ("http://localhost:80/x", "http://localhost:80/x"),
            ("what it is", "what it is"),
            ("--port", "--port"),
            (".env", ".env"),
            ("-1", "\"-1\""),
            (".inf", "\".inf\""),
            ("a\"b\\c\nd\u{7}", "\"a\\\"b\\\\c\\nd\\u0007\""),
            ("{x}", "\"{x}\""),
        ] {
            assert_eq!(quoted(text), wanted);
        }
    }

    #[test]
    fn comments_stay_comments_with_any_text() {
        let mut inner = YamlBlock::default();
        inner.put("b", YamlValue::texts(["x", "1"])).comment("one\ntwo: 3\u{2028}- four");
        let mut block = YamlBlock::default();
        block.put_with("a", YamlValue::Map(inner.clone()), "be\nside").gap().propose("c", YamlValue::Map(inner), None);
        block.put("d", YamlValue::Map(YamlBlock::default()));
        let wanted = "a:  # be side\n  b: [x, \"1\"]\n  # one\n  # two: 3 - four\n\n# c:\n#   b: [x, \"1\"]\n#   # one\n#   # two: 3 - four\nd: {}\n";
        assert_eq!(block.document(), wanted);
    }
}
