//! Files that lcm keeps for itself: state, locks, logs, notes. Each is a regular file of the present user, under one
//! name, in a folder of the present user that no one else can write; anything else is an error, and is not touched.

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

/// Another group's or everyone's permission to write.
const WRITE_OF_OTHERS: u32 = 0o022;

/// Makes the folder `path` below `top`, and `top` where it is missing: 0700, step by step. `top` and all below must be
/// the present user's; what stands above may be anyone's, but for links.
pub fn make_folder(top: &Path, path: &Path) -> io::Result<()> {
    check_folder(&stat(&way::make_folder(top)?)?, top)?;
    let below = path.strip_prefix(top).unwrap_or(Path::new(""));
    let mut seen = top.to_owned();
    for part in below.components() {
        seen.push(part);
        check_folder(&stat(&way::make_folder(&seen)?)?, &seen)?;
    }
    Ok(())
}

/// Proves that a folder is the present user's, and written by no one else. One that is missing is
/// [`io::ErrorKind::NotFound`].
pub fn prove_folder(path: &Path) -> io::Result<()> {
    check_folder(&stat(&way::folder(path)?)?, path)
}

/// Reads a whole file, at most `bytes_max`.
pub fn read(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    read_bounded(&mut open(path)?, path, bytes_max)
}

/// Opens a file for reading.
pub fn open(path: &Path) -> io::Result<File> {
    opened(&place(path)?, OFlags::RDONLY)
}

/// Opens a file for reading and writing, and makes it where it is missing. What it holds stays.
pub fn open_or_make(path: &Path) -> io::Result<File> {
    opened(&place(path)?, OFlags::RDWR | OFlags::CREATE)
}

/// The same, with each write at the end.
pub fn append(path: &Path) -> io::Result<File> {
    opened(&place(path)?, OFlags::RDWR | OFlags::APPEND | OFlags::CREATE)
}

/// Opens an empty file for writing; what it held is gone, once it is proven to be lcm's.
pub fn create(path: &Path) -> io::Result<File> {
    let file = opened(&place(path)?, OFlags::WRONLY | OFlags::CREATE)?;
    file.set_len(0)?;
    Ok(file)
}

/// Makes a new file; one that is there, of any kind, is [`io::ErrorKind::AlreadyExists`].
pub fn make_new(path: &Path) -> io::Result<File> {
    opened(&place(path)?, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL)
}

/// Whether the disk must have what is written before the call returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Readers see all or nothing; a power cut may lose it.
    Whole,
    /// A power cut does not lose it either.
    Synced,
}

/// Puts `bytes` at `path` in one step: readers see the old content or the new one.
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

/// Makes a new file that holds `bytes`, in one step and on disk: readers see none, or all of it. One that is there,
/// of any kind, is [`io::ErrorKind::AlreadyExists`].
pub fn make_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    way::make_whole(&place(path)?, way::PRIVATE, &mut |opened| {
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

/// Removes a file; a link is removed, not what it names.
pub fn remove(path: &Path) -> io::Result<()> {
    let place = place(path)?;
    Ok(rustix::fs::unlinkat(&place.folder, &place.name, AtFlags::empty())?)
}

/// The size of a file in bytes.
pub fn size(path: &Path) -> io::Result<u64> {
    Ok(open(path)?.metadata()?.len())
}

/// Checks a file without opening it; `false`: there is none.
pub fn prove(path: &Path) -> io::Result<bool> {
    let place = place(path)?;
    let Some(there) = place.stat()? else { return Ok(false) };
    check_file(&there, &place)?;
    Ok(true)
}

/// The names in a folder, at most `names_max`, in no order.
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

/// Removes what killed processes left unfinished in a folder: files that were to take the place of others.
pub fn sweep(path: &Path) -> io::Result<()> {
    /// A folder of lcm's holds some ten files.
    const NAMES_MAX: usize = 1000;
    for name in names(path, NAMES_MAX)? {
        let is_left = name.to_str().and_then(way::writer_of).is_some_and(|pid| !Path::new("/proc").join(pid).exists());
        if is_left {
            remove(&path.join(name))?;
        }
    }
    Ok(())
}

/// A file's folder, proven, and its name.
fn place(path: &Path) -> io::Result<FileLocation> {
    let place = way::place(path)?;
    check_folder(&place.folder_stat()?, &place.folder_path)?;
    Ok(place)
}

fn opened(place: &FileLocation, flags: OFlags) -> io::Result<File> {
    let opened = match place.open(flags | OFlags::NOFOLLOW | OFlags::NONBLOCK, way::PRIVATE) {
        Ok(opened) => opened,
        // A link, or a pipe that has no reader: the check says which.
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
    let of_kinds = [Errno::LOOP, Errno::NXIO, Errno::NOTDIR, Errno::ISDIR, Errno::ACCESS];
    Errno::from_io_error(error).is_some_and(|error| of_kinds.contains(&error))
}

fn check_folder(stat: &Stat, path: &Path) -> io::Result<()> {
    const WAY_OUT: &str = "set LCM_STATE_DIR to a folder of your own";
    if kind_of(stat) != FileType::Directory {
        let reason = format!("is {}, not a folder", kind_text(kind_of(stat)));
        return Err(refused(io::ErrorKind::NotADirectory, path, reason));
    }
    if !is_mine(stat) {
        let reason = format!("is owned by {}; lcm keeps nothing there: {WAY_OUT}", user_text(stat.st_uid));
        return Err(denied(path, reason));
    }
    if stat.st_mode & WRITE_OF_OTHERS != 0 {
        let mode = mode_of(stat);
        let reason = format!("can be written by other users (mode {mode:04o}): run `chmod go-w` on it, or {WAY_OUT}");
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
        return Err(denied(&path, format!("is owned by {}, and lcm does not use it", user_text(stat.st_uid))));
    }
    // None: it was replaced after it was opened.
    if stat.st_nlink > 1 {
        return Err(denied(&path, "has a second name (a hard link), and lcm does not use it".to_owned()));
    }
    // Within a folder that lets no one else in, a group's bit from a loose umask gives no one anything.
    let lets_others_in = place.folder_stat()?.st_mode & 0o077 != 0;
    if stat.st_mode & WRITE_OF_OTHERS != 0 && lets_others_in {
        let reason = format!("can be written by other users (mode {:04o}): run `chmod go-w` on it", mode_of(stat));
        return Err(denied(&path, reason));
    }
    Ok(())
}

fn stat(opened: &OwnedFd) -> io::Result<Stat> {
    Ok(rustix::fs::fstat(opened)?)
}

#[cfg(test)]
mod tests;
