//! Callers that give lcm an unusual environment: signals that they ignore, files that they close and folders that they
//! remove must not affect the services, nor make lcm report something false.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

#[path = "callers/pipeline.rs"]
mod pipeline;
#[expect(dead_code, reason = "each test program uses a part of it")]
#[path = "support/sandbox.rs"]
mod sandbox;
#[path = "support/server.rs"]
mod server;
#[path = "callers/words.rs"]
mod words;

use sandbox::{Sandbox, free_port, run};

/// Writes a manifest of one server, on a port of its own.
fn one_server(sandbox: &mut Sandbox) -> String {
    let port = free_port();
    let manifest = sandbox.write(
        "lcm.yaml",
        &format!(
            "version: 1
name: \"@NAME@\"
services:
  one:
    process: {{ command: [\"@SERVER@\", --port, \"{port}\"] }}
    stop: {{ grace: 300ms }}
    health: {{ http: \"http://127.0.0.1:{port}/health\" }}
"
        ),
    );
    sandbox.take_down(&manifest);
    manifest.to_str().expect("UTF-8").to_owned()
}

/// Runs `sh -c` in the sandbox's environment; `$LCM` is the binary.
#[track_caller]
fn shell(sandbox: &Sandbox, line: &str) -> sandbox::Ran {
    let lcm = sandbox.command::<&str>(&[]);
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", line]).env_clear().env("LCM", lcm.get_program());
    shell.envs(lcm.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(folder) = lcm.get_current_dir() {
        shell.current_dir(folder);
    }
    run(shell, line)
}

fn status(pid: i32, field: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("a field of every process");
    line.trim_start_matches(':').trim().to_owned()
}

#[test]
fn a_service_ignores_no_signal_of_its_callers_and_has_the_default_umask() {
    let mut sandbox = Sandbox::new("callers");
    let manifest = one_server(&mut sandbox);
    shell(&sandbox, &format!("trap '' HUP INT QUIT USR1 TERM; umask 077; exec \"$LCM\" apply --yes {manifest}"))
        .exits(0);
    let servers = sandbox.servers();
    let [(pid, _)] = servers[..] else { panic!("{servers:?}") };
    let ignored = u64::from_str_radix(&status(pid, "SigIgn"), 16).expect("a mask");
    let common = [1, 2, 3, 10, 15].map(|number| 1 << (number - 1)).iter().sum::<u64>();
    assert_eq!(ignored & common, 0, "{ignored:x}");
    assert_eq!(status(pid, "Umask"), "0022");
    let state = fs::metadata(sandbox.path("state")).expect("a state folder");
    assert_eq!(state.mode() & 0o777, 0o700);
}

#[test]
fn output_that_can_not_be_written_changes_no_exit_code_after_the_changes() {
    let mut sandbox = Sandbox::new("callers");
    let manifest = one_server(&mut sandbox);
    // The plan can't be shown: nothing changes.
    shell(&sandbox, &format!("exec \"$LCM\" apply --yes {manifest} >/dev/full")).exits(1).says("can't write to stdout");
    assert_eq!(sandbox.servers(), []);
    // Only the summary can't be written.
    let line = format!("exec \"$LCM\" apply --quiet --yes {manifest} >/dev/full");
    shell(&sandbox, &line).exits(0);
    assert_eq!(sandbox.servers().len(), 1);
}

#[test]
fn lcm_works_without_a_folder_an_environment_or_open_files() {
    let mut sandbox = Sandbox::new("callers");
    let manifest = one_server(&mut sandbox);
    let bare = "env -i LCM_STATE_DIR=\"$LCM_STATE_DIR\" LCM_LOCK=\"$LCM_LOCK\"";
    shell(&sandbox, &format!("{bare} \"$LCM\" apply {manifest}")).exits(0);
    shell(&sandbox, &format!("mkdir gone; cd gone; rmdir ../gone; exec \"$LCM\" plan --detailed-exitcode {manifest}"))
        .exits(0);
    shell(&sandbox, &format!("exec \"$LCM\" down --yes {manifest} <&- >&- 2>&-")).exits(0);
    assert_eq!(sandbox.servers(), []);
    shell(&sandbox, &format!("exec \"$LCM\" apply --yes {manifest} <&- >&- 2>&-")).exits(0);
    shell(&sandbox, &format!("\"$LCM\" plan --detailed-exitcode {manifest} | head -1")).exits(0);
    assert_eq!(sandbox.servers().len(), 1);
}

/// A limit on the size of files fails every write, as a full disk does, and needs no disk to be filled.
#[test]
fn on_a_full_disk_nothing_is_started_and_a_plan_is_still_shown() {
    let mut sandbox = Sandbox::new("full");
    let manifest = one_server(&mut sandbox);
    let full = "trap '' XFSZ; ulimit -f 0; exec \"$LCM\"";
    let refused = shell(&sandbox, &format!("{full} apply --yes '{manifest}'"));
    refused.exits(1).says(sandbox.get("LCM_STATE_DIR")).says("is the disk full?");
    assert_eq!((sandbox.servers(), sandbox.shims()), (vec![], vec![]), "nothing was started");
    shell(&sandbox, &format!("{full} plan '{manifest}'")).exits(0).says("start  one");
}
