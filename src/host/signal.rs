//! Signals to exactly the observed process, even if its pid has been reused since.

use std::io;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};

use crate::host::proc;
use crate::model::facts::ProcessFact;

/// Outcome of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    Delivered,
    /// The process has ended; its pid may be another's.
    Gone,
}

/// Sends a signal. The pidfd is opened before the identity is checked, so that the pid can't be reused in between.
pub(crate) fn send(process: &ProcessFact, signal: Signal) -> io::Result<Sent> {
    let Some(pid) = Pid::from_raw(process.pid) else { return Ok(Sent::Gone) };
    let held = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(held) => Some(held),
        Err(Errno::SRCH) => return Ok(Sent::Gone),
        // Before Linux 5.3 there are no pidfds: the check alone must do.
        Err(Errno::NOSYS) => None,
        Err(error) => return Err(error.into()),
    };
    if !proc::is_alive(process) {
        return Ok(Sent::Gone);
    }
    let sent = match held {
        Some(held) => pidfd_send_signal(held, signal),
        None => kill_process(pid, signal),
    };
    match sent {
        Ok(()) => Ok(Sent::Delivered),
        Err(Errno::SRCH) => Ok(Sent::Gone),
        Err(error) => Err(error.into()),
    }
}

/// Parses a signal's name: `TERM`, `SIGTERM`, `term`.
pub(crate) fn named(name: &str) -> Option<Signal> {
    let upper = name.to_ascii_uppercase();
    let known = match upper.strip_prefix("SIG").unwrap_or(&upper) {
        "HUP" => Signal::HUP,
        "INT" => Signal::INT,
        "QUIT" => Signal::QUIT,
        "ABRT" => Signal::ABORT,
        "KILL" => Signal::KILL,
        "USR1" => Signal::USR1,
        "USR2" => Signal::USR2,
        "ALRM" => Signal::ALARM,
        "TERM" => Signal::TERM,
        "WINCH" => Signal::WINCH,
        "PWR" => Signal::POWER,
        _ => return None,
    };
    Some(known)
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use rustix::process::Signal;

    use super::{Sent, named, send};
    use crate::host::proc;
    use crate::model::signal;

    struct Sleeper(Child);

    impl Drop for Sleeper {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn a_process_with_the_same_pid_that_started_later_is_left_alone() {
        let mut sleeper = Sleeper(Command::new("sleep").arg("600").spawn().expect("sleep runs"));
        let pid = i32::try_from(sleeper.0.id()).expect("a pid");
        let seen = proc::stat(pid).expect("it lives").fact();
        let mut earlier = seen.clone();
        earlier.start_ticks -= 1;
        assert_eq!(send(&earlier, Signal::KILL).expect("a result"), Sent::Gone);
        assert!(sleeper.0.try_wait().expect("a status").is_none(), "the later process still runs");
        assert_eq!(send(&seen, Signal::KILL).expect("a result"), Sent::Delivered);
        sleeper.0.wait().expect("it ends");
        assert_eq!(send(&seen, Signal::KILL).expect("a result"), Sent::Gone);
    }

    #[test]
    fn signals_have_names_with_and_without_their_prefix() {
        assert_eq!(named("TERM"), Some(Signal::TERM));
        assert_eq!(named("SIGINT"), Some(Signal::INT));
        assert_eq!(named("usr1"), Some(Signal::USR1));
        assert_eq!(named("FETCH"), None);
        for known in signal::stopping() {
            assert!(named(known).is_some(), "a manifest may name {known}");
        }
    }
}
