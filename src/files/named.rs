//! Input files that a manifest or a command line names: regular files of a bounded size, opened without waiting. A
//! descriptor that the caller hands over (`-`, `/dev/stdin`, `/dev/fd/N`) may be any kind of file, with the same bound.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use rustix::fs::{CWD, FileType, Mode, OFlags, Stat};

use crate::files::way::{self, FileLocation};
use crate::files::{
    Refused, denied, is_mine, is_trusted, kind_of, kind_text, mode_of, read_bounded, refused, user_text,
};

/// Number of descriptors whose content is cached; a command line names a few.
const KEPT_MAX: usize = 4;

/// Path of standard input.
const STDIN: &str = "/dev/stdin";

/// Content and metadata of a file that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileContent {
    pub bytes: Vec<u8>,
    /// Owner.
    pub uid: u32,
    /// Permission bits.
    pub mode: u32,
    pub modified: SystemTime,
}

/// Reads a regular file of at most `bytes_max` bytes. Links to it are followed; a pipe, a device, a folder or a
/// pseudo-file of the kernel is an error at once.
pub fn read(path: &Path, bytes_max: u64) -> io::Result<FileContent> {
    let stat = rustix::fs::stat(path)?;
    check_regular(&stat, path)?;
    // The path may name another file by now: the open must not wait for that either, and the check is repeated.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    read_opened(rustix::fs::openat(CWD, path, flags, Mode::empty())?, path, bytes_max)
}

