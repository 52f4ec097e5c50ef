//! The only access to stdout and stderr. A reader that has closed the pipe (`lcm plan | head`) is not an error.
//!
//! Live lines at the bottom of a terminal stay below all other text, since both pass through here. The alternate screen
//! is recorded here too, so that every exit of lcm leaves it first.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IsTerminal as _, Write};
use std::os::fd::AsFd;
use std::panic;
use std::sync::{Mutex, PoisonError, TryLockError};
use std::thread;
use std::time::Duration;

use rustix::termios::{self, LocalModes, OptionalActions, Termios};

use crate::report::bottom::Bottom;
use crate::report::output::Output;
pub use crate::report::size::TerminalSize;

/// Live lines of the process's one terminal.
static MOVING: Mutex<Option<Bottom>> = Mutex::new(None);

/// State of the terminal before its alternate screen was entered.
static TAKEN: Mutex<Option<SavedTerminal>> = Mutex::new(None);

/// Log lines that wait until the alternate screen is left, the newest last.
static WAITING: Mutex<VecDeque<Output>> = Mutex::new(VecDeque::new());

/// Most waiting lines: some hours of a watch at its debug level. Older lines are dropped.
const WAITING_MAX: usize = 4096;

/// An exit of lcm waits half a second for a frame in progress; a terminal that blocks longer gets no more.
const LEAVE_TRIES: u32 = 100;
const LEAVE_PAUSE: Duration = Duration::from_millis(5);

/// Enters the alternate screen, clears it, hides the cursor, and disables wrapping, so that a letter wider than
/// expected breaks no line.
const ENTER: &str = "\u{1b}[?1049h\u{1b}[?25l\u{1b}[?7l\u{1b}[H\u{1b}[2J";

/// Restores the terminal.
const LEAVE: &str = "\u{1b}[?7h\u{1b}[?25h\u{1b}[?1049l";

/// Alternate screen of the terminal, in use while this exists. Dropping it restores the main screen.
#[derive(Debug)]
pub struct Screen {
    write: fn(&str) -> io::Result<()>,
}

/// Settings to restore.
struct SavedTerminal {
    write: fn(&str) -> io::Result<()>,
    /// Echo settings: typed keys would appear in the drawing.
    echo: Option<Termios>,
}

impl Screen {
    #[must_use]
    pub fn enter() -> Self {
        Self::enter_by(|text| write_out(text).map(|_| ()))
    }

    fn enter_by(write: fn(&str) -> io::Result<()>) -> Self {
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        let echo = termios::tcgetattr(io::stdin()).ok();
        if let Some(mut silent) = echo.clone() {
            silent.local_modes.remove(LocalModes::ECHO);
            let _ = termios::tcsetattr(io::stdin(), OptionalActions::Now, &silent);
        }
        *taken = Some(SavedTerminal { write, echo });
        let _ = write(ENTER);
        Self { write }
    }

    /// Draws, unless lcm is exiting and has left the screen.
    pub fn draw(&self, text: &str) -> io::Result<()> {
        let taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.is_some() { (self.write)(text) } else { Ok(()) }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        leave_screen();
    }
}

/// Returns to the main screen if the alternate one is in use. Called on every exit of lcm.
pub fn leave_screen() {
    for _ in 0..LEAVE_TRIES {
        let mut taken = match TAKEN.try_lock() {
            Ok(taken) => taken,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                thread::sleep(LEAVE_PAUSE);
                continue;
            }
        };
        if let Some(SavedTerminal { write, echo }) = taken.take() {
            let _ = write(LEAVE);
            let waiting = std::mem::take(&mut *WAITING.lock().unwrap_or_else(PoisonError::into_inner));
            waiting.iter().for_each(note);
            if let Some(echo) = echo {
                let _ = termios::tcsetattr(io::stdin(), OptionalActions::Now, &echo);
            }
        }
        return;
    }
}

/// State of a pipe's reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReaderState {
    There,
    Gone,
}

/// Writes data to stdout.
pub fn data(text: &Output) -> io::Result<()> {
    stream(text).map(|_| ())
}

/// Writes data to stdout, and returns the state of the reader, for commands that go on writing while one is there.
pub fn stream(text: &Output) -> io::Result<ReaderState> {
    write_out(text)
}

