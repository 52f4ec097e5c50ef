//! A table that stays on a terminal: what is to be sent so that it shows the next one. Lines that stay as they are, are
//! not sent again, so that nothing flickers and a slow connection has little to carry. Pure: who asks for the size, and
//! when, is not here.
//!
//! It is drawn on the terminal's second screen, where lines are reached by their number: on the first one, what a
//! resize does to lines above the cursor differs from terminal to terminal.

use std::fmt::Write as _;

use crate::report::fold::{columns, cut_off};
use crate::report::print::TerminalSize;
use crate::report::style::{Paint, Style};
use crate::report::table::counted;

/// What a terminal shows at one moment: no more lines than it has rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    lines: Vec<String>,
    size: TerminalSize,
}

impl Frame {
    /// The text, below it what went wrong, and a line that is always there. Of a text that is too long the beginning
    /// shows, and how much is below it; of a line that is too long, too.
    #[must_use]
    pub fn new(text: &str, wrong: &str, foot: &str, size: TerminalSize, style: Style) -> Self {
        let all: Vec<&str> = text.lines().collect();
        let headroom = Self::headroom(wrong, size);
        let shown = if all.len() > headroom { headroom.saturating_sub(1) } else { all.len() };
        let mut lines: Vec<String> = all[..shown].iter().map(|line| (*line).to_owned()).collect();
        if shown < all.len() {
            let below = counted(all.len() - shown, "more line", "more lines");
            lines.push(style.paint(Paint::Warn, &format!("… {below} below; all of it is shown at the end")));
        }
        lines.extend(wrong.lines().take(wrong_max(size)).map(ToOwned::to_owned));
        lines.extend([String::new(), style.paint(Paint::Dim, foot)]);
        lines.truncate(size.rows);
        // Terminals that can't be told not to break a line would move all that is below it.
        let lines = lines.iter().map(|line| cut_off(line, size.columns)).collect();
        Self { lines, size }
    }

    /// Lines that a text may have, beside what went wrong, so that all of it shows.
    #[must_use]
    pub fn headroom(wrong: &str, size: TerminalSize) -> usize {
        // The foot, and the empty line before it.
        size.rows.saturating_sub(2 + wrong.lines().count().min(wrong_max(size)))
    }
}

/// What went wrong leaves half of the screen to what is known.
fn wrong_max(size: TerminalSize) -> usize {
    size.rows / 2
}

/// What turns the one into the other; `None`: nothing that is known is on the screen.
#[must_use]
pub fn changes(before: Option<&Frame>, after: &Frame) -> String {
    // A terminal of another size has moved its lines about, each in its own way.
    let Some(before) = before.filter(|before| before.size == after.size) else {
        return after.lines.iter().enumerate().fold("\u{1b}[2J".to_owned(), |text, (row, line)| text + &put(row, line));
    };
    let mut text = String::new();
    for row in 0..before.lines.len().max(after.lines.len()) {
        let [was, is] = [before, after].map(|frame| frame.lines.get(row).map_or("", String::as_str));
        if was == is {
            continue;
        }
        text.push_str(&put(row, is));
        // Only where something is left of what was there: after a whole line the cursor stands on its last letter.
        if columns(is) < columns(was).min(after.size.columns) {
            text.push_str("\u{1b}[K");
        }
    }
    text
}

fn put(row: usize, line: &str) -> String {
    let mut text = String::new();
    let _ = write!(text, "\u{1b}[{};1H{line}", row + 1);
    text
}

#[cfg(test)]
mod tests {
    use super::{Frame, changes};
    use crate::report::fold::columns;
    use crate::report::print::TerminalSize;
    use crate::report::style::{Paint, Style};

    const SIZE: TerminalSize = TerminalSize { rows: 8, columns: 20 };

    fn frame(text: &str) -> Frame {
        Frame::new(text, "", "every 2s", SIZE, Style::PLAIN)
    }

    #[test]
    fn only_lines_that_change_are_sent() {
        let first = frame("HEAD\nweb online\ntts online 59s\n");
        let sent = changes(None, &first);
        assert_eq!(
            sent,
            "\u{1b}[2J\u{1b}[1;1HHEAD\u{1b}[2;1Hweb online\u{1b}[3;1Htts online 59s\u{1b}[4;1H\u{1b}[5;1Hevery 2s"
        );
        assert_eq!(changes(Some(&first), &first), "", "nothing changed, nothing is sent");

        let second = frame("HEAD\nweb online\ntts failed 1m\n");
        assert_eq!(changes(Some(&first), &second), "\u{1b}[3;1Htts failed 1m\u{1b}[K");
        let longer = frame("HEAD\nweb online\ntts failed 1m, held\n");
        assert_eq!(changes(Some(&second), &longer), "\u{1b}[3;1Htts failed 1m, held", "nothing of it is left to erase");
    }

