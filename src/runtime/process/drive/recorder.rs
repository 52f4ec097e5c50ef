//! The shim's part in recording members: it looks at its tree whenever a process was started on this host, quickly
//! after a change and seldom later, and writes the record anew when the tree has changed.

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

/// Between two looks while the tree changes: services start their helpers in their first seconds.
const PAUSE_MIN: Duration = Duration::from_millis(20);
/// Between two looks at a tree that stays as it is.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// After a change the next one is likely for this long.
const LIVELY: Duration = Duration::from_secs(3);

/// Records the members of one start until it is ended.
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
    /// `output`: inode of the service's pipe.
    pub(crate) fn new(folder: &Folder, marks: &Marks, started_at: Timestamp, output: u64) -> Self {
        let (folder, marks) = (folder.clone(), marks.clone());
        Self(Arc::new(Mutex::new(RecorderState { folder, marks, started_at, output, noted: None, ended: false })))
    }

    /// Records what there is now.
    pub(crate) fn record(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).record();
    }

    /// Looks at the tree from now on, in a thread that ends with the shim.
    pub(crate) fn watch(&self) {
        let recorder = self.clone();
        thread::spawn(move || recorder.run());
    }

    /// Nothing is left of the service, and so nothing of the record.
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
            // Where no process was started since the last look, none was in this tree.
            if (started.is_none() || started != last_started) && state.record() {
                changed_at = Instant::now();
            }
            last_started = started;
            pause = if changed_at.elapsed() < LIVELY { PAUSE_MIN } else { (pause * 2).min(PAUSE_MAX) };
        }
    }
}

impl RecorderState {
    /// Returns whether the tree has changed since it was recorded.
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

/// The pid given out last on this host, threads included: the last word of `/proc/loadavg`.
fn last_started_pid() -> Option<u64> {
    kernel::table("/proc/loadavg").ok()?.split_ascii_whitespace().last()?.parse().ok()
}
