//! Checks against files that another user could plant where lcm keeps its own.

use std::fs::{self, Permissions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use super::{
    Durability, append, create, create_folder, create_new, names, open, open_or_create, prove, read, replace, size,
};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("there").mode() & 0o7777
}

fn fifo(path: &Path) {
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).expect("made");
}

#[test]
fn files_and_folders_are_private() {
    let root = tempfile::tempdir().expect("a folder");
    let top = root.path().join("a/state");
    let folder = top.join("p/s");
    create_folder(&top, &folder).expect("made");
    create_folder(&top, &folder).expect("it exists already");
    for path in [&top, &top.join("p"), &folder] {
        assert_eq!(mode(path), 0o700, "{}", path.display());
    }
    let file = folder.join("note");
    replace(&file, b"one", Durability::Synced).expect("written");
    replace(&file, b"two", Durability::Whole).expect("written");
    assert_eq!((read(&file, 3).expect("read"), mode(&file)), (b"two".to_vec(), 0o600));
    assert_eq!(read(&file, 2).expect_err("too large").kind(), ErrorKind::FileTooLarge);
    append(&file).expect("opened").write_all(b"!").expect("written");
    assert_eq!(size(&file).expect("there"), 4);
    let mut text = String::new();
    open_or_create(&file).expect("opened").read_to_string(&mut text).expect("read");
    assert_eq!(text, "two!");
    create(&file).expect("emptied");
    assert_eq!(size(&file).expect("there"), 0);
    assert_eq!(create_new(&file).expect_err("it exists already").kind(), ErrorKind::AlreadyExists);
    assert_eq!(open(&folder.join("none")).expect_err("missing").kind(), ErrorKind::NotFound);
    assert!(!prove(&folder.join("none")).expect("checked"));
    assert_eq!(names(&folder, 9).expect("listed"), ["note"]);
    assert!(names(&folder, 0).expect("listed").is_empty());
}

#[test]
fn links_pipes_and_hard_links_are_refused_and_left_alone() {
    let root = tempfile::tempdir().expect("a folder");
    let at = |name: &str| root.path().join(name);
    fs::write(at("victim"), "precious").expect("written");
    symlink("victim", at("link")).expect("linked");
    symlink("nothing", at("dangling")).expect("linked");
    fifo(&at("pipe"));
    fs::create_dir(at("folder")).expect("made");
    fs::hard_link(at("victim"), at("second")).expect("linked");
    for name in ["link", "dangling", "pipe", "folder", "second"] {
        let path = at(name);
        for (call, refused) in [
            ("read", read(&path, 100).err()),
            ("append", append(&path).err()),
            ("create", create(&path).err()),
            ("open_or_create", open_or_create(&path).err()),
            ("create_new", create_new(&path).err()),
            ("replace", replace(&path, b"x", Durability::Whole).err()),
            ("prove", prove(&path).err()),
        ] {
            assert!(refused.is_some(), "{call} accepts {name}");
        }
    }
    assert_eq!(fs::read_to_string(at("victim")).expect("read"), "precious");
    assert!(!at("nothing").exists());
    assert_eq!(fs::read_dir(root.path()).expect("listed").count(), 6, "no temporary file is left");
    let error = read(&at("pipe"), 1).expect_err("a pipe").to_string();
    assert!(error.ends_with("pipe is a named pipe, not a regular file; remove it"), "{error}");
}

#[test]
fn a_file_that_others_can_write_is_refused() {
    let root = tempfile::tempdir().expect("a folder");
    let (folder, file) = (root.path().join("f"), root.path().join("f/x"));
    create_folder(&folder, &folder).expect("made");
    fs::write(&file, "x").expect("written");
    fs::set_permissions(&file, Permissions::from_mode(0o666)).expect("set");
    read(&file, 9).expect("no other user can enter its folder");
    fs::set_permissions(&folder, Permissions::from_mode(0o755)).expect("set");
    let error = read(&file, 9).expect_err("any user can write it").to_string();
    assert!(error.contains("can be written by other users (mode 0666)"), "{error}");
    fs::set_permissions(&file, Permissions::from_mode(0o644)).expect("set");
    read(&file, 9).expect("others can read it, not write it");
    fs::set_permissions(&folder, Permissions::from_mode(0o1777)).expect("set");
    for refused in
        [read(&file, 9).err(), create_folder(&folder, &folder).err(), create_folder(&folder, &folder.join("y")).err()]
    {
        let error = refused.expect("any user can plant files there").to_string();
        assert!(error.contains("mode 1777") && error.contains("LCM_STATE_DIR"), "{error}");
    }
}

#[test]
fn a_sweep_removes_the_temporary_files_of_killed_processes_and_no_others() {
    let root = tempfile::tempdir().expect("a folder");
    let folder = root.path().join("state");
    super::create_folder(&folder, &folder).expect("made");
    let own = format!(".start.json.{}.3.new", std::process::id());
    // No pid is that large.
    let left = [".trial.7.4999999.0.new", ".start.json.4999999.12.new"];
    let kept = [own.as_str(), "start.json", ".hidden", ".x.new", ".a.b.c.new", "log.1"];
    for name in left.iter().chain(&kept) {
        super::create(&folder.join(name)).expect("made");
    }
    super::sweep(&folder).expect("swept");
    assert!(left.iter().all(|name| !folder.join(name).exists()), "a temporary file was left");
    assert!(kept.iter().all(|name| folder.join(name).exists()), "too much was removed");
}