/// Reads the first `bytes_max` bytes of a regular file, as [`read`] opens it.
pub fn beginning(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = rustix::fs::openat(CWD, path, flags, Mode::empty())?;
    check_regular(&rustix::fs::fstat(&opened)?, path)?;
    let mut bytes = Vec::new();
    File::from(opened).take(bytes_max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Content of a descriptor, or the reason why it can't be used.
type ReadResult = Result<FileContent, (io::ErrorKind, String)>;

/// Reads a file that the command line names: as [`read`], or from an inherited descriptor (`-` is standard input).
/// The content of a descriptor is cached for later reads, errors included: the rest of a stream that was too large is
/// not the file.
pub fn read_argument(path: &Path, bytes_max: u64) -> io::Result<FileContent> {
    static KEPT: Mutex<BTreeMap<PathBuf, ReadResult>> = Mutex::new(BTreeMap::new());
    let path = if is_stdin(path) { Path::new(STDIN) } else { path };
    if !is_inherited_descriptor(path) {
        return read(path, bytes_max);
    }
    let again = |kept: &ReadResult| kept.clone().map_err(|(kind, reason)| refused(kind, path, reason));
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(kept) = kept.get(path) {
        return again(kept);
    }
    let read = read_handed_over(path, bytes_max).map_err(|error| {
        let reason = Refused::of(&error).map(|refused| refused.reason().to_owned());
        (error.kind(), reason.unwrap_or_else(|| format!("can't be read: {error}")))
    });
    if kept.len() < KEPT_MAX {
        kept.insert(path.to_owned(), read.clone());
    }
    again(&read)
}

/// Returns true if the path names a stream rather than a file: `-`, or a descriptor that lcm was started with.
#[must_use]
pub fn is_stream(path: &Path) -> bool {
    path == Path::new("-") || is_inherited_descriptor(path)
}

/// Returns true if the path names standard input.
#[must_use]
pub fn is_stdin(path: &Path) -> bool {
    path == Path::new("-") || path == Path::new(STDIN) || (is_inherited_descriptor(path) && path.ends_with("fd/0"))
}

/// Returns the name of a command-line file for messages: `<stdin>`, or the path.
#[must_use]
pub fn shown(path: &Path) -> &Path {
    if is_stdin(path) { Path::new("<stdin>") } else { path }
}

fn read_handed_over(path: &Path, bytes_max: u64) -> io::Result<FileContent> {
    let mut file = match File::open(path) {
        // A socket can't be opened by its path, nor another user's pipe: the descriptor itself can be read.
        Err(_) if path == Path::new(STDIN) => File::from(io::stdin().as_fd().try_clone_to_owned()?),
        opened => opened?,
    };
    let stat = rustix::fs::fstat(&file)?;
    if kind_of(&stat) == FileType::Directory {
        return Err(refused(io::ErrorKind::IsADirectory, path, "is a folder, not a file".to_owned()));
    }
    let modified = file.metadata()?.modified()?;
    let bytes = read_bounded(&mut file, path, bytes_max)?;
    Ok(FileContent { bytes, uid: stat.st_uid, mode: mode_of(&stat), modified })
}

/// Reads a regular file whose content must be trusted, such as a pid file. It must belong to the current user, have one
/// hard link, and lie in a folder of that user or of root that no other user can write; links on the path must be
/// root's or that user's.
pub fn read_trusted(path: &Path, bytes_max: u64) -> io::Result<FileContent> {
    let place = trusted_place(path)?;
    if let Some(there) = place.stat()? {
        check_regular(&there, path)?;
    }
    let opened = place.open(OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK, Mode::empty())?;
    let stat = rustix::fs::fstat(&opened)?;
    if !is_mine(&stat) {
        return Err(denied(path, format!("is owned by {}, so lcm does not trust it", user_text(stat.st_uid))));
    }
    if stat.st_mode & 0o022 != 0 || stat.st_nlink > 1 {
        let reason = format!("can be written by other users (mode {:04o}), so lcm does not trust it", mode_of(&stat));
        return Err(denied(path, reason));
    }
    read_opened(opened, path, bytes_max)
}

/// Locates a file in a folder of the current user or of root that no other user can write.
pub(super) fn trusted_place(path: &Path) -> io::Result<FileLocation> {
    let place = way::place(path)?;
    let folder = place.folder_stat()?;
    if !is_trusted(folder.st_uid) {
        let reason = format!("is owned by {}, who can replace the files in it", user_text(folder.st_uid));
        return Err(denied(&place.folder_path, reason));
    }
    if folder.st_mode & 0o022 != 0 {
        let reason = format!("can be written by other users (mode {:04o})", mode_of(&folder));
        return Err(denied(&place.folder_path, reason));
    }
    Ok(place)
}

/// Returns the canonical path of a file, with all links followed; the path itself where neither the file nor its folder
/// exists.
#[must_use]
pub fn identity(path: &Path) -> PathBuf {
    let in_folder = || {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Some(std::fs::canonicalize(folder).ok()?.join(path.file_name()?))
    };
    std::fs::canonicalize(path).ok().or_else(in_folder).unwrap_or_else(|| path.to_owned())
}

/// Returns true if a path names a descriptor that lcm was started with.
#[must_use]
pub fn is_inherited_descriptor(path: &Path) -> bool {
    let bytes = path.as_os_str().as_bytes();
    let own = format!("/proc/{}/fd/", std::process::id());
    let numbered = [b"/dev/fd/".as_slice(), b"/proc/self/fd/", b"/proc/thread-self/fd/", own.as_bytes()];
    let is_number = |rest: &[u8]| !rest.is_empty() && rest.len() <= 10 && rest.iter().all(u8::is_ascii_digit);
    matches!(bytes, b"/dev/stdin" | b"/dev/stdout" | b"/dev/stderr")
        || numbered.iter().any(|prefix| bytes.strip_prefix(*prefix).is_some_and(is_number))
}

fn read_opened(opened: OwnedFd, path: &Path, bytes_max: u64) -> io::Result<FileContent> {
    let stat = rustix::fs::fstat(&opened)?;
    check_regular(&stat, path)?;
    check_file_system(&opened, path)?;
    let mut file = File::from(opened);
    let modified = file.metadata()?.modified()?;
    let bytes = read_bounded(&mut file, path, bytes_max)?;
    Ok(FileContent { bytes, uid: stat.st_uid, mode: mode_of(&stat), modified })
}

pub(super) fn check_regular(stat: &Stat, path: &Path) -> io::Result<()> {
    match kind_of(stat) {
        FileType::RegularFile => Ok(()),
        FileType::Directory => Err(refused(io::ErrorKind::IsADirectory, path, "is a folder, not a file".to_owned())),
        kind => {
            let reason = format!("is {}, not a regular file", kind_text(kind));
            Err(refused(io::ErrorKind::InvalidInput, path, reason))
        }
    }
}

/// Rejects pseudo-files, which have no size and may have no end: /proc (environments, memory), and the traces and debug
/// files of drivers.
fn check_file_system(opened: &OwnedFd, path: &Path) -> io::Result<()> {
    // debugfs and tracefs, from linux/magic.h.
    const PSEUDO: [rustix::fs::FsWord; 3] = [rustix::fs::PROC_SUPER_MAGIC, 0x6462_6720, 0x7472_6163];
    if PSEUDO.contains(&rustix::fs::fstatfs(opened)?.f_type) {
        let reason = "is a pseudo-file of the kernel, not a regular file".to_owned();
        return Err(refused(io::ErrorKind::InvalidInput, path, reason));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::io::ErrorKind;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::path::Path;

    use super::{is_inherited_descriptor, is_stdin, is_stream, read, read_argument, read_trusted, shown};

    #[test]
    fn only_regular_files_are_read() {
        let root = tempfile::tempdir().expect("a folder");
        let at = |name: &str| root.path().join(name);
        fs::write(at("file"), "text").expect("written");
        symlink("file", at("link")).expect("linked");
        symlink("/dev/zero", at("zero")).expect("linked");
        rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0)
            .expect("made");
        assert_eq!(read(&at("link"), 4).expect("read").bytes, b"text");
        assert_eq!(read(&at("link"), 3).expect_err("too large").kind(), ErrorKind::FileTooLarge);
        assert_eq!(read(&at("none"), 3).expect_err("missing").kind(), ErrorKind::NotFound);
        for (path, what) in [
            (at("pipe"), "a named pipe"),
            (at("zero"), "a device"),
            ("/dev/zero".into(), "a device"),
            (root.path().to_owned(), "a folder"),
            ("/proc/self/environ".into(), "a pseudo-file of the kernel"),
            ("/proc/self/status".into(), "a pseudo-file of the kernel"),
        ] {
            for error in [read(&path, 1 << 20), read_argument(&path, 1 << 20)] {
                let error = error.expect_err("refused").to_string();
                assert!(error.contains(what), "{}: {error}", path.display());
            }
        }
    }

    #[test]
    fn an_inherited_descriptor_of_any_kind_is_read() {
        for path in ["/dev/stdin", "/dev/fd/0", "/proc/self/fd/63", "/proc/thread-self/fd/7"] {
            assert!(is_inherited_descriptor(Path::new(path)), "{path}");
        }
        for path in ["/dev/fd/", "/dev/fd/1/x", "/proc/1/fd/0", "/dev/fd/-1", "/dev/zero", "stdin", "/dev/fd/../zero"] {
            assert!(!is_inherited_descriptor(Path::new(path)), "{path}");
        }
        let (read_end, write_end) = std::io::pipe().expect("a pipe");
        std::io::Write::write_all(&mut &write_end, b"abc").expect("written");
        drop(write_end);
        let path = format!("/dev/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&read_end));
        assert_eq!(read_argument(Path::new(&path), 3).expect("read").bytes, b"abc");
    }

    #[test]
    fn the_rest_of_a_stream_that_was_too_large_is_not_read_as_a_file() {
        let (read_end, write_end) = std::io::pipe().expect("a pipe");
        std::io::Write::write_all(&mut &write_end, b"abcdef").expect("written");
        drop(write_end);
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&read_end));
        for _ in 0..2 {
            let error = read_argument(Path::new(&path), 3).expect_err("too large");
            assert_eq!(error.kind(), ErrorKind::FileTooLarge);
            assert!(error.to_string().ends_with("is larger than 3 bytes"), "{error}");
        }
    }

    #[test]
    fn standard_input_has_one_name_in_messages() {
        for path in ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"] {
            let path = Path::new(path);
            assert!(is_stdin(path) && is_stream(path) && shown(path) == Path::new("<stdin>"), "{}", path.display());
        }
        for path in ["/dev/fd/10", "lcm.yaml", "x/fd/0", "--"] {
            let path = Path::new(path);
            assert!(!is_stdin(path) && shown(path) == path, "{}", path.display());
        }
        assert!(is_stream(Path::new("/dev/fd/63")) && !is_stream(Path::new("./-")));
    }

    #[test]
    fn a_file_that_others_can_write_or_replace_is_not_trusted() {
        let root = tempfile::tempdir().expect("a folder");
        let file = root.path().join("pid");
        fs::write(&file, "1").expect("written");
        assert_eq!(read_trusted(&file, 9).expect("read").bytes, b"1");
        symlink("pid", root.path().join("link")).expect("linked");
        read_trusted(&root.path().join("link"), 9).expect_err("a link");
        fs::set_permissions(&file, Permissions::from_mode(0o666)).expect("set");
        read_trusted(&file, 9).expect_err("anyone writes it");
        fs::set_permissions(&file, Permissions::from_mode(0o644)).expect("set");
        fs::set_permissions(root.path(), Permissions::from_mode(0o777)).expect("set");
        read_trusted(&file, 9).expect_err("anyone replaces it");
    }
}
