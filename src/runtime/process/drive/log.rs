//! Log of a service: rotated by copying and truncating, since services of an older lcm hold the file open themselves;
//! and read back from the beginning of a start.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::files::{kernel, own};
use crate::model::facts::ProcessFact;
use crate::runtime::process::drive::folder::Folder;
use crate::runtime::{LogMark, Logged};

/// Chunk of a copy.
const CHUNK_BYTES: usize = 64 * 1024;
/// Bytes read for the last lines: some hundred long ones.
const TAIL_BYTES_MAX: usize = 256 * 1024;

/// Bytes read at once by a follower: what a flood writes between two reads.
const FOLLOW_BYTES_MAX: u64 = 4 << 20;
/// Descriptors of a process that are searched for an open log: it is among the first that a shim or a service opens.
const DESCRIPTORS_MAX: usize = 256;
/// Attempts at a consistent read: a rotation truncates the log and updates the note a moment later.
const ROTATION_READS: u32 = 4;
const ROTATION_PAUSE: Duration = Duration::from_millis(5);

/// Opens a log for the output of a service. Appending makes truncation safe: each write goes to the current end.
pub(crate) fn open(folder: &Folder) -> io::Result<File> {
    own::append(&folder.log())
}

/// Renumbers the copies, copies the end of the log to `log.1`, and truncates the log.
///
/// No more than `bytes_max` is copied, so that a service which writes faster than the disk copies can't outrun the
/// rotation. Output between copy and truncation is lost, as with every log that is truncated beneath its writer.
pub(crate) fn rotate(log: &File, folder: &Folder, bytes_max: u64, files: u32) -> io::Result<()> {
    let size = log.metadata()?.len();
    let kept_from = size.saturating_sub(bytes_max);
    let copied = if files == 0 { Ok(()) } else { copy_out(log, folder, kept_from, size, files) };
    // Even where no copy can be made, a flood must not fill the disk.
    log.set_len(0)?;
    if let Some(mut note) = folder.start_note() {
        // Output that is cut off here, not copied, or copied for the second time can't be located any more.
        note.beginning_is_gone |= files == 0 || kept_from > note.log_offset || note.previous_offset.is_some();
        note.previous_offset = Some(note.log_offset.saturating_sub(kept_from)).filter(|_| files > 0);
        note.log_offset = 0;
        note.rotated_bytes = note.rotated_bytes.saturating_add(size);
        folder.write_start(&note)?;
    }
    copied
}

