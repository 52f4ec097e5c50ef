//! Pid files that name a foreign process: written or replaced by another user, endless, or not a regular file. lcm
//! adopts nothing by them, and starts the service beside the process that they name.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown, lchown, symlink};
use std::path::{Path, PathBuf};

use crate::support::process::Identity;
use crate::support::{AS_ROOT, Attack, Canary, EVE, Host, KIM, MEMORY_MIB_MAX, ROOT, User, attacks};

pub(crate) fn trials() -> Vec<Attack> {
    attacks![
        AS_ROOT =>
            a_pid_file_of_another_user_is_not_believed,
            a_pid_file_behind_a_planted_link_is_not_believed,
            a_pid_file_that_all_can_write_is_not_believed,
            a_pid_file_in_a_folder_that_all_can_write_is_not_believed,
            a_pid_file_with_a_second_name_is_not_believed,
            a_pid_file_of_roots_is_not_believed_for_another_user,
            a_pid_file_that_names_another_users_process_takes_nothing_over,
            a_pid_file_without_end_is_refused_within_bounds,
            a_pid_file_that_is_a_pipe_or_a_device_is_refused_at_once,
            a_pid_file_that_holds_nonsense_takes_nothing_over,
            a_pid_file_of_the_owners_own_is_believed;
    ]
}

fn service(path: &Path) -> String {
    let path = path.display();
    format!(
        "  api: {{ process: {{ command: [\"@SERVER@\", --port, \"0\"], pid_file: {{ path: \"{path}\", match: model_server }} }}, stop: {{ grace: 1s }} }}"
    )
}

/// Starts a process of the owner, for a pid file to name.
#[track_caller]
fn victim(host: &Host, owner: &User<'_>) -> Identity {
    let mut server = owner.program(host.server());
    server.arg("--sleeper");
    host.spawn(server)
}

