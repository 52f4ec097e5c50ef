//! State of a process, from `/proc/PID/stat`.

use crate::model::facts::ProcessFact;

/// Fields of `/proc/PID/stat` that lcm uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) pid: i32,
    pub(crate) parent: i32,
    /// Pid of the session's leader. No other process gets that pid while the session lasts.
    pub(crate) session: i32,
    pub(crate) state: char,
    pub(crate) start_ticks: u64,
    pub(crate) program: String,
}

impl Stat {
    /// Returns true if the state is of exactly this process, not of a later one with its pid.
    pub(crate) fn is(&self, process: &ProcessFact) -> bool {
        (self.pid, self.start_ticks) == (process.pid, process.start_ticks)
    }

    /// Returns false for zombies, which hold nothing but their pid.
    pub(crate) fn is_alive(&self) -> bool {
        !matches!(self.state, 'Z' | 'X' | 'x')
    }

    /// Returns true if the process is stopped by a signal.
    pub(crate) fn is_suspended(&self) -> bool {
        self.state == 'T'
    }

    pub(crate) fn fact(&self) -> ProcessFact {
        ProcessFact { pid: self.pid, start_ticks: self.start_ticks, program: self.program.clone() }
    }
}
