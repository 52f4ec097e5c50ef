//! State folders and stores that another user owns, can write, or planted files in.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::Path;

use crate::support::{AS_ROOT, Attack, Canary, EVE, Host, KIM, ROOT, attacks};

pub(crate) fn trials() -> Vec<Attack> {
    attacks![
        AS_ROOT =>
            a_lock_that_is_a_planted_link_is_refused,
            a_state_folder_of_another_user_is_refused,
            a_state_folder_that_is_a_planted_link_is_refused,
            a_state_folder_behind_a_planted_link_is_refused,
            a_state_folder_that_all_can_write_is_refused,
            a_store_that_is_a_link_is_refused,
            a_store_whose_wal_is_a_link_is_refused,
            a_store_with_a_second_name_is_refused,
            a_store_that_is_a_pipe_is_refused_at_once,
            a_store_of_another_user_is_refused;
    ]
}

const SERVICE: &str = "  api: { process: { command: [sleep, \"300\"] } }";

fn a_lock_that_is_a_planted_link_is_refused() {
    let host = Host::new("files");
    let owner = host.user(ROOT);
    let canary = Canary::new(&host);
    let _eve = host.attacker(EVE);
    symlink(canary.file_of(ROOT), host.lock()).expect("a link");
    let manifest = owner.manifest(SERVICE);
    owner.lcm(&["apply", "--yes", &manifest]).exits(1);
    canary.assert_untouched();
    std::fs::remove_file(host.lock()).expect("the link");
    owner.converges(&manifest);
    owner.goes_down(&manifest);
    canary.assert_untouched();
}

/// Creates folder and links of a complete state, as an attacker who knows the project would.
fn plant(folder: &Path, project: &str, victim: &Path, uid: u32) {
    let service = folder.join("projects").join(project).join("api");
    fs::create_dir_all(&service).expect("folders");
    for name in ["log", "shim.log", "lock", "start.json"] {
        symlink(victim, service.join(name)).expect("a link");
    }
    for path in [folder, &folder.join("projects"), &folder.join("projects").join(project), &service] {
        chown(path, Some(uid), Some(uid)).expect("its owner");
    }
}

fn a_state_folder_of_another_user_is_refused() {
    for uid in [ROOT, KIM] {
        let host = Host::new("state");
        let mut owner = host.user(uid);
        let canary = Canary::new(&host);
        let eve = host.attacker(EVE);
        let planted = eve.path("state");
        plant(&planted, &host.name, &canary.file_of(uid), EVE);
        fs::set_permissions(&planted, Permissions::from_mode(0o777)).expect("its mode");
        let manifest = owner.manifest(SERVICE);
        let own = owner.state().display().to_string();
        owner.set("LCM_STATE_DIR", planted.display().to_string());
        let ran = owner.lcm(&["apply", "--yes", &manifest]).exits(1);
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert!(said.contains("61003") && said.contains("LCM_STATE_DIR"), "{said}");
        assert!(!planted.join("lcm.db").exists(), "it is used");
        canary.assert_untouched();
        owner.set("LCM_STATE_DIR", own);
        owner.converges(&manifest);
        owner.goes_down(&manifest);
        canary.assert_untouched();
    }
}

fn a_state_folder_that_is_a_planted_link_is_refused() {
    let host = Host::new("state");
    let mut owner = host.user(ROOT);
    let canary = Canary::new(&host);
    let eve = host.attacker(EVE);
    let victim = host.folder_of(ROOT, "victim", 0o700);
    symlink(&victim, eve.path("state")).expect("a link");
    std::os::unix::fs::lchown(eve.path("state"), Some(EVE), Some(EVE)).expect("its owner");
    let manifest = owner.manifest(SERVICE);
    let own = owner.state().display().to_string();
    owner.set("LCM_STATE_DIR", eve.path("state").display().to_string());
    owner.lcm(&["apply", "--yes", &manifest]).exits(1);
    assert_eq!(fs::read_dir(&victim).expect("it").count(), 0, "written through a planted link");
    owner.set("LCM_STATE_DIR", own);
    owner.converges(&manifest);
    owner.goes_down(&manifest);
    canary.assert_untouched();
}