fn write_out(text: &str) -> io::Result<ReaderState> {
    let written = above(|| {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
    });
    match written {
        Ok(()) => Ok(ReaderState::There),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(ReaderState::Gone),
        Err(error) => Err(error),
    }
}

/// Writes narration to stderr, with a line end. A failure can't be reported anywhere and is ignored.
pub fn note(line: &Output) {
    above(|| {
        let _ = writeln!(io::stderr().lock(), "{line}");
    });
}

/// Writes a log line to stderr. While the alternate screen of that terminal is in use, the line waits until it is left.
pub fn log(line: Output) {
    let is_taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner).is_some();
    if !is_taken || !io::stderr().is_terminal() {
        return note(&line);
    }
    let mut waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
    if waiting.len() == WAITING_MAX {
        waiting.pop_front();
    }
    waiting.push_back(line);
}

/// Writes a question to stderr without a line end: the answer follows on the same line.
pub fn ask(question: &'static str) {
    send(question);
}

/// Writes to stderr as it is.
fn send(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

/// Returns the size of the terminal for narration.
#[must_use]
pub fn size() -> TerminalSize {
    size_of(io::stderr()).unwrap_or_default()
}

/// Returns the size of a terminal, if the stream is one and reports it.
#[must_use]
pub fn size_of(stream: impl AsFd) -> Option<TerminalSize> {
    let told = termios::tcgetwinsize(stream).ok()?;
    let size = TerminalSize { rows: told.ws_row.into(), columns: told.ws_col.into() };
    Some(size).filter(|size| size.rows > 0 && size.columns > 0)
}

/// Sets the live lines at the bottom of the terminal; an empty list removes them.
pub fn moving(lines: &[String]) {
    let mut moving = MOVING.lock().unwrap_or_else(PoisonError::into_inner);
    if !lines.is_empty() {
        moving.get_or_insert_with(|| Bottom::on(send, size)).draw(lines);
    } else if let Some(bottom) = moving.take() {
        bottom.clear();
    }
}

/// Makes a panic report on the main screen of a terminal without live lines.
pub fn still_on_panic() {
    let tell = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        leave_screen();
        // The panicking thread may hold the lock: then the message appears below these lines. Otherwise no other thread
        // draws until the message is complete.
        let mut moving = MOVING.try_lock();
        if let Ok(moving) = &mut moving
            && let Some(bottom) = moving.take()
        {
            bottom.clear_in_panic();
        }
        tell(panic);
    }));
}

/// Writes in the place of the live lines, which then move below.
fn above<R>(write: impl FnOnce() -> R) -> R {
    let moving = MOVING.lock().unwrap_or_else(PoisonError::into_inner);
    match &*moving {
        Some(bottom) => bottom.suspend(write),
        None => write(),
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::panic;
    use std::sync::Mutex;
    use std::thread;

    use super::{ENTER, LEAVE, Screen, leave_screen, still_on_panic};

    #[test]
    fn the_screen_is_left_once_and_a_panic_is_reported_after_it() {
        static SENT: Mutex<Vec<String>> = Mutex::new(Vec::new());
        fn write(text: &str) -> io::Result<()> {
            SENT.lock().map_err(|_| io::Error::other("it panicked"))?.push(text.to_owned());
            Ok(())
        }
        let sent = || std::mem::take(&mut *SENT.lock().expect("sound"));

        let screen = Screen::enter_by(write);
        screen.draw("a").expect("drawn");
        leave_screen();
        screen.draw("b").expect("nothing to draw on");
        drop(screen);
        assert_eq!(sent(), [ENTER, "a", LEAVE]);

        let (others, this) = (panic::take_hook(), thread::current().id());
        panic::set_hook(Box::new(move |panic| {
            // Tests next to this one panic on their own.
            if thread::current().id() == this { drop(write("its message")) } else { others(panic) }
        }));
        still_on_panic();
        let panicked = panic::catch_unwind(|| {
            let _screen = Screen::enter_by(write);
            panic!("as something may");
        });
        assert!(panicked.is_err());
        assert_eq!(sent(), [ENTER, LEAVE, "its message"]);
    }
}
