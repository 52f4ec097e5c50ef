//! Folder that all users of the host share: sticky and writable by all, like /tmp, so that only its owner (or root) can
//! remove a file. The first lcm creates it. Neither a link to the folder nor a link in it is followed.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{self, ErrorKind, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, Stat, Uid};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::files::{is_mine, kind_of, kind_text, mode_of, read_bounded, refused, user_text};

const MODE: Mode = Mode::from_raw_mode(0o1777);
const STICKY: u32 = 0o1000;
const WRITE_OF_OTHERS: u32 = 0o022;

/// Retries until the folder's mode is set: the lcm that creates the folder sets it within microseconds.
const MODE_TRIES: u32 = 10;
const MODE_PAUSE: Duration = Duration::from_millis(20);

/// Shared folder, opened.
#[derive(Debug)]
pub struct SharedFolder {
    path: PathBuf,
    folder: OwnedFd,
}

/// Content of a shared file, and the user who created it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedFile {
    pub uid: u32,
    pub gid: u32,
    pub bytes: Vec<u8>,
}

impl SharedFolder {
    /// Opens an existing folder; `None`: there is none. A folder whose files others could replace is repaired as root,
    /// and an error for other users.
    pub fn open(path: &Path) -> io::Result<Option<Self>> {
        let Some((folder, stat)) = opened(path)? else { return Ok(None) };
        // Where others could replace files, a file's owner would prove nothing.
        if stat.st_mode & WRITE_OF_OTHERS != 0 && stat.st_mode & STICKY == 0 {
            return if geteuid().is_root() { Self::make(path).map(Some) } else { Err(unfit(path, &stat)) };
        }
        Ok(Some(Self { path: path.to_owned(), folder }))
    }

    /// Opens the folder, and creates a missing one. Root takes ownership of it from the user who created it, since that
    /// user could remove other users' files.
    pub fn make(path: &Path) -> io::Result<Self> {
        let mut last = None;
        for attempt in 0..MODE_TRIES {
            if attempt > 0 {
                std::thread::sleep(MODE_PAUSE);
            }
            let Some((folder, stat)) = opened(path)? else {
                make(path)?;
                continue;
            };
            let me = geteuid();
            if me.is_root() && stat.st_uid != 0 {
                rustix::fs::fchown(&folder, Some(Uid::ROOT), Some(Gid::ROOT))?;
            }
            let is_fit = mode_of(&stat) == MODE.as_raw_mode();
            if !is_fit && (me.is_root() || is_mine(&stat)) {
                rustix::fs::fchmod(&folder, MODE)?;
            } else if !is_fit {
                last = Some(unfit(path, &stat));
                continue;
            }
            return Ok(Self { path: path.to_owned(), folder });
        }
        Err(last.unwrap_or_else(|| refused(ErrorKind::Other, path, "is removed each time lcm creates it".to_owned())))
    }

    /// Returns the path of a file in the folder, for messages.
    #[must_use]
    pub fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Reads a file of at most `bytes_max` bytes; `None`: there is none. Anything but a regular file with one hard link
    /// is an error.
    pub fn read(&self, name: &str, bytes_max: u64) -> io::Result<Option<SharedFile>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.folder, name, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(self.why_not(name, error)),
        };
        let stat = rustix::fs::fstat(&file)?;
        self.check(name, &stat)?;
        let bytes = read_bounded(&mut File::from(file), &self.path_of(name), bytes_max)?;
        Ok(Some(SharedFile { uid: stat.st_uid, gid: stat.st_gid, bytes }))
    }

    /// Creates a file of the current user, readable by all; an existing file of that name, of any kind, is
    /// [`io::ErrorKind::AlreadyExists`].
    pub fn create(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o644);
        let file = rustix::fs::openat(&self.folder, name, flags, mode)?;
        // The umask may have removed the read permission of others.
        rustix::fs::fchmod(&file, mode)?;
        let written = File::from(file).write_all(bytes);
        if written.is_err() {
            self.remove(name)?;
        }
        written
    }

    /// Replaces the file of this name atomically with a new one of the current user.
    pub fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let beside = format!(".{:016x}.new", RandomState::new().build_hasher().finish());
        self.create(&beside, bytes)?;
        let replaced = rustix::fs::renameat(&self.folder, &beside, &self.folder, name);
        if replaced.is_err() {
            self.remove(&beside)?;
        }
        Ok(replaced?)
    }

    /// Removes a file; a missing file is no error.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.folder, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Lists the names of at most `count_max` files, in the kernel's order. Names that are not UTF-8 or begin with a
    /// dot are left out.
    pub fn names(&self, count_max: usize) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.folder)?.take(count_max) {
            let name: OsString = OsString::from_vec(entry?.file_name().to_bytes().to_vec());
            names.extend(name.to_str().filter(|name| !name.starts_with('.')).map(str::to_owned));
        }
        Ok(names)
    }

    /// Returns the owner of a regular file with one hard link, without opening it.
    #[must_use]
    pub fn uid_of(&self, name: &str) -> Option<u32> {
        let stat = rustix::fs::statat(&self.folder, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        is_plain(&stat).then_some(stat.st_uid)
    }

    fn check(&self, name: &str, stat: &Stat) -> io::Result<()> {
        if is_plain(stat) {
            return Ok(());
        }
        let what = if kind_of(stat) == FileType::RegularFile {
            "a file with several hard links"
        } else {
            kind_text(kind_of(stat))
        };
        let reason = format!("is {what} of {}, not a regular file; remove it", user_text(stat.st_uid));
        Err(refused(ErrorKind::PermissionDenied, &self.path_of(name), reason))
    }

    /// Explains why a file can't be opened: for a link or a socket the kernel's own error speaks of networks.
    fn why_not(&self, name: &str, error: Errno) -> io::Error {
        let stat = rustix::fs::statat(&self.folder, name, AtFlags::SYMLINK_NOFOLLOW);
        let what = stat.ok().and_then(|stat| self.check(name, &stat).err());
        what.unwrap_or_else(|| cannot(&self.path_of(name), "be opened", error))
    }
}

