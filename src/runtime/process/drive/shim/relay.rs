//! Relay of a service's output, from the pipe that the service writes to into its log.
//!
//! The service does not write to the log itself, because a program that opens `/dev/stderr` for writing truncates the
//! file behind it. The service holds both ends of its pipe, so that it gets no SIGPIPE when no relay is left: it runs
//! on, and blocks once the pipe is full. The shim relays, and its standby once the shim is gone; if both were killed,
//! the next inspection of the service starts another standby.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use regex_lite::Regex;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags, fchmod, fcntl_getfl, fcntl_setfl};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use serde::{Deserialize, Serialize};

use crate::files::kernel;
use crate::host::log_match::LogMatch;
use crate::runtime::process::drive::folder::Folder;
use crate::runtime::process::drive::log;

/// Capacity of the pipe, which a service can fill while nothing relays: the most that the kernel gives an unprivileged
/// user.
const PIPE_BYTES: usize = 1 << 20;
/// Bytes relayed at once. A log exceeds its bound by no more than this.
const CHUNK_BYTES: usize = 64 << 10;
/// Bytes of an unfinished line that are kept until the rest of it arrives.
const LINE_BYTES_MAX: usize = 16 << 10;

/// Output pipe of a service, as its shim creates it.
pub(crate) struct OutputPipe {
    pub(crate) reader: File,
    /// Open for reading as well: see the head of this file.
    pub(crate) writer: File,
    /// Inode, which identifies the pipe on this host.
    pub(crate) inode: u64,
}

impl OutputPipe {
    pub(crate) fn open() -> io::Result<Self> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
        // A host with a lower limit gets a smaller pipe.
        let _ = fcntl_setpipe_size(&reader, PIPE_BYTES);
        // A service that changes its user can still open /dev/stderr. No other process has a path to the pipe.
        fchmod(&reader, Mode::from_raw_mode(0o666))?;
        let both = kernel::open_own_pipe(writer.as_fd())?;
        let reader = reader_of(reader)?;
        let inode = reader.metadata()?.ino();
        Ok(Self { reader, writer: both, inode })
    }
}

/// Returns the read end of a pipe, non-blocking: a relay polls for all its events at once.
pub(crate) fn reader_of(descriptor: OwnedFd) -> io::Result<File> {
    fcntl_setfl(&descriptor, fcntl_getfl(&descriptor)? | OFlags::NONBLOCK)?;
    Ok(File::from(descriptor))
}

/// Bounds of a log, and the pattern that a log probe waits for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LogSpec {
    pub(crate) bytes_max: u64,
    pub(crate) files: u32,
    #[serde(default)]
    pub(crate) awaited: Option<Awaited>,
}

/// Pattern to search for in the output of one start as it is relayed: a flood may rotate the line away before a probe
/// reads the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Awaited {
    pub(crate) salt: String,
    pub(crate) pattern: String,
    /// Time limit of the search, in ms: as long as the start may take. After that a flood is not slowed down any more.
    pub(crate) for_ms: u64,
}

/// Relay of one service.
pub(crate) struct Relay {
    pipe: File,
    log: File,
    folder: Folder,
    bytes_max: u64,
    files: u32,
    search: Option<PatternSearch>,
    ended: bool,
}

impl Relay {
    pub(crate) fn new(pipe: File, log: File, folder: Folder, spec: &LogSpec) -> Self {
        let search = spec.awaited.as_ref().and_then(PatternSearch::begin);
        Self { pipe, log, folder, bytes_max: spec.bytes_max, files: spec.files, search, ended: false }
    }

    /// Relays the present content of the pipe, at most its capacity: a flood must not keep the shim from its other
    /// work.
    pub(crate) fn flush_rest(&mut self) {
        let mut chunk = vec![0; CHUNK_BYTES];
        for _ in 0..=PIPE_BYTES / CHUNK_BYTES {
            if !self.take(&mut chunk) {
                return;
            }
        }
    }

