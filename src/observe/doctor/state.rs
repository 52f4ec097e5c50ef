//! Checks of the state folder and of the store in it.

use crate::model::doctor::readings::{FolderReading, FolderState, StateReading, StoreReading};
use crate::model::doctor::{MachineCheck, shell_word};

const CHECK: &str = "state_folder";

/// Permission bits of all users but the owner.
const OF_OTHERS: u32 = 0o077;
/// Free space below which logs and the store may fill the disk within days, in MiB.
const FREE_MIB_MIN: u64 = 512;
/// Free space below which the store may fail to write at all, in MiB.
const FREE_MIB_LEAST: u64 = 16;

pub(super) fn judge(StateReading { folder, store, format }: &StateReading) -> Vec<MachineCheck> {
    let mut checks = vec![judge_folder(folder)];
    checks.extend(judge_space(folder));
    checks.push(match folder.state {
        FolderState::Usable { .. } | FolderState::Absent => judge_store(folder, store, *format),
        FolderState::Uncreatable(_)
        | FolderState::Foreign(_)
        | FolderState::Open { .. }
        | FolderState::Unwritable(_)
        | FolderState::Unusable(_) => MachineCheck::skip("store", "not read, since the state folder can't be used"),
    });
    checks
}

fn judge_folder(folder: &FolderReading) -> MachineCheck {
    const ELSEWHERE: &str = "or set LCM_STATE_DIR to a folder of your own";
    let (shown, word) = (folder.path.display(), shell_word(&folder.path));
    match &folder.state {
        FolderState::Usable { mode } if mode & OF_OTHERS == 0 => {
            MachineCheck::ok(CHECK, format!("{shown} is this user's alone (mode {mode:04o})"))
        }
        FolderState::Usable { mode } => {
            let found = format!("{shown} is this user's, and other users can look into it (mode {mode:04o})");
            MachineCheck::warn(CHECK, found).help(format!("chmod 700 {word}"))
        }
        FolderState::Absent => MachineCheck::ok(CHECK, format!("{shown} does not exist yet; the first run creates it")),
        FolderState::Uncreatable(reason) => {
            MachineCheck::fail(CHECK, format!("{shown} does not exist, and this user can't create it: {reason}"))
                .help(format!("as root: `install -d -m 700 -o USER {word}`, with the user that runs lcm"))
                .help(ELSEWHERE)
        }
        FolderState::Foreign(owner) => {
            MachineCheck::fail(CHECK, format!("{shown} is owned by {owner}, so lcm keeps no state there"))
                .help(format!("run lcm as that user; if the folder is yours, as root: `chown -R USER {word}`"))
                .help(ELSEWHERE)
        }
        FolderState::Open { mode } => {
            let found = format!("{shown} can be written by other users (mode {mode:04o}), so lcm does not use it");
            MachineCheck::fail(CHECK, found).help(format!("chmod go-w {word}")).help(ELSEWHERE)
        }
        FolderState::Unwritable(reason) => MachineCheck::fail(CHECK, format!("{shown} can't be written: {reason}"))
            .help(format!("chmod u+rwx {word}, or mount its file system for writing"))
            .help(ELSEWHERE),
        FolderState::Unusable(reason) => {
            MachineCheck::fail(CHECK, format!("{shown} can't be used: {reason}")).help(ELSEWHERE)
        }
    }
}

/// Returns a line only where the disk is nearly full.
fn judge_space(folder: &FolderReading) -> Option<MachineCheck> {
    let free = folder.free_mib.filter(|free| *free < FREE_MIB_MIN)?;
    let found = format!("the file system of {} has {free} MiB free", folder.path.display());
    let check = if free < FREE_MIB_LEAST {
        MachineCheck::fail("state_disk", format!("{found}: runs can't be recorded, so lcm starts nothing"))
    } else {
        MachineCheck::warn("state_disk", format!("{found}: logs of services may fill it"))
    };
    Some(check.help(format!("find what fills it: `du -xh --max-depth=2 {} | sort -h`", shell_word(&folder.path))))
}

