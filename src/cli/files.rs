//! Files that commands read and leave behind: bounded when read, private and never half written when left.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

/// A plan or world of a few thousand services; anything larger was not written by lcm.
const BYTES_MAX: u64 = 64 << 20;

/// Reads a text file.
pub(super) fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?.take(BYTES_MAX + 1).read_to_string(&mut text)?;
    if read as u64 > BYTES_MAX {
        return Err(io::Error::other("it is larger than 64 MiB"));
    }
    Ok(text)
}

/// An absolute path without detours, so that the same file is called the same from wherever it is named.
pub(super) fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(plain.pop()),
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => plain.push(part),
        }
    }
    plain
}

/// Puts `text` at `path` in one step, for this user's eyes only unless the file is there already, with its own
/// permissions. What is no plain file (a pipe, /dev/stdout) is written to as it is.
pub(super) fn replace(path: &Path, text: &str) -> io::Result<()> {
    // A link is followed, so that what it names is replaced and not the link.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let there = fs::metadata(path).ok();
    if there.as_ref().is_some_and(|metadata| !metadata.is_file()) {
        return OpenOptions::new().write(true).open(path)?.write_all(text.as_bytes());
    }
    let beside = beside(path)?;
    let written = write_new(&beside, text).and_then(|()| {
        if let Some(metadata) = there {
            fs::set_permissions(&beside, fs::Permissions::from_mode(metadata.mode() & 0o777))?;
        }
        fs::rename(&beside, path)
    });
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

/// Opens a file for a stream of lines, for this user's eyes only; what it held is gone.
pub(super) fn stream(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn beside(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| io::Error::other("it names no file"))?;
    Ok(path.with_file_name(format!(".{}.{}.new", name.to_string_lossy(), std::process::id())))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::{read, replace};

    #[test]
    fn what_is_left_is_private_and_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, link) = (folder.path().join("plan.json"), folder.path().join("link"));
        replace(&path, "one").expect("written");
        assert_eq!(fs::metadata(&path).expect("there").mode() & 0o777, 0o600);

        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("set");
        symlink(&path, &link).expect("linked");
        replace(&link, "two").expect("written");
        assert_eq!(read(&path).expect("there"), "two");
        assert_eq!(fs::metadata(&path).expect("there").mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 2, "nothing is left beside it");

        replace(std::path::Path::new("/dev/null"), "three").expect("written to");
        assert!(replace(&folder.path().join("no/such/folder"), "").is_err());
    }
}
