//! Tests of the lock between open files of one process: the kernel distinguishes them as it does processes.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::{FencingToken, Grant, LeaseError, LeaseHolder};
use crate::model::doctor::readings::LockState;

fn holder(pid: u32) -> LeaseHolder {
    LeaseHolder {
        pid,
        user: "kim".to_owned(),
        command: "lcm apply".to_owned(),
        since: "2026-11-01T10:00:00Z".parse().expect("a timestamp"),
        project: "studio".to_owned(),
    }
}

fn try_take(path: &Path, holder: &LeaseHolder) -> Result<Grant, LeaseError> {
    super::try_take(path, holder, FencingToken::default())
}

#[test]
fn the_second_gets_the_name_of_the_holder() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("deep/lcm.lock");
    let first = try_take(&path, &holder(4711)).expect("it is free");
    let Err(LeaseError::Held { holder: Some(named), process: Some(process), .. }) = try_take(&path, &holder(2)) else {
        panic!("not held")
    };
    assert_eq!(*named, holder(4711));
    let here = (i64::from(process.pid), process.uid);
    assert_eq!(here, (i64::from(std::process::id()), rustix::process::geteuid().as_raw()), "as the kernel names it");
    assert_eq!(named.to_string(), "`lcm apply` of kim (pid 4711, project studio), since 2026-11-01T10:00:00Z");

    drop(first);
    assert_eq!(fs::read_to_string(&path).expect("the file stays"), "");
    try_take(&path, &holder(2)).expect("it is free again");
    assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o666);
}

#[test]
fn a_dead_holders_line_does_not_block_and_nonsense_is_no_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("lcm.lock");
    fs::write(&path, serde_json::to_string(&holder(1)).expect("JSON")).expect("written");
    let lock = try_take(&path, &holder(2)).expect("it is free");
    fs::write(&path, "\u{1b}[31m").expect("written");
    let Err(error) = try_take(&path, &holder(3)) else { panic!("not held") };
    assert!(error.to_string().contains("its socket is held by pid "), "{error}");
    drop(lock);
}

#[test]
fn nothing_is_emptied_through_a_link() {
    let folder = tempfile::tempdir().expect("a folder");
    let (target, path) = (folder.path().join("precious"), folder.path().join("lcm.lock"));
    fs::write(&target, "data").expect("written");
    symlink(&target, &path).expect("linked");
    assert!(matches!(try_take(&path, &holder(1)), Err(LeaseError::Unusable { .. })));
    fs::remove_file(&path).expect("removed");
    // A second name locks no user out, and the file that has it is not written.
    fs::hard_link(&target, &path).expect("linked");
    let lock = try_take(&path, &holder(1)).expect("it is free");
    lock.check().expect("it is the file at its path");
    assert!(matches!(try_take(&path, &holder(2)), Err(LeaseError::Held { holder: None, .. })));
    assert_eq!(fs::read_to_string(&target).expect("there"), "data");
}

#[test]
fn a_lock_file_that_is_removed_or_replaced_while_it_is_held_lets_no_second_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("lcm.lock");
    let first = try_take(&path, &holder(1)).expect("it is free");
    first.check().expect("it is the file at its path");

    fs::remove_file(&path).expect("removed");
    assert!(matches!(first.check(), Err(LeaseError::Lost { .. })));
    let Err(LeaseError::Held { process: Some(process), .. }) = try_take(&path, &holder(2)) else { panic!("not held") };
    assert_eq!(i64::from(process.pid), i64::from(std::process::id()));
    // The second has made a new file there, which is not the first's.
    assert!(matches!(first.check(), Err(LeaseError::Lost { .. })));

    drop(first);
    try_take(&path, &holder(2)).expect("it is free again").check().expect("it is the file at its path");
}

#[test]
fn a_socket_that_another_process_holds_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("lcm.lock");
    let squatted = super::socket::bind(&path).expect("bound");
    let Err(error) = try_take(&path, &holder(1)) else { panic!("taken") };
    let uid = rustix::process::geteuid().as_raw();
    assert!(error.to_string().contains(&format!("pid {} of uid {uid}", std::process::id())), "{error}");
    drop(squatted);
    try_take(&path, &holder(1)).expect("it is free");
}

#[test]
fn a_path_to_no_regular_file_is_an_error_without_a_wait() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let folder = tempfile::tempdir().expect("a folder");
    let refused = |path: &Path| {
        let Err(error @ LeaseError::Unusable { .. }) = try_take(path, &holder(1)) else { panic!("taken") };
        assert!(error.to_string().contains("not a regular file"), "{error}");
    };
    let pipe = folder.path().join("pipe");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RWXU, 0).expect("made");
    refused(&pipe);
    fs::create_dir(folder.path().join("folder")).expect("made");
    refused(&folder.path().join("folder"));
    let socket = folder.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("bound");
    refused(&socket);
    refused(Path::new("/dev/null"));
}

#[test]
fn a_look_at_the_lock_creates_and_keeps_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("deep/lcm.lock");
    let look = || super::HostLock::at(&path).look();
    assert_eq!(look(), LockState::Absent);
    assert!(!folder.path().join("deep").exists());
    let lock = try_take(&path, &holder(4711)).expect("it is free");
    let LockState::Held(by) = look() else { panic!("not held") };
    assert!(by.starts_with("`lcm apply` of kim (pid 4711"), "{by}");
    drop(lock);
    assert_eq!(look(), LockState::Free);
    drop(try_take(&path, &holder(1)).expect("a look does not keep it"));
    // Another program may hold the file alone.
    let file = fs::File::open(&path).expect("there");
    file.lock().expect("locked");
    assert_eq!(look(), LockState::Held("its holder is unknown".to_owned()));
    fs::remove_file(&path).expect("removed");
    symlink("/etc/hostname", &path).expect("linked");
    let LockState::Unusable(reason) = look() else { panic!("a link is no lock") };
    assert!(reason.contains("not a regular file"), "{reason}");
}
