//! What another user could plant where lcm keeps its files.

use std::fs::{self, Permissions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use super::{Durability, append, create, make_folder, make_new, names, open, open_or_make, prove, read, replace, size};

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
    make_folder(&top, &folder).expect("made");
    make_folder(&top, &folder).expect("it is there");
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
    open_or_make(&file).expect("opened").read_to_string(&mut text).expect("read");
    assert_eq!(text, "two!");
    create(&file).expect("emptied");
    assert_eq!(size(&file).expect("there"), 0);
    assert_eq!(make_new(&file).expect_err("it is there").kind(), ErrorKind::AlreadyExists);
    assert_eq!(open(&folder.join("none")).expect_err("missing").kind(), ErrorKind::NotFound);
    assert!(!prove(&folder.join("none")).expect("asked"));
    assert_eq!(names(&folder, 9).expect("listed"), ["note"]);
    assert!(names(&folder, 0).expect("listed").is_empty());
}

#[test]
fn links_pipes_and_second_names_are_refused_and_stay_as_they_are() {
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
        for (door, refused) in [
            ("read", read(&path, 100).err()),
            ("append", append(&path).err()),
            ("create", create(&path).err()),
            ("open_or_make", open_or_make(&path).err()),
            ("make_new", make_new(&path).err()),
            ("replace", replace(&path, b"x", Durability::Whole).err()),
            ("prove", prove(&path).err()),
        ] {
            assert!(refused.is_some(), "{door} takes {name}");
        }
    }
    assert_eq!(fs::read_to_string(at("victim")).expect("read"), "precious");
    assert!(!at("nothing").exists());
    assert_eq!(fs::read_dir(root.path()).expect("listed").count(), 6, "nothing is left beside");
    let error = read(&at("pipe"), 1).expect_err("a pipe").to_string();
    assert!(error.ends_with("pipe is a named pipe, not a regular file; remove it"), "{error}");
}

#[test]
fn what_others_can_write_is_refused() {
    let root = tempfile::tempdir().expect("a folder");
    let (folder, file) = (root.path().join("f"), root.path().join("f/x"));
    make_folder(&folder, &folder).expect("made");
    fs::write(&file, "x").expect("written");
    fs::set_permissions(&file, Permissions::from_mode(0o666)).expect("set");
    read(&file, 9).expect("its folder lets no one in");
    fs::set_permissions(&folder, Permissions::from_mode(0o755)).expect("set");
    let error = read(&file, 9).expect_err("anyone writes it").to_string();
    assert!(error.contains("can be written by other users (mode 0666)"), "{error}");
    fs::set_permissions(&file, Permissions::from_mode(0o644)).expect("set");
    read(&file, 9).expect("read by others alone");
    fs::set_permissions(&folder, Permissions::from_mode(0o1777)).expect("set");
    for refused in
        [read(&file, 9).err(), make_folder(&folder, &folder).err(), make_folder(&folder, &folder.join("y")).err()]
    {
        let error = refused.expect("anyone plants there").to_string();
        assert!(error.contains("mode 1777") && error.contains("LCM_STATE_DIR"), "{error}");
    }
}

#[test]
fn what_a_killed_process_left_unfinished_is_swept_away_and_nothing_else() {
    let root = tempfile::tempdir().expect("a folder");
    let folder = root.path().join("state");
    super::make_folder(&folder, &folder).expect("made");
    let own = format!(".start.json.{}.3.new", std::process::id());
    // No pid is so large.
    let left = [".trial.7.4999999.0.new", ".start.json.4999999.12.new"];
    let kept = [own.as_str(), "start.json", ".hidden", ".x.new", ".a.b.c.new", "log.1"];
    for name in left.iter().chain(&kept) {
        super::create(&folder.join(name)).expect("made");
    }
    super::sweep(&folder).expect("swept");
    assert!(left.iter().all(|name| !folder.join(name).exists()), "it was left");
    assert!(kept.iter().all(|name| folder.join(name).exists()), "too much was removed");
}
