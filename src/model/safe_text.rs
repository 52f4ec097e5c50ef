//! Makes text from outside (a program's name, a log, a saved plan) safe to show: removes what a terminal would
//! interpret, and what moves or hides the letters beside it. The one place that defines that.
//!
//! Not here: escaping for a browser, Markdown or Mermaid, which the writers of these formats do.

use std::str::Chars;

use unicode_width::UnicodeWidthChar;

const RESET: &str = "\u{1b}[0m";

/// Combining marks on one letter: more than any script needs would be drawn over the lines around it.
const MARKS_MAX: usize = 8;

/// Mark of a cut text.
const CUT: char = '…';

/// Returns true for letters that move or hide what is beside them: terminal codes, line ends, marks of writing
/// direction, and letters without a shape. The two joiners are not among them: scripts and emoji need them, and
/// [`line()`] and [`lines`] keep them only there.
#[must_use]
pub fn is_unseen(letter: char) -> bool {
    letter.is_control()
        || matches!(
            letter,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
                | '\u{180b}'..='\u{180f}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fdd0}'..='\u{fdef}' | '\u{feff}' | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}' | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
        )
}

/// Returns the text as one line: line ends and tabs become spaces.
#[must_use]
pub fn line(text: &str) -> String {
    if is_plain(text) {
        return text.to_owned();
    }
    passed(text, |piece, shown| match piece {
        Piece::Letter(letter) if is_gap(letter) => shown.push(' '),
        Piece::Letter(letter) if !is_unseen(letter) => shown.push(letter),
        Piece::Letter(_) | Piece::Paint(_) => {}
    })
}

/// Returns the text as [`line()`] does, cut to `letters_max` letters: even a name that no manifest can have is shown,
/// and fills no screen.
#[must_use]
pub fn short(text: &str, letters_max: usize) -> String {
    // The part that is left out may be of any length: no more is read than can be shown.
    let beginning: String = text.chars().take(letters_max.saturating_add(1).saturating_mul(4)).collect();
    let line = line(&beginning);
    if line.chars().count() <= letters_max && beginning.len() == text.len() {
        return line;
    }
    line.chars().take(letters_max.saturating_sub(1)).chain([CUT]).collect()
}

/// Returns the text as one line, which may hold colour codes: with `colored` they stay, and end with the line.
#[must_use]
pub fn painted_line(text: &str, colored: bool) -> String {
    if is_plain(text) {
        return text.to_owned();
    }
    let line = passed(text, |piece, shown| match piece {
        Piece::Letter(letter) if is_gap(letter) => shown.push(' '),
        Piece::Letter(letter) if !is_unseen(letter) => shown.push(letter),
        Piece::Paint(code) if colored => shown.paint(&code),
        Piece::Letter(_) | Piece::Paint(_) => {}
    });
    unpainted_at_its_end(line)
}

/// Returns the text with its lines and tabs; with `colored` its colour codes stay too, and end with their line.
#[must_use]
pub fn lines(text: &str, colored: bool) -> String {
    if text.bytes().all(|byte| byte == b'\n' || is_plain_byte(byte)) {
        return text.to_owned();
    }
    let text = passed(text, |piece, shown| match piece {
        Piece::Letter(letter @ ('\t' | '\n')) => shown.push(letter),
        Piece::Letter(letter) if !is_unseen(letter) => shown.push(letter),
        Piece::Paint(code) if colored => shown.paint(&code),
        Piece::Letter(_) | Piece::Paint(_) => {}
    });
    if !text.contains('\u{1b}') {
        return text;
    }
    let unpainted = |line: &str| match line.strip_suffix('\n') {
        Some(line) => unpainted_at_its_end(line.to_owned()) + "\n",
        None => unpainted_at_its_end(line.to_owned()),
    };
    text.split_inclusive('\n').map(unpainted).collect()
}

/// Returns a line of a log as a terminal would show it: of a line that was redrawn with carriage returns, the last
/// version. Colour codes end with the line.
#[must_use]
pub fn drawn(line: &str, colored: bool) -> String {
    let line = line.rsplit('\r').find(|part| !part.is_empty()).unwrap_or_default();
    lines(line, colored)
}

/// Returns the line in a form that no CI runner takes for a command: GitHub's runner obeys a line that begins with `::`
/// at any indent, others obey the marks below anywhere. No line of lcm's own has any.
#[must_use]
pub fn no_command(line: String) -> String {
    let begin = line.len() - line.trim_start().len();
    let line = match line[begin..].strip_prefix("::") {
        Some(rest) => format!("{}: :{rest}", &line[..begin]),
        None => line,
    };
    if !line.contains("##") {
        return line;
    }
    ["##[", "##vso[", "##teamcity["].iter().fold(line, |line, word| line.replace(word, &word.replacen("##", "# #", 1)))
}

/// Returns true if the text is one line of ASCII that is shown unchanged: most text is, and needs no second pass.
#[must_use]
pub fn is_plain(text: &str) -> bool {
    text.bytes().all(is_plain_byte)
}

fn is_plain_byte(byte: u8) -> bool {
    (b' '..=b'~').contains(&byte)
}

/// Returns true for letters that separate words, and would begin another line or column.
fn is_gap(letter: char) -> bool {
    matches!(letter, '\t' | '\n' | '\u{b}' | '\u{c}' | '\u{2028}' | '\u{2029}')
}

fn unpainted_at_its_end(line: String) -> String {
    let is_open = line.rfind('\u{1b}').is_some_and(|last| !line[last..].starts_with(RESET));
    if is_open { line + RESET } else { line }
}

