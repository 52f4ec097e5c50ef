//! The lock between open files of one process: the kernel tells them apart as it tells processes.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use super::{Holder, LockError, file, take, try_take};

fn holder(pid: u32) -> Holder {
    Holder {
        pid,
        user: "kim".to_owned(),
        command: "lcm apply".to_owned(),
        since: "2026-11-01T10:00:00Z".parse().expect("a timestamp"),
        project: "studio".to_owned(),
    }
}

#[test]
fn the_lock_is_the_hosts_unless_moved() {
    assert_eq!(file(&BTreeMap::new()), Path::new("/run/lock/lcm.lock"));
    assert_eq!(file(&BTreeMap::from([("LCM_LOCK".to_owned(), "/t/l".to_owned())])), Path::new("/t/l"));
}

#[test]
fn the_second_is_told_who_holds_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("deep/lcm.lock");
    let first = try_take(&path, &holder(4711)).expect("it is free");
    let Err(LockError::Held { holder: Some(named), .. }) = try_take(&path, &holder(2)) else { panic!("not held") };
    assert_eq!(named, holder(4711));
    assert_eq!(named.to_string(), "`lcm apply` of kim (pid 4711, project studio), since 2026-11-01T10:00:00Z");

    drop(first);
    assert_eq!(fs::read_to_string(&path).expect("the file stays"), "");
    try_take(&path, &holder(2)).expect("it is free again");
    assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o666);
}

#[tokio::test]
async fn waiting_ends_when_it_is_freed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("lcm.lock");
    let first = std::sync::Mutex::new(Some(try_take(&path, &holder(1)).expect("it is free")));
    // The holder lets go at the moment when the second says that it waits.
    let free = |_: &LockError| drop(first.lock().expect("not poisoned").take());
    take(&path, &holder(2), Duration::from_mins(1), free).await.expect("it was freed");
}

#[test]
fn a_dead_holders_line_is_no_hindrance_and_nonsense_is_no_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("lcm.lock");
    fs::write(&path, serde_json::to_string(&holder(1)).expect("JSON")).expect("written");
    let lock = try_take(&path, &holder(2)).expect("nobody holds it");
    fs::write(&path, "\u{1b}[31m").expect("written");
    let Err(error) = try_take(&path, &holder(3)) else { panic!("not held") };
    assert!(error.to_string().ends_with("it does not say who"), "{error}");
    drop(lock);
}

#[test]
fn nothing_is_emptied_through_a_link() {
    let folder = tempfile::tempdir().expect("a folder");
    let (target, path) = (folder.path().join("precious"), folder.path().join("lcm.lock"));
    fs::write(&target, "data").expect("written");
    symlink(&target, &path).expect("linked");
    assert!(matches!(try_take(&path, &holder(1)), Err(LockError::Unusable { .. })));
    fs::remove_file(&path).expect("removed");
    fs::hard_link(&target, &path).expect("linked");
    assert!(matches!(try_take(&path, &holder(1)), Err(LockError::Unusable { .. })));
    assert_eq!(fs::read_to_string(&target).expect("there"), "data");
}
