//! Progress of a run: bars at a terminal, plain lines in a pipe, events as JSON for programs. One event type feeds all.
//!
//! Text goes to stderr, as narration; a stream of events is data. Nothing is decided here, and a run never waits for a
//! reader: it continues without one.

mod bars;
mod board;
mod lines;
mod waits;

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::sync::{Mutex, PoisonError};

use crate::model::event::Event;
use crate::report::json;
use crate::report::output::Output;
use crate::report::print::{self, ReaderState};
use crate::report::sheet::sentence;
use crate::report::style::Style;

/// Display of a run's events.
#[derive(Debug)]
pub struct Progress {
    shown: ProgressDisplay,
    streams: Mutex<Vec<Stream>>,
}

/// Form of the display.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// Live bars, for a terminal.
    Bars,
    /// A line for each event.
    Lines,
    /// `lcm.event/2` on stdout.
    Json,
    Nothing,
}

#[derive(Debug)]
enum ProgressDisplay {
    Bars(bars::Bars),
    Lines(Style, Mutex<waits::Waits>),
    Nothing,
}

/// Destination of JSON events, one a line, each written at once.
#[derive(Debug)]
enum Stream {
    Stdout,
    File(File),
}

impl Progress {
    /// `copy` also gets every event, as JSON.
    #[must_use]
    pub fn new(show: Show, style: Style, copy: Option<File>) -> Self {
        let shown = match show {
            Show::Bars => ProgressDisplay::Bars(bars::Bars::new(style)),
            Show::Lines => ProgressDisplay::Lines(style, Mutex::default()),
            Show::Json | Show::Nothing => ProgressDisplay::Nothing,
        };
        let stdout = (show == Show::Json).then_some(Stream::Stdout);
        let streams = stdout.into_iter().chain(copy.map(Stream::File)).collect();
        Self { shown, streams: Mutex::new(streams) }
    }

    /// Shows one event.
    pub fn show(&self, event: &Event) {
        match &self.shown {
            ProgressDisplay::Bars(bars) => bars.show(event),
            ProgressDisplay::Lines(style, waits) => {
                let mut waits = waits.lock().unwrap_or_else(PoisonError::into_inner);
                waits.update(event);
                for line in lines::lines(event, &waits, *style) {
                    print::note(&sentence(&line, *style));
                }
            }
            ProgressDisplay::Nothing => {}
        }
        self.record(event);
    }

    /// Records an event for programs only, if people read it elsewhere.
    pub fn record(&self, event: &Event) {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if !streams.is_empty() {
            let line = json::line(event);
            streams.retain_mut(|stream| stream.takes(&line));
        }
    }

    /// Shows people a remark that is not an event.
    pub fn remark(&self, text: &str) {
        match &self.shown {
            ProgressDisplay::Bars(bars) => bars.remark(text),
            ProgressDisplay::Lines(style, _) => print::note(&sentence(text, *style)),
            ProgressDisplay::Nothing => {}
        }
    }

    /// Removes the live lines from the screen.
    pub fn finish(&self) {
        match &self.shown {
            ProgressDisplay::Bars(bars) => bars.finish(),
            ProgressDisplay::Lines(..) | ProgressDisplay::Nothing => {}
        }
    }
}

impl Stream {
    /// Writes a line and returns true if the destination is still writable. A failure is reported once, and not
    /// retried: a run must not end half done for lack of a reader.
    fn takes(&mut self, line: &Output) -> bool {
        let (whereto, written) = match self {
            Self::Stdout => ("to stdout", print::stream(line)),
            Self::File(file) => ("to the file", file.write_all(line.as_bytes()).map(|()| ReaderState::There)),
        };
        let why = match written {
            Ok(ReaderState::There) => return true,
            Ok(ReaderState::Gone) => "its reader has closed it".to_owned(),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => "its reader has closed it".to_owned(),
            Err(error) => error.to_string(),
        };
        let told = format!("warning: can't write events {whereto} any more ({why}); the run continues");
        print::note(&sentence(&told, Style::PLAIN));
        false
    }
}
