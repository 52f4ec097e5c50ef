//! Output files that the caller names (`--out`, `--json-into`, snapshots, drafts): private, and written atomically. No
//! link that another user planted is followed; inherited descriptors (`/dev/stdout`, `/dev/fd/N`) and devices
//! (`/dev/null`) are written in place.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::files::named::is_inherited_descriptor;
use crate::files::way::{self, FileLocation};
use crate::files::{denied, is_mine, is_trusted, kind_of, kind_text, mode_of, refused, user_text};

/// Longest chain of links that is followed: more than a person sets up.
const LINKS_MAX: usize = 8;
/// Longest wait for the reader of a pipe: it is started along with lcm, and opens the pipe within moments.
const READER_WAIT_MAX: Duration = Duration::from_secs(10);
const READER_PAUSE: Duration = Duration::from_millis(10);

/// Writes `text` to `path` atomically. A new file is readable by this user only; an existing one keeps its permissions.
/// A link of the caller is followed, so that its target is replaced and not the link.
pub fn replace(path: &Path, text: &str) -> io::Result<()> {
    put(path, text, way::PRIVATE)
}

/// Writes `text` to `path` as [`replace`] does, but a new file is readable by all users, as far as the umask allows.
pub fn publish(path: &Path, text: &str) -> io::Result<()> {
    put(path, text, Mode::from_raw_mode(0o666))
}

fn put(path: &Path, text: &str, mode: Mode) -> io::Result<()> {
    let place = match target(path)? {
        OutputTarget::Stream(mut file) => return file.write_all(text.as_bytes()),
        OutputTarget::Regular(place) => place,
    };
    let there = place.stat()?;
    way::replace(&place, mode, &mut |opened| {
        if let Some(there) = &there {
            rustix::fs::fchmod(&opened, Mode::from_raw_mode(there.st_mode & 0o777))?;
        }
        let mut file = File::from(opened);
        file.write_all(text.as_bytes())?;
        file.sync_all()
    })
}

/// Opens a file for a stream of lines and truncates it. A new file is readable by this user only.
pub fn stream(path: &Path) -> io::Result<File> {
    let place = match target(path)? {
        OutputTarget::Stream(file) => return Ok(file),
        OutputTarget::Regular(place) => place,
    };
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let opened = place.open(flags, way::PRIVATE)?;
    // The file may have been replaced since it was checked.
    check(&rustix::fs::fstat(&opened)?, &place)?;
    let file = File::from(opened);
    file.set_len(0)?;
    Ok(file)
}

/// Creates a folder and its missing parents.
pub fn create_folder(path: &Path) -> io::Result<()> {
    way::create_folder(path).map(drop)
}

enum OutputTarget {
    /// A pipe, a device or a descriptor, which is written in place.
    Stream(File),
    /// A regular file, which need not exist yet.
    Regular(FileLocation),
}

fn target(path: &Path) -> io::Result<OutputTarget> {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        if is_inherited_descriptor(&path) {
            return Ok(OutputTarget::Stream(File::options().write(true).open(&path)?));
        }
        let place = way::place(&path)?;
        let Some(there) = place.stat()? else { return Ok(OutputTarget::Regular(place)) };
        match kind_of(&there) {
            FileType::Symlink => {
                way::check_link(&there, &place.path())?;
                path = followed(&place)?;
            }
            FileType::RegularFile => {
                check(&there, &place)?;
                return Ok(OutputTarget::Regular(place));
            }
            FileType::CharacterDevice => return Ok(OutputTarget::Stream(open_device(&place)?)),
            FileType::Fifo => {
                check(&there, &place)?;
                return Ok(OutputTarget::Stream(open_pipe(&place)?));
            }
            kind @ (FileType::Directory | FileType::BlockDevice | FileType::Socket | FileType::Unknown) => {
                let reason = format!("is {}, not a file", kind_text(kind));
                return Err(refused(io::ErrorKind::InvalidInput, &place.path(), reason));
            }
        }
    }
    Err(Errno::LOOP.into())
}

/// Returns the target of a link, relative to the link's own folder.
fn followed(place: &FileLocation) -> io::Result<PathBuf> {
    use std::os::unix::ffi::OsStrExt as _;
    let target = rustix::fs::readlinkat(&place.folder, &place.name, Vec::new())?;
    Ok(place.folder_path.join(Path::new(std::ffi::OsStr::from_bytes(target.as_bytes()))))
}

