//! Combined attacks: several tricks at once, or in the middle of a run.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::os::unix::process::CommandExt as _;

use crate::sandbox::{answers, free_port, wait_until};
use crate::support::attacker::forged;
use crate::support::process::{self, Identity};
use crate::support::{AS_ROOT, Attack, Canary, EVE, Host, KIM, MEMORY_MIB_MAX, ROOT, WITH_ENGINE, attacks};

pub(crate) fn trials() -> Vec<Attack> {
    attacks![
        AS_ROOT =>
            a_port_that_an_attacker_holds_blocks_and_is_not_freed,
            an_attacker_who_answers_the_probe_makes_no_service_healthy,
            the_marks_of_a_running_service_copied_by_another_uid_are_a_claim,
            marks_copied_while_the_shim_is_dead_are_a_claim,
            a_shims_command_line_shown_by_another_uid_blocks_nothing,
            a_shims_command_line_marks_and_name_together_are_a_claim,
            a_state_folder_that_an_attacker_took_while_it_was_gone_is_refused,
            a_link_in_the_place_of_a_deleted_state_folder_is_refused,
            a_lock_unlinked_in_mid_run_lets_no_second_run_in,
            a_storm_of_marked_processes_bounds_nothing_of_ours,
            hundreds_of_claims_fit_into_memory,
            a_mark_with_the_largest_environment_fits_into_memory,
            marks_that_claim_all_memory_and_a_start_in_the_future_move_nothing,
            a_process_that_ignores_term_under_forged_marks_delays_no_down,
            a_forged_mark_that_names_the_owners_service_restarts_nothing,
            a_users_claim_on_roots_project_leaves_both_alone,
            a_paused_process_with_forged_marks_is_not_resumed,
            marks_of_an_attacker_that_change_in_mid_run_move_nothing;
        WITH_ENGINE =>
            a_container_with_the_hosts_pids_and_forged_marks_is_a_claim,
            a_container_as_root_without_capabilities_and_with_forged_marks_is_a_claim;
    ]
}

const SLEEPER: &str = "  api: { process: { command: [\"@SERVER@\", --port, \"0\"] }, stop: { grace: 2s } }";

fn served(port: u16, more: &str) -> String {
    format!(
        "  api: {{ process: {{ command: [\"@SERVER@\", --port, \"{port}\"{more}] }}, health: {{ http: \"http://127.0.0.1:{port}/health\", timeout: 3s }}, stop: {{ grace: 2s }}, recover: {{ attempts: 100, backoff: 10ms, max_backoff: 20ms }} }}"
    )
}

/// Starts a listening server of the attacker.
#[track_caller]
fn squat(host: &Host, port: u16) -> Identity {
    let eve = host.attacker(EVE);
    let mut server = eve.program(host.server().to_str().expect("UTF-8"));
    server.args(["--port", &port.to_string()]);
    let squatter = eve.spawn(server);
    wait_until("the attacker listens", || answers(port));
    squatter
}

/// Returns the marks of the only running service of this trial.
fn marks_of_service(host: &Host) -> Vec<(String, String)> {
    let servers = host.servers();
    let environ = fs::read(format!("/proc/{}/environ", servers[0].pid)).expect("its environment");
    let entries = environ.split(|byte| *byte == 0).map(|entry| String::from_utf8_lossy(entry).into_owned());
    let pairs =
        entries.filter_map(|entry| entry.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())));
    pairs.filter(|(name, _)| name.starts_with("LCM_")).collect()
}

fn forge_copy(host: &Host, marks: &[(String, String)]) -> Identity {
    let marks: Vec<(&str, &str)> = marks.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    host.attacker(EVE).sleeper(&marks)
}

fn a_port_that_an_attacker_holds_blocks_and_is_not_freed() {
    let host = Host::new("mixed");
    let owner = host.user(ROOT);
    let mut canary = Canary::new(&host);
    let port = free_port();
    let squatter = squat(&host, port);
    canary.watch_process(squatter);
    let manifest = owner.manifest(&served(port, ""));
    for _ in 0..2 {
        owner.lcm(&["apply", "--yes", &manifest]).exits(4).says(&squatter.pid.to_string());
    }
    assert_eq!(host.shims(), [], "nothing is started beside it");
    canary.assert_untouched();
    squatter.signal("KILL");
    wait_until("the port is free", || !answers(port));
    owner.converges(&manifest);
    owner.goes_down(&manifest);
}

