//! Lines longer than the terminal's width, wrapped between words: a terminal wraps them anywhere. All texts for people
//! pass through here, and from here on foreign names and texts have no effect on a terminal.
//!
//! Wraps only for people at a terminal. In a pipe and in a file a line stays one line.

use std::iter;

use textwrap::core::Word;
use textwrap::{Options, WordSeparator, WordSplitter, WrapAlgorithm};
use unicode_width::UnicodeWidthChar;

use crate::model::safe_text;
use crate::report::style::Style;

/// Further indent of a wrapped line's rest, in columns.
const HANG: usize = 2;

/// Returns `text` with no line wider than the terminal, as far as its words allow, and with no codes but paint.
#[must_use]
pub(super) fn folded(text: &str, style: Style) -> String {
    let text = safe_text::lines(text, style.colored);
    let Some(width) = style.width else { return text };
    let fold = |line: &str| match line.strip_suffix('\n') {
        Some(line) => format!("{}\n", fold_line(line, width)),
        None => fold_line(line, width),
    };
    text.split_inclusive('\n').map(fold).collect()
}

/// Returns the columns that a text takes, without its paint.
#[must_use]
pub fn columns(text: &str) -> usize {
    letters(text).map(|(_, letter)| letter.width().unwrap_or(0)).sum()
}

/// Returns `text` cut to this many columns, with `…` where text is missing; its paint ends with it.
#[must_use]
pub fn cut_off(text: &str, headroom: usize) -> String {
    if columns(text) <= headroom {
        return text.to_owned();
    }
    let mut taken = 0;
    let shown = letters(text).take_while(|(_, letter)| {
        taken += letter.width().unwrap_or(0);
        // The last column is for the sign.
        taken < headroom
    });
    let end = shown.last().map_or(0, |(offset, letter)| offset + letter.len_utf8());
    let sign = if headroom > 0 { "…" } else { "" };
    let unpaint = if text[..end].contains('\u{1b}') { "\u{1b}[0m" } else { "" };
    format!("{}{sign}{unpaint}", &text[..end])
}

fn fold_line(line: &str, width: usize) -> String {
    if columns(line) <= width {
        return line.to_owned();
    }
    let indent = line.chars().take_while(|letter| *letter == ' ').count();
    // Where an indent would take most of the width, it is dropped.
    let hang = if indent + HANG < width / 2 { " ".repeat(indent + HANG) } else { String::new() };
    let options = Options::new(width)
        .subsequent_indent(&hang)
        .break_words(false)
        .word_separator(WordSeparator::Custom(words))
        .word_splitter(WordSplitter::NoHyphenation)
        .wrap_algorithm(WrapAlgorithm::FirstFit);
    textwrap::wrap(line, options).join("\n")
}

/// Returns words with the spaces after them: the indent is part of the first one, and `24 576 MiB` is one.
fn words(line: &str) -> Box<dyn Iterator<Item = Word<'_>> + '_> {
    let indent = line.len() - line.trim_start().len();
    let ends = line
        .match_indices(' ')
        .map(|(space, _)| space)
        .filter(move |space| *space > indent && !is_figure(line, *space) && !line[space + 1..].starts_with(' '));
    let mut start = 0;
    Box::new(ends.map(|space| space + 1).chain([line.len()]).map(move |end| {
        let word = Word::from(&line[start..end]);
        start = end;
        word
    }))
}

/// Returns true if the space here is one inside `24 576 MiB`.
fn is_figure(line: &str, space: usize) -> bool {
    let (before, after) = (&line[..space], &line[space + 1..]);
    let digit = |letter: char| letter.is_ascii_digit();
    before.ends_with(digit) && (after.starts_with(digit) || after.starts_with("MiB"))
}

/// Returns the letters that a terminal shows, with their offsets: all but the codes that paint the text.
fn letters(text: &str) -> impl Iterator<Item = (usize, char)> {
    let mut all = text.char_indices();
    iter::from_fn(move || {
        loop {
            match all.next()? {
                (_, '\u{1b}') => {
                    all.find(|(_, letter)| *letter == 'm');
                }
                shown => return Some(shown),
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::{columns, cut_off, folded};
    use crate::report::style::{Paint, Style};

    fn at(width: usize) -> Style {
        Style { width: Some(width), ..Style::PLAIN }
    }

    #[test]
    fn lines_break_between_words_and_hang() {
        let text = "  one two three four\nshort\n";
        assert_eq!(folded(text, at(12)), "  one two\n    three\n    four\nshort\n");
        assert_eq!(folded(text, at(20)), text);
        assert_eq!(folded(text, Style::PLAIN), text, "a pipe has no width");
    }

    #[test]
    fn foreign_names_have_no_effect_on_a_terminal() {
        let text = "held by \u{1b}]0;pwned\u{7}\u{1b}[2Jvim\u{202e}\n";
        for style in [Style::PLAIN, at(40), Style { colored: true, ..at(40) }] {
            assert_eq!(folded(text, style), "held by vim\n");
        }
    }

    #[test]
    fn figures_stay_whole_and_long_words_too() {
        assert_eq!(folded("takes 17 167 MiB on GPU 0", at(12)), "takes\n  17 167 MiB\n  on GPU 0");
        assert_eq!(folded("a /a/path/longer/than/that b", at(8)), "a\n  /a/path/longer/than/that\n  b");
        assert_eq!(folded("nothing_to_break_here", at(4)), "nothing_to_break_here");
        assert_eq!(folded("世界 世界 世界", at(9)), "世界 世界\n  世界", "each letter is two wide");
    }

    #[test]
    fn paint_takes_no_columns() {
        let painted = Style { colored: true, width: Some(10), ..Style::PLAIN };
        let text = format!("{} no port", painted.paint(Paint::Warn, "warning:"));
        assert_eq!(columns(&text), 16);
        assert_eq!(folded(&text, painted), format!("{}\n  no port", painted.paint(Paint::Warn, "warning:")));
    }

    #[test]
    fn a_cut_text_fits_its_columns() {
        assert_eq!(cut_off("loading", 7), "loading");
        assert_eq!(cut_off("loading", 5), "load…");
        assert_eq!((cut_off("loading", 1), cut_off("loading", 0)), ("…".to_owned(), String::new()));
        assert_eq!(cut_off("模型加载中", 6), "模型…", "each takes two columns");
        let painted = Style { colored: true, ..Style::PLAIN }.paint(Paint::Dim, "loading");
        assert_eq!(cut_off(&painted, 5), "\u{1b}[2mload…\u{1b}[0m");
        for headroom in 0..20 {
            for text in ["模型 is loading, 60%", "é\u{301}🦀 done", &painted] {
                assert!(columns(&cut_off(text, headroom)) <= headroom, "{text:?} in {headroom}");
            }
        }
    }
}
