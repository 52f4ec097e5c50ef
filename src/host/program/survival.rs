//! Reading of how a process that lcm starts outlives lcm, by what [`scope`] would do now. Starts nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

use crate::files::kernel;
use crate::host::enclosure;
use crate::host::program::scope;
use crate::model::doctor::readings::{Survival, SurvivalReading};
use crate::model::enclosure::Enclosure;
use crate::shared;

/// Folder with an empty file for each user whose systemd runs without a session.
const LINGER: &str = "/var/lib/systemd/linger";

/// Settings of logind, in the order in which they overrule each other.
const LOGIND: [&str; 2] = ["/etc/systemd/logind.conf", "/etc/systemd/logind.conf.d"];
/// Files read in a folder of settings: more is no configuration.
const FILES_MAX: usize = 64;

/// Reads how processes of this user outlive this lcm. `own`: lcm's environment. Blocking.
pub(crate) fn read(own: &BTreeMap<String, String>) -> SurvivalReading {
    let uid = geteuid().as_raw();
    let user = shared::user(uid).map_or_else(|| uid.to_string(), |user| user.name);
    let lingers = Path::new(LINGER).join(shared::segment(&user)).exists();
    SurvivalReading { survival: survival(own), user, lingers }
}

fn survival(own: &BTreeMap<String, String>) -> Survival {
    if enclosure::read(own).enclosure != Enclosure::Machine {
        return Survival::Enclosed;
    }
    if !scope::is_systemd_running() {
        return Survival::Unmanaged;
    }
    let Some(unit) = scope::own_unit() else {
        return Survival::Session { kills_processes: !geteuid().is_root() && kills_processes(&settings()) };
    };
    match scope::launch(own) {
        scope::Launch::Direct => {
            let kill_mode = scope::kill_mode(&unit).unwrap_or_default();
            Survival::Spared { unit: unit.name, kill_mode }
        }
        scope::Launch::Scope { program, user } => {
            Survival::Scope { unit: unit.name, program, of_user: user, is_reachable: is_reachable(own, user) }
        }
        scope::Launch::Refuse(_) => Survival::Killed { unit: unit.name },
    }
}

/// Returns true if the systemd that a scope is requested of has a socket: its own, or that of its bus.
fn is_reachable(own: &BTreeMap<String, String>, of_user: bool) -> bool {
    let runtime = own.get("XDG_RUNTIME_DIR").map(PathBuf::from);
    let sockets = if of_user {
        let folder = runtime.unwrap_or_else(|| PathBuf::from(format!("/run/user/{}", geteuid().as_raw())));
        [folder.join("systemd/private"), folder.join("bus")]
    } else {
        ["/run/systemd/private", "/run/dbus/system_bus_socket"].map(PathBuf::from)
    };
    sockets.iter().any(|socket| socket.exists())
}

/// Returns logind's settings, of which the last of several lines counts.
fn settings() -> String {
    let [file, folder] = LOGIND.map(Path::new);
    let mut names: Vec<_> = kernel::names(folder).into_iter().flatten().take(FILES_MAX).collect();
    names.sort();
    let beside = names.into_iter().map(|name| folder.join(name)).filter(|path| path.is_file());
    let files = [file.to_owned()].into_iter().filter(|path| path.is_file()).chain(beside);
    files.filter_map(|path| kernel::table(path).ok()).collect::<Vec<_>>().join("\n")
}

/// Returns true if logind ends all processes of a user's session at logout. It does not by default.
fn kills_processes(settings: &str) -> bool {
    let value = settings.lines().rev().find_map(|line| line.trim().strip_prefix("KillUserProcesses="));
    value.is_some_and(|value| matches!(value.trim().to_ascii_lowercase().as_str(), "yes" | "true" | "1" | "on"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{is_reachable, kills_processes};

    #[test]
    fn a_systemd_without_a_socket_is_not_reachable() {
        let folder = tempfile::tempdir().expect("a folder");
        let own = BTreeMap::from([("XDG_RUNTIME_DIR".to_owned(), folder.path().display().to_string())]);
        assert!(!is_reachable(&own, true));
        std::fs::write(folder.path().join("bus"), "").expect("written");
        assert!(is_reachable(&own, true));
    }

    #[test]
    fn the_last_setting_of_logind_counts() {
        assert!(!kills_processes("[Login]\n#KillUserProcesses=yes\n"));
        assert!(kills_processes("[Login]\nKillUserProcesses=yes\n"));
        assert!(!kills_processes("KillUserProcesses=yes\n[Login]\nKillUserProcesses=no"));
    }
}