/// Returns the length in bytes of an invisible sequence at the begin of a line: a terminal code, or a letter without a
/// shape. 0: the line begins with a letter that is shown.
#[must_use]
pub fn unseen_bytes(line: &str) -> usize {
    let mut letters = line.chars();
    match letters.next() {
        Some('\u{1b}') => drop(letters.next().and_then(|begin| sequence(begin, &mut letters))),
        Some(letter @ '\u{80}'..='\u{9f}') => {
            let begin = char::from_u32(u32::from(letter) - 0x40);
            drop(begin.and_then(|begin| sequence(begin, &mut letters)));
        }
        Some('\t') | None => return 0,
        Some(letter) if is_unseen(letter) || letter.width() == Some(0) => {}
        Some(_) => return 0,
    }
    line.len() - letters.as_str().len()
}

enum Piece {
    Letter(char),
    /// A whole code that sets colour or style, and does nothing else.
    Paint(String),
}

/// Text that is kept, letter by letter.
struct CleanText {
    text: String,
    /// A joiner between the letter before and the next one, kept only if the next one is not ASCII either.
    joiner: Option<char>,
    marks: usize,
}

impl CleanText {
    fn push(&mut self, letter: char) {
        if letter.is_ascii() {
            (self.joiner, self.marks) = (None, 0);
            self.text.push(letter);
            return;
        }
        if matches!(letter, '\u{200c}' | '\u{200d}') {
            // Between ASCII letters a joiner joins nothing, and makes two names that look the same.
            self.joiner = Some(letter).filter(|_| self.text.ends_with(|last: char| !last.is_ascii()));
            return;
        }
        self.marks = if letter.width() == Some(0) { self.marks.saturating_add(1) } else { 0 };
        if self.marks <= MARKS_MAX {
            self.text.extend(self.joiner.take().into_iter().chain([letter]));
        }
    }

    fn paint(&mut self, code: &str) {
        self.text.push_str(code);
    }
}

/// Filters a text letter by letter: `keep` writes what is kept, and allocates nothing for each letter.
fn passed(text: &str, keep: impl Fn(Piece, &mut CleanText)) -> String {
    let mut shown = CleanText { text: String::with_capacity(text.len()), joiner: None, marks: 0 };
    for line in text.split_inclusive('\n') {
        // A code ends with its line at the latest: a code that was cut off must not hide the lines below it.
        let mut letters = line.trim_end_matches('\n').chars();
        while let Some(letter) = letters.next() {
            let piece = match letter {
                '\u{1b}' => letters.next().and_then(|begin| sequence(begin, &mut letters)),
                // C1 control: one letter that stands for an escape and another.
                '\u{80}'..='\u{9f}' => {
                    let begin = char::from_u32(u32::from(letter) - 0x40);
                    begin.and_then(|begin| sequence(begin, &mut letters))
                }
                letter => Some(Piece::Letter(letter)),
            };
            if let Some(piece) = piece {
                keep(piece, &mut shown);
            }
        }
        if line.ends_with('\n') {
            keep(Piece::Letter('\n'), &mut shown);
        }
    }
    shown.text
}

/// Consumes what follows an escape (ECMA-48), and returns it if it only sets colour or style.
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
            (paints && !conceals(&code)).then(|| Piece::Paint(format!("\u{1b}[{code}m")))
        }
        // A title, a link, or a string of a device: up to its end, which is a bell, or an escape and a backslash.
        ']' | 'P' | 'X' | '^' | '_' => {
            let end = letters.find(|letter| matches!(letter, '\u{7}' | '\u{1b}' | '\u{9c}'));
            if end == Some('\u{1b}') {
                letters.next();
            }
            None
        }
        // Choosing a character set: one more letter.
        ' '..='/' => {
            letters.next();
            None
        }
        _ => None,
    }
}

/// Returns true if the code makes what follows invisible, alone or among others. The figures of a colour (`38;5;8`)
/// don't.
fn conceals(code: &str) -> bool {
    let mut figures = code.split(';');
    while let Some(figure) = figures.next() {
        match figure.trim_start_matches('0') {
            "38" | "48" | "58" => {
                let skipped = match figures.next().map(|kind| kind.trim_start_matches('0')) {
                    Some("5") => 1,
                    Some("2") => 3,
                    Some(_) | None => 0,
                };
                figures.by_ref().take(skipped).for_each(drop);
            }
            "8" => return true,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::{MARKS_MAX, drawn, is_unseen, line, lines, painted_line, short};

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
            ("seen \u{1b}[8mhidden\u{1b}[1;08mtoo", "seen hiddentoo"),
            ("\u{1b}[38;5;8mgrey", "\u{1b}[38;5;8mgrey\u{1b}[0m"),
            ("ad\u{200d}min \u{3164}x\u{e0141}", "admin x"),
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

    #[test]
    fn a_line_stays_one_and_its_paint_ends_with_it() {
        let text = "a\u{b}b\u{c}c\u{85}d\u{2029}e\r\nf \u{1b}[31mred";
        assert_eq!(line(text), "a b cd e f red");
        assert_eq!(painted_line(text, false), line(text));
        assert_eq!(painted_line(text, true), "a b cd e f \u{1b}[31mred\u{1b}[0m");
        assert_eq!(lines("\u{1b}[31mred\nplain", true), "\u{1b}[31mred\u{1b}[0m\nplain");
    }

    #[test]
    fn a_tower_of_marks_is_cut_and_a_long_name_too() {
        let tower = format!("a{}b", "\u{301}".repeat(500));
        assert_eq!(line(&tower).chars().count(), MARKS_MAX + 2);
        assert_eq!(short("web", 3), "web");
        assert_eq!(short("web-1", 3), "we…");
        assert_eq!(short(&"\u{1b}[31m".repeat(1_000), 8), "…");
        assert_eq!(short(&"x".repeat(1 << 20), 8), "xxxxxxx…");
        assert_eq!(short("a\nb", 8), "a b");
    }
}
