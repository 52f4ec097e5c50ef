//! Text that Markdown, HTML and GitHub take for text: no table breaks, no user is notified, nothing is run.

use crate::model::safe_text::{self, is_unseen};

/// Invisible space that breaks `@name` and `#12` for GitHub, which looks for them in the rendered text.
const NO_WIDTH: char = '\u{200b}';

/// Returns a sentence, on one line.
pub(super) fn prose(text: &str) -> String {
    let mut prose = String::with_capacity(text.len());
    let text = safe_text::line(text);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' | '`' | '*' | '_' | '[' | ']' | '~' => prose.extend(['\\', letter]),
            '<' => prose.push_str("&lt;"),
            '>' => prose.push_str("&gt;"),
            '&' => prose.push_str("&amp;"),
            // In some readers an escaped bar still splits a table's cells.
            '|' => prose.push_str("&#124;"),
            // Two of them would be a formula.
            '$' => prose.push_str("<span>$</span>"),
            '@' | '#' => {
                prose.push(letter);
                if letters.peek().is_some_and(|next| next.is_alphanumeric()) {
                    prose.push(NO_WIDTH);
                }
            }
            // An address in a comment of lcm's would be trusted as lcm's: it is shown, and not linked.
            ':' if ends_with_any(&prose, &["http", "https", "ftp", "mailto", "xmpp"]) => prose.extend([':', NO_WIDTH]),
            '.' if ends_with_any(&prose, &["www"]) => prose.extend([NO_WIDTH, '.']),
            letter => prose.push(letter),
        }
    }
    prose
}

/// Compares without case.
fn ends_with_any(text: &str, words: &[&str]) -> bool {
    let ends = |word: &&str| {
        let end = text.len().checked_sub(word.len()).and_then(|from| text.get(from..));
        end.is_some_and(|end| end.eq_ignore_ascii_case(word))
    };
    words.iter().any(ends)
}

/// Returns a name as code: nothing is linked within code.
pub(super) fn code(name: &str) -> String {
    let plain = !name.is_empty() && !name.contains(|letter: char| "`|<>".contains(letter) || is_unseen(letter));
    if plain { format!("`{name}`") } else { prose(name) }
}

/// Returns a block whose fence is longer than any in its text.
pub(super) fn fenced(language: &str, text: &str) -> String {
    let text: Vec<String> =
        safe_text::lines(text, false).lines().map(|line| safe_text::no_command(line.to_owned())).collect();
    let text = text.join("\n");
    let mut longest = 0;
    let mut run = 0;
    for letter in text.chars() {
        run = if letter == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    let fence = "`".repeat((longest + 1).max(3));
    format!("{fence}{language}\n{}\n{fence}\n", text.trim_end_matches('\n'))
}

#[cfg(test)]
mod tests {
    use super::{code, fenced, prose};

    #[test]
    fn nothing_in_a_sentence_is_read_as_more_than_that() {
        assert_eq!(prose("a|b <script> & `x` *y* _z_"), "a&#124;b &lt;script&gt; &amp; \\`x\\` \\*y\\* \\_z\\_");
        assert_eq!(prose("![a](http://b) $HOME"), "!\\[a\\](http:\u{200b}//b) <span>$</span>HOME");
        assert_eq!(prose("www.evil.example"), "www\u{200b}.evil.example");
        assert_eq!(prose("ask @kim, see #12; a @ b"), "ask @\u{200b}kim, see #\u{200b}12; a @ b");
        assert_eq!(prose("two\nlines\u{202e}"), "two lines");
    }

    #[test]
    fn names_are_code_where_code_can_hold_them() {
        assert_eq!(code("my_service"), "`my_service`");
        assert_eq!(code("a`b"), "a\\`b");
        assert_eq!(code("a|b"), "a&#124;b");
    }

    #[test]
    fn a_fence_is_longer_than_what_it_holds() {
        assert_eq!(fenced("diff", "+ a\n"), "```diff\n+ a\n```\n");
        assert_eq!(fenced("diff", "+ \u{1b}]0;x\u{7}````\n"), "`````diff\n+ ````\n`````\n");
    }
}
