//! Live table on a terminal: the text to send so that the terminal shows the next frame. Unchanged lines are not sent
//! again, so that nothing flickers and a slow connection has little to carry. Pure: reading the size, and timing, are
//! not here.
//!
//! The table is drawn on the terminal's alternate screen, where lines are addressed by number: on the main one, the
//! effect of a resize on lines above the cursor differs between terminals.

use std::fmt::Write as _;

use crate::report::fold::{columns, cut_off};
use crate::report::print::TerminalSize;
use crate::report::style::{Paint, Style};
use crate::report::table::counted;

/// Content of a terminal at one moment: no more lines than it has rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    lines: Vec<String>,
    size: TerminalSize,
}

impl Frame {
    /// Returns the frame: the text, the errors below it, and the foot, which is always there. A text that is too long
    /// is cut at its end, with the number of lines below; a line that is too long is cut too.
    #[must_use]
    pub fn new(text: &str, wrong: &str, foot: &str, size: TerminalSize, style: Style) -> Self {
        let all: Vec<&str> = text.lines().collect();
        let headroom = Self::headroom(wrong, size);
        let shown = if all.len() > headroom { headroom.saturating_sub(1) } else { all.len() };
        let mut lines: Vec<String> = all[..shown].iter().map(|line| (*line).to_owned()).collect();
        if shown < all.len() {
            let below = counted(all.len() - shown, "more line", "more lines");
            lines.push(style.paint(Paint::Warn, &format!("… {below} below; the whole table is shown at the end")));
        }
        lines.extend(wrong.lines().take(wrong_max(size)).map(ToOwned::to_owned));
        lines.extend([String::new(), style.paint(Paint::Dim, foot)]);
        lines.truncate(size.rows);
        // Terminals that can't disable wrapping would move all lines below.
        let lines = lines.iter().map(|line| cut_off(line, size.columns)).collect();
        Self { lines, size }
    }

    /// Returns the most lines of a text that fit whole, next to these errors.
    #[must_use]
    pub fn headroom(wrong: &str, size: TerminalSize) -> usize {
        // The foot, and the empty line before it.
        size.rows.saturating_sub(2 + wrong.lines().count().min(wrong_max(size)))
    }
}

/// Returns the most lines of errors: half of the screen stays for the table.
fn wrong_max(size: TerminalSize) -> usize {
    size.rows / 2
}

/// Returns the text that changes one frame into the other; `None`: the screen's content is unknown.
#[must_use]
pub fn changes(before: Option<&Frame>, after: &Frame) -> String {
    // A terminal that was resized has moved its lines, each in its own way.
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
        // Only where the old line was longer: after a full line the cursor stands on its last letter.
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
    fn errors_show_with_any_length_of_the_table() {
        let text = "0\n1\n2\n3\n4\n5\n";
        let frame = Frame::new(text, "\nerror\n", "foot", SIZE, Style::PLAIN);
        assert_eq!(Frame::headroom("\nerror\n", SIZE), 4);
        assert_eq!(frame.lines, ["0", "1", "2", "… 3 more lines belo…", "", "error", "", "foot"]);
    }

    #[test]
    fn a_line_that_is_too_long_is_marked_in_its_last_column() {
        let painted = Style { colored: true, ..Style::PLAIN };
        let text = format!("{}\n", painted.paint(Paint::Bad, &"x".repeat(25)));
        let frame = Frame::new(&text, "", "as of 10:00:00 · every 2s · Ctrl-C ends", SIZE, Style::PLAIN);
        assert_eq!(frame.lines[0], format!("\u{1b}[31m{}…\u{1b}[0m", "x".repeat(19)));
        assert_eq!(frame.lines[2], "as of 10:00:00 · ev…");
        assert!(frame.lines.iter().all(|line| columns(line) <= SIZE.columns));
    }

    /// From any earlier content, the sent text produces the same screen as a full redraw. Some lines are too long.
    #[test]
    fn the_screen_always_equals_a_full_redraw() {
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

    /// Minimal terminal that knows only the codes sent here.
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
