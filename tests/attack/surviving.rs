//! Services that change their uid, namespaces and sessions, through an upgrade of the binary, a deleted state folder or a
//! dead shim: nothing is lost, nothing runs twice, no owner is locked out.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::PathBuf;

use crate::sandbox::{Ran, copy_program, run, wait_until};
use crate::support::host::lcm;
use crate::support::process::{self, Identity};
use crate::support::{AS_ROOT, Attack, Canary, Host, KIM, ROOT, User, attacks};

pub(crate) fn trials() -> Vec<Attack> {
    attacks![
        AS_ROOT =>
            a_family_of_other_uids_and_namespaces_is_ours_whole,
            a_family_survives_an_upgrade_of_the_binary,
            a_family_survives_a_deleted_state_folder,
            a_family_survives_its_shim,
            a_family_survives_its_shim_and_an_upgrade,
            a_users_family_survives_a_deleted_state_folder_and_an_upgrade,
            a_users_family_survives_its_shim,
            a_dead_shim_is_reported_and_nothing_is_restarted;
    ]
}

/// Server with processes that a service of root may start: another uid, own namespaces of pids, mounts and users,
/// sessions, an empty environment. Each sleeps as the server's own executable, by which it is found again.
const ROOTS_FAMILY: &str = "setpriv --reuid 61003 --regid 61003 --clear-groups @SERVER@ --sleeper & \
     unshare --pid --fork --mount-proc @SERVER@ --sleeper & \
     unshare --mount @SERVER@ --sleeper & \
     unshare --user @SERVER@ --sleeper & \
     setsid @SERVER@ --sleeper & \
     env -i @SERVER@ --sleeper & \
     exec @SERVER@ --port 0 --children 1 --daemons 1";
const ROOTS_COUNT: usize = 9;

/// Same, without the processes that only root may start.
const USERS_FAMILY: &str = "setsid @SERVER@ --sleeper & env -i @SERVER@ --sleeper & \
     exec @SERVER@ --port 0 --children 1 --daemons 1";
const USERS_COUNT: usize = 5;

struct Family<'h> {
    host: &'h Host,
    owner: User<'h>,
    canary: Canary<'h>,
    manifest: String,
    members: BTreeSet<Identity>,
    /// Binary that the owner runs; an upgrade replaces it.
    binary: PathBuf,
}

impl<'h> Family<'h> {
    #[track_caller]
    fn up(host: &'h Host, uid: u32) -> Self {
        let (line, count) = if uid == ROOT { (ROOTS_FAMILY, ROOTS_COUNT) } else { (USERS_FAMILY, USERS_COUNT) };
        let owner = host.user(uid);
        let canary = Canary::new(host);
        let manifest =
            owner.manifest(&format!("  family: {{ process: {{ command: \"{line}\" }}, stop: {{ grace: 2s }} }}"));
        let binary = host.folder_of(uid, "bin", 0o755).join("lcm");
        let family = Self { host, owner, canary, manifest, members: BTreeSet::new(), binary };
        family.upgrade();
        family.lcm(&["apply", "--yes"]).exits(0);
        wait_until("the whole family runs", || host.servers().len() == count);
        let members: BTreeSet<Identity> = host.servers().into_iter().collect();
        // A process that the shim did not record before its death is a claim; the record is updated within moments.
        wait_until("the whole family is recorded", || members.is_subset(&family.recorded()));
        Self { members, ..family }
    }

    fn lcm(&self, words: &[&str]) -> Ran {
        let mut command = self.owner.program(&self.binary);
        command.args(words).arg(&self.manifest);
        run(command, &format!("lcm {}", words.join(" ")))
    }

    /// Replaces the binary by a new file, as package managers do.
    fn upgrade(&self) {
        let draft = self.binary.with_extension("new");
        copy_program(&lcm(), &draft);
        fs::set_permissions(&draft, fs::Permissions::from_mode(0o755)).expect("its mode");
        chown(&draft, Some(self.owner.uid), Some(self.owner.uid)).expect("its owner");
        fs::rename(&draft, &self.binary).expect("the binary in its place");
    }