/// Rejects files that another user may have planted: another user's file in a folder that others can write, another
/// user's pipe anywhere, and a file with a second hard link.
fn check(there: &Stat, place: &FileLocation) -> io::Result<()> {
    let folder = place.folder_stat()?;
    let is_shared = folder.st_mode & 0o022 != 0;
    let kind = kind_of(there);
    let is_regular = kind == FileType::RegularFile;
    if !is_regular && kind != FileType::Fifo {
        let reason = format!("is {}, not a file", kind_text(kind));
        return Err(refused(io::ErrorKind::InvalidInput, &place.path(), reason));
    }
    if !is_trusted(there.st_uid) && !is_regular || !is_mine(there) && is_shared {
        let (owner, mode) = (user_text(there.st_uid), mode_of(&folder));
        let reason = format!("is {} of {owner} (its folder has mode {mode:04o}); name another file", kind_text(kind));
        return Err(denied(&place.path(), reason));
    }
    if there.st_nlink > 1 && (is_shared || !is_trusted(folder.st_uid)) {
        let reason = "has a second hard link in a folder that other users can write; name another file".to_owned();
        return Err(denied(&place.path(), reason));
    }
    Ok(())
}

fn open_device(place: &FileLocation) -> io::Result<File> {
    let opened = place.open(OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK, Mode::empty())?;
    blocking(opened)
}

fn open_pipe(place: &FileLocation) -> io::Result<File> {
    let deadline = Instant::now() + READER_WAIT_MAX;
    loop {
        match place.open(OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK, Mode::empty()) {
            Err(error) if Errno::from_io_error(&error) == Some(Errno::NXIO) => {
                if Instant::now() >= deadline {
                    let reason = "is a named pipe that no process reads".to_owned();
                    return Err(refused(io::ErrorKind::NotConnected, &place.path(), reason));
                }
                thread::sleep(READER_PAUSE);
            }
            opened => return blocking(opened?),
        }
    }
}

/// Turns a descriptor that was opened without waiting into one whose writes block.
fn blocking(opened: OwnedFd) -> io::Result<File> {
    let flags = rustix::fs::fcntl_getfl(&opened)?;
    rustix::fs::fcntl_setfl(&opened, flags - OFlags::NONBLOCK)?;
    Ok(File::from(opened))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{Read as _, Write as _};
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::path::Path;

    use super::{replace, stream};

    #[test]
    fn a_written_file_is_private_and_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, link) = (folder.path().join("plan.json"), folder.path().join("link"));
        replace(&path, "one").expect("written");
        assert_eq!(fs::metadata(&path).expect("there").mode() & 0o777, 0o600);

        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("set");
        symlink("plan.json", &link).expect("linked");
        replace(&link, "two").expect("written");
        assert_eq!(fs::read_to_string(&path).expect("there"), "two");
        assert_eq!(fs::metadata(&path).expect("there").mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
        stream(&link).expect("opened").write_all(b"3").expect("written");
        assert_eq!(fs::read_to_string(&path).expect("there"), "3");
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 2, "no temporary file is left");

        replace(Path::new("/dev/null"), "three").expect("written to");
        assert!(replace(&folder.path().join("no/such/folder"), "").is_err());
        assert!(replace(folder.path(), "").is_err());
        symlink("round", folder.path().join("round")).expect("linked");
        assert!(stream(&folder.path().join("round")).is_err());
    }

    #[test]
    fn a_pipe_of_the_caller_is_written_to_and_a_second_name_in_a_shared_folder_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let pipe = folder.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0)
            .expect("made");
        let reader = {
            let pipe = pipe.clone();
            std::thread::spawn(move || {
                let mut text = String::new();
                fs::File::open(pipe).expect("opened").read_to_string(&mut text).map(|_| text).expect("read")
            })
        };
        replace(&pipe, "line").expect("written");
        assert_eq!(reader.join().expect("ended"), "line");

        let (victim, planted) = (folder.path().join("victim"), folder.path().join("planted"));
        fs::write(&victim, "precious").expect("written");
        fs::hard_link(&victim, &planted).expect("linked");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o1777)).expect("set");
        assert!(stream(&planted).is_err() && replace(&planted, "x").is_err());
        assert_eq!(fs::read_to_string(&victim).expect("there"), "precious");
    }
}
