//! Text that a browser takes for text, set as a typographer would: figures and their units stay on one line.

use maud::{Markup, PreEscaped, html};

use crate::model::harmless;

/// Between groups of three digits: narrow, and never the end of a line.
const THIN: char = '\u{202f}';
/// Between a figure and its unit.
const FIXED: char = '\u{a0}';

const UNITS: [&str; 5] = ["MiB", "GiB", "s", "min", "h"];

/// Text as it is: names, and what goes into attributes.
pub(super) fn text(text: &str) -> Markup {
    // maud leaves an apostrophe as it is, since it quotes attributes by `"`.
    PreEscaped(html! { (harmless::line(text)) }.into_string().replace('\'', "&#39;"))
}

/// A name, as one.
pub(super) fn code(name: &str) -> Markup {
    html! { code { (text(name)) } }
}

/// A sentence with figures in it, and commands between backticks.
pub(super) fn prose(sentence: &str) -> Markup {
    let PreEscaped(set) = figures(sentence);
    let pieces: Vec<&str> = set.split('`').collect();
    // One that has no other is a letter.
    if pieces.len().is_multiple_of(2) {
        return PreEscaped(set);
    }
    html! {
        @for (at, piece) in pieces.into_iter().enumerate() {
            @if at.is_multiple_of(2) { (PreEscaped(piece)) } @else { code { (PreEscaped(piece)) } }
        }
    }
}

/// The same where nothing but text may stand: in attributes and pictures.
pub(super) fn figures(sentence: &str) -> Markup {
    let mut set = String::with_capacity(sentence.len());
    for (at, letter) in sentence.char_indices() {
        set.push(if letter == ' ' { space(&sentence[..at], &sentence[at + 1..]) } else { letter });
    }
    text(&set)
}

/// The space that stands between these two.
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
