//! Checks of the system: clock, limits, and the folder for temporary files.

use crate::model::doctor::readings::{ClockReading, FolderReading, FolderState, SystemReading};
use crate::model::doctor::{MachineCheck, shell_word};

/// Open files that a run with many services, probes and engine connections may need.
const OPEN_FILES_MIN: u64 = 1024;
/// Free space that programs expect for temporary files, in MiB.
const TEMP_FREE_MIB_MIN: u64 = 64;
/// Mode of a folder in which users can't replace each other's files.
const STICKY: u32 = 0o1000;

pub(super) fn judge(SystemReading { clock, open_files, temp }: &SystemReading) -> Vec<MachineCheck> {
    vec![judge_clock(clock), judge_open_files(*open_files), judge_temp(temp)]
}

/// Backoffs, restart budgets and rules of hours count by this clock, and its steps shift them.
fn judge_clock(ClockReading { synchronizer, is_synchronised, is_enclosed, zone }: &ClockReading) -> MachineCheck {
    const CHECK: &str = "clock";
    let zone = zone.as_ref().map_or_else(|| "UTC, since no local time zone is set".to_owned(), ToString::to_string);
    let zone = format!("local time is {zone}");
    match (synchronizer, is_synchronised) {
        (Some(synchronizer), Some(false)) => {
            let found = format!("not synchronised yet, although {synchronizer} runs; {zone}");
            MachineCheck::warn(CHECK, found).help("see `timedatectl timesync-status`: is a time server reachable?")
        }
        (Some(synchronizer), Some(true) | None) => MachineCheck::ok(CHECK, format!("kept by {synchronizer}; {zone}")),
        (None, Some(true)) => MachineCheck::ok(CHECK, format!("synchronised; {zone}")),
        (None, Some(false) | None) if *is_enclosed => {
            MachineCheck::skip(CHECK, format!("kept by the host, which is not visible from here; {zone}"))
        }
        (None, Some(false) | None) => {
            let found = format!("no program that synchronises it was found; {zone}");
            MachineCheck::warn(CHECK, found)
                .help("timedatectl set-ntp true")
                .help("a clock that is set by hand or jumps shifts restart backoffs and the history")
        }
    }
}

fn judge_open_files((soft, hard): (Option<u64>, Option<u64>)) -> MachineCheck {
    const CHECK: &str = "open_files";
    let text = |limit: Option<u64>| limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string());
    match soft {
        Some(limit) if limit < OPEN_FILES_MIN => {
            let found = format!(
                "this session may open {limit} files at once (at most {}); lcm and the processes that it starts need \
                 {OPEN_FILES_MIN}",
                text(hard)
            );
            MachineCheck::warn(CHECK, found)
                .help(format!("ulimit -n {OPEN_FILES_MIN}"))
                .help(format!("in a systemd unit: `LimitNOFILE={OPEN_FILES_MIN}`"))
        }
        soft => MachineCheck::ok(CHECK, format!("this session may open {} files at once", text(soft))),
    }
}

fn judge_temp(FolderReading { path, state, free_mib }: &FolderReading) -> MachineCheck {
    const CHECK: &str = "temp_folder";
    let (shown, word) = (path.display(), shell_word(path));
    match state {
        // Usable to all, as a folder for temporary files is.
        FolderState::Open { mode } | FolderState::Usable { mode } if mode & 0o002 != 0 && mode & STICKY == 0 => {
            let found = format!("{shown} lets users replace each other's files (mode {mode:04o})");
            MachineCheck::warn(CHECK, found).help(format!("as root: `chmod 1777 {word}`"))
        }
        FolderState::Open { .. } | FolderState::Usable { .. } | FolderState::Foreign(_) => match free_mib {
            Some(free) if *free < TEMP_FREE_MIB_MIN => {
                MachineCheck::warn(CHECK, format!("{shown} has {free} MiB free; services may fail to start"))
                    .help(format!("find what fills it: `du -xh --max-depth=1 {word} | sort -h`"))
            }
            Some(_) | None => MachineCheck::ok(CHECK, format!("{shown} can be written")),
        },
        FolderState::Absent | FolderState::Uncreatable(_) => {
            MachineCheck::warn(CHECK, format!("{shown} is missing; services may fail to start"))
                .help(format!("as root: `install -d -m 1777 {word}`"))
        }
        FolderState::Unwritable(reason) | FolderState::Unusable(reason) => {
            MachineCheck::warn(CHECK, format!("{shown} can't be written: {reason}; services may fail to start"))
                .help(format!("as root: `chmod 1777 {word}`, or mount its file system for writing"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{judge_clock, judge_open_files, judge_temp};
    use crate::model::doctor::CheckLevel::{Ok, Skip, Warn};
    use crate::model::doctor::readings::{ClockReading, FolderReading, FolderState};

    #[test]
    fn a_clock_is_kept_hidden_or_left_alone() {
        let clock = |synchronizer: Option<&str>, is_synchronised, is_enclosed| {
            let (synchronizer, zone) = (synchronizer.map(str::to_owned), Some("Europe/Berlin".to_owned()));
            judge_clock(&ClockReading { synchronizer, is_synchronised, is_enclosed, zone })
        };
        assert_eq!(clock(Some("chronyd"), None, false).found, "kept by chronyd; local time is Europe/Berlin");
        assert_eq!(clock(Some("systemd-timesyncd"), Some(true), false).level, Ok);
        assert_eq!(clock(Some("systemd-timesyncd"), Some(false), false).level, Warn);
        assert_eq!(clock(None, None, true).level, Skip);
        let alone = clock(None, None, false);
        assert_eq!((alone.level, alone.help[0].as_str()), (Warn, "timedatectl set-ntp true"));
        assert!(judge_clock(&ClockReading::default()).found.contains("no local time zone is set"));
    }

    #[test]
    fn a_low_limit_of_open_files_is_named_with_its_command() {
        assert_eq!(judge_open_files((None, None)).found, "this session may open unlimited files at once");
        assert_eq!(judge_open_files((Some(1024), Some(4096))).level, Ok);
        let low = judge_open_files((Some(256), Some(4096)));
        assert_eq!((low.level, low.help[0].as_str()), (Warn, "ulimit -n 1024"));
        assert!(low.found.contains("256 files at once (at most 4096)"), "{low:?}");
    }

    #[test]
    fn a_temporary_folder_is_for_all_users_and_keeps_their_files_apart() {
        let temp = |state, free| judge_temp(&FolderReading { path: "/tmp".into(), state, free_mib: Some(free) });
        assert_eq!(temp(FolderState::Open { mode: 0o1777 }, 100).level, Ok);
        assert_eq!(temp(FolderState::Foreign("root (uid 0)".to_owned()), 100).level, Ok);
        assert_eq!(temp(FolderState::Open { mode: 0o1777 }, 1).level, Warn);
        assert_eq!(temp(FolderState::Open { mode: 0o777 }, 100).help, ["as root: `chmod 1777 /tmp`"]);
        assert_eq!(temp(FolderState::Absent, 100).help, ["as root: `install -d -m 1777 /tmp`"]);
        assert_eq!(temp(FolderState::Unwritable("read-only".to_owned()), 100).level, Warn);
    }
}