    /// Relays one chunk. Returns false if there is none now.
    fn take(&mut self, chunk: &mut [u8]) -> bool {
        match self.pipe.read(chunk) {
            // Every process that held the write end has ended, or has closed it.
            Ok(0) => self.ended = true,
            Ok(count) => {
                self.pass(&chunk[..count]);
                return true;
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(_) => self.ended = true,
        }
        false
    }

    /// Appends a chunk to the log, and searches it. Output that a full disk does not take is lost: a service must not
    /// wait for disk space.
    fn pass(&mut self, bytes: &[u8]) {
        let _ = self.log.write_all(bytes);
        if self.log.metadata().is_ok_and(|metadata| metadata.len() > self.bytes_max) {
            // A rotation that fails is retried with the next chunk.
            let _ = log::rotate(&self.log, &self.folder, self.bytes_max, self.files);
        }
        let Some(search) = &mut self.search else { return };
        let found = search.finds(bytes);
        if found {
            let note = LogMatch::new(&search.awaited.salt, &search.awaited.pattern);
            let _ = note.write(self.folder.path());
        }
        if found || search.is_over() {
            self.search = None;
        }
    }
}

/// Relays until every write end of the pipe is closed.
pub(crate) fn run(relay: &Arc<Mutex<Relay>>) {
    let Ok(pipe) = locked(relay).pipe.try_clone() else { return };
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let _ = poll(&mut [PollFd::new(&pipe, PollFlags::IN)], None);
        let mut relay = locked(relay);
        relay.take(&mut chunk);
        if relay.ended {
            return;
        }
    }
}

pub(crate) fn locked(relay: &Arc<Mutex<Relay>>) -> std::sync::MutexGuard<'_, Relay> {
    relay.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Search for a pattern in the relayed lines. A match over several lines is left to the probe, which reads the log.
struct PatternSearch {
    awaited: Awaited,
    regex: Regex,
    until: Option<Instant>,
    /// Unfinished line.
    line: Vec<u8>,
}

impl PatternSearch {
    fn begin(awaited: &Awaited) -> Option<Self> {
        let regex = Regex::new(&awaited.pattern).ok()?;
        let until = Instant::now().checked_add(Duration::from_millis(awaited.for_ms));
        Some(Self { awaited: awaited.clone(), regex, until, line: Vec::new() })
    }

    fn finds(&mut self, bytes: &[u8]) -> bool {
        self.line.extend_from_slice(bytes);
        let found = self.regex.is_match(&String::from_utf8_lossy(&self.line));
        let finished = self.line.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        self.line.drain(..finished.max(self.line.len().saturating_sub(LINE_BYTES_MAX)));
        found
    }

    fn is_over(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() >= until)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;
    use std::sync::{Arc, Mutex};

    use super::{Awaited, LogSpec, OutputPipe, PatternSearch, Relay, run};
    use crate::host::log_match::LogMatch;
    use crate::runtime::process::drive::folder::Folder;
    use crate::runtime::process::drive::log;

    fn awaited(pattern: &str) -> Awaited {
        Awaited { salt: "s1".to_owned(), pattern: pattern.to_owned(), for_ms: u64::MAX }
    }

    #[test]
    fn a_line_that_arrives_in_parts_and_is_rotated_away_is_found() {
        let root = tempfile::tempdir().expect("a folder");
        let folder = Folder::new(root.path(), "p", "s");
        folder.ensure().expect("created");
        let mut pipe = OutputPipe::open().expect("a pipe");
        let spec = LogSpec { bytes_max: 1000, files: 1, awaited: Some(awaited("(?m)^server is ready$")) };
        let log = log::open(&folder).expect("a log");
        let relay = Relay::new(pipe.reader, log, folder.clone(), &spec);
        let relay = Arc::new(Mutex::new(relay));
        let relayed = std::thread::spawn({
            let relay = Arc::clone(&relay);
            move || run(&relay)
        });
        let flood = vec![b'x'; 300_000];
        let parts: [&[u8]; 4] = [&flood, b"\nserver is", b" ready\n", &flood];
        for part in parts {
            pipe.writer.write_all(part).expect("written");
        }
        drop(pipe.writer);
        relayed.join().expect("it ends with the last writer");
        let note = LogMatch::new("s1", "(?m)^server is ready$");
        assert_eq!(LogMatch::read(folder.path()), Some(note));
        let kept = |path| fs::metadata(path).expect("a file").len();
        assert!(kept(folder.log()) <= 1000 && kept(folder.log_copy(1)) <= 1000 && !folder.log_copy(2).exists());
    }

    #[test]
    fn an_endless_line_is_not_kept() {
        let mut search = PatternSearch::begin(&awaited("end")).expect("a pattern");
        for _ in 0..100 {
            assert!(!search.finds(&[b'x'; 10_000]));
        }
        assert!(search.line.len() <= super::LINE_BYTES_MAX);
        assert!(search.finds(b"the end"));
    }
}
