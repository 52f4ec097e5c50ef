//! The one door to stdout and stderr. A reader that went away (`lcm plan | head`) is no error.
//!
//! Lines that move at the bottom of a terminal are drawn here, so that whatever is written meanwhile stands above them.
//! The cursor is never hidden and always at the beginning of the line below: however lcm ends, nothing has to be restored.

use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::panic;
use std::sync::{Mutex, PoisonError};

use crate::model::harmless;
use crate::report::fold::columns;
use crate::report::style::Style;

/// A process has one terminal, and these lines move on it.
static MOVING: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Of a terminal that does not tell.
const SIZE_DEFAULT: Size = Size { rows: 24, columns: 80 };

/// Of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub rows: usize,
    pub columns: usize,
}

/// Whether somebody still reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    There,
    Gone,
}

/// Writes data to stdout.
pub fn data(text: &str) -> io::Result<()> {
    stream(text).map(|_| ())
}

/// The same, for whoever goes on writing as long as somebody reads.
pub fn stream(text: &str) -> io::Result<Reader> {
    let written = above(|| {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
    });
    match written {
        Ok(()) => Ok(Reader::There),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(error),
    }
}

/// Writes a line of narration to stderr; if that can't be written to, there is nobody to tell. Of the codes that are in
/// it, only those that paint get to a terminal.
pub fn note(line: &str, style: Style) {
    let line = harmless::lines(line, style.colored);
    above(|| {
        let _ = writeln!(io::stderr().lock(), "{line}");
    });
}

/// Writes to stderr as it is, with no end of line: a question, whose answer comes on the same line.
pub fn ask(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

/// Of the terminal that narration goes to.
#[must_use]
pub fn size() -> Size {
    size_of(io::stderr()).unwrap_or(SIZE_DEFAULT)
}

/// Of the terminal that this is, where it is one and tells.
#[must_use]
pub fn size_of(stream: impl AsFd) -> Option<Size> {
    let told = rustix::termios::tcgetwinsize(stream).ok()?;
    let size = Size { rows: told.ws_row.into(), columns: told.ws_col.into() };
    Some(size).filter(|size| size.rows > 0 && size.columns > 0)
}

/// From now on these lines move at the bottom of the terminal; none: nothing does.
pub fn moving(lines: Vec<String>) {
    let mut moving = MOVING.lock().unwrap_or_else(PoisonError::into_inner);
    if !moving.is_empty() || !lines.is_empty() {
        ask(&redrawn(&moving, &lines, size()));
    }
    *moving = lines;
}

/// A panic tells of itself on a terminal on which nothing moves.
pub fn still_on_panic() {
    let tell = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        // Whoever panics may have them in hand; then it is told below them.
        if let Ok(mut moving) = MOVING.try_lock() {
            ask(&erased(&moving, size()));
            moving.clear();
        }
        tell(panic);
    }));
}

/// Writes where those lines stand, which then stand below.
fn above<R>(write: impl FnOnce() -> R) -> R {
    let moving = MOVING.lock().unwrap_or_else(PoisonError::into_inner);
    if moving.is_empty() {
        return write();
    }
    ask(&erased(&moving, size()));
    let written = write();
    ask(&redrawn(&[], &moving, size()));
    written
}

/// What a terminal is to be told so that these lines stand where those stood.
pub(super) fn redrawn(before: &[String], after: &[String], size: Size) -> String {
    let lines: String = after.iter().flat_map(|line| [line, "\r\n"]).collect();
    erased(before, size) + &lines
}

/// Takes lines away, by the rows that they take now: a terminal that became narrower has broken them.
fn erased(lines: &[String], size: Size) -> String {
    let rows: usize = lines.iter().map(|line| columns(line).div_ceil(size.columns.max(1)).max(1)).sum();
    if rows == 0 { String::new() } else { format!("\u{1b}[{rows}A\r\u{1b}[J") }
}
