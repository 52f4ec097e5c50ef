//! Holds on real processes: they apply to every user and every folder of a run.

use std::fs;

use super::sandbox::{Ran, Sandbox, answers, free_port, kill, wait_until};
use super::shell;

/// Two services that can't run at the same time, with children and daemons, and a mode for each.
struct Pair {
    sandbox: Sandbox,
    manifest: String,
    ports: [u16; 2],
}

impl Pair {
    fn new() -> Self {
        let ports = [free_port(), free_port()];
        let mut sandbox = Sandbox::new("words");
        let manifest = write(&sandbox, ports, "voice");
        sandbox.take_down(&manifest);
        Self { sandbox, manifest, ports }
    }

    #[track_caller]
    fn lcm(&self, words: &[&str]) -> Ran {
        self.sandbox.lcm(&[words, &["-m", &self.manifest]].concat())
    }

    #[track_caller]
    fn apply(&self) -> Ran {
        self.sandbox.lcm(&["apply", "--yes", &self.manifest]).exits(0)
    }

    fn up(&self) -> [bool; 2] {
        self.ports.map(answers)
    }

    /// The letters of the states of all processes of the services.
    fn states(&self) -> String {
        let state = |pid: i32| fs::read_to_string(format!("/proc/{pid}/stat")).ok();
        let states = self.sandbox.servers().into_iter().filter_map(|(pid, _)| state(pid));
        states.filter_map(|stat| stat.rsplit_once(") ")?.1.chars().next()).collect()
    }
}

fn write(sandbox: &Sandbox, ports: [u16; 2], mode: &str) -> String {
    let service = |name: &str, port: u16| {
        format!(
            "  {name}:
    process: {{ command: [\"@SERVER@\", --port, \"{port}\", --children, \"1\", --daemons, \"1\"] }}
    stop: {{ grace: 5s }}
    vram: 20GB
    health: {{ http: \"http://127.0.0.1:{port}/health\" }}
"
        )
    };
    let text = format!(
        "version: 1
name: \"@NAME@\"
mode: {mode}
gpus: {{ devices: [{{ index: 0, uuid: \"@GPU@\", vram: 24GiB }}] }}
services:
{}{}modes:
  voice: {{ services: [speaker] }}
  video: {{ services: [painter] }}
  quiet: {{ services: [] }}
",
        service("speaker", ports[0]),
        service("painter", ports[1])
    );
    sandbox.write("lcm.yaml", &text).to_str().expect("UTF-8").to_owned()
}

#[test]
fn a_suspended_service_is_paused_whole_and_continues_when_resumed() {
    let pair = Pair::new();
    pair.apply();
    pair.lcm(&["suspend", "speaker", "--reason", "quiet, please"]).exits(0).says("suspended");
    assert_eq!(pair.states(), "T".repeat(pair.sandbox.servers().len()));
    assert!(pair.sandbox.servers().len() >= 3);
    pair.apply().says("quiet, please");
    // As after a crash between the hold and its effect, or a manual continue.
    for (pid, _) in pair.sandbox.servers() {
        kill(pid, "CONT");
    }
    wait_until("it goes on", || !pair.states().contains('T'));
    pair.apply().says("pause");
    assert_eq!(pair.states(), "T".repeat(pair.sandbox.servers().len()));
    pair.lcm(&["resume", "speaker"]).exits(0).says("suspended → online");
    assert!(!pair.states().contains('T') && pair.up() == [true, false]);
    pair.lcm(&["resume", "speaker"]).exits(0).says("nothing to resume");
    // A resume also continues a service that was paused by hand, without a hold.
    for (pid, _) in pair.sandbox.servers() {
        kill(pid, "STOP");
    }
    wait_until("it is stopped", || pair.states() == "T".repeat(pair.sandbox.servers().len()));
    pair.lcm(&["resume", "speaker"]).exits(0).says("suspended → online");
    assert_eq!(pair.up(), [true, false]);
}

#[test]
fn a_service_in_maintenance_stays_as_it_is_through_three_applies() {
    let pair = Pair::new();
    pair.apply();
    pair.lcm(&["maintain", "speaker", "--as", "kim", "--reason", "new weights"]).exits(0);
    let before = pair.sandbox.servers();
    for mode in ["quiet", "quiet", "voice"] {
        write(&pair.sandbox, pair.ports, mode);
        pair.apply().says("new weights").says("kim");
        assert_eq!(pair.sandbox.servers(), before, "{mode}");
    }
    let shims = pair.sandbox.shims();
    for (pid, _) in before.iter().chain(&shims) {
        kill(*pid, "KILL");
    }
    wait_until("it is gone", || pair.sandbox.servers().is_empty());
    for _ in 0..3 {
        pair.apply().says("maintenance");
        assert_eq!(pair.sandbox.servers(), [], "it is not restarted either");
    }
    pair.lcm(&["resume", "speaker"]).exits(0);
    pair.apply();
    assert_eq!(pair.up(), [true, false]);
}

#[test]
fn a_switch_is_followed_from_cron_until_the_manifests_own_mode_changes() {
    let pair = Pair::new();
    pair.apply();
    pair.sandbox
        .lcm(&["switch", "video", &pair.manifest, "--yes", "--as", "kim"])
        .exits(0)
        .says("mode video (")
        .says("switched to by kim at");
    assert_eq!(pair.up(), [false, true]);
    let bare = "env -i HOME=\"$HOME\" PATH=/usr/bin:/bin LCM_STATE_DIR=\"$LCM_STATE_DIR\" LCM_LOCK=\"$LCM_LOCK\" LCM_NVML_LIB=";
    let apply = || shell(&pair.sandbox, &format!("cd /; {bare} \"$LCM\" apply {}", pair.manifest)).exits(0);
    for _ in 0..2 {
        apply().says("mode video (").says("switched to by kim at").says("Nothing to do");
        assert_eq!(pair.up(), [false, true]);
    }
    write(&pair.sandbox, pair.ports, "quiet");
    apply().says("mode quiet (manifest)");
    assert_eq!(pair.up(), [false, false]);
    // The manifest's mode is newer: the switch is cleared.
    write(&pair.sandbox, pair.ports, "voice");
    apply().says("mode voice (manifest)");
    assert_eq!(pair.up(), [true, false]);
}

#[test]
fn a_one_shot_starts_and_stops_the_named_services() {
    let pair = Pair::new();
    pair.apply();
    pair.lcm(&["start", "painter", "--yes"]).exits(4).says("it needs 19 074 MiB");
    assert_eq!(pair.up(), [true, false], "a service of equal priority is not preempted");
    pair.lcm(&["stop", "speaker", "--yes"]).exits(0).says("The next `lcm apply` starts speaker: wanted by mode voice");
    pair.lcm(&["start", "painter", "--yes"])
        .exits(0)
        .says("The next `lcm apply` stops painter: not part of mode voice");
    assert_eq!(pair.up(), [false, true]);
    let before = pair.sandbox.servers();
    pair.lcm(&["restart", "painter", "--yes"]).exits(0);
    assert!(pair.up() == [false, true] && pair.sandbox.servers() != before);
    pair.apply();
    assert_eq!(pair.up(), [true, false]);
}