fn a_state_folder_behind_a_planted_link_is_refused() {
    let host = Host::new("state");
    let mut owner = host.user(ROOT);
    let eve = host.attacker(EVE);
    let victim = host.folder_of(ROOT, "victim", 0o700);
    symlink(&victim, eve.path("way")).expect("a link");
    std::os::unix::fs::lchown(eve.path("way"), Some(EVE), Some(EVE)).expect("its owner");
    let manifest = owner.manifest(SERVICE);
    let own = owner.state().display().to_string();
    owner.set("LCM_STATE_DIR", eve.path("way/deep/state").display().to_string());
    owner.lcm(&["apply", "--yes", &manifest]).exits(1);
    assert_eq!(fs::read_dir(&victim).expect("it").count(), 0, "written through a planted link");
    owner.set("LCM_STATE_DIR", own);
    owner.converges(&manifest);
    owner.goes_down(&manifest);
}

fn a_state_folder_that_all_can_write_is_refused() {
    let host = Host::new("state");
    let owner = host.user(KIM);
    let manifest = owner.manifest(SERVICE);
    fs::create_dir(owner.state()).expect("a folder");
    chown(owner.state(), Some(KIM), Some(KIM)).expect("its owner");
    for mode in [0o777, 0o1777, 0o730] {
        fs::set_permissions(owner.state(), Permissions::from_mode(mode)).expect("its mode");
        let ran = owner.lcm(&["apply", "--yes", &manifest]).exits(1);
        assert!(format!("{}{}", ran.stdout, ran.stderr).contains("can be written by other users"), "{ran}");
    }
    fs::set_permissions(owner.state(), Permissions::from_mode(0o700)).expect("its mode");
    owner.converges(&manifest);
    owner.goes_down(&manifest);
}

/// Applies with a file planted in a state folder while other users could write it; they no longer can.
#[track_caller]
fn planted(plant: impl Fn(&Path, &Path)) {
    let host = Host::new("store");
    let owner = host.user(ROOT);
    let canary = Canary::new(&host);
    let manifest = owner.manifest(SERVICE);
    owner.converges(&manifest);
    plant(&owner.state(), &canary.file_of(ROOT));
    owner.lcm(&["apply", "--yes", &manifest]).exits(1);
    for command in ["plan", "status", "history"] {
        let ran = owner.lcm(&[command, manifest.as_str()]);
        assert!(ran.code <= 4 || ran.code == 64, "{ran}");
    }
    // Stops work without a store.
    owner.lcm(&["down", "--yes", &manifest]).exits(0);
    canary.assert_untouched();
    for name in ["lcm.db", "lcm.db-wal", "lcm.db-shm"] {
        let _ = fs::remove_file(owner.state().join(name));
    }
    owner.converges(&manifest);
    owner.goes_down(&manifest);
    canary.assert_untouched();
}

fn a_store_that_is_a_link_is_refused() {
    planted(|state, victim| {
        fs::remove_file(state.join("lcm.db")).expect("the store");
        symlink(victim, state.join("lcm.db")).expect("a link");
    });
}

fn a_store_whose_wal_is_a_link_is_refused() {
    planted(|state, victim| {
        let _ = fs::remove_file(state.join("lcm.db-wal"));
        symlink(victim, state.join("lcm.db-wal")).expect("a link");
    });
}

fn a_store_with_a_second_name_is_refused() {
    planted(|state, _| fs::hard_link(state.join("lcm.db"), state.join("second")).expect("a link"));
}

fn a_store_that_is_a_pipe_is_refused_at_once() {
    planted(|state, _| {
        fs::remove_file(state.join("lcm.db")).expect("the store");
        let made = std::process::Command::new("mkfifo").arg(state.join("lcm.db")).status();
        assert!(made.expect("mkfifo").success());
    });
}

fn a_store_of_another_user_is_refused() {
    planted(|state, _| chown(state.join("lcm.db"), Some(EVE), Some(EVE)).expect("its owner"));
}
