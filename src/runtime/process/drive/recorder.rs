//! Recorder of members, in the shim: it scans its tree whenever a process was started on this host, often after a
//! change and seldom later, and rewrites the record when the tree has changed.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::files::kernel;
use crate::host::proc;
use crate::model::facts::Marks;
use crate::runtime::process::drive::folder::Folder;
use crate::runtime::process::drive::members;
use crate::runtime::process::drive::members_note::MembersNote;

/// Pause between two scans while the tree changes: services start their helpers in their first seconds.
const PAUSE_MIN: Duration = Duration::from_millis(20);
/// Longest pause between two scans of a tree that does not change.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Time after a change in which another change is likely.
const ACTIVE: Duration = Duration::from_secs(3);

/// Recorder of the members of one start, until [`Recorder::end`].
#[derive(Clone)]
pub(crate) struct Recorder(Arc<Mutex<RecorderState>>);

struct RecorderState {
    folder: Folder,
    marks: Marks,
    started_at: Timestamp,
    output: u64,
    noted: Option<MembersNote>,
    ended: bool,
}

impl Recorder {
    /// Creates a recorder; `output` is the inode of the service's pipe.
    pub(crate) fn new(folder: &Folder, marks: &Marks, started_at: Timestamp, output: u64) -> Self {
        let (folder, marks) = (folder.clone(), marks.clone());
        Self(Arc::new(Mutex::new(RecorderState { folder, marks, started_at, output, noted: None, ended: false })))
    }

    /// Records the present members.
    pub(crate) fn record(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).record();
    }

    /// Watches the tree from now on, in a thread that ends with the shim.
    pub(crate) fn watch(&self) {
        let recorder = self.clone();
        thread::spawn(move || recorder.run());
    }

    /// Ends the recording and removes the record: no process of the service is left.
    pub(crate) fn end(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.ended = true;
        state.folder.forget_members();
    }

    fn run(&self) {
        let (mut pause, mut changed_at, mut last_started) = (PAUSE_MIN, Instant::now(), None);
        loop {
            thread::sleep(pause);
            let started = last_started_pid();
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if state.ended {
                return;
            }
            // If no process was started on the host since the last scan, none was in this tree.
            if (started.is_none() || started != last_started) && state.record() {
                changed_at = Instant::now();
            }
            last_started = started;
            pause = if changed_at.elapsed() < ACTIVE { PAUSE_MIN } else { (pause * 2).min(PAUSE_MAX) };
        }
    }
}

impl RecorderState {
    /// Records the tree. Returns true if it has changed since the last record.
    fn record(&mut self) -> bool {
        let own = i32::try_from(std::process::id()).ok().and_then(proc::stat);
        let Some(shim) = own else { return false };
        let members = members::below(shim.pid, &self.marks);
        let Some(note) = MembersNote::new(&self.marks, self.started_at, Some(self.output), &shim, &members) else {
            return false;
        };
        if self.noted.as_ref() == Some(&note) {
            return false;
        }
        // A folder that is gone takes the record with it: the tree is found by its shim.
        let _ = self.folder.write_members(&note);
        self.noted = Some(note);
        true
    }
}

/// Returns the pid that was allocated last on this host, threads included: the last field of `/proc/loadavg`.
fn last_started_pid() -> Option<u64> {
    kernel::table("/proc/loadavg").ok()?.split_ascii_whitespace().last()?.parse().ok()
}
