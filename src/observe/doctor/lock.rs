//! Check of the host's lock: usable by this user, and free.

use crate::model::doctor::readings::{LockReading, LockState};
use crate::model::doctor::{MachineCheck, shell_word};

pub(super) fn judge(LockReading { path, state }: &LockReading) -> MachineCheck {
    const CHECK: &str = "lock";
    let shown = path.display();
    match state {
        LockState::Free => MachineCheck::ok(CHECK, format!("{shown} is free")),
        LockState::Absent => {
            MachineCheck::ok(CHECK, format!("{shown} is free; the first run that changes something creates it"))
        }
        LockState::Held(holder) => MachineCheck::warn(CHECK, format!("{shown} is held by {holder}"))
            .help("until it ends, commands that change something exit 6; `lcm apply --lock-timeout 10m` waits for it"),
        LockState::Unusable(reason) => {
            let folder = path.parent().unwrap_or(path);
            MachineCheck::fail(CHECK, format!("{shown} can't be used: {reason}"))
                .help(format!(
                    "as root: `install -d -m 1777 {}`, and `chmod 666 {}` if the file exists",
                    shell_word(folder),
                    shell_word(path)
                ))
                .help("or set LCM_LOCK to another path, the same for all users of this host")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::judge;
    use crate::model::doctor::CheckLevel::{self, Fail, Ok, Warn};
    use crate::model::doctor::readings::{LockReading, LockState};

    #[test]
    fn the_lock_is_free_held_or_unusable() {
        let found = |state| judge(&LockReading { path: "/run/lock/lcm.lock".into(), state });
        for (state, level, text, help) in [
            (LockState::Free, Ok, "/run/lock/lcm.lock is free", None),
            (LockState::Absent, Ok, "the first run that changes something creates it", None),
            (
                LockState::Held("`lcm apply` of kim (pid 7)".to_owned()),
                Warn,
                "is held by `lcm apply` of kim (pid 7)",
                Some("--lock-timeout"),
            ),
            (
                LockState::Unusable("permission denied".to_owned()),
                Fail,
                "can't be used: permission denied",
                Some("install -d -m 1777 /run/lock"),
            ),
        ] {
            let check = found(state);
            assert_eq!((check.level, check.check.as_str()), (level, "lock"), "{check:?}");
            assert!(check.found.contains(text), "{check:?}");
            assert_eq!(check.help.first().is_some_and(|first| first.contains(help.unwrap_or("?"))), help.is_some());
        }
        assert_eq!(CheckLevel::Warn.as_str(), "warn");
    }
}