fn an_attacker_who_answers_the_probe_makes_no_service_healthy() {
    let host = Host::new("mixed");
    let owner = host.user(ROOT);
    let (port, other) = (free_port(), free_port());
    let mut canary = Canary::new(&host);
    // The service listens on another port: a response from the probed one does not count.
    let service = served(port, "").replace(&format!("--port, \"{port}\""), &format!("--port, \"{other}\""));
    let manifest = owner.manifest(&service);
    let squatter = squat(&host, port);
    canary.watch_process(squatter);
    let applied = owner.lcm(&["apply", "--yes", &manifest]);
    assert!(matches!(applied.code, 3 | 4), "an answer of another uid counted as healthy\n{applied}");
    canary.assert_untouched();
    owner.goes_down(&manifest);
}

fn the_marks_of_a_running_service_copied_by_another_uid_are_a_claim() {
    let host = Host::new("mixed");
    let owner = host.user(ROOT);
    let mut canary = Canary::new(&host);
    let manifest = owner.manifest(SLEEPER);
    owner.converges(&manifest);
    let ours = host.servers();
    let copy = forge_copy(&host, &marks_of_service(&host));
    canary.watch_process(copy);
    owner.lcm(&["plan", "--detailed-exitcode", &manifest]).exits(0).says(&copy.pid.to_string());
    owner.converges(&manifest);
    assert_eq!(host.servers(), ours);
    owner.goes_down(&manifest);
    canary.assert_untouched();
    // Only the copy runs, so the service is started.
    owner.lcm(&["plan", "--detailed-exitcode", &manifest]).exits(2);
    owner.converges(&manifest);
    owner.goes_down(&manifest);
    canary.assert_untouched();
}

fn marks_copied_while_the_shim_is_dead_are_a_claim() {
    let host = Host::new("mixed");
    let owner = host.user(ROOT);
    let mut canary = Canary::new(&host);
    let manifest = owner.manifest(SLEEPER);
    owner.converges(&manifest);
    let (ours, shims) = (host.servers(), host.shims());
    canary.watch_process(forge_copy(&host, &marks_of_service(&host)));
    for shim in shims {
        shim.signal("KILL");
    }
    wait_until("the shim is gone", || host.shims().is_empty());
    owner.converges(&manifest);
    assert_eq!(host.servers(), ours, "a tree whose shim died is still ours");
    owner.goes_down(&manifest);
    canary.assert_untouched();
}

fn a_shims_command_line_shown_by_another_uid_blocks_nothing() {
    let host = Host::new("mixed");
    let owner = host.user(KIM);
    let mut canary = Canary::new(&host);
    canary.watch_process(host.attacker(EVE).fake_shim("api", &[]));
    let manifest = owner.manifest(SLEEPER);
    owner.lcm(&["plan", &manifest]).exits(0);
    owner.converges(&manifest);
    owner.goes_down(&manifest);
    canary.assert_untouched();
}

