//! A service's log: bounded by copying and truncating, since the service itself holds the file open; and read back from
//! where a start began.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::driver::process::folder::Folder;
use crate::model::facts::ProcessFact;

/// One step of a copy.
const CHUNK_BYTES: usize = 64 * 1024;
/// Read for the last lines: some hundred long ones.
const TAIL_BYTES_MAX: usize = 256 * 1024;

/// Opens a log for a service to write to. Appending is what makes truncating safe: each write goes to the end as it is.
pub(crate) fn open(folder: &Folder) -> io::Result<File> {
    File::options().read(true).append(true).create(true).open(folder.log())
}

/// Moves the copies up by one, keeps the end of the log in `log.1`, and empties the log.
///
/// No more than `bytes_max` is copied, so that a service which writes faster than the disk copies can't win. What it
/// writes between copy and truncation is lost, as with every log that is rotated beneath its writer.
pub(crate) fn rotate(log: &File, folder: &Folder, bytes_max: u64, files: u32) -> io::Result<()> {
    let size = log.metadata()?.len();
    let kept_from = size.saturating_sub(bytes_max);
    let copied = if files == 0 { Ok(()) } else { copy_out(log, folder, kept_from, size, files) };
    // Even where no copy can be made, a flood must not fill the disk.
    log.set_len(0)?;
    if let Some(mut note) = folder.start_note() {
        // What is cut off here, not copied, or copied for the second time is not looked for any more.
        note.beginning_is_gone |= files == 0 || kept_from > note.log_offset || note.previous_offset.is_some();
        note.previous_offset = Some(note.log_offset.saturating_sub(kept_from)).filter(|_| files > 0);
        note.log_offset = 0;
        folder.write_start(&note)?;
    }
    copied
}

fn copy_out(log: &File, folder: &Folder, from: u64, to: u64, files: u32) -> io::Result<()> {
    for number in (1..files).rev() {
        match fs::rename(folder.log_copy(number), folder.log_copy(number + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    let mut copy = File::create(folder.log_copy(1))?;
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut position = from;
    while position < to {
        let wanted = usize::try_from(to - position).map_or(CHUNK_BYTES, |rest| rest.min(CHUNK_BYTES));
        // By position: the service shares this file's offset, and each of its writes would move it.
        let read = log.read_at(&mut chunk[..wanted], position)?;
        if read == 0 {
            break;
        }
        copy.write_all(&chunk[..read])?;
        position += read as u64;
    }
    Ok(())
}

/// What a service wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) text: String,
    /// From the first byte of its start on.
    pub(crate) is_whole: bool,
}

/// What was written since the last start, at most the last `bytes_max` of it. With a `salt`, of that start or
/// nothing at all.
pub(crate) fn since_start(folder: &Folder, salt: Option<&str>, bytes_max: usize) -> io::Result<Written> {
    let note = folder.start_note();
    if salt.is_some_and(|salt| note.as_ref().is_none_or(|note| note.marks.salt != salt)) {
        return Err(io::ErrorKind::NotFound.into());
    }
    let mut is_whole = note.as_ref().is_some_and(|note| !note.beginning_is_gone);
    let offset = note.as_ref().map_or(0, |note| note.log_offset);
    is_whole &= is_all(&folder.log(), offset, bytes_max);
    let mut bytes = end_of(&folder.log(), offset, bytes_max)?;
    let room = bytes_max - bytes.len();
    if let Some(offset) = note.and_then(|note| note.previous_offset) {
        is_whole &= is_all(&folder.log_copy(1), offset, room);
        let mut earlier = end_of(&folder.log_copy(1), offset, room).unwrap_or_default();
        earlier.append(&mut bytes);
        bytes = earlier;
    }
    Ok(Written { text: String::from_utf8_lossy(&bytes).into_owned(), is_whole })
}

/// Whether a file reaches from `offset` on no further than `bytes_max`. One that is shorter was emptied by somebody.
fn is_all(path: &Path, offset: u64, bytes_max: usize) -> bool {
    let rest = fs::metadata(path).ok().and_then(|metadata| metadata.len().checked_sub(offset));
    rest.is_some_and(|rest| rest <= bytes_max as u64)
}

/// The last lines since the last start.
pub(crate) fn tail(folder: &Folder, lines: usize) -> Vec<String> {
    let text = since_start(folder, None, TAIL_BYTES_MAX).map(|written| written.text).unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].iter().map(|line| (*line).to_owned()).collect()
}

/// What a living process has written to a log that is deleted or moved away; where its start begins in it, nobody knows
/// any more.
pub(crate) fn of_living(process: &ProcessFact, bytes_max: usize) -> Option<Written> {
    let path = PathBuf::from(format!("/proc/{}/fd/1", process.pid));
    let target = fs::read_link(&path).ok()?;
    let target = target.to_str()?;
    let ours = target.strip_suffix(" (deleted)").unwrap_or(target).ends_with("/log");
    let bytes = ours.then(|| end_of(&path, 0, bytes_max).ok()).flatten()?;
    Some(Written { text: String::from_utf8_lossy(&bytes).into_owned(), is_whole: false })
}

/// A file from `offset` on, at most its last `bytes_max`. A file shorter than that was emptied since: all of it counts.
pub(crate) fn end_of(path: &Path, offset: u64, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    let offset = if offset > size { 0 } else { offset };
    let from = offset.max(size.saturating_sub(bytes_max as u64));
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(bytes_max as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use super::{Written, open, rotate, since_start, tail};
    use crate::driver::process::folder::{Folder, StartNote};
    use crate::model::facts::Marks;

    #[test]
    fn a_rotation_loses_nothing_of_this_start_and_shows_nothing_of_the_last() {
        let root = tempfile::tempdir().expect("a folder");
        let folder = Folder::new(root.path(), "p", "s");
        folder.ensure().expect("it can be made");
        let mut log = open(&folder).expect("a log");
        log.write_all(b"before\n").expect("written");
        let note = StartNote {
            marks: Marks::default(),
            started_at: jiff::Timestamp::UNIX_EPOCH,
            cwd: root.path().to_owned(),
            log_offset: 7,
            previous_offset: None,
            beginning_is_gone: false,
        };
        let read = |bytes_max| since_start(&folder, None, bytes_max).expect("read");
        let written = |text: &str, is_whole| Written { text: text.to_owned(), is_whole };
        folder.write_start(&note).expect("noted");
        log.write_all(b"ready\n").expect("written");
        assert_eq!(read(100), written("ready\n", true));
        assert!(since_start(&folder, Some("another"), 100).is_err(), "nobody knows where that begins");

        rotate(&log, &folder, 100, 2).expect("rotated");
        log.write_all(b"later\n").expect("written");
        assert_eq!(read(100), written("ready\nlater\n", true));
        assert_eq!(tail(&folder, 1), ["later"]);
        assert_eq!(read(8), written("y\nlater\n", false));
        assert!(!read(6).is_whole);

        rotate(&log, &folder, 3, 2).expect("rotated");
        assert_eq!(fs::read_to_string(folder.log_copy(1)).expect("a copy"), "er\n");
        assert_eq!(fs::read_to_string(folder.log_copy(2)).expect("a copy"), "before\nready\n");
        assert_eq!(read(100), written("er\n", false));
        rotate(&log, &folder, 3, 2).expect("rotated");
        assert!(!folder.log_copy(3).exists(), "only two copies are kept");
    }
}
