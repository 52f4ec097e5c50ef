//! The one door to stdout and stderr. A reader that went away (`lcm plan | head`) is no error.

use std::io::{self, ErrorKind, Write};

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
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(Reader::There),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(error),
    }
}

/// Writes a line of narration to stderr; if that can't be written to, there is nobody to tell.
pub fn note(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Writes to stderr as it is: a question, whose answer comes on the same line.
pub fn ask(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}
