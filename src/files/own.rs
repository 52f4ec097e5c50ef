//! lcm's own files: state, locks, logs, notes. Each is a regular file of the current user, with one hard link, in a
//! folder of the current user that no other user can write; anything else is an error, and is not touched.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::files::way::{self, FileLocation};
use crate::files::{denied, is_mine, kind_of, kind_text, mode_of, read_bounded, refused, user_text};

/// Write permission of the group and of all users.
const WRITE_OF_OTHERS: u32 = 0o022;

/// Creates the folder `path` below `top`, and `top` itself where it is missing, each with mode 0700. `top` and all
/// folders below must belong to the current user; folders above may belong to any user, links may not.
pub fn create_folder(top: &Path, path: &Path) -> io::Result<()> {
    check_folder(&stat(&way::create_folder(top)?)?, top)?;
    let below = path.strip_prefix(top).unwrap_or(Path::new(""));
    let mut seen = top.to_owned();
    for part in below.components() {
        seen.push(part);
        check_folder(&stat(&way::create_folder(&seen)?)?, &seen)?;
    }
    Ok(())
}

/// Checks that a folder belongs to the current user and that no other user can write it. A missing folder is
/// [`io::ErrorKind::NotFound`].
pub fn prove_folder(path: &Path) -> io::Result<()> {
    check_folder(&stat(&way::folder(path)?)?, path)
}

/// Reads a whole file of at most `bytes_max` bytes.
pub fn read(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    read_bounded(&mut open(path)?, path, bytes_max)
}

/// Opens a file for reading.
pub fn open(path: &Path) -> io::Result<File> {
    opened(&place(path)?, OFlags::RDONLY)
}

/// Opens a file for reading and writing, and creates a missing file. The content is kept.
pub fn open_or_create(path: &Path) -> io::Result<File> {
    opened(&place(path)?, OFlags::RDWR | OFlags::CREATE)
}

/// Opens a file as [`open_or_create`] does, with each write appended.
pub fn append(path: &Path) -> io::Result<File> {
    opened(&place(path)?, OFlags::RDWR | OFlags::APPEND | OFlags::CREATE)
}

/// Opens a file for writing and truncates it, once it is proven to be lcm's.
pub fn create(path: &Path) -> io::Result<File> {
    let file = opened(&place(path)?, OFlags::WRONLY | OFlags::CREATE)?;
    file.set_len(0)?;
    Ok(file)
}

/// Creates a new file; an existing one, of any kind, is [`io::ErrorKind::AlreadyExists`].
pub fn create_new(path: &Path) -> io::Result<File> {
    opened(&place(path)?, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL)
}

/// Durability of a write when the call returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Atomic: readers see all or nothing; a power cut may lose the write.
    Whole,
    /// Atomic and on disk: a power cut does not lose the write.
    Synced,
}

/// Replaces the content of `path` atomically: readers see the old content or the new one.
pub fn replace(path: &Path, bytes: &[u8], durability: Durability) -> io::Result<()> {
    let place = place(path)?;
    if let Some(there) = place.stat()? {
        check_file(&there, &place)?;
    }
    way::replace(&place, way::PRIVATE, &mut |opened| {
        let mut file = File::from(opened);
        file.write_all(bytes)?;
        match durability {
            Durability::Whole => Ok(()),
            Durability::Synced => file.sync_all(),
        }
    })
}

/// Creates a new file with the content `bytes`, atomically and on disk: readers see no file, or all of it. An existing
/// one, of any kind, is [`io::ErrorKind::AlreadyExists`].
pub fn create_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    way::create_atomic(&place(path)?, way::PRIVATE, &mut |opened| {
        let mut file = File::from(opened);
        file.write_all(bytes)?;
        file.sync_all()
    })
}

/// Renames a file within its folder.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    let (from, to) = (place(from)?, place(to)?);
    Ok(rustix::fs::renameat(&from.folder, &from.name, &to.folder, &to.name)?)
}

/// Removes a file; of a link the link itself, not its target.
pub fn remove(path: &Path) -> io::Result<()> {
    let place = place(path)?;
    Ok(rustix::fs::unlinkat(&place.folder, &place.name, AtFlags::empty())?)
}

/// Returns the size of a file in bytes.
pub fn size(path: &Path) -> io::Result<u64> {
    Ok(open(path)?.metadata()?.len())
}

