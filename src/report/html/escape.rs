//! Text that a browser takes for text, typeset: figures and their units stay on one line.

use maud::{Markup, PreEscaped, html};

use crate::model::safe_text;

/// Space between groups of three digits: narrow and non-breaking.
const THIN: char = '\u{202f}';
/// Space between a figure and its unit.
const FIXED: char = '\u{a0}';

const UNITS: [&str; 5] = ["MiB", "GiB", "s", "min", "h"];

/// Returns text as it is: names, and values of attributes.
pub(super) fn text(text: &str) -> Markup {
    // maud does not escape apostrophes, since it quotes attributes by `"`.
    PreEscaped(html! { (safe_text::line(text)) }.into_string().replace('\'', "&#39;"))
}

/// Returns a name as code.
pub(super) fn code(name: &str) -> Markup {
    html! { code { (text(name)) } }
}

/// Returns a sentence with figures, and with commands between backticks as code.
pub(super) fn prose(sentence: &str) -> Markup {
    let PreEscaped(set) = figures(sentence);
    let pieces: Vec<&str> = set.split('`').collect();
    // A backtick without a partner is a letter.
    if pieces.len().is_multiple_of(2) {
        return PreEscaped(set);
    }
    html! {
        @for (at, piece) in pieces.into_iter().enumerate() {
            @if at.is_multiple_of(2) { (PreEscaped(piece)) } @else { code { (PreEscaped(piece)) } }
        }
    }
}

/// Returns the same for attributes and pictures, where only text may occur.
pub(super) fn figures(sentence: &str) -> Markup {
    let mut set = String::with_capacity(sentence.len());
    for (at, letter) in sentence.char_indices() {
        set.push(if letter == ' ' { space(&sentence[..at], &sentence[at + 1..]) } else { letter });
    }
    text(&set)
}

/// Returns the space for the gap between these two words.
fn space(before: &str, after: &str) -> char {
    let word = after.split(|letter: char| !letter.is_ascii_alphanumeric()).next().unwrap_or_default();
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let figure = before.rsplit(|letter: char| !letter.is_ascii_digit()).next().unwrap_or_default();
    match () {
        () if before.ends_with("GPU") && after.starts_with(|next: char| next.is_ascii_digit()) => FIXED,
        () if figure.is_empty() => ' ',
        () if word.len() == 3 && digits(word) && figure.len() <= 3 => THIN,
        () if UNITS.contains(&word) => FIXED,
        () => ' ',
    }
}

#[cfg(test)]
mod tests {
    use super::{prose, text};

    #[test]
    fn text_stays_text() {
        assert_eq!(
            text("<a href=\"x\" b='c'>&\u{202e}").into_string(),
            "&lt;a href=&quot;x&quot; b=&#39;c&#39;&gt;&amp;"
        );
    }

    #[test]
    fn commands_are_code() {
        assert_eq!(prose("run `lcm plan -v`, <b>").into_string(), "run <code>lcm plan -v</code>, &lt;b&gt;");
        assert_eq!(prose("a ` alone").into_string(), "a ` alone");
    }

    #[test]
    fn figures_stay_whole() {
        assert_eq!(prose("takes 17 167 MiB on GPU 0").into_string(), "takes 17\u{202f}167\u{a0}MiB on GPU\u{a0}0");
        assert_eq!(
            prose("in about 2 min 30 s, GPU 0 and 1").into_string(),
            "in about 2\u{a0}min 30\u{a0}s, GPU\u{a0}0 and 1"
        );
        assert_eq!(prose("2026 100 to stop, 1 to start").into_string(), "2026 100 to stop, 1 to start");
    }
}
