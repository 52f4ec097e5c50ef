//! `lcm status --watch`: the status, refreshed in place on a terminal.
//!
//! Each refresh reads the manifest anew, so that its changes and `lcm switch` show. Errors are shown below the last
//! table, and the next refresh tries again. The table is on the terminal's alternate screen; at the end the last one is
//! written to the primary screen, where it stays. A pipe gets no table, since no program reads a sequence of tables,
//! but `--format json` prints a line each time.

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
        StatusFormat::Prometheus => refuse("--watch can't print metrics; write them to a file from a timer"),
        StatusFormat::Json => lines(session, args).await,
        StatusFormat::Text if is_drawn_on => table(session, args).await,
        StatusFormat::Text => refuse(
            "--watch needs a terminal that can redraw; use `--format json` for a pipe or a file, one line each time",
        ),
    }
}

/// Prints a line of JSON at each refresh.
async fn lines(session: &Session, args: &StatusArgs) -> Result<Exit, EarlyExit> {
    let mut interrupts = Interrupts::of_a_run()?;
    let mut is_first = true;
    loop {
        let turn = async {
            match seen(session, args).await {
                Ok(inspection) => {
                    if let Err(stop) = &inspection.known {
                        session.show_unless_quiet(stop.text(session.stderr));
                    }
                    print::stream(&json::line(&inspection.status)).map_err(|error| unwritten(&error))
                }
                // An error of the first refresh ends the command.
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

/// Last report, and the errors since.
#[derive(Default)]
struct WatchFrame {
    report: Option<StatusReport>,
    wrong: Vec<Output>,
}

async fn table(session: &Session, args: &StatusArgs) -> Result<Exit, EarlyExit> {
    let narration = session;
    let session = session.aside();
    let mut now = WatchFrame::default();
    match seen(&session, args).await {
        Ok(inspection) => now.update(&session, Ok(inspection)),
        // An error of the first refresh ends the command, before it takes the screen.
        Err(stop) => {
            session.kept().into_iter().for_each(|text| narration.show(text));
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
                    seen = seen(&session, args) => now.update(&session, seen),
                }
                next = tokio::time::Instant::now() + args.interval;
            }
        }
    };
    drop(drawn);
    // The last table stays on the primary screen, whole.
    print::data(&now.text(&session, session.stdout)).map_err(|error| unwritten(&error))?;
    Ok(exit)
}

impl WatchFrame {
    fn update(&mut self, session: &Session, seen: Result<StatusReport, EarlyExit>) {
        self.wrong = session.kept();
        match seen {
            Ok(inspection) => self.report = Some(inspection),
            Err(stop) => self.wrong.push(stop.text(session.stderr)),
        }
    }

    fn text(&self, session: &Session, style: Style) -> Output {
        let text = self.report.as_ref().map(|inspection| shown(session, inspection, style)).unwrap_or_default();
        [text, self.wrong(style)].into_iter().collect()
    }

    /// Returns the errors, each below an empty line.
    fn wrong(&self, style: Style) -> Output {
        let unknown =
            self.report.as_ref().and_then(|inspection| inspection.known.as_ref().err()).map(|stop| stop.text(style));
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
        let observed = now.report.as_ref().map_or_else(String::new, |inspection| clock(inspection.status.observed_at));
        let foot = format!("as of {observed} · every {interval:?} · Ctrl-C to quit");
        let wrong = now.wrong(style);
        let headroom = Frame::headroom(&wrong, size);
        let text = now
            .report
            .as_ref()
            .map(|inspection| shown_within(session, inspection, style, headroom))
            .unwrap_or_default();
        let frame = Frame::new(&text, &wrong, &foot, size, style);
        let sent = changes(self.frame.as_ref(), &frame);
        self.frame = Some(frame);
        if sent.is_empty() { Ok(()) } else { self.screen.draw(&sent) }
    }
}

/// Returns the local time of day.
fn clock(at: Timestamp) -> String {
    at.to_zoned(TimeZone::system()).strftime("%H:%M:%S").to_string()
}

fn unreadable(error: &io::Error) -> EarlyExit {
    EarlyExit::refused(Code::System, format!("can't listen for signals: {error}"))
}
