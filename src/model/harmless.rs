//! Text of others – a program's name, a log, a plan somebody sent – as it may be shown: what a terminal would obey, and
//! what moves or hides the letters beside it, is left out. The one place that knows what that is.
//!
//! Not here: what means something to a browser, to Markdown or to Mermaid, which those who write them take care of.

use std::str::Chars;

const RESET: &str = "\u{1b}[0m";

/// What moves or hides what stands beside it: codes of terminals, line ends, what turns the direction of writing, and
/// letters without a shape. The two that join letters stay: scripts and emoji need them.
#[must_use]
pub fn is_unseen(letter: char) -> bool {
    letter.is_control()
        || matches!(
            letter,
            '\u{ad}' | '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
                | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

/// As one line: ends of lines and tabs become spaces.
#[must_use]
pub fn line(text: &str) -> String {
    passed(text, |piece, passed| match piece {
        Piece::Letter('\t' | '\n' | '\u{2028}' | '\u{2029}') => passed.push(' '),
        Piece::Letter(letter) if !is_unseen(letter) => passed.push(letter),
        Piece::Letter(_) | Piece::Paint(_) => {}
    })
}

/// Its lines and tabs stay; where something is `colored`, what paints stays too.
#[must_use]
pub fn lines(text: &str, colored: bool) -> String {
    passed(text, |piece, passed| match piece {
        Piece::Letter(letter @ ('\t' | '\n')) => passed.push(letter),
        Piece::Letter(letter) if !is_unseen(letter) => passed.push(letter),
        Piece::Paint(code) if colored => passed.push_str(&code),
        Piece::Letter(_) | Piece::Paint(_) => {}
    })
}

/// A line of a log as a terminal would show it: of one that was drawn over and over, the last drawing. Its paint ends
/// with it.
#[must_use]
pub fn drawn(line: &str, colored: bool) -> String {
    let line = line.rsplit('\r').find(|part| !part.is_empty()).unwrap_or_default();
    let text = lines(line, colored);
    if text.contains('\u{1b}') { text + RESET } else { text }
}

enum Piece {
    Letter(char),
    /// A whole code that paints, and does nothing else.
    Paint(String),
}

/// All that is shown goes through here, letter by letter: `keep` writes what it keeps, and makes no text of each.
fn passed(text: &str, keep: impl Fn(Piece, &mut String)) -> String {
    let mut passed = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        // A code ends with its line at the latest: one that was cut off must not hide what others wrote below it.
        let mut letters = line.trim_end_matches('\n').chars();
        while let Some(letter) = letters.next() {
            let piece = match letter {
                '\u{1b}' => letters.next().and_then(|begin| sequence(begin, &mut letters)),
                // One letter that stands for an escape and another.
                '\u{80}'..='\u{9f}' => {
                    let begin = char::from_u32(u32::from(letter) - 0x40);
                    begin.and_then(|begin| sequence(begin, &mut letters))
                }
                letter => Some(Piece::Letter(letter)),
            };
            if let Some(piece) = piece {
                keep(piece, &mut passed);
            }
        }
        if line.ends_with('\n') {
            keep(Piece::Letter('\n'), &mut passed);
        }
    }
    passed
}

/// Takes what follows an escape (ECMA-48), and gives it back where it only paints.
fn sequence(begin: char, letters: &mut Chars<'_>) -> Option<Piece> {
    match begin {
        '[' => {
            let mut code = String::new();
            let end = letters.find(|letter| {
                let is_end = ('@'..='~').contains(letter);
                code.extend(Some(*letter).filter(|_| !is_end));
                is_end
            });
            let paints =
                end == Some('m') && code.chars().all(|letter| letter.is_ascii_digit() || ";:".contains(letter));
            paints.then(|| Piece::Paint(format!("\u{1b}[{code}m")))
        }
        // A title, a link, a string of a device: up to its end, which is a bell or an escape and a backslash.
        ']' | 'P' | 'X' | '^' | '_' => {
            let end = letters.find(|letter| matches!(letter, '\u{7}' | '\u{1b}' | '\u{9c}'));
            if end == Some('\u{1b}') {
                letters.next();
            }
            None
        }
        // Choosing a set of letters: one more of them.
        ' '..='/' => {
            letters.next();
            None
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{drawn, is_unseen, line, lines};

    #[test]
    fn a_terminal_is_painted_and_nothing_else() {
        let cases = [
            ("plain\tas it is", "plain\tas it is"),
            ("\u{1b}[31mred\u{1b}[1;32m two", "\u{1b}[31mred\u{1b}[1;32m two\u{1b}[0m"),
            ("up\u{1b}[2A\u{1b}[2J\u{1b}[?25lover\u{1b}[6n\u{1b}[>4m", "upover"),
            ("\u{1b}]0;a title\u{7}after\u{1b}]8;;http://x\u{1b}\\link", "afterlink"),
            ("\u{1b}Pdevice\u{1b}\\x\u{1b}(0y\u{1b}cz", "xyz"),
            ("10 %\r20 %\r30 %\r", "30 %"),
            ("bell\u{7}\u{8}\u{0}\u{9b}2Jdel\u{7f}", "belldel"),
            ("\u{9d}0;a title\u{9c}seen\u{85}", "seen"),
            ("abc\u{202e}fed\u{200b}\u{feff}", "abcfed"),
            ("👩\u{200d}🔬 é\u{301}", "👩\u{200d}🔬 é\u{301}"),
            ("cut \u{1b}[3", "cut "),
            ("cut \u{1b}", "cut "),
            ("cut \u{1b}]0;never ends", "cut "),
        ];
        for (text, expected) in cases {
            assert_eq!(drawn(text, true), expected, "{text:?}");
            let plain = drawn(text, false);
            assert!(!plain.contains(|letter| is_unseen(letter) && letter != '\t'), "{plain:?}");
            assert_eq!(plain.len() == expected.len(), !expected.contains('\u{1b}'), "{plain:?}");
        }
    }

    #[test]
    fn lines_stay_lines_or_become_one() {
        let text = "one\u{1b}]0;title\ntwo\r\n\tthree \u{1b}[\n\n";
        assert_eq!(lines(text, true), "one\ntwo\n\tthree \n\n");
        assert_eq!(line(text), "one two  three   ");
        assert_eq!(line("GPU 0\u{2028}is \u{1b}[1mfree\u{1b}[0m"), "GPU 0 is free");
    }
}
