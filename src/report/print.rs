//! The one door to stdout and stderr. A reader that went away (`lcm plan | head`) is no error.
//!
//! Lines that move at the bottom of a terminal stand below whatever is written meanwhile, since both pass here.
//! Where the second screen is taken, something has, and that is known here: whoever ends lcm leaves it first.

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

/// A process has one terminal, and these lines move on it.
static MOVING: Mutex<Option<Bottom>> = Mutex::new(None);

/// And it has one second screen.
static TAKEN: Mutex<Option<SavedTerminal>> = Mutex::new(None);

/// Lines of the log that wait until the second screen is left, the newest last.
static WAITING: Mutex<VecDeque<Output>> = Mutex::new(VecDeque::new());

/// Some hours of a watch at its debug level; older lines are dropped.
const WAITING_MAX: usize = 4096;

/// Whoever ends lcm waits half a second for a frame that is being written; a terminal that takes none gets no more.
const LEAVE_TRIES: u32 = 100;
const LEAVE_PAUSE: Duration = Duration::from_millis(5);

/// To the second screen, which is empty; no cursor; and a letter that is wider than was thought breaks no line.
const ENTER: &str = "\u{1b}[?1049h\u{1b}[?25l\u{1b}[?7l\u{1b}[H\u{1b}[2J";

/// The terminal as it was.
const LEAVE: &str = "\u{1b}[?7h\u{1b}[?25h\u{1b}[?1049l";

/// The terminal's second screen while it is drawn on. The first one is as it was once this is dropped.
#[derive(Debug)]
pub struct Screen {
    write: fn(&str) -> io::Result<()>,
}

/// What has to be put back.
struct SavedTerminal {
    write: fn(&str) -> io::Result<()>,
    /// How keys were echoed: typed ones would stand in what is drawn.
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

    /// Draws, unless lcm is being ended and has left it.
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

/// Back to the first screen, where the second one was taken. For whoever ends lcm, however that comes.
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

/// Whether somebody still reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReaderState {
    There,
    Gone,
}

/// Writes data to stdout.
pub fn data(text: &Output) -> io::Result<()> {
    stream(text).map(|_| ())
}

/// The same, for whoever goes on writing as long as somebody reads.
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

/// Writes narration to stderr, and ends its line; if that can't be written to, nothing can report it.
pub fn note(line: &Output) {
    above(|| {
        let _ = writeln!(io::stderr().lock(), "{line}");
    });
}

/// Writes a line of the log to stderr. While the second screen of that terminal is taken, the line waits until it is left.
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

/// Writes a question of lcm's to stderr, with no end of line: the answer comes on the same one.
pub fn ask(question: &'static str) {
    send(question);
}

/// Writes to stderr as it is.
fn send(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

/// Of the terminal that narration goes to.
#[must_use]
pub fn size() -> TerminalSize {
    size_of(io::stderr()).unwrap_or_default()
}

/// Of the terminal that this is, where it is one and tells.
#[must_use]
pub fn size_of(stream: impl AsFd) -> Option<TerminalSize> {
    let told = termios::tcgetwinsize(stream).ok()?;
    let size = TerminalSize { rows: told.ws_row.into(), columns: told.ws_col.into() };
    Some(size).filter(|size| size.rows > 0 && size.columns > 0)
}

/// From now on these lines move at the bottom of the terminal; none: nothing does.
pub fn moving(lines: &[String]) {
    let mut moving = MOVING.lock().unwrap_or_else(PoisonError::into_inner);
    if !lines.is_empty() {
        moving.get_or_insert_with(|| Bottom::on(send, size)).draw(lines);
    } else if let Some(bottom) = moving.take() {
        bottom.clear();
    }
}

/// A panic tells of itself on the first screen of a terminal on which nothing moves.
pub fn still_on_panic() {
    let tell = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        leave_screen();
        // The panicking thread may hold the lock: then the message stands below these lines. Otherwise no other thread
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

/// Writes where those lines stand, which then stand below.
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
    fn however_it_ends_the_screen_is_left_once_and_a_panic_told_after_it() {
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
            // Tests beside this one panic on their own.
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
