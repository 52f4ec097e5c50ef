//! Signals INT, TERM and HUP: before a run they end lcm at once; during a run the first one requests its end, and the
//! second ends lcm at once. A HUP that the caller ignores, as `nohup` does, stays ignored.

use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::apply::Interrupt;
use crate::cli::exit::Exit;
use crate::cli::stop::{Code, EarlyExit};
use crate::files::kernel;
use crate::reconcile::CutOff;
use crate::report::output::Output;
use crate::report::print;
use crate::report::sheet::sentence;
use crate::report::style::Style;

/// Handlers of the signals, and the first signal received.
pub(crate) struct Interrupts {
    pub(crate) heard: watch::Receiver<Option<Interrupt>>,
    run_under_way: Arc<AtomicBool>,
    before_the_end: BeforeTheEnd,
}

/// Record to write before a second signal ends lcm at once.
type BeforeTheEnd = Arc<Mutex<Option<CutOff>>>;

/// Effect of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignalEffect {
    /// lcm ends at once: nothing was started.
    BeforeTheRun,
    /// The run ends in order.
    First,
    /// lcm ends at once, in the middle of a run.
    Again,
}

/// Number of the signal, the same on all machines.
const HUP: u32 = 1;

/// Exit code of a program that QUIT ended, as a shell reports it.
const QUIT_CODE: i32 = 128 + 3;

/// Message of an end before anything was started.
pub(crate) const NOTHING_DONE: &str = "interrupted; nothing changed";

impl Interrupts {
    /// Handles signals from now on. `on_signal` is called before a signal takes effect.
    pub(crate) fn listen(on_signal: impl Fn(Interrupt, SignalEffect) + Send + 'static) -> Result<Self, EarlyExit> {
        let cannot =
            |error: std::io::Error| EarlyExit::refused(Code::System, format!("can't listen for signals: {error}"));
        let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
        let mut hang_up = if is_ignored(HUP) { None } else { Some(signal(SignalKind::hangup()).map_err(cannot)?) };
        let (sender, heard) = watch::channel(None);
        let run_under_way = Arc::new(AtomicBool::new(false));
        let under_way = Arc::clone(&run_under_way);
        let before_the_end = BeforeTheEnd::default();
        let record = Arc::clone(&before_the_end);
        tokio::spawn(async move {
            loop {
                let now = tokio::select! {
                    Some(()) = interrupt.recv() => Interrupt::Interrupted,
                    Some(()) = terminate.recv() => Interrupt::Terminated,
                    Some(()) = next(&mut hang_up) => Interrupt::HungUp,
                    else => return,
                };
                let heard = match (under_way.load(Ordering::SeqCst), sender.borrow().is_some()) {
                    (false, _) => SignalEffect::BeforeTheRun,
                    (true, false) => SignalEffect::First,
                    (true, true) => SignalEffect::Again,
                };
                on_signal(now, heard);
                match heard {
                    SignalEffect::First => {}
                    SignalEffect::BeforeTheRun => {
                        // A question that is open here has no end of line.
                        if io::stderr().is_terminal() {
                            print::note(&Output::default());
                        }
                        print::note(&sentence(NOTHING_DONE, Style::PLAIN));
                        std::process::exit(i32::from(exit_of(now).code()));
                    }
                    SignalEffect::Again => {
                        print::leave_screen();
                        let record = record.lock().unwrap_or_else(PoisonError::into_inner).take();
                        if let Some(record) = record {
                            record(now).await;
                        }
                        std::process::exit(i32::from(exit_of(now).code()));
                    }
                }
                sender.send_replace(Some(now));
            }
        });
        Ok(Self { heard, run_under_way, before_the_end })
    }

    /// Handles signals of a command that runs until it is interrupted.
    pub(crate) fn of_a_run() -> Result<Self, EarlyExit> {
        let interrupts = Self::listen(|_, _| ())?;
        interrupts.begin_run();
        Ok(interrupts)
    }

    /// Handles signals of a command on the terminal's alternate screen: QUIT leaves that screen too, at any point.
    pub(crate) fn at_a_screen() -> Result<Self, EarlyExit> {
        let mut quit = signal(SignalKind::quit())
            .map_err(|error| EarlyExit::refused(Code::System, format!("can't listen for signals: {error}")))?;
        tokio::spawn(async move {
            if quit.recv().await.is_some() {
                print::leave_screen();
                std::process::exit(QUIT_CODE);
            }
        });
        Self::of_a_run()
    }

    /// Waits for the first signal, and returns the exit that it causes.
    pub(crate) async fn exit(&mut self) -> Exit {
        let heard = self.heard.wait_for(Option::is_some).await;
        heard.ok().and_then(|heard| *heard).map_or(Exit::Done, exit_of)
    }

    /// Sets the record to write before a second signal ends lcm.
    pub(crate) fn before_the_end(&self, record: CutOff) {
        *self.before_the_end.lock().unwrap_or_else(PoisonError::into_inner) = Some(record);
    }

    /// Marks the start of a run: from now on the first signal only requests its end.
    pub(crate) fn begin_run(&self) {
        self.run_under_way.store(true, Ordering::SeqCst);
    }
}

/// Waits for the next signal of a kind that may be ignored.
async fn next(signal: &mut Option<Signal>) -> Option<()> {
    match signal {
        Some(signal) => signal.recv().await,
        None => std::future::pending().await,
    }
}

/// Returns true if this process was started with a signal ignored.
fn is_ignored(number: u32) -> bool {
    let status = kernel::table("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask & (1 << (number - 1)) != 0
}

pub(crate) fn exit_of(interrupt: Interrupt) -> Exit {
    match interrupt {
        Interrupt::Interrupted => Exit::Interrupted,
        Interrupt::Terminated | Interrupt::HungUp => Exit::Terminated,
    }
}