    /// Returns the processes in its record of members.
    fn recorded(&self) -> BTreeSet<Identity> {
        let folder = self.owner.state().join("projects").join(&self.host.name).join("family");
        let Ok(text) = fs::read_to_string(folder.join("members.json")) else { return BTreeSet::new() };
        let note: serde_json::Value = serde_json::from_str(&text).expect("a record");
        let number = |member: &serde_json::Value, name: &str| member[name].as_u64().expect("a number");
        let identity = |member| Identity {
            pid: i32::try_from(number(member, "pid")).expect("a pid"),
            start_ticks: number(member, "start_ticks"),
        };
        note["members"].as_array().expect("members").iter().map(identity).collect()
    }

    fn kill_shim(&self) {
        let shims = self.host.shims();
        let [shim] = &shims[..] else { panic!("not one shim, but {shims:?}") };
        shim.signal("KILL");
        wait_until("the shim is gone", || !shim.is_alive());
    }

    fn delete_state(&self) {
        // A shim may still write a note of its own into it.
        wait_until("the state folder is gone", || fs::remove_dir_all(self.owner.state()).is_ok());
    }

    /// Asserts that two applies change nothing, that the plan is empty, and that `down` leaves nothing.
    #[track_caller]
    fn is_whole_and_goes_down(&self) {
        for _ in 0..2 {
            self.lcm(&["apply", "--yes", "--detailed-exitcode"]).exits(0);
        }
        self.lcm(&["plan", "--detailed-exitcode"]).exits(0);
        let now: BTreeSet<Identity> = self.host.servers().into_iter().collect();
        assert_eq!(now, self.members, "lost, or doubled");
        let down = self.lcm(&["down", "--yes"]).exits(0);
        let left: Vec<String> = self.host.servers().iter().map(|one| process::words(one.pid)).collect();
        assert!(left.is_empty(), "left: {left:?}\n{down}");
        self.canary.assert_untouched();
    }
}

fn a_family_of_other_uids_and_namespaces_is_ours_whole() {
    let host = Host::new("family");
    Family::up(&host, ROOT).is_whole_and_goes_down();
}

fn a_family_survives_an_upgrade_of_the_binary() {
    let host = Host::new("family");
    let family = Family::up(&host, ROOT);
    family.upgrade();
    family.is_whole_and_goes_down();
}

fn a_family_survives_a_deleted_state_folder() {
    let host = Host::new("family");
    let family = Family::up(&host, ROOT);
    family.delete_state();
    family.is_whole_and_goes_down();
}

fn a_family_survives_its_shim() {
    let host = Host::new("family");
    let family = Family::up(&host, ROOT);
    family.lcm(&["status"]);
    family.kill_shim();
    family.is_whole_and_goes_down();
}

fn a_family_survives_its_shim_and_an_upgrade() {
    let host = Host::new("family");
    let family = Family::up(&host, ROOT);
    family.lcm(&["status"]);
    family.kill_shim();
    family.upgrade();
    family.is_whole_and_goes_down();
}

fn a_users_family_survives_a_deleted_state_folder_and_an_upgrade() {
    let host = Host::new("family");
    let family = Family::up(&host, KIM);
    family.upgrade();
    family.delete_state();
    family.is_whole_and_goes_down();
}

fn a_users_family_survives_its_shim() {
    let host = Host::new("family");
    let family = Family::up(&host, KIM);
    family.lcm(&["status"]);
    family.kill_shim();
    family.is_whole_and_goes_down();
}

fn a_dead_shim_is_reported_and_nothing_is_restarted() {
    let host = Host::new("family");
    let family = Family::up(&host, ROOT);
    family.kill_shim();
    let status = family.lcm(&["status"]);
    assert!(format!("{}{}", status.stdout, status.stderr).contains("shim"), "the dead shim is not reported\n{status}");
    family.is_whole_and_goes_down();
}