/// Asserts that the service starts, and that the process named in the file keeps running.
#[track_caller]
fn not_believed(uid: u32, plant: impl Fn(&Host, &User<'_>, Identity) -> PathBuf) -> String {
    let host = Host::new("pid-file");
    let owner = host.user(uid);
    let mut canary = Canary::new(&host);
    let named = victim(&host, &owner);
    canary.watch_process(named);
    let path = plant(&host, &owner, named);
    let manifest = owner.manifest(&service(&path));
    let said = owner.bounded(MEMORY_MIB_MAX, &["plan", &manifest]).exits(0).stdout;
    assert!(said.contains("1 to start"), "it is taken for the service\n{said}");
    owner.converges(&manifest);
    assert_eq!(host.servers().len(), 2, "the service, and what the file names");
    owner.lcm(&["restart", "api", "--yes", "-m", &manifest]).exits(0);
    owner.lcm(&["stop", "api", "--yes", "-m", &manifest]);
    canary.assert_untouched();
    owner.lcm(&["down", "--yes", &manifest]).exits(0);
    canary.assert_untouched();
    assert_eq!(host.servers(), [named]);
    said
}

fn shared(host: &Host) -> PathBuf {
    host.folder_of(ROOT, "shared", 0o1777)
}

fn write(path: &Path, pid: Identity, uid: u32, mode: u32) -> PathBuf {
    fs::write(path, pid.pid.to_string()).expect("a file");
    chown(path, Some(uid), Some(uid)).expect("its owner");
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("its mode");
    path.to_owned()
}

fn a_pid_file_of_another_user_is_not_believed() {
    for uid in [ROOT, KIM] {
        let said = not_believed(uid, |_, owner, named| {
            let folder = owner.path("run");
            fs::create_dir(&folder).expect("a folder");
            chown(&folder, Some(owner.uid), Some(owner.uid)).expect("its owner");
            write(&folder.join("api.pid"), named, EVE, 0o644)
        });
        assert!(said.contains("its pid file is ignored") && said.contains("61003"), "{said}");
    }
}

fn a_pid_file_behind_a_planted_link_is_not_believed() {
    not_believed(ROOT, |host, owner, named| {
        let real = write(&owner.path("api.pid"), named, ROOT, 0o600);
        let link = shared(host).join("api.pid");
        symlink(real, &link).expect("a link");
        lchown(&link, Some(EVE), Some(EVE)).expect("its owner");
        link
    });
}

fn a_pid_file_that_all_can_write_is_not_believed() {
    let said = not_believed(KIM, |_, owner, named| write(&owner.path("api.pid"), named, KIM, 0o666));
    assert!(said.contains("can be written by other users"), "{said}");
}

fn a_pid_file_in_a_folder_that_all_can_write_is_not_believed() {
    not_believed(ROOT, |host, _, named| write(&shared(host).join("api.pid"), named, ROOT, 0o644));
}

fn a_pid_file_with_a_second_name_is_not_believed() {
    not_believed(ROOT, |host, owner, named| {
        let path = write(&owner.path("api.pid"), named, ROOT, 0o644);
        fs::hard_link(&path, shared(host).join("second")).expect("a second name");
        path
    });
}

fn a_pid_file_of_roots_is_not_believed_for_another_user() {
    not_believed(KIM, |_, owner, named| write(&owner.path("api.pid"), named, ROOT, 0o644));
}

fn a_pid_file_that_names_another_users_process_takes_nothing_over() {
    let host = Host::new("pid-file");
    let (root, kim) = (host.user(ROOT), host.user(KIM));
    let mut canary = Canary::new(&host);
    for (owner, other) in [(&root, &kim), (&kim, &root)] {
        let named = victim(&host, other);
        canary.watch_process(named);
        let path = write(&owner.path("api.pid"), named, owner.uid, 0o644);
        let manifest = owner.manifest(&service(&path));
        owner.converges(&manifest);
        owner.lcm(&["down", "--yes", &manifest]).exits(0);
        canary.assert_untouched();
    }
}

fn a_pid_file_without_end_is_refused_within_bounds() {
    let said = not_believed(KIM, |_, owner, _| {
        let path = owner.path("api.pid");
        File::create(&path).and_then(|file| file.set_len(8 << 30)).expect("a sparse file");
        chown(&path, Some(KIM), Some(KIM)).expect("its owner");
        path
    });
    assert!(said.contains("is larger than"), "{said}");
}

fn a_pid_file_that_is_a_pipe_or_a_device_is_refused_at_once() {
    for path in ["/dev/zero", "/proc/self/environ", "/proc/1/stat"] {
        let said = not_believed(ROOT, |_, _, _| path.into());
        assert!(said.contains("its pid file is ignored"), "{said}");
    }
    not_believed(ROOT, |_, owner, _| {
        let pipe = owner.path("api.pid");
        assert!(owner.program("mkfifo").arg(&pipe).status().expect("mkfifo").success());
        pipe
    });
}

fn a_pid_file_that_holds_nonsense_takes_nothing_over() {
    for text in ["", "0", "-1", "1", "99999999999999999999", "4711 4712", "\u{1b}[2J", "$(touch /tmp/x)"] {
        let said = not_believed(ROOT, |_, owner, _| owner.write("api.pid", text));
        assert!(!said.contains('\u{1b}'), "{said}");
    }
}

/// The owner's own file in a folder of the owner is still accepted.
fn a_pid_file_of_the_owners_own_is_believed() {
    for uid in [ROOT, KIM] {
        let host = Host::new("pid-file");
        let owner = host.user(uid);
        let named = victim(&host, &owner);
        let path = write(&owner.path("api.pid"), named, uid, 0o644);
        let manifest = owner.manifest(&service(&path));
        owner.lcm(&["plan", "--detailed-exitcode", &manifest]).exits(0).says("1 kept");
        owner.lcm(&["stop", "api", "--yes", "-m", &manifest]);
        owner.lcm(&["down", "--yes", &manifest]).exits(0);
        assert!(!named.is_alive(), "it is the service, and was to stop");
    }
}
