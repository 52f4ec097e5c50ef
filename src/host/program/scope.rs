//! Choice of the control group of a shim, so that it outlives its caller: systemd kills all processes of a unit when
//! the unit ends, and a new session does not leave a control group.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use std::{env, fs};

use rustix::process::geteuid;

use crate::files::kernel;
use crate::host::error::DriverError;

/// Deadline of a question to systemd, which answers within milliseconds unless its bus hangs.
const SYSTEMCTL_DEADLINE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(5);
/// Longest answer: one word.
const LINE_BYTES_MAX: usize = 256;

/// Method of starting a shim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Launch {
    /// As an ordinary child.
    Direct,
    /// In its own scope, by `systemd-run`.
    Scope { program: PathBuf, user: bool },
    /// Not at all, for this reason.
    Refuse(String),
}

/// Unit that kills its processes when it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    pub(super) name: String,
    /// True for a unit of a user's own systemd.
    pub(super) user: bool,
}

/// Returns the method of starting a shim from this lcm's control group.
pub(crate) fn launch(own: &BTreeMap<String, String>) -> Launch {
    let Some(unit) = own_unit().filter(|_| is_systemd_running()) else { return Launch::Direct };
    let kill_mode = kill_mode(&unit);
    decide(&unit, kill_mode.as_deref(), on_path("systemd-run", own), geteuid().is_root())
}

pub(super) fn is_systemd_running() -> bool {
    Path::new("/run/systemd/system").exists()
}

/// Returns the unit that this process runs in; `None`: none would end it.
pub(super) fn own_unit() -> Option<Unit> {
    unit_of(&kernel::table("/proc/self/cgroup").unwrap_or_default())
}

/// A command that starts a shim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Launcher {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    /// Variables that the command needs of the caller's environment.
    pub(crate) environment: BTreeMap<String, String>,
}

/// Returns the command that starts `shim` by that method.
pub(crate) fn launcher(
    launch: &Launch,
    shim: &Path,
    arguments: &[String],
    own: &BTreeMap<String, String>,
) -> Result<Launcher, DriverError> {
    match launch {
        Launch::Direct => {
            Ok(Launcher { program: shim.to_owned(), arguments: arguments.to_vec(), environment: BTreeMap::new() })
        }
        Launch::Scope { program, user } => {
            // Within systemd-run, /proc/self/exe would be systemd-run.
            let shim = fs::read_link(shim).unwrap_or_else(|_| shim.to_owned());
            let mut words: Vec<String> = ["--scope", "--quiet", "--collect"].map(str::to_owned).to_vec();
            let mut environment = BTreeMap::new();
            if *user {
                words.push("--user".to_owned());
                let runtime = format!("/run/user/{}", geteuid().as_raw());
                let runtime = own.get("XDG_RUNTIME_DIR").cloned().unwrap_or(runtime);
                environment.insert("XDG_RUNTIME_DIR".to_owned(), runtime);
                if let Some(bus) = own.get("DBUS_SESSION_BUS_ADDRESS") {
                    environment.insert("DBUS_SESSION_BUS_ADDRESS".to_owned(), bus.clone());
                }
            }
            words.push("--".to_owned());
            words.push(shim.display().to_string());
            words.extend_from_slice(arguments);
            Ok(Launcher { program: program.clone(), arguments: words, environment })
        }
        Launch::Refuse(reason) => Err(DriverError::Refused(reason.clone())),
    }
}

fn decide(unit: &Unit, kill_mode: Option<&str>, systemd_run: Option<PathBuf>, root: bool) -> Launch {
    if matches!(kill_mode, Some("process" | "none")) {
        return Launch::Direct;
    }
    if let Some(program) = systemd_run {
        return Launch::Scope { program, user: !root };
    }
    Launch::Refuse(format!(
        "systemd would kill every service together with the unit {} that lcm runs in, and systemd-run, which would \
         move them out of it, is missing: set KillMode=process in that unit",
        unit.name
    ))
}

/// Returns the innermost unit of a process; `None` for a scope, which systemd does not end with another unit.
fn unit_of(cgroups: &str) -> Option<Unit> {
    let path = cgroups.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (hierarchy, controllers) = (fields.next()?, fields.next()?);
        // The only line of cgroups v2, or systemd's own hierarchy in v1.
        let named = controllers == "name=systemd" || (hierarchy == "0" && controllers.is_empty());
        fields.next().filter(|path| named && *path != "/")
    })?;
    let parts: Vec<&str> = path.split('/').collect();
    let position = parts.iter().rposition(|part| matches!(kind(part), "service" | "scope"))?;
    let name = Some(parts[position]).filter(|part| kind(part) == "service")?.to_owned();
    Some(Unit { name, user: parts[..position].iter().any(|part| part.starts_with("user@")) })
}

/// Returns the suffix after the last dot of a unit's name.
fn kind(part: &str) -> &str {
    part.rsplit_once('.').map_or("", |(_, kind)| kind)
}