    #[test]
    fn a_table_that_shrinks_leaves_nothing_behind() {
        let (long, short) = (frame("a\nb\nc\nd\n"), frame("a\n"));
        assert_eq!(
            changes(Some(&long), &short),
            "\u{1b}[2;1H\u{1b}[K\u{1b}[3;1Hevery 2s\u{1b}[4;1H\u{1b}[K\u{1b}[6;1H\u{1b}[K"
        );
        assert_eq!(shown(&[&long, &short]), shown(&[&short]));
    }

    #[test]
    fn a_resize_draws_all_anew() {
        let first = frame("a\nb\n");
        let wider = Frame { size: TerminalSize { columns: 30, ..SIZE }, ..first.clone() };
        assert_eq!(changes(Some(&first), &wider), changes(None, &wider));
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let lines = |count: usize| (0..count).map(|line| line.to_string()).collect::<Vec<_>>().join("\n");
        assert_eq!(frame(&lines(6)).lines, ["0", "1", "2", "3", "4", "5", "", "every 2s"]);
        let tall = frame(&lines(9));
        assert_eq!(tall.lines.len(), SIZE.rows);
        assert!(tall.lines[5].starts_with("… 4 more lines belo"), "{:?}", tall.lines);
        assert_eq!(tall.lines[7], "every 2s");
        for rows in 0..4 {
            assert!(
                Frame::new(&lines(9), "a\nb\nc\n", "foot", TerminalSize { rows, columns: 20 }, Style::PLAIN)
                    .lines
                    .len()
                    <= rows
            );
        }
    }

    #[test]
    fn what_went_wrong_shows_whatever_the_length_of_the_rest() {
        let text = "0\n1\n2\n3\n4\n5\n";
        let frame = Frame::new(text, "\nerror\n", "foot", SIZE, Style::PLAIN);
        assert_eq!(Frame::headroom("\nerror\n", SIZE), 4);
        assert_eq!(frame.lines, ["0", "1", "2", "… 3 more lines belo…", "", "error", "", "foot"]);
    }

    #[test]
    fn a_line_that_is_too_long_says_so_and_keeps_its_last_column() {
        let painted = Style { colored: true, ..Style::PLAIN };
        let text = format!("{}\n", painted.paint(Paint::Bad, &"x".repeat(25)));
        let frame = Frame::new(&text, "", "as of 10:00:00 · every 2s · Ctrl-C ends", SIZE, Style::PLAIN);
        assert_eq!(frame.lines[0], format!("\u{1b}[31m{}…\u{1b}[0m", "x".repeat(19)));
        assert_eq!(frame.lines[2], "as of 10:00:00 · ev…");
        assert!(frame.lines.iter().all(|line| columns(line) <= SIZE.columns));
    }

    /// Whatever stood there: what is sent makes the screen what it would be when drawn anew. Lines too long among them.
    #[test]
    fn the_screen_is_always_what_it_would_be_drawn_anew() {
        let texts = [
            "",
            "a\nbb\nccc\n",
            "a\nb\nccc\n",
            "xxxxxxxxxxxxxxxxxxxxxxxxx\n",
            "xxxxxxxxxxxxxxxxxxxx\nq\n",
            "xxxxx\n\nq\n",
        ];
        let frames = texts.map(frame);
        for before in &frames {
            for after in &frames {
                assert_eq!(shown(&[before, after]), shown(&[after]), "{before:?} {after:?}");
            }
        }
    }

    /// A terminal that knows what is sent here, and no more.
    fn shown(frames: &[&Frame]) -> Vec<String> {
        let mut cells = vec![vec![' '; SIZE.columns]; SIZE.rows];
        let mut before = None;
        for frame in frames {
            let sent = changes(before, frame);
            let (mut row, mut column) = (0, 0);
            for part in sent.split('\u{1b}').skip(1) {
                let end = part.find(|letter: char| letter.is_ascii_alphabetic()).expect("a code");
                let (code, text) = (&part[1..end], &part[end + 1..]);
                match &part[end..=end] {
                    "J" => cells.iter_mut().for_each(|row| row.fill(' ')),
                    "K" => cells[row][column.min(SIZE.columns - 1)..].fill(' '),
                    "H" => {
                        let line: Option<usize> = code.split(';').next().and_then(|row| row.parse().ok());
                        (row, column) = (line.map_or(0, |line| line - 1), 0);
                    }
                    other => panic!("{other} is not known"),
                }
                for letter in text.chars() {
                    cells[row][column] = letter;
                    column += 1;
                }
            }
            before = Some(*frame);
        }
        let lines: Vec<String> = cells.into_iter().map(|row| row.into_iter().collect()).collect();
        assert!(lines.iter().all(|line| columns(line) == SIZE.columns));
        lines
    }
}