fn is_plain(stat: &Stat) -> bool {
    kind_of(stat) == FileType::RegularFile && stat.st_nlink == 1
}

fn opened(path: &Path) -> io::Result<Option<(OwnedFd, Stat)>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(CWD, path, flags, Mode::empty()) {
        Ok(folder) => {
            let stat = rustix::fs::fstat(&folder)?;
            Ok(Some((folder, stat)))
        }
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(match rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if kind_of(&stat) != FileType::Directory => {
                let (what, by) = (kind_text(kind_of(&stat)), user_text(stat.st_uid));
                refused(ErrorKind::PermissionDenied, path, format!("is {what} of {by}, not a folder; remove it"))
            }
            Ok(_) | Err(_) => cannot(path, "be opened", error),
        }),
    }
}

fn make(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent().filter(|parent| *parent != OsStr::new("")) {
        std::fs::create_dir_all(parent)?;
    }
    match rustix::fs::mkdirat(CWD, path, MODE) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(cannot(path, "be created", error)),
    }
}

fn cannot(path: &Path, what: &str, error: Errno) -> io::Error {
    let error = io::Error::from(error);
    refused(error.kind(), path, format!("can't {what}: {error}"))
}

fn unfit(path: &Path, stat: &Stat) -> io::Error {
    let reason = format!(
        "is a folder of {} with mode {:04o}, but must have mode 1777 to be shared; remove it, or run lcm as root once",
        user_text(stat.st_uid),
        mode_of(stat)
    );
    refused(ErrorKind::PermissionDenied, path, reason)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::ErrorKind;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::path::Path;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::SharedFolder;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("there").permissions().mode() & 0o7777
    }

    #[test]
    fn the_folder_is_created_once_with_its_mode_under_any_umask() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("deep/owners");
        assert!(SharedFolder::open(&path).expect("opened").is_none());
        let shared = SharedFolder::make(&path).expect("made");
        assert_eq!(mode(&path), 0o1777);
        shared.create("a", b"one").expect("created");
        assert_eq!(mode(&path.join("a")), 0o644);
        assert_eq!(shared.create("a", b"two").expect_err("there").kind(), ErrorKind::AlreadyExists);
        let read = |shared: &SharedFolder| shared.read("a", 10).expect("read").expect("there");
        assert_eq!(read(&shared).bytes, b"one");
        shared.replace("a", b"two").expect("replaced");
        let again = SharedFolder::make(&path).expect("opened");
        assert_eq!((read(&again).bytes, read(&again).uid), (b"two".to_vec(), rustix::process::geteuid().as_raw()));
        assert_eq!(again.names(10).expect("listed"), ["a"], "no temporary file is left");
        again.remove("a").expect("removed");
        again.remove("a").expect("removed before");
        assert!(again.read("a", 10).expect("read").is_none());
    }

    #[test]
    fn a_folder_that_others_could_change_is_repaired_or_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("owners");
        fs::create_dir(&path).expect("made");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).expect("set");
        match SharedFolder::open(&path) {
            Ok(_) => assert!(rustix::process::geteuid().is_root(), "root has repaired it"),
            Err(error) => assert!(error.to_string().contains("with mode 0777"), "{error}"),
        }
        SharedFolder::make(&path).expect("its owner repairs it");
        assert_eq!(mode(&path), 0o1777);
    }

    #[test]
    fn neither_links_nor_pipes_nor_folders_are_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("target")).expect("made");
        symlink(at("target"), at("linked")).expect("linked");
        let error = SharedFolder::make(&at("linked")).expect_err("a link").to_string();
        assert!(error.contains("not a folder"), "{error}");
        fs::write(at("file"), "").expect("written");
        assert!(SharedFolder::make(&at("file")).is_err());

        let shared = SharedFolder::make(&at("owners")).expect("made");
        fs::write(at("precious"), "data").expect("written");
        symlink(at("precious"), at("owners/link")).expect("linked");
        fs::hard_link(at("precious"), at("owners/hard")).expect("linked");
        fs::create_dir(at("owners/folder")).expect("made");
        mknodat(CWD, at("owners/pipe"), FileType::Fifo, Mode::RWXU, 0).expect("made");
        for name in ["link", "hard", "folder", "pipe"] {
            let error = shared.read(name, 10).expect_err(name).to_string();
            assert!(error.contains("not a regular file"), "{name}: {error}");
            assert_eq!(shared.uid_of(name), None, "{name}");
            assert!(shared.create(name, b"new").is_err(), "{name}");
        }
        assert_eq!(fs::read(at("precious")).expect("there"), b"data");
        fs::write(at("owners/large"), "x".repeat(11)).expect("written");
        assert!(shared.read("large", 10).expect_err("large").to_string().contains("is larger than 10 bytes"));
    }
}