/// Returns the unit's `KillMode`; `None`: systemd does not report it in time.
pub(super) fn kill_mode(unit: &Unit) -> Option<String> {
    let mut command = Command::new("systemctl");
    if unit.user {
        command.arg("--user");
    }
    command.args(["show", "--property=KillMode", "--value", "--", &unit.name]);
    let mode = answer(&mut command, SYSTEMCTL_DEADLINE)?.trim().to_owned();
    (!mode.is_empty()).then_some(mode)
}

/// Runs a command that writes one line; `None`: it failed, or was killed at its deadline.
fn answer(command: &mut Command, deadline: Duration) -> Option<String> {
    let began = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
    let status = loop {
        if let Some(status) = child.try_wait().ok()? {
            break status;
        }
        if began.elapsed() >= deadline {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        sleep(POLL);
    };
    // A child of the command may hold the pipe open; what the command wrote is in it by now.
    let mut bytes = [0; LINE_BYTES_MAX];
    let read = child.stdout.take()?.read(&mut bytes).ok()?;
    status.success().then(|| String::from_utf8_lossy(&bytes[..read]).into_owned())
}

pub(super) fn on_path(program: &str, own: &BTreeMap<String, String>) -> Option<PathBuf> {
    env::split_paths(own.get("PATH")?).map(|folder| folder.join(program)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::{Path, PathBuf};

    use std::process::Command;
    use std::time::Duration;

    use super::{Launch, Unit, answer, decide, launcher, unit_of};

    fn unit(name: &str, user: bool) -> Unit {
        Unit { name: name.to_owned(), user }
    }

    #[test]
    fn the_unit_is_the_innermost_one_that_ends_its_processes() {
        assert_eq!(unit_of("0::/system.slice/cron.service\n"), Some(unit("cron.service", false)));
        assert_eq!(unit_of("0::/system.slice/runner.service/job\n"), Some(unit("runner.service", false)));
        let hybrid = "5:cpu:/\n1:name=systemd:/system.slice/ci.service\n0::/system.slice/ci.service\n";
        assert_eq!(unit_of(hybrid), Some(unit("ci.service", false)));
        let timer = "0::/user.slice/user-7.slice/user@7.service/app.slice/lcm.service\n";
        assert_eq!(unit_of(timer), Some(unit("lcm.service", true)));
        let terminal = "0::/user.slice/user-7.slice/user@7.service/app.slice/terminal.scope\n";
        assert_eq!(unit_of(terminal), None);
        assert_eq!(unit_of("0::/user.slice/user-7.slice/session-3.scope\n"), None);
        assert_eq!(unit_of("9:name=systemd:/\n0::/\n"), None);
    }

    #[test]
    fn a_command_answers_in_time_or_is_ended() {
        let run = |script: &str, deadline| answer(Command::new("sh").args(["-c", script]), deadline);
        let patient = Duration::from_mins(1);
        assert_eq!(run("echo process", patient).as_deref(), Some("process\n"));
        assert_eq!(run("echo process; exit 1", patient), None);
        assert_eq!(run("exec sleep 600", Duration::ZERO), None, "killed, and not waited for");
    }

    #[test]
    fn a_unit_that_lets_its_processes_live_needs_nothing() {
        let cron = unit("cron.service", false);
        assert_eq!(decide(&cron, Some("process"), None, true), Launch::Direct);
        assert_eq!(decide(&cron, Some("none"), None, false), Launch::Direct);
    }

    #[test]
    fn other_units_are_left_by_a_scope_or_the_setting_is_named() {
        let runner = unit("runner.service", false);
        let program = PathBuf::from("/usr/bin/systemd-run");
        let scope = |user| Launch::Scope { program: PathBuf::from("/usr/bin/systemd-run"), user };
        assert_eq!(decide(&runner, Some("control-group"), Some(program.clone()), true), scope(false));
        assert_eq!(decide(&runner, None, Some(program), false), scope(true));
        let Launch::Refuse(reason) = decide(&runner, Some("mixed"), None, true) else { panic!("it must refuse") };
        assert!(reason.contains("KillMode=process") && reason.contains("runner.service"), "{reason}");
    }

    #[test]
    fn a_scope_is_requested_without_a_secret_on_the_command_line() {
        let own = BTreeMap::from([("XDG_RUNTIME_DIR".to_owned(), "/run/user/7".to_owned())]);
        let arguments = ["__shim".to_owned()];
        let launch = Launch::Scope { program: PathBuf::from("/usr/bin/systemd-run"), user: true };
        let launcher = launcher(&launch, Path::new("/no/such/lcm"), &arguments, &own).expect("a command");
        assert_eq!(launcher.program, Path::new("/usr/bin/systemd-run"));
        let words = ["--scope", "--quiet", "--collect", "--user", "--", "/no/such/lcm", "__shim"];
        assert_eq!(launcher.arguments, words);
        assert_eq!(launcher.environment, own);
    }
}