fn a_shims_command_line_marks_and_name_together_are_a_claim() {
    let host = Host::new("mixed");
    let owner = host.user(ROOT);
    let mut canary = Canary::new(&host);
    let config = format!(r#"{{"stop":{{"exec":["/bin/sh","-c","{}"]}}}}"#, host.payload("shim"));
    let marks = forged(&host.name, "api");
    let mut marks: Vec<(&str, &str)> = marks.iter().map(|(name, value)| (*name, value.as_str())).collect();
    marks.extend([("LCM_ROLE", "shim"), ("LCM_CONFIG", config.as_str())]);
    let fake = host.attacker(EVE).fake_shim("api", &marks);
    canary.watch_process(fake);
    let manifest = owner.manifest(SLEEPER);
    owner.converges(&manifest);
    owner.lcm(&["plan", &manifest]).exits(0).says(&fake.pid.to_string());
    owner.goes_down(&manifest);
    canary.assert_untouched();
}

/// Returns a state folder in a folder where other users may create files, such as `/tmp`.
fn shared_state(host: &Host) -> std::path::PathBuf {
    let shared = host.folder_of(ROOT, "shared", 0o1777);
    shared.join("state")
}

fn a_state_folder_that_an_attacker_took_while_it_was_gone_is_refused() {
    let host = Host::new("mixed");
    let mut owner = host.user(ROOT);
    let mut canary = Canary::new(&host);
    let state = shared_state(&host);
    owner.set("LCM_STATE_DIR", state.display().to_string());
    let manifest = owner.manifest(SLEEPER);
    owner.converges(&manifest);
    let ours = host.servers();
    fs::remove_dir_all(&state).expect("the state folder");
    fs::create_dir(&state).expect("the attacker's folder");
    fs::set_permissions(&state, fs::Permissions::from_mode(0o777)).expect("its mode");
    let planted = state.join("history.db");
    symlink(canary.file_of(ROOT), &planted).expect("a link");
    chown(&state, Some(EVE), Some(EVE)).expect("its owner");
    canary.watch_file(&state);
    let refused = owner.lcm(&["apply", "--yes", &manifest]).exits(1);
    assert!(refused.stderr.contains("61003") || refused.stderr.contains("owned by"), "{refused}");
    canary.assert_untouched();
    fs::remove_dir_all(&state).expect("the attacker's folder");
    owner.converges(&manifest);
    assert_eq!(host.servers(), ours, "lost, or doubled");
    owner.goes_down(&manifest);
}

fn a_link_in_the_place_of_a_deleted_state_folder_is_refused() {
    let host = Host::new("mixed");
    let mut owner = host.user(ROOT);
    let mut canary = Canary::new(&host);
    let state = shared_state(&host);
    owner.set("LCM_STATE_DIR", state.display().to_string());
    let manifest = owner.manifest(SLEEPER);
    owner.converges(&manifest);
    let ours = host.servers();
    fs::remove_dir_all(&state).expect("the state folder");
    let target = host.folder_of(KIM, "kims-folder", 0o700);
    canary.watch_file(&target);
    symlink(&target, &state).expect("a link");
    std::os::unix::fs::lchown(&state, Some(EVE), Some(EVE)).expect("its owner");
    owner.lcm(&["apply", "--yes", &manifest]).exits(1);
    assert_eq!(fs::read_dir(&target).expect("the folder").count(), 0, "nothing is written through the link");
    canary.assert_untouched();
    fs::remove_file(&state).expect("the link");
    owner.converges(&manifest);
    assert_eq!(host.servers(), ours, "lost, or doubled");
    owner.goes_down(&manifest);
}

fn a_lock_unlinked_in_mid_run_lets_no_second_run_in() {
    let host = Host::new("mixed");
    let owner = host.user(ROOT);
    let canary = Canary::new(&host);
    let port = free_port();
    let slow = served(port, ", --load, 2s").replace("timeout: 3s", "timeout: 60s");
    let manifest = owner.manifest(&slow);
    let running = owner.start(&["apply", "--yes", &manifest]);
    wait_until("the service loads", || answers(port));
    fs::remove_file(host.lock()).expect("the lock");
    owner.lcm(&["apply", "--yes", &manifest]).exits(6);
    assert_eq!(host.servers().len(), 1, "no second copy");
    let ended = running.end();
    assert!(matches!(ended.code, 0 | 6), "{ended}");
    owner.converges(&manifest);
    assert_eq!(host.servers().len(), 1);
    owner.goes_down(&manifest);
    canary.assert_untouched();
}

fn a_storm_of_marked_processes_bounds_nothing_of_ours() {
    let host = Host::new("mixed");
    let owner = host.user(ROOT);
    let canary = Canary::new(&host);
    let eve = host.attacker(EVE);
    let mut storm = eve.program("sh");
    storm.args(["-c", "while :; do sleep 0.02 & sleep 0.02; done"]);
    storm.envs(forged(&host.name, "api"));
    let storm = eve.spawn(storm);
    let manifest = owner.manifest(SLEEPER);
    owner.converges(&manifest);
    // Short-lived foreign processes: nothing waits for them to end.
    owner.lcm(&["down", "--yes", &manifest]).exits(0);
    assert!(storm.is_alive(), "the storm is not ours");
    storm.signal("KILL");
    canary.assert_untouched();
}

fn hundreds_of_claims_fit_into_memory() {
    const COUNT: usize = 300;
    let host = Host::new("mixed");
    let owner = host.user(ROOT);
    let canary = Canary::new(&host);
    let eve = host.attacker(EVE);
    let mut many = eve.program("sh");
    // Each under another service name, with some 50 KiB of marks.
    let line = format!("i=0; while [ $i -lt {COUNT} ]; do LCM_SERVICE=ghost$i sleep 600 & i=$((i+1)); done; wait");
    many.args(["-c", &line]).envs(forged(&host.name, "ghost")).env("LCM_CONFIG", "x".repeat(50 << 10));
    let many = eve.spawn(many);
    let count = || process::with_variable(&format!("LCM_PROJECT={}", host.name)).len();
    wait_until("all claims live", || count() > COUNT);
    let manifest = owner.manifest(SLEEPER);
    owner.bounded(MEMORY_MIB_MAX, &["apply", "--yes", &manifest]).exits(0);
    let plan = owner.bounded(MEMORY_MIB_MAX, &["plan", "--detailed-exitcode", &manifest]).exits(0);
    assert!(plan.stdout.len() < 1 << 20, "a plan of {} bytes", plan.stdout.len());
    owner.bounded(MEMORY_MIB_MAX, &["down", "--yes", &manifest]).exits(0);
    assert!(count() > COUNT, "claims were ended");
    assert!(many.is_alive());
    canary.assert_untouched();
}

fn a_mark_with_the_largest_environment_fits_into_memory() {
    let host = Host::new("mixed");
    let owner = host.user(ROOT);
    let mut canary = Canary::new(&host);
    // The kernel accepts 128 KiB for one variable, and some 2 MiB in total.
    let value = "y".repeat(120 << 10);
    let names: Vec<String> = (0..12).map(|number| format!("LCM_FILLER_{number}")).collect();
    let mut filler: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), value.as_str())).collect();
    filler.push(("LCM_CONFIG", &value));
    canary.watch_process(host.attacker(EVE).forge("api", &filler));
    let manifest = owner.manifest(SLEEPER);
    owner.bounded(MEMORY_MIB_MAX, &["apply", "--yes", &manifest]).exits(0).hides(&"y".repeat(1000));
    owner.converges(&manifest);
    owner.goes_down(&manifest);
    canary.assert_untouched();
}

