//! Pid files that lcm writes for other programs: the current user's files in that user's or root's folders, readable by
//! all. A path that another user could have planted, or could replace, is an error; a link at its end is not followed.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags};

use crate::files::way::{self, FileLocation};
use crate::files::{denied, is_mine, named, read_bounded, user_text};

/// Mode of a pid file: every program may read it.
const READABLE: Mode = Mode::from_raw_mode(0o644);
/// Bound for a pid and a line end.
const BYTES_MAX: u64 = 16;

/// Checks that [`write()`] may write to `path`, and changes nothing.
pub fn prove(path: &Path) -> io::Result<()> {
    writable(path).map(drop)
}

/// Writes a pid to `path` atomically. An existing file must be a regular file of the current user.
pub fn write(path: &Path, pid: i32) -> io::Result<()> {
    way::replace(&writable(path)?, READABLE, &mut |opened| {
        // Regardless of this process's umask.
        rustix::fs::fchmod(&opened, READABLE)?;
        File::from(opened).write_all(format!("{pid}\n").as_bytes())
    })
}

/// Removes the file if it still holds a pid that `matches` accepts.
pub fn remove(path: &Path, matches: impl Fn(i32) -> bool) -> io::Result<()> {
    let place = writable(path)?;
    if place.stat()?.is_none() {
        return Ok(());
    }
    let opened = place.open(OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK, Mode::empty())?;
    let bytes = read_bounded(&mut File::from(opened), path, BYTES_MAX)?;
    let pid = std::str::from_utf8(&bytes).ok().and_then(|text| text.trim().parse().ok());
    match pid.filter(|pid| matches(*pid)) {
        Some(_) => Ok(rustix::fs::unlinkat(&place.folder, &place.name, AtFlags::empty())?),
        None => Ok(()),
    }
}

fn writable(path: &Path) -> io::Result<FileLocation> {
    let place = named::trusted_place(path)?;
    if let Some(there) = place.stat()? {
        named::check_regular(&there, path)?;
        if !is_mine(&there) {
            return Err(denied(path, format!("is owned by {}, so lcm does not replace it", user_text(there.st_uid))));
        }
        if there.st_nlink > 1 {
            return Err(denied(path, "has a second hard link, so lcm does not replace it".to_owned()));
        }
    }
    Ok(place)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    use super::{prove, remove, write};

    #[test]
    fn a_pid_is_written_atomically_and_removed_only_while_it_is_unchanged() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("web.pid");
        prove(&file).expect("it may be written");
        assert!(!file.exists());
        write(&file, 4711).expect("written");
        write(&file, 4712).expect("replaced");
        assert_eq!(fs::read_to_string(&file).expect("read"), "4712\n");
        assert_eq!(fs::metadata(&file).expect("there").mode() & 0o7777, 0o644);
        remove(&file, |pid| pid == 4711).expect("it holds another pid by now");
        assert!(file.exists());
        remove(&file, |pid| pid == 4712).expect("removed");
        remove(&file, |_| true).expect("there is none");
        fs::write(&file, "no pid").expect("written");
        remove(&file, |_| true).expect("left alone");
        fs::write(&file, "1".repeat(17)).expect("written");
        remove(&file, |_| true).expect_err("larger than a pid");
        assert!(file.exists());
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 1, "no temporary file is left");
    }

    #[test]
    fn a_path_that_others_could_have_planted_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::write(at("victim"), "4711").expect("written");
        symlink("victim", at("link")).expect("linked");
        fs::create_dir(at("folder")).expect("made");
        rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0)
            .expect("made");
        fs::hard_link(at("victim"), at("second")).expect("linked");
        for name in ["link", "folder", "pipe", "second", "none/web.pid"] {
            write(&at(name), 1).expect_err(name);
            prove(&at(name)).expect_err(name);
            remove(&at(name), |_| true).expect_err(name);
        }
        assert_eq!(fs::read_to_string(at("victim")).expect("read"), "4711");
        fs::create_dir(at("open")).expect("made");
        for mode in [0o777, 0o1777, 0o770] {
            fs::set_permissions(at("open"), Permissions::from_mode(mode)).expect("set");
            write(&at("open/web.pid"), 1).expect_err("others write there");
        }
        if rustix::process::geteuid().is_root() {
            fs::write(at("theirs"), "4711").expect("written");
            std::os::unix::fs::chown(at("theirs"), Some(61001), None).expect("given away");
            let error = write(&at("theirs"), 1).expect_err("another user's").to_string();
            assert!(error.ends_with("so lcm does not replace it"), "{error}");
            fs::create_dir(at("their")).expect("made");
            std::os::unix::fs::chown(at("their"), Some(61001), None).expect("given away");
            write(&at("their/web.pid"), 1).expect_err("another user's folder");
        }
    }
}