fn copy_out(log: &File, folder: &Folder, from: u64, to: u64, files: u32) -> io::Result<()> {
    for number in (1..files).rev() {
        match own::rename(&folder.log_copy(number), &folder.log_copy(number + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    let mut copy = own::create(&folder.log_copy(1))?;
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

/// Output of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogText {
    pub(crate) text: String,
    /// True if the text begins with the first byte of the start.
    pub(crate) is_whole: bool,
    /// Bytes written since the start that are not in the text; 0 if unknown.
    pub(crate) missing_bytes: u64,
}

/// Reads the output since the last start, at most its last `bytes_max`. With a `salt`, an error unless the last start
/// has that salt.
pub(crate) fn since_start(folder: &Folder, salt: Option<&str>, bytes_max: usize) -> io::Result<LogText> {
    let note = folder.start_note();
    if salt.is_some_and(|salt| note.as_ref().is_none_or(|note| note.marks.salt != salt)) {
        return Err(io::ErrorKind::NotFound.into());
    }
    let mut is_whole = note.as_ref().is_some_and(|note| !note.beginning_is_gone);
    let offset = note.as_ref().map_or(0, |note| note.log_offset);
    is_whole &= is_all(&folder.log(), offset, bytes_max);
    let mut bytes = end_of(&folder.log(), offset, bytes_max)?;
    let headroom = bytes_max - bytes.len();
    let written_bytes = note.as_ref().and_then(|note| {
        let end = note.rotated_bytes + own::size(&folder.log()).ok()?;
        end.checked_sub(note.began_at?)
    });
    if let Some(offset) = note.and_then(|note| note.previous_offset) {
        is_whole &= is_all(&folder.log_copy(1), offset, headroom);
        let mut earlier = end_of(&folder.log_copy(1), offset, headroom).unwrap_or_default();
        earlier.append(&mut bytes);
        bytes = earlier;
    }
    let missing_bytes = written_bytes.map_or(0, |written| written.saturating_sub(bytes.len() as u64));
    Ok(LogText { text: String::from_utf8_lossy(&bytes).into_owned(), is_whole, missing_bytes })
}

/// Reads the output after `mark` from the log and its newest copy; without a mark, since the last start.
pub(crate) fn from_mark(folder: &Folder, mark: Option<&LogMark>) -> io::Result<Logged> {
    for _ in 1..ROTATION_READS {
        let (rotated, size) = (rotated(folder), own::size(&folder.log())?);
        let is_torn = mark.is_some_and(|mark| mark.position > rotated.saturating_add(size));
        let logged = read_from(folder, mark)?;
        // The log was rotated between the two reads, or the note on a rotation is not written yet.
        if !is_torn && self::rotated(folder) == rotated {
            return Ok(logged);
        }
        thread::sleep(ROTATION_PAUSE);
    }
    read_from(folder, mark)
}

fn rotated(folder: &Folder) -> u64 {
    folder.start_note().map_or(0, |note| note.rotated_bytes)
}

/// Positions count from the creation of the log, so that they stay valid over rotations: the log begins at the number
/// of bytes that rotations have removed, and its newest copy ends there.
fn read_from(folder: &Folder, mark: Option<&LogMark>) -> io::Result<Logged> {
    let note = folder.start_note();
    let (log, copy) = (folder.log(), folder.log_copy(1));
    let begins = note.as_ref().map_or(0, |note| note.rotated_bytes);
    let end = begins.saturating_add(own::size(&log)?);
    let copied = if begins > 0 { own::size(&copy).unwrap_or(0).min(begins) } else { 0 };
    let start = note.as_ref().map_or(0, |note| match note.previous_offset {
        Some(offset) => (begins - copied).saturating_add(offset.min(copied)),
        None => begins.saturating_add(note.log_offset),
    });
    // Beyond the end: the log was truncated, and its present content is all that there is.
    let wanted = mark.map_or(start, |mark| if mark.position > end { begins } else { mark.position });
    let from = wanted.max(begins - copied).max(end.saturating_sub(FOLLOW_BYTES_MAX));
    let mut bytes = Vec::new();
    if from < begins {
        part(&copy, from.saturating_sub(begins - copied), begins - from, &mut bytes)?;
    }
    part(&log, from.saturating_sub(begins), end.saturating_sub(from.max(begins)), &mut bytes)?;
    // A rotation may cut within a line, and so does a read of the end only.
    let is_cut = mark.is_none() && note.as_ref().is_some_and(|note| note.beginning_is_gone);
    let is_torn = from != wanted || is_cut;
    let life = note.map(|note| note.marks.salt).unwrap_or_default();
    // Without a mark only the last part is requested.
    let is_gapless = mark.is_none() || from == wanted;
    Ok(Logged { bytes, mark: LogMark { life, position: end }, is_gapless, is_torn })
}

fn part(path: &Path, from: u64, length: u64, bytes: &mut Vec<u8>) -> io::Result<()> {
    let mut file = own::open(path)?;
    file.seek(SeekFrom::Start(from))?;
    file.take(length).read_to_end(bytes).map(|_| ())
}

/// Returns true if a file has at most `bytes_max` bytes from `offset` on. A file that ends before `offset` was
/// truncated: false.
fn is_all(path: &Path, offset: u64, bytes_max: usize) -> bool {
    let rest = own::size(path).ok().and_then(|size| size.checked_sub(offset));
    rest.is_some_and(|rest| rest <= bytes_max as u64)
}

/// Returns the last lines since the last start.
pub(crate) fn tail(folder: &Folder, lines: usize) -> Vec<String> {
    let Ok(LogText { text, is_whole, .. }) = since_start(folder, None, TAIL_BYTES_MAX) else { return Vec::new() };
    // A line that is cut may be cut within a secret, of which no part may be shown.
    let torn = usize::from(!is_whole);
    let all: Vec<&str> = text.lines().skip(torn).collect();
    all[all.len().saturating_sub(lines)..].iter().map(|line| (*line).to_owned()).collect()
}

/// Reads a log that was deleted or moved, through a living process that still writes to it: the shim, or the service
/// itself if an older lcm started it. The beginning of the start in it is unknown.
pub(crate) fn of_living(process: &ProcessFact, bytes_max: usize) -> Option<LogText> {
    let folder = PathBuf::from(format!("/proc/{}/fd", process.pid));
    let descriptors = kernel::names(&folder).ok()?.take(DESCRIPTORS_MAX);
    let path = descriptors.map(|name| folder.join(name)).find(|path| is_log(path))?;
    let bytes = rest_of(kernel::open_held(&path).ok()?, 0, bytes_max).ok()?;
    Some(LogText { text: String::from_utf8_lossy(&bytes).into_owned(), is_whole: false, missing_bytes: 0 })
}

fn is_log(descriptor: &Path) -> bool {
    let target = fs::read_link(descriptor).unwrap_or_default();
    let target = target.to_string_lossy();
    target.strip_suffix(" (deleted)").unwrap_or(&target).ends_with("/log")
}

/// Reads a file from `offset` on, at most its last `bytes_max`. A file that ends before `offset` was truncated: it is
/// read from its beginning.
pub(crate) fn end_of(path: &Path, offset: u64, bytes_max: usize) -> io::Result<Vec<u8>> {
    rest_of(own::open(path)?, offset, bytes_max)
}

fn rest_of(mut file: File, offset: u64, bytes_max: usize) -> io::Result<Vec<u8>> {
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

    use super::{LogText, from_mark, open, rotate, since_start, tail};
    use crate::model::facts::Marks;
    use crate::runtime::process::drive::folder::{Folder, StartNote};

    #[test]
    fn a_rotation_loses_no_output_of_this_start_and_shows_none_of_the_last() {
        let root = tempfile::tempdir().expect("a folder");
        let folder = Folder::new(root.path(), "p", "s");
        folder.ensure().expect("created");
        let mut log = open(&folder).expect("a log");
        log.write_all(b"before\n").expect("written");
        let note = StartNote { log_offset: 7, ..note(root.path()) };
        let read = |bytes_max| since_start(&folder, None, bytes_max).expect("read");
        let written = |text: &str, is_whole| LogText { text: text.to_owned(), is_whole, missing_bytes: 0 };
        folder.write_start(&note).expect("noted");
        log.write_all(b"ready\n").expect("written");
        assert_eq!(read(100), written("ready\n", true));
        assert!(since_start(&folder, Some("another"), 100).is_err(), "the beginning of that start is unknown");

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
        assert_eq!(tail(&folder, 5), [""; 0], "half a line may be half a secret");
        assert!(from_mark(&folder, None).expect("read").is_torn);
        rotate(&log, &folder, 3, 2).expect("rotated");
        assert!(!folder.log_copy(3).exists(), "only two copies are kept");
    }

    #[test]
    fn a_follower_misses_no_output_over_rotations_and_starts() {
        let root = tempfile::tempdir().expect("a folder");
        let folder = Folder::new(root.path(), "p", "s");
        assert!(from_mark(&folder, None).is_err(), "there is no log");
        folder.ensure().expect("created");
        let mut log = open(&folder).expect("a log");
        let begin = |salt: &str, log_offset| {
            let marks = Marks { salt: salt.to_owned(), ..Marks::default() };
            let rotated_bytes = folder.start_note().map_or(0, |note| note.rotated_bytes);
            let note = StartNote { marks, log_offset, rotated_bytes, ..note(root.path()) };
            folder.write_start(&note).expect("noted");
        };
        let mut mark = None;
        let mut follow = || {
            let logged = from_mark(&folder, mark.as_ref()).expect("read");
            mark = Some(logged.mark.clone());
            assert_eq!(logged.is_torn, !logged.is_gapless, "it begins at the end of the last read, or anywhere");
            (String::from_utf8(logged.bytes).expect("text"), logged.is_gapless)
        };
        let whole = |text: &str| (text.to_owned(), true);
        log.write_all(b"before\n").expect("written");
        begin("one", 7);
        log.write_all(b"a\nb").expect("written");
        assert_eq!(follow(), whole("a\nb"));
        log.write_all(b"b\n").expect("written");
        rotate(&log, &folder, 100, 2).expect("rotated");
        log.write_all(b"c\n").expect("written");
        assert_eq!(follow(), whole("b\nc\n"), "over a rotation");
        assert_eq!(follow(), whole(""));
        log.write_all(b"dying\n").expect("written");
        begin("two", 8);
        log.write_all(b"c\n").expect("written");
        assert_eq!(follow(), whole("dying\nc\n"), "the same line of another start is another line");
        assert_eq!(from_mark(&folder, None).expect("read").bytes, b"c\n", "without a mark only this start is read");

        log.write_all(b"0123456789\n").expect("written");
        rotate(&log, &folder, 4, 2).expect("rotated");
        log.write_all(b"e\n").expect("written");
        assert_eq!(follow(), ("789\ne\n".to_owned(), false), "output that was not copied is reported as a gap");
        log.set_len(0).expect("truncated");
        log.write_all(b"f").expect("written");
        assert_eq!(follow(), whole("f"));
    }

    fn note(cwd: &std::path::Path) -> StartNote {
        StartNote {
            marks: Marks::default(),
            started_at: jiff::Timestamp::UNIX_EPOCH,
            cwd: cwd.to_owned(),
            log_offset: 0,
            previous_offset: None,
            rotated_bytes: 0,
            beginning_is_gone: false,
            began_at: None,
            output: None,
            pid_file: None,
        }
    }
}