fn judge_store(folder: &FolderReading, store: &StoreReading, known: u32) -> MachineCheck {
    const CHECK: &str = "store";
    let file = format!("the store in {}", folder.path.display());
    match store {
        StoreReading::Absent => MachineCheck::ok(CHECK, "no run has been recorded yet"),
        StoreReading::Format(found) if *found == known => MachineCheck::ok(CHECK, format!("format {found}, as this lcm writes it")),
        StoreReading::Format(found) if *found < known => {
            MachineCheck::ok(CHECK, format!("format {found}; the next run converts it to format {known}"))
        }
        StoreReading::Format(found) => {
            MachineCheck::fail(CHECK, format!("{file} has format {found}, and this lcm knows formats up to {known}"))
                .help("use the newer lcm that wrote it")
        }
        StoreReading::NotAStore => MachineCheck::fail(CHECK, format!("{file} is damaged or empty: lcm.db is no store"))
            .help("restore lcm.db from a backup, or move it away: history, holds, attempts and the mode override go with it"),
        StoreReading::Unreadable(reason) => {
            MachineCheck::fail(CHECK, format!("{file} can't be read: {reason}"))
                .help("see `lcm explain lcm::command::store`")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{judge, judge_folder, judge_space, judge_store};
    use crate::model::doctor::CheckLevel::{Fail, Ok, Warn};
    use crate::model::doctor::readings::{FolderReading, FolderState, StateReading, StoreReading};

    fn folder(state: FolderState, free_mib: u64) -> FolderReading {
        FolderReading { path: "/var/lib/lcm".into(), state, free_mib: Some(free_mib) }
    }

    #[test]
    fn each_state_of_the_folder_has_its_repair() {
        for (state, level, found, help) in [
            (FolderState::Usable { mode: 0o700 }, Ok, "(mode 0700)", ""),
            (FolderState::Usable { mode: 0o755 }, Warn, "other users can look into it", "chmod 700 /var/lib/lcm"),
            (FolderState::Absent, Ok, "the first run creates it", ""),
            (FolderState::Uncreatable("/var/lib is not writable".to_owned()), Fail, "/var/lib is not", "install -d"),
            (FolderState::Foreign("kim (uid 7)".to_owned()), Fail, "is owned by kim (uid 7)", "chown -R USER"),
            (FolderState::Open { mode: 0o777 }, Fail, "(mode 0777)", "chmod go-w /var/lib/lcm"),
            (FolderState::Unwritable("read-only file system".to_owned()), Fail, "read-only", "chmod u+rwx"),
            (FolderState::Unusable("is a link, not a folder".to_owned()), Fail, "is a link", "LCM_STATE_DIR"),
        ] {
            let check = judge_folder(&folder(state, 9_999));
            assert_eq!(check.level, level, "{check:?}");
            assert!(check.found.contains(found), "{check:?}");
            assert_eq!(check.help.is_empty(), help.is_empty(), "{check:?}");
            assert!(check.help.join("\n").contains(help), "{check:?}");
        }
    }

    #[test]
    fn a_disk_is_named_only_where_it_is_nearly_full() {
        let level = |free| judge_space(&folder(FolderState::Absent, free)).map(|check| check.level);
        assert_eq!([level(512), level(511), level(15)], [None, Some(Warn), Some(Fail)]);
        let unknown = FolderReading { free_mib: None, ..folder(FolderState::Absent, 0) };
        assert_eq!(judge_space(&unknown), None);
    }

    #[test]
    fn a_store_of_another_format_is_read_only_if_it_is_older() {
        let check = |store| judge_store(&folder(FolderState::Absent, 0), &store, 4);
        assert_eq!(check(StoreReading::Absent).level, Ok);
        assert_eq!(check(StoreReading::Format(4)).level, Ok);
        assert!(check(StoreReading::Format(3)).found.contains("converts it to format 4"));
        let newer = check(StoreReading::Format(5));
        assert_eq!(newer.level, Fail);
        assert!(newer.found.contains("has format 5") && newer.help[0].contains("newer lcm"), "{newer:?}");
        assert_eq!(check(StoreReading::NotAStore).level, Fail);
        assert_eq!(check(StoreReading::Unreadable("denied".to_owned())).level, Fail);
        let reading = StateReading { folder: folder(FolderState::Absent, 20), store: StoreReading::Absent, format: 4 };
        let checks = judge(&reading);
        assert_eq!(
            checks.iter().map(|check| check.check.as_str()).collect::<Vec<_>>(),
            ["state_folder", "state_disk", "store"]
        );
    }
}
