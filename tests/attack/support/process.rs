//! Processes by pid and start time: the only identity by which these tests signal anything.

use std::fs;
use std::process::Command;

/// Incarnation of a pid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Identity {
    pub(crate) pid: i32,
    pub(crate) start_ticks: u64,
}

impl Identity {
    /// Returns the process that has this pid now.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        let (_, start_ticks) = stat(pid)?;
        Some(Self { pid, start_ticks })
    }

    /// Returns true if it exists, and is not a zombie.
    pub(crate) fn is_alive(self) -> bool {
        stat(self.pid).is_some_and(|(state, ticks)| ticks == self.start_ticks && !matches!(state, 'Z' | 'X'))
    }

    /// Returns true if it is stopped by a signal.
    pub(crate) fn is_stopped(self) -> bool {
        stat(self.pid).is_some_and(|(state, ticks)| ticks == self.start_ticks && state == 'T')
    }

    /// Sends a signal, if this incarnation still exists.
    pub(crate) fn signal(self, signal: &str) {
        if self.is_alive() {
            let _ = Command::new("kill").args([format!("-{signal}"), self.pid.to_string()]).output();
        }
    }
}

/// Reads state and start time, fields 3 and 22 of proc(5).
fn stat(pid: i32) -> Option<(char, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    Some((fields.first()?.chars().next()?, fields.get(19)?.parse().ok()?))
}

pub(crate) fn parent(pid: i32) -> Option<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    text.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Returns the real user of a process.
pub(crate) fn uid(pid: i32) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_whitespace().next()?.parse().ok()
}

/// Returns all running processes with `NAME=VALUE` in their environment.
pub(crate) fn with_variable(entry: &str) -> Vec<Identity> {
    let has = |pid: i32| {
        let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environ.split(|byte| *byte == 0).any(|one| one == entry.as_bytes())
    };
    living(has)
}

/// Returns all running processes that match.
pub(crate) fn living(holds: impl Fn(i32) -> bool) -> Vec<Identity> {
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| holds(*pid)).filter_map(Identity::of).filter(|process| process.is_alive()).collect()
}

/// Returns the arguments, joined by blanks.
pub(crate) fn words(pid: i32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ").trim().to_owned()
}
