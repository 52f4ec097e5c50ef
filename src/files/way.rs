//! Path resolution, folder by folder: links are followed only if root or the current user created them, so that no
//! other user can redirect a path.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use crate::files::{denied, is_trusted, kind_of, kind_text, refused, user_text};

/// Longest chain of links, as in the kernel.
const LINKS_MAX: usize = 40;
const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// The folder that holds a file, opened, and the file's name in it.
#[derive(Debug)]
pub(super) struct FileLocation {
    pub(super) folder: OwnedFd,
    pub(super) folder_path: PathBuf,
    pub(super) name: OsString,
}

impl FileLocation {
    /// Returns the path of the file, as the caller named it.
    pub(super) fn path(&self) -> PathBuf {
        self.folder_path.join(&self.name)
    }

    pub(super) fn open(&self, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
        Ok(rustix::fs::openat(&self.folder, &self.name, flags | OFlags::CLOEXEC | OFlags::NOCTTY, mode)?)
    }

    /// Returns the metadata of the file, of a link those of the link itself; `None`: there is no file.
    pub(super) fn stat(&self) -> io::Result<Option<Stat>> {
        match rustix::fs::statat(&self.folder, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn folder_stat(&self) -> io::Result<Stat> {
        Ok(rustix::fs::fstat(&self.folder)?)
    }
}

/// Replaces the file at `place` atomically with a new one, once `write` has filled it. A link is replaced, not
/// followed.
pub(super) fn replace(
    place: &FileLocation,
    mode: Mode,
    write: &mut dyn FnMut(OwnedFd) -> io::Result<()>,
) -> io::Result<()> {
    put(place, mode, write, RenameFlags::empty())
}

/// Creates a file at `place` atomically, once `write` has filled it; an existing one, of any kind, is
/// [`io::ErrorKind::AlreadyExists`].
pub(super) fn create_atomic(
    place: &FileLocation,
    mode: Mode,
    write: &mut dyn FnMut(OwnedFd) -> io::Result<()>,
) -> io::Result<()> {
    put(place, mode, write, RenameFlags::NOREPLACE)
}

fn put(
    place: &FileLocation,
    mode: Mode,
    write: &mut dyn FnMut(OwnedFd) -> io::Result<()>,
    rename: RenameFlags,
) -> io::Result<()> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut beside = OsString::from(".");
    beside.push(&place.name);
    beside.push(format!(".{}.{number}.new", std::process::id()));
    let remove = || rustix::fs::unlinkat(&place.folder, &beside, AtFlags::empty());
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let make = || rustix::fs::openat(&place.folder, &beside, flags, mode);
    let made = match make() {
        // Left by a killed lcm that had the same pid.
        Err(Errno::EXIST) => {
            remove()?;
            make()?
        }
        made => made?,
    };
    let renamed = || rustix::fs::renameat_with(&place.folder, &beside, &place.folder, &place.name, rename);
    let written = write(made).and_then(|()| Ok(renamed()?));
    if written.is_err() {
        let _ = remove();
    }
    written
}

/// Returns the pid in the name of a temporary file: that of the process that writes it.
pub(super) fn writer_of(name: &str) -> Option<&str> {
    let mut parts = name.strip_prefix('.')?.strip_suffix(".new")?.rsplit('.');
    let is_number = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    parts.next().filter(is_number)?;
    parts.next().filter(is_number)
}

/// Locates `path`: opens its folder. A link as the last component is not followed.
pub(super) fn place(path: &Path) -> io::Result<FileLocation> {
    let name =
        path.file_name().ok_or_else(|| refused(io::ErrorKind::InvalidInput, path, "names no file".to_owned()))?;
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    Ok(FileLocation { folder: folder(parent)?, folder_path: parent.to_owned(), name: name.to_owned() })
}

/// Mode of a private file.
pub(super) const PRIVATE: Mode = Mode::RUSR.union(Mode::WUSR);

/// Opens a folder, for lookups in it only.
pub(super) fn folder(path: &Path) -> io::Result<OwnedFd> {
    // Most paths have no link. A kernel or a sandbox without the call is no reason to fail.
    if let Ok(folder) = rustix::fs::openat2(CWD, path, FOLDER, Mode::empty(), ResolveFlags::NO_SYMLINKS) {
        return Ok(folder);
    }
    walk(path, &mut |folder, name| Ok(rustix::fs::openat(folder, name, PART, Mode::empty())?))
}

/// Opens a folder as [`folder`] does, and creates missing components with mode 0700.
pub(super) fn create_folder(path: &Path) -> io::Result<OwnedFd> {
    walk(path, &mut |folder, name| match rustix::fs::openat(folder.as_fd(), name, PART, Mode::empty()) {
        Err(Errno::NOENT) => {
            match rustix::fs::mkdirat(folder.as_fd(), name, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            Ok(rustix::fs::openat(folder, name, PART, Mode::empty())?)
        }
        opened => Ok(opened?),
    })
}

/// Flags to open one component of a path, of a link the link itself.
const PART: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

type Open<'a> = &'a mut dyn FnMut(&OwnedFd, &OsStr) -> io::Result<OwnedFd>;

fn walk(path: &Path, open: Open<'_>) -> io::Result<OwnedFd> {
    let mut folder = begin(path)?;
    let mut seen = root_of(path);
    let mut parts = parts_of(path);
    let mut links = 0;
    while let Some(part) = parts.pop_front() {
        let at = seen.join(&part);
        let found = open(&folder, &part)?;
        let stat = rustix::fs::fstat(&found)?;
        match kind_of(&stat) {
            FileType::Directory => (folder, seen) = (found, at),
            FileType::Symlink => {
                links += 1;
                if links > LINKS_MAX {
                    return Err(Errno::LOOP.into());
                }
                check_link(&stat, &at)?;
                let target = rustix::fs::readlinkat(&found, "", Vec::new())?;
                let target = Path::new(OsStr::from_bytes(target.as_bytes()));
                if target.is_absolute() {
                    (folder, seen) = (begin(target)?, root_of(target));
                }
                let mut longer = parts_of(target);
                longer.append(&mut parts);
                parts = longer;
            }
            kind => {
                let reason = format!("is {}, not a folder", kind_text(kind));
                return Err(refused(io::ErrorKind::NotADirectory, &at, reason));
            }
        }
    }
    Ok(folder)
}

/// Rejects links of other users, who choose their targets. A link with a second hard link is rejected, too: another
/// user may have planted a hard link to one of root's.
pub(super) fn check_link(stat: &Stat, path: &Path) -> io::Result<()> {
    if !is_trusted(stat.st_uid) || stat.st_nlink > 1 {
        return Err(denied(path, format!("is a link of {}, which lcm does not follow", user_text(stat.st_uid))));
    }
    Ok(())
}

fn begin(path: &Path) -> io::Result<OwnedFd> {
    let from = if path.is_absolute() { "/" } else { "." };
    Ok(rustix::fs::openat(CWD, from, FOLDER, Mode::empty())?)
}

fn root_of(path: &Path) -> PathBuf {
    if path.is_absolute() { PathBuf::from("/") } else { PathBuf::new() }
}

fn parts_of(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsString::from("..")),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::{create_folder, folder};

    #[test]
    fn own_links_are_followed_and_loops_end() {
        let root = tempfile::tempdir().expect("a folder");
        create_folder(&root.path().join("a/b")).expect("made");
        symlink("a", root.path().join("link")).expect("linked");
        symlink("loop", root.path().join("loop")).expect("linked");
        folder(&root.path().join("link/b/../b")).expect("found");
        folder(&root.path().join("loop/x")).expect_err("no end");
        create_folder(&root.path().join("link/c/d")).expect("made");
        assert!(root.path().join("a/c/d").is_dir());
        std::fs::write(root.path().join("file"), "").expect("written");
        let error = create_folder(&root.path().join("file/x")).expect_err("no folder").to_string();
        assert_eq!(error, format!("{} is a regular file, not a folder", root.path().join("file").display()));
    }
}
