//! Live lines at the bottom of a terminal: indicatif draws them; the cursor is never hidden and always stands at the
//! beginning of the line below. However lcm ends, nothing has to be restored.
//!
//! In: whole lines. Out: codes that erase the earlier lines and write these. Not here: which lines, and when.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};

use crate::report::fold::columns;
use crate::report::size::TerminalSize;

/// Live lines at the bottom of one terminal.
#[derive(Debug)]
pub(super) struct Bottom {
    bar: ProgressBar,
    terminal: Terminal,
}

impl Bottom {
    /// `send` writes to the terminal; `size` returns its size at each drawing.
    pub(super) fn on(
        send: impl Fn(&str) + Send + Sync + 'static,
        size: impl Fn() -> TerminalSize + Send + Sync + 'static,
    ) -> Self {
        let terminal = Terminal { doors: Arc::new((Box::new(send), Box::new(size))), drawing: Arc::default() };
        let target = ProgressDrawTarget::term_like(Box::new(terminal.clone()));
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(lines_alone) = ProgressStyle::with_template("{msg}") {
            bar.set_style(lines_alone);
        }
        Self { bar, terminal }
    }

    /// Draws these lines in place of the earlier ones.
    pub(super) fn draw(&self, lines: &[String]) {
        self.bar.set_message(lines.join("\n"));
    }

    /// Removes the lines while something is written in their place, and draws them again below it.
    pub(super) fn suspend<R>(&self, write: impl FnOnce() -> R) -> R {
        self.bar.suspend(write)
    }

    /// Removes the lines for good.
    pub(super) fn clear(&self) {
        self.bar.finish_and_clear();
    }

    /// Removes the lines before a panic's message, during which indicatif draws nothing.
    pub(super) fn clear_in_panic(&self) {
        let erased = self.terminal.drawing().take_erasure((self.terminal.doors.1)());
        (self.terminal.doors.0)(&erased);
    }
}

/// Terminal as indicatif sees it, with its own erasure: indicatif counts the rows that lines took when they were drawn,
/// and a terminal that became narrower since has wrapped them. Indicatif also pads each line with spaces, which such a
/// terminal would wrap too; here each line ends instead.
#[derive(Clone)]
struct Terminal {
    doors: Arc<(Write, SizeQuery)>,
    drawing: Arc<Mutex<Drawing>>,
}

type Write = Box<dyn Fn(&str) + Send + Sync>;
type SizeQuery = Box<dyn Fn() -> TerminalSize + Send + Sync>;

/// Lines on the terminal, and the text to send next.
#[derive(Debug, Default)]
struct Drawing {
    /// Lines as last written.
    stand: Vec<String>,
    unsent: String,
    /// True if the next text is padding.
    fills: bool,
}

impl Drawing {
    /// Returns the codes that erase all lines, by the rows that they take at this size.
    fn take_erasure(&mut self, size: TerminalSize) -> String {
        let rows_of = |line: &String| columns(line).div_ceil(size.columns.max(1)).max(1);
        let rows: usize = std::mem::take(&mut self.stand).iter().map(rows_of).sum();
        if rows == 0 { String::new() } else { format!("\u{1b}[{rows}A\r\u{1b}[J") }
    }
}

impl Terminal {
    fn drawing(&self) -> MutexGuard<'_, Drawing> {
        self.drawing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn size(&self) -> TerminalSize {
        (self.doors.1)()
    }
}

impl fmt::Debug for Terminal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Terminal").field("drawing", &self.drawing).finish_non_exhaustive()
    }
}

impl TermLike for Terminal {
    fn width(&self) -> u16 {
        u16::try_from(self.size().columns).unwrap_or(u16::MAX)
    }

    fn height(&self) -> u16 {
        u16::try_from(self.size().rows).unwrap_or(u16::MAX)
    }

    /// First call of a drawing: moves to the beginning of the earlier lines.
    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        let size = self.size();
        let mut drawing = self.drawing();
        let erasure = drawing.take_erasure(size);
        drawing.unsent.push_str(&erasure);
        drawing.fills = false;
        Ok(())
    }

    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.write_str(text)?;
        self.write_str("")
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        let mut drawing = self.drawing();
        if drawing.fills {
            drawing.unsent.push_str("\r\n");
        } else {
            drawing.unsent.push_str(text);
            drawing.stand.push(text.to_owned());
        }
        drawing.fills = !drawing.fills;
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        let unsent = std::mem::take(&mut self.drawing().unsent);
        if !unsent.is_empty() {
            (self.doors.0)(&unsent);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::Bottom;
    use crate::report::size::TerminalSize;

    #[test]
    fn each_drawing_is_sent_at_once_and_erases_the_one_before() {
        let sent: Arc<Mutex<Vec<String>>> = Arc::default();
        let columns = Arc::new(Mutex::new(80));
        let (into, of) = (Arc::clone(&sent), Arc::clone(&columns));
        let bottom = Bottom::on(
            move |text| into.lock().expect("sound").push(text.to_owned()),
            move || TerminalSize { rows: 24, columns: *of.lock().expect("sound") },
        );
        let taken = || std::mem::take(&mut *sent.lock().expect("sound"));
        let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
        bottom.draw(&lines(&["0123456789", "b"]));
        assert_eq!(taken(), ["0123456789\r\nb\r\n"]);
        bottom.suspend(|| sent.lock().expect("sound").push("note\n".to_owned()));
        assert_eq!(taken(), ["\u{1b}[2A\r\u{1b}[J", "note\n", "0123456789\r\nb\r\n"]);
        // Wrapped by a narrower terminal, the first line takes three rows.
        *columns.lock().expect("sound") = 4;
        bottom.draw(&lines(&["c"]));
        assert_eq!(taken(), ["\u{1b}[4A\r\u{1b}[Jc\r\n"]);
        bottom.clear();
        assert_eq!(taken(), ["\u{1b}[1A\r\u{1b}[J"]);
    }
}
