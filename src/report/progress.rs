//! A run as it goes: bars at a terminal, plain lines in a pipe, events as JSON for programs. One event type feeds all.
//!
//! Text goes to stderr, as narration; a stream of events is data. Nothing is decided here, and nothing waits on it: a
//! run goes on where nobody reads any more.

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

/// Where the events of a run are shown.
#[derive(Debug)]
pub struct Progress {
    shown: ProgressDisplay,
    streams: Mutex<Vec<Stream>>,
}

/// How the events of a run are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// Moving bars, for a terminal.
    Bars,
    /// A line for each thing that happens.
    Lines,
    /// `lcm.event/1` on stdout.
    Json,
    Nothing,
}

#[derive(Debug)]
enum ProgressDisplay {
    Bars(bars::Bars),
    Lines(Style, Mutex<waits::Waits>),
    Nothing,
}

/// Where events go as JSON, one a line, each at once.
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
    pub fn tell(&self, event: &Event) {
        match &self.shown {
            ProgressDisplay::Bars(bars) => bars.tell(event),
            ProgressDisplay::Lines(style, waits) => {
                let mut waits = waits.lock().unwrap_or_else(PoisonError::into_inner);
                waits.tell(event);
                for line in lines::lines(event, &waits, *style) {
                    print::note(&sentence(&line, *style));
                }
            }
            ProgressDisplay::Nothing => {}
        }
        self.record(event);
    }

    /// Tells programs alone what people read elsewhere.
    pub fn record(&self, event: &Event) {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if !streams.is_empty() {
            let line = json::line(event);
            streams.retain_mut(|stream| stream.takes(&line));
        }
    }

    /// Says to people what is no event.
    pub fn remark(&self, text: &str) {
        match &self.shown {
            ProgressDisplay::Bars(bars) => bars.remark(text),
            ProgressDisplay::Lines(style, _) => print::note(&sentence(text, *style)),
            ProgressDisplay::Nothing => {}
        }
    }

    /// Takes what moves off the screen.
    pub fn finish(&self) {
        match &self.shown {
            ProgressDisplay::Bars(bars) => bars.finish(),
            ProgressDisplay::Lines(..) | ProgressDisplay::Nothing => {}
        }
    }
}

impl Stream {
    /// Whether it can go on being written to. What can't is told once, and not tried again: a run must not end half
    /// done for want of a reader.
    fn takes(&mut self, line: &Output) -> bool {
        let (whereto, written) = match self {
            Self::Stdout => ("to stdout", print::stream(line)),
            Self::File(file) => ("down", file.write_all(line.as_bytes()).map(|()| ReaderState::There)),
        };
        let why = match written {
            Ok(ReaderState::There) => return true,
            Ok(ReaderState::Gone) => "nobody reads them".to_owned(),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => "nobody reads them".to_owned(),
            Err(error) => error.to_string(),
        };
        let told = format!("warning: the events can't be written {whereto} any more ({why}); the run goes on");
        print::note(&sentence(&told, Style::PLAIN));
        false
    }
}
