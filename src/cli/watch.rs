//! `lcm status --watch`: the status again and again, on a terminal in place.
//!
//! Each time the manifest is read anew, so that its changes and `lcm switch` show. What fails is told below the last
//! table, and tried again. The table stands on the terminal's second screen; at the end the last one is written to the
//! first, where it stays to be read. Into a pipe there is no table, but `--format json` gives a line each time: tables
//! one after the other are read by no program.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rustix::process::{Signal, getpid, kill_process};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::answer::unwritten;
use crate::cli::exit::Exit;
use crate::cli::status_look::{StatusArgs, StatusFormat, StatusReport, seen, shown, shown_within};
use crate::cli::stop::{Code, EarlyExit};
use crate::cli::terminal::interrupt::Interrupts;
use crate::cli::terminal::session::Session;
use crate::report::json;
use crate::report::output::Output;
use crate::report::print::{self, ReaderState, Screen};
use crate::report::screen::{Frame, changes};
use crate::report::style::Style;

pub(crate) async fn run(session: &Session, args: &StatusArgs) -> Result<Exit, EarlyExit> {
    let refuse = |message: &str| Err(EarlyExit::new(Exit::Usage, Code::Usage, message));
    let is_drawn_on = io::stdout().is_terminal() && session.may_redraw();
    match args.format {
        StatusFormat::Prometheus => refuse("--watch has no metrics; let a timer write them to a file"),
        StatusFormat::Json => lines(session, args).await,
        StatusFormat::Text if is_drawn_on => table(session, args).await,
        StatusFormat::Text => refuse(
            "--watch needs a terminal that it can draw on; into a pipe or a file goes --format json, a line each time",
        ),
    }
}

/// A line of JSON each time.
async fn lines(session: &Session, args: &StatusArgs) -> Result<Exit, EarlyExit> {
    let mut interrupts = Interrupts::of_a_run()?;
    let mut is_first = true;
    loop {
        let turn = async {
            match seen(session, args).await {
                Ok(look) => {
                    if let Err(stop) = &look.known {
                        session.show_unless_quiet(stop.text(session.stderr));
                    }
                    print::stream(&json::line(&look.status)).map_err(|error| unwritten(&error))
                }
                // What is wrong from the start ends it.
                Err(stop) if is_first => Err(stop),
                Err(stop) => {
                    session.show_unless_quiet(stop.text(session.stderr));
                    Ok(ReaderState::There)
                }
            }
        };
        let reader = tokio::select! {
            reader = turn => reader?,
            exit = interrupts.exit() => return Ok(exit),
        };
        if reader == ReaderState::Gone {
            return Ok(Exit::Done);
        }
        is_first = false;
        tokio::select! {
            () = tokio::time::sleep(args.interval) => {}
            exit = interrupts.exit() => return Ok(exit),
        }
    }
}

/// Last look, and the errors since.
#[derive(Default)]
struct WatchFrame {
    look: Option<StatusReport>,
    wrong: Vec<Output>,
}

async fn table(session: &Session, args: &StatusArgs) -> Result<Exit, EarlyExit> {
    let narrated = session;
    let session = session.aside();
    let mut now = WatchFrame::default();
    match seen(&session, args).await {
        Ok(look) => now.learn(&session, Ok(look)),
        // What is wrong from the start ends it, before a screen is taken.
        Err(stop) => {
            session.kept().into_iter().for_each(|text| narrated.show(text));
            return Err(stop);
        }
    }
    let mut interrupts = Interrupts::at_a_screen()?;
    let mut resized = signal(SignalKind::window_change()).map_err(|error| unreadable(&error))?;
    let mut stopped = signal(SignalKind::from_raw(Signal::TSTP.as_raw())).map_err(|error| unreadable(&error))?;
    let mut drawn = Drawn::begin();
    let mut next = tokio::time::Instant::now() + args.interval;
    let exit = loop {
        drawn.show(&session, &now, args.interval).map_err(|error| unwritten(&error))?;
        tokio::select! {
            exit = interrupts.exit() => break exit,
            Some(()) = resized.recv() => {}
            Some(()) = stopped.recv() => {
                drop(drawn);
                let _ = kill_process(getpid(), Signal::STOP);
                // Continued by the shell.
                drawn = Drawn::begin();
            }
            () = tokio::time::sleep_until(next) => {
                tokio::select! {
                    exit = interrupts.exit() => break exit,
                    seen = seen(&session, args) => now.learn(&session, seen),
                }
                next = tokio::time::Instant::now() + args.interval;
            }
        }
    };
    drop(drawn);
    // It stays to be read, all of it.
    print::data(&now.text(&session, session.stdout)).map_err(|error| unwritten(&error))?;
    Ok(exit)
}

impl WatchFrame {
    fn learn(&mut self, session: &Session, seen: Result<StatusReport, EarlyExit>) {
        self.wrong = session.kept();
        match seen {
            Ok(look) => self.look = Some(look),
            Err(stop) => self.wrong.push(stop.text(session.stderr)),
        }
    }

    fn text(&self, session: &Session, style: Style) -> Output {
        let text = self.look.as_ref().map(|look| shown(session, look, style)).unwrap_or_default();
        [text, self.wrong(style)].into_iter().collect()
    }

    /// Each thing that went wrong, below an empty line.
    fn wrong(&self, style: Style) -> Output {
        let unknown = self.look.as_ref().and_then(|look| look.known.as_ref().err()).map(|stop| stop.text(style));
        self.wrong.iter().cloned().chain(unknown).flat_map(|text| [Output::gap(), text, Output::gap()]).collect()
    }
}

/// Screen, and the frame that was drawn on it.
struct Drawn {
    screen: Screen,
    frame: Option<Frame>,
}

impl Drawn {
    fn begin() -> Self {
        Self { screen: Screen::enter(), frame: None }
    }

    fn show(&mut self, session: &Session, now: &WatchFrame, interval: Duration) -> io::Result<()> {
        let size = print::size_of(io::stdout()).unwrap_or_default();
        let style = Style { width: Some(size.columns), ..session.stdout };
        let looked = now.look.as_ref().map_or_else(String::new, |look| clock(look.status.observed_at));
        let foot = format!("as of {looked} · every {interval:?} · Ctrl-C ends");
        let wrong = now.wrong(style);
        let headroom = Frame::headroom(&wrong, size);
        let text = now.look.as_ref().map(|look| shown_within(session, look, style, headroom)).unwrap_or_default();
        let frame = Frame::new(&text, &wrong, &foot, size, style);
        let sent = changes(self.frame.as_ref(), &frame);
        self.frame = Some(frame);
        if sent.is_empty() { Ok(()) } else { self.screen.draw(&sent) }
    }
}

/// By the clock on the wall.
fn clock(at: Timestamp) -> String {
    at.to_zoned(TimeZone::system()).strftime("%H:%M:%S").to_string()
}

fn unreadable(error: &io::Error) -> EarlyExit {
    EarlyExit::refused(Code::System, format!("can't listen for signals: {error}"))
}