fn marks_that_claim_all_memory_and_a_start_in_the_future_move_nothing() {
    let host = Host::new("mixed");
    let mut owner = host.user(ROOT);
    let gpus = host.gpus(&[24_564]);
    owner.use_gpus(&gpus);
    let mut canary = Canary::new(&host);
    let manifest = owner.manifest(
        "  api: { process: { command: [\"@SERVER@\", --port, \"0\", --vram, 18GiB], inherit: [LCM_SIMULATED_GPU] }, vram: 18GiB, stop: { grace: 2s } }",
    );
    let gpu = host.gpu(0);
    for vram in ["99999999", "18446744073709551615", "-1"] {
        let marks = [("LCM_VRAM_MIB", vram), ("LCM_GPUS", gpu.as_str()), ("LCM_STARTED_AT", "2099-01-01T00:00:00Z")];
        canary.watch_process(host.attacker(EVE).forge("ghost", &marks));
        canary.watch_process(host.attacker(EVE).forge("api", &marks));
    }
    owner.converges(&manifest);
    let ours = host.servers();
    owner.converges(&manifest);
    assert_eq!(host.servers(), ours, "restarted by a forged time");
    owner.goes_down(&manifest);
    assert_eq!(gpus.world().overcommitted, [""; 0]);
    canary.assert_untouched();
}

