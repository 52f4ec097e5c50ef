//! Check of `lcm doctor` for process services: they must outlive the lcm that starts them. Pure.

use std::path::Path;

use crate::model::doctor::readings::{Survival, SurvivalReading};
use crate::model::doctor::{Demand, MachineCheck};

const CHECK: &str = "process_survival";

/// Returns the check of the way in which processes outlive lcm.
pub(crate) fn survival(SurvivalReading { survival, user, lingers }: &SurvivalReading, demand: Demand) -> MachineCheck {
    match survival {
        Survival::Unmanaged => {
            MachineCheck::ok(CHECK, "processes outlive the lcm that starts them: no systemd ends this session")
        }
        Survival::Session { kills_processes: false } => {
            MachineCheck::ok(CHECK, "processes outlive the lcm that starts them, and the session that it runs in")
        }
        Survival::Session { kills_processes: true } => {
            let found = format!("logind ends all processes of {user} at logout (KillUserProcesses=yes)");
            MachineCheck::new(CHECK, demand.broken(), found)
                .help(format!("as root, in /etc/systemd/logind.conf: `KillExcludeUsers=root {user}`"))
                .help("or run lcm in a unit with KillMode=process, or as root")
        }
        Survival::Spared { unit, kill_mode } => {
            MachineCheck::ok(CHECK, format!("processes outlive the unit {unit}, which has KillMode={kill_mode}"))
        }
        Survival::Scope { unit, program, of_user, is_reachable } => {
            let needs_linger = *of_user && !lingers;
            scope(&Scope { unit, program, user, needs_linger, is_reachable: *is_reachable }, demand)
        }
        Survival::Killed { unit } => {
            let found = format!(
                "the unit {unit} ends all its processes when it ends, and systemd-run, which would move them out of it, \
                 is missing: lcm refuses to start processes"
            );
            MachineCheck::new(CHECK, demand.broken(), found)
                .help(format!("sudo systemctl edit {unit}, with the lines `[Service]` and `KillMode=process`"))
        }
        Survival::Enclosed => {
            let found = "lcm runs in a container, which ends its processes: lcm starts none from here";
            MachineCheck::new(CHECK, demand.absent(), found)
                .help("run lcm on the host for these services; containers can be managed from here")
        }
    }
}

/// Scope that processes are moved into.
struct Scope<'a> {
    unit: &'a str,
    program: &'a Path,
    user: &'a str,
    /// True if its systemd ends with the user's last session.
    needs_linger: bool,
    is_reachable: bool,
}

fn scope(Scope { unit, program, user, needs_linger, is_reachable }: &Scope<'_>, demand: Demand) -> MachineCheck {
    let (program, linger) = (program.display(), format!("sudo loginctl enable-linger {user}"));
    if !is_reachable {
        let found = format!(
            "the unit {unit} ends all its processes when it ends, and {program} reaches no systemd of {user} that would \
             take them over"
        );
        return MachineCheck::new(CHECK, demand.broken(), found)
            .help(linger)
            .help(format!("or sudo systemctl edit {unit}, with the lines `[Service]` and `KillMode=process`"));
    }
    if *needs_linger {
        let found = format!(
            "{program} moves processes out of the unit {unit} into the systemd of {user}, which ends with the user's last \
             session"
        );
        return MachineCheck::warn(CHECK, found).help(linger);
    }
    MachineCheck::ok(CHECK, format!("{program} moves processes out of the unit {unit}, which would end them"))
}

/// Returns the check of a systemd that does not answer.
pub(crate) fn overdue(demand: Demand) -> MachineCheck {
    MachineCheck::new(CHECK, demand.broken(), "systemd does not answer, so it is unknown whether processes outlive lcm")
        .help("does `systemctl is-system-running` answer?")
}

#[cfg(test)]
mod tests {
    use super::survival;
    use crate::model::doctor::CheckLevel::{Fail, Ok, Skip, Warn};
    use crate::model::doctor::Demand;
    use crate::model::doctor::readings::{Survival, SurvivalReading};

    #[test]
    fn each_way_to_outlive_lcm_has_its_line() {
        let (unit, program) = (|| "runner.service".to_owned(), || "/usr/bin/systemd-run".into());
        for (survival_of, lingers, level, found, help) in [
            (Survival::Unmanaged, false, Ok, "no systemd", ""),
            (Survival::Session { kills_processes: false }, false, Ok, "session that it runs in", ""),
            (
                Survival::Session { kills_processes: true },
                false,
                Fail,
                "KillUserProcesses=yes",
                "KillExcludeUsers=root kim",
            ),
            (Survival::Spared { unit: unit(), kill_mode: "process".to_owned() }, false, Ok, "KillMode=process", ""),
            (
                Survival::Scope { unit: unit(), program: program(), of_user: true, is_reachable: true },
                false,
                Warn,
                "the systemd of kim",
                "sudo loginctl enable-linger kim",
            ),
            (
                Survival::Scope { unit: unit(), program: program(), of_user: true, is_reachable: true },
                true,
                Ok,
                "runner.service",
                "",
            ),
            (
                Survival::Scope { unit: unit(), program: program(), of_user: false, is_reachable: true },
                false,
                Ok,
                "runner.service",
                "",
            ),
            (
                Survival::Scope { unit: unit(), program: program(), of_user: true, is_reachable: false },
                true,
                Fail,
                "reaches no systemd of kim",
                "enable-linger kim",
            ),
            (Survival::Killed { unit: unit() }, false, Fail, "systemd-run", "systemctl edit runner.service"),
            (Survival::Enclosed, false, Skip, "runs in a container", "on the host"),
        ] {
            let reading = SurvivalReading { survival: survival_of, user: "kim".to_owned(), lingers };
            let check = survival(&reading, Demand::Unknown);
            assert_eq!(check.level, level, "{check:?}");
            assert!(check.found.contains(found) && check.help.join("\n").contains(help), "{check:?}");
            assert_eq!(check.help.is_empty(), help.is_empty(), "{check:?}");
        }
        let enclosed = SurvivalReading { survival: Survival::Enclosed, user: "kim".to_owned(), lingers: false };
        assert_eq!(survival(&enclosed, Demand::Needed).level, Fail);
    }
}