/// Checks a file without opening it. Returns false if there is none.
pub fn prove(path: &Path) -> io::Result<bool> {
    let place = place(path)?;
    let Some(there) = place.stat()? else { return Ok(false) };
    check_file(&there, &place)?;
    Ok(true)
}

/// Lists the names in a folder, at most `names_max`, in no particular order.
pub fn names(path: &Path, names_max: usize) -> io::Result<Vec<OsString>> {
    let folder = way::folder(path)?;
    check_folder(&stat(&folder)?, path)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let listed = rustix::fs::openat(&folder, ".", flags, Mode::empty())?;
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(listed)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name == b"." || name == b".." {
            continue;
        }
        if names.len() == names_max {
            break;
        }
        names.push(OsString::from_vec(name));
    }
    Ok(names)
}

/// Removes the temporary files that killed processes left in a folder: those that would have replaced other files.
pub fn sweep(path: &Path) -> io::Result<()> {
    /// A folder of lcm holds some ten files.
    const NAMES_MAX: usize = 1000;
    for name in names(path, NAMES_MAX)? {
        let is_left = name.to_str().and_then(way::writer_of).is_some_and(|pid| !Path::new("/proc").join(pid).exists());
        if is_left {
            remove(&path.join(name))?;
        }
    }
    Ok(())
}

/// Locates a file, and checks its folder.
fn place(path: &Path) -> io::Result<FileLocation> {
    let place = way::place(path)?;
    check_folder(&place.folder_stat()?, &place.folder_path)?;
    Ok(place)
}

fn opened(place: &FileLocation, flags: OFlags) -> io::Result<File> {
    let opened = match place.open(flags | OFlags::NOFOLLOW | OFlags::NONBLOCK, way::PRIVATE) {
        Ok(opened) => opened,
        // A link, or a pipe that has no reader: the check names which.
        Err(error) if is_no_file(&error) => {
            if let Some(there) = place.stat()? {
                check_file(&there, place)?;
            }
            return Err(error);
        }
        Err(error) => return Err(error),
    };
    check_file(&stat(&opened)?, place)?;
    Ok(File::from(opened))
}

fn is_no_file(error: &io::Error) -> bool {
    let kinds = [Errno::LOOP, Errno::NXIO, Errno::NOTDIR, Errno::ISDIR, Errno::ACCESS];
    Errno::from_io_error(error).is_some_and(|error| kinds.contains(&error))
}

fn check_folder(stat: &Stat, path: &Path) -> io::Result<()> {
    const HELP: &str = "set LCM_STATE_DIR to a folder of your own";
    if kind_of(stat) != FileType::Directory {
        let reason = format!("is {}, not a folder", kind_text(kind_of(stat)));
        return Err(refused(io::ErrorKind::NotADirectory, path, reason));
    }
    if !is_mine(stat) {
        let reason = format!("is owned by {}, so lcm keeps no state there; {HELP}", user_text(stat.st_uid));
        return Err(denied(path, reason));
    }
    if stat.st_mode & WRITE_OF_OTHERS != 0 {
        let mode = mode_of(stat);
        let reason = format!("can be written by other users (mode {mode:04o}); run `chmod go-w` on it, or {HELP}");
        return Err(denied(path, reason));
    }
    Ok(())
}

fn check_file(stat: &Stat, place: &FileLocation) -> io::Result<()> {
    let path = place.path();
    if kind_of(stat) != FileType::RegularFile {
        let reason = format!("is {}, not a regular file; remove it", kind_text(kind_of(stat)));
        return Err(refused(io::ErrorKind::InvalidInput, &path, reason));
    }
    if !is_mine(stat) {
        return Err(denied(&path, format!("is owned by {}, so lcm does not use it", user_text(stat.st_uid))));
    }
    // No link at all: the file was replaced after it was opened.
    if stat.st_nlink > 1 {
        return Err(denied(&path, "has a second hard link, so lcm does not use it".to_owned()));
    }
    // In a folder that no other user can enter, a write bit from a loose umask gives no access.
    let lets_others_in = place.folder_stat()?.st_mode & 0o077 != 0;
    if stat.st_mode & WRITE_OF_OTHERS != 0 && lets_others_in {
        let reason = format!("can be written by other users (mode {:04o}); run `chmod go-w` on it", mode_of(stat));
        return Err(denied(&path, reason));
    }
    Ok(())
}

fn stat(opened: &OwnedFd) -> io::Result<Stat> {
    Ok(rustix::fs::fstat(opened)?)
}

#[cfg(test)]
mod tests;
