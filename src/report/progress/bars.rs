//! Events at a terminal: a line for each step in progress, with its stage and its time; the result of each step stays
//! above. The board defines the lines; here they are redrawn at each event, and periodically in between.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use jiff::Timestamp;

use crate::model::event::Event;
use crate::report::output::Output;
use crate::report::print::{self, TerminalSize};
use crate::report::progress::board::{Board, TICK_MS};
use crate::report::progress::lines;
use crate::report::sheet::sentence;
use crate::report::style::Style;

/// Bottom of the terminal, redrawn until it is finished or dropped.
#[derive(Debug)]
pub(super) struct Bars {
    style: Style,
    /// `None`: finished.
    board: Arc<Mutex<Option<Board>>>,
    ticker: Mutex<Option<Ticker>>,
}

/// Redraws while no event comes.
#[derive(Debug)]
struct Ticker {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Bars {
    pub(super) fn new(style: Style) -> Self {
        let board = Arc::new(Mutex::new(Some(Board::default())));
        let (stop, stopped) = mpsc::channel();
        let drawn = Arc::clone(&board);
        let thread = thread::spawn(move || {
            let tick = Duration::from_millis(TICK_MS);
            while stopped.recv_timeout(tick) == Err(RecvTimeoutError::Timeout) {
                draw(&drawn, style);
            }
        });
        Self { style, board, ticker: Mutex::new(Some(Ticker { stop, thread })) }
    }

    pub(super) fn show(&self, event: &Event) {
        if let Some(board) = lock(&self.board).as_mut() {
            // By the reader's clock: a simulation has a clock of its own.
            board.update(&event.kind, Timestamp::now());
        }
        for line in lasting_lines(event, print::size(), self.style) {
            print::note(&line);
        }
        draw(&self.board, self.style);
    }

    pub(super) fn remark(&self, text: &str) {
        print::note(&sentence(text, wide(print::size(), self.style)));
    }

    /// Removes all live lines from the terminal, for good.
    pub(super) fn finish(&self) {
        let ticker = self.ticker.lock().unwrap_or_else(PoisonError::into_inner).take();
        *lock(&self.board) = None;
        if let Some(Ticker { stop, thread }) = ticker {
            drop(stop);
            let _ = thread.join();
        }
        print::moving(&[]);
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.finish();
    }
}

/// Returns the lines that stay above the live ones.
fn lasting_lines(event: &Event, size: TerminalSize, style: Style) -> Vec<Output> {
    let style = wide(size, style);
    // The board shows the steps that a run waits for.
    lines::lasting(event, style).iter().map(|line| sentence(line, style)).collect()
}

/// Returns the style with the present width: a terminal may have been resized.
fn wide(size: TerminalSize, style: Style) -> Style {
    Style { width: Some(size.columns), ..style }
}

fn draw(board: &Mutex<Option<Board>>, style: Style) {
    let board = lock(board);
    if let Some(board) = board.as_ref() {
        print::moving(&board.lines(Timestamp::now(), print::size(), style));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