fn a_process_that_ignores_term_under_forged_marks_delays_no_down() {
    let host = Host::new("mixed");
    let owner = host.user(ROOT);
    let mut canary = Canary::new(&host);
    let eve = host.attacker(EVE);
    let mut stubborn = eve.program("sh");
    stubborn.args(["-c", "trap '' TERM INT HUP; while :; do sleep 1; done"]).envs(forged(&host.name, "ghost"));
    stubborn.env("LCM_CONFIG", r#"{"stop":{"grace_ms":18446744073709551615}}"#);
    canary.watch_process(eve.spawn(stubborn));
    let manifest = owner.manifest(SLEEPER);
    owner.converges(&manifest);
    owner.lcm(&["apply", "--yes", "--prune", &manifest]).exits(0);
    owner.goes_down(&manifest);
    canary.assert_untouched();
}

fn a_forged_mark_that_names_the_owners_service_restarts_nothing() {
    let host = Host::new("mixed");
    let owner = host.user(KIM);
    let mut canary = Canary::new(&host);
    let manifest = owner.manifest(SLEEPER);
    owner.converges(&manifest);
    let ours = host.servers();
    for uid in [EVE, ROOT] {
        let marks = [("LCM_SPEC", "v1:dead"), ("LCM_STARTED_AT", "2099-01-01T00:00:00Z"), ("LCM_SALT", "ffff")];
        canary.watch_process(host.attacker(uid).forge("api", &marks));
    }
    owner.converges(&manifest);
    owner.lcm(&["stop", "api", "--yes", "-m", &manifest]).exits(0);
    owner.lcm(&["start", "api", "--yes", "-m", &manifest]).exits(0);
    assert_ne!(host.servers(), ours);
    assert_eq!(host.servers().len(), 1);
    owner.goes_down(&manifest);
    canary.assert_untouched();
}

fn a_users_claim_on_roots_project_leaves_both_alone() {
    let host = Host::new("mixed");
    let (root, kim) = (host.user(ROOT), host.user(KIM));
    let canary = Canary::new(&host);
    let roots = root.manifest(SLEEPER);
    root.converges(&roots);
    let ours = host.servers();
    let kims = kim.manifest(SLEEPER);
    for words in [["apply", "--yes"], ["down", "--yes"]] {
        kim.lcm(&[&words[..], &[&kims]].concat()).exits(1);
    }
    assert_eq!(host.servers(), ours);
    root.converges(&roots);
    root.goes_down(&roots);
    canary.assert_untouched();
}

fn a_paused_process_with_forged_marks_is_not_resumed() {
    let host = Host::new("mixed");
    let owner = host.user(ROOT);
    let canary = Canary::new(&host);
    let paused = host.attacker(EVE).forge("api", &[]);
    paused.signal("STOP");
    wait_until("it is paused", || paused.is_stopped());
    let manifest = owner.manifest(SLEEPER);
    owner.converges(&manifest);
    owner.goes_down(&manifest);
    assert!(paused.is_stopped() && paused.is_alive(), "a foreign process was resumed or ended");
    canary.assert_untouched();
}

fn marks_of_an_attacker_that_change_in_mid_run_move_nothing() {
    let host = Host::new("mixed");
    let owner = host.user(ROOT);
    let canary = Canary::new(&host);
    let eve = host.attacker(EVE);
    let mut changing = eve.program("sh");
    // Each shell executes the next with another salt and time: marks that were just read are stale.
    let line = "n=${1:-0}; [ $n -gt 400 ] && exec sleep 600; sleep 0.01; LCM_SALT=salt$n LCM_SERVICE=s$((n%3)) exec sh \"$0\" $((n+1))";
    let script = eve.write("changing.sh", line.as_bytes());
    changing.arg0("lcm").arg(&script).envs(forged(&host.name, "s0"));
    let changing = eve.spawn(changing);
    let manifest = owner.manifest(&format!("{SLEEPER}\n{}", SLEEPER.replace("api:", "s1:")));
    owner.converges(&manifest);
    owner.lcm(&["apply", "--yes", "--prune", &manifest]).exits(0);
    owner.goes_down(&manifest);
    assert!(changing.is_alive(), "a foreign process was ended");
    canary.assert_untouched();
}

/// Returns forged marks as arguments for `docker run`, with a stop command that leaves a proof on the host.
fn forged_words(host: &Host) -> Vec<String> {
    let config = format!(r#"LCM_CONFIG={{"stop":{{"exec":["/bin/sh","-c","{}"]}}}}"#, host.payload("container"));
    let marks = forged(&host.name, "api").into_iter().map(|(name, value)| format!("{name}={value}"));
    marks.chain([config, "LCM_ROLE=shim".to_owned()]).flat_map(|entry| ["--env".to_owned(), entry]).collect()
}

fn a_container_claims(words: &[&str]) {
    let host = Host::new("mixed");
    let owner = host.user(ROOT);
    let mut canary = Canary::new(&host);
    let marks = forged_words(&host);
    let marks: Vec<&str> = marks.iter().map(String::as_str).collect();
    let container = host.attacker(EVE).container(&[words, &marks].concat(), "trap '' TERM; sleep 600; :");
    canary.watch_container(&container);
    let manifest = owner.manifest(SLEEPER);
    owner.lcm(&["plan", "--detailed-exitcode", &manifest]).exits(2);
    owner.converges(&manifest);
    owner.lcm(&["apply", "--yes", "--prune", &manifest]).exits(0);
    owner.goes_down(&manifest);
    canary.assert_untouched();
}

fn a_container_with_the_hosts_pids_and_forged_marks_is_a_claim() {
    a_container_claims(&["--pid", "host", "--network", "none"]);
}

fn a_container_as_root_without_capabilities_and_with_forged_marks_is_a_claim() {
    a_container_claims(&["--cap-drop", "ALL", "--network", "none", "--user", "0"]);
}
