//! A run as it goes: bars at a terminal, plain lines in a pipe, events as JSON for programs. One event type feeds all.
//!
//! Text goes to stderr, as narration; a stream of events is data. Nothing is decided here, and nothing waits on it.

mod bars;
mod lines;
mod waits;

use std::fs::File;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

use crate::model::event::Event;
use crate::report::json;
use crate::report::print;
use crate::report::style::Style;

/// Where the events of a run are shown.
#[derive(Debug)]
pub struct Progress {
    shown: Shown,
    /// A copy of the stream, one event a line.
    copy: Mutex<Option<File>>,
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
enum Shown {
    Bars(bars::Bars),
    Lines(Style, Mutex<waits::Waits>),
    Json,
    Nothing,
}

impl Progress {
    /// `copy` also gets every event, as JSON.
    #[must_use]
    pub fn new(show: Show, style: Style, copy: Option<File>) -> Self {
        let shown = match show {
            Show::Bars => Shown::Bars(bars::Bars::new(style)),
            Show::Lines => Shown::Lines(style, Mutex::default()),
            Show::Json => Shown::Json,
            Show::Nothing => Shown::Nothing,
        };
        Self { shown, copy: Mutex::new(copy) }
    }

    /// Shows one event.
    pub fn tell(&self, event: &Event) {
        match &self.shown {
            Shown::Bars(bars) => bars.tell(event),
            Shown::Lines(style, waits) => {
                let mut waits = waits.lock().unwrap_or_else(PoisonError::into_inner);
                waits.tell(event);
                for line in lines::lines(event, &waits, *style) {
                    print::note(&line);
                }
            }
            // A reader that went away must not end a run half done.
            Shown::Json => drop(print::data(&json::line(event))),
            Shown::Nothing => {}
        }
        let mut copy = self.copy.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = copy.as_mut()
            && let Err(error) = file.write_all(json::line(event).as_bytes())
        {
            print::note(&format!("warning: the events can't be written down any more: {error}"));
            *copy = None;
        }
    }

    /// Takes what moves off the screen.
    pub fn finish(&self) {
        match &self.shown {
            Shown::Bars(bars) => bars.finish(),
            Shown::Lines(..) | Shown::Json | Shown::Nothing => {}
        }
    }
}
