//! Forged marks in environments and on command lines: none is proof, none is executed, and no number in them counts.

use std::fs;

use serde_json::Value;

use crate::support::process::Identity;
use crate::support::{
    AS_ROOT, Attack, Attacker, Canary, EVE, Host, KIM, MEMORY_MIB_MAX, ROOT, User, WITH_ENGINE, attacks,
};

const API: &str = "  api: { process: { command: [sleep, \"300\"] }, stop: { grace: 1s } }";
/// Number of claims that exceeds the listed maximum.
const CLAIMS_MANY: usize = 150;

pub(crate) fn trials() -> Vec<Attack> {
    attacks![
        AS_ROOT =>
            marks_of_a_project_that_is_not_ours_are_left_alone,
            a_stop_command_of_a_forged_orphan_is_never_executed,
            a_forged_orphan_does_not_hold_up_down_by_its_grace,
            a_forged_orphan_is_not_pruned_and_a_plan_names_pid_and_user,
            a_copied_spec_is_not_the_service_before_its_start,
            a_copied_salt_and_spec_do_not_join_the_running_service,
            a_younger_start_of_a_forger_restarts_nothing,
            a_start_in_the_future_restarts_nothing,
            declared_memory_of_a_forger_blocks_nothing,
            declared_memory_of_a_forged_other_project_blocks_nothing,
            the_path_of_a_forged_member_runs_no_other_stop_program,
            marks_of_roots_own_process_are_a_claim,
            shim_command_lines_of_another_user_lock_no_one_out,
            shim_command_lines_lock_no_user_out_either,
            a_forged_lock_of_another_user_makes_no_shim,
            a_lock_on_roots_own_file_makes_no_shim,
            a_root_of_a_user_namespace_is_not_root,
            many_long_marks_exceed_no_bound,
            names_in_marks_forge_no_lines,
            a_service_that_dropped_its_user_can_not_claim_another_one,
            a_copied_mark_keeps_no_orphan_of_the_owner_alive,
            a_forged_member_of_an_ended_service_is_not_left_of_it;
        WITH_ENGINE =>
            marks_in_a_container_are_a_claim,
            a_shim_command_line_in_a_container_of_root_is_a_claim;
    ]
}

fn marks_of_a_project_that_is_not_ours_are_left_alone() {
    let host = Host::new("marks");
    let owner = host.user(ROOT);
    let mut canary = Canary::new(&host);
    let config = format!(r#"{{"stop":{{"exec":["/bin/sh","-c","{}"]}}}}"#, host.payload("stop"));
    canary.watch_process(
        host.attacker(EVE).forge("ghost", &[("LCM_PROJECT", &format!("{}-other", host.name)), ("LCM_CONFIG", &config)]),
    );
    let manifest = owner.manifest("  api: { process: { command: [sleep, \"300\"] } }");
    owner.converges(&manifest);
    canary.assert_untouched();
    owner.goes_down(&manifest);
    canary.assert_untouched();
}

/// Runs the owner's apply, plan and down beside the planted processes.
#[track_caller]
fn unmoved(owner: &User<'_>, canary: &Canary<'_>, manifest: &str) {
    owner.converges(manifest);
    canary.assert_untouched();
    owner.goes_down(manifest);
    canary.assert_untouched();
}

fn exec_config(host: &Host, tag: &str) -> String {
    format!(r#"{{"spec":{{}},"stop":{{"signal":"KILL","exec":["/bin/sh","-c","{}"]}}}}"#, host.payload(tag))
}

#[track_caller]
fn plan_of(owner: &User<'_>, manifest: &str) -> Value {
    let planned = owner.lcm(&["plan", "--format", "json", manifest]).exits(0);
    serde_json::from_str(&planned.stdout).unwrap_or_else(|error| panic!("{error}\n{planned}"))
}

/// Returns pid and user of each claim in a plan.
#[track_caller]
fn claimed(owner: &User<'_>, manifest: &str) -> Vec<(i64, i64)> {
    let plan = plan_of(owner, manifest);
    let process = |claim: &Value| {
        let process = &claim["claimant"]["process"];
        Some((process["pid"].as_i64()?, process["uid"].as_i64()?))
    };
    plan["claimed"].as_array().into_iter().flatten().filter_map(process).collect()
}

/// Starts a process with the command line of a shim, which runs this shell command.
#[track_caller]
fn shim_line(host: &Host, attacker: &Attacker<'_>, service: &str, line: &str, marks: &[(&str, &str)]) -> Identity {
    attacker.write("__shim", format!("{line}\nsleep 600; :\n").as_bytes());
    let mut command = attacker.program("sh");
    command.args(["__shim", "--project", &host.name, "--service", service]).envs(marks.iter().copied());
    attacker.spawn(command)
}

/// Returns the marks of a running service, as a process that may read its environment could copy them.
#[track_caller]
fn marks_of(host: &Host) -> Vec<(String, String)> {
    let shim = host.shims().into_iter().next().expect("a shim");
    let environ = fs::read(format!("/proc/{}/environ", shim.pid)).expect("its environment");
    let text = String::from_utf8_lossy(&environ).into_owned();
    let pairs = text.split('\0').filter_map(|entry| entry.split_once('='));
    let marks = pairs.filter(|(name, _)| name.starts_with("LCM_") && *name != "LCM_ROLE");
    marks.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn borrowed(marks: &[(String, String)]) -> Vec<(&str, &str)> {
    marks.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

fn a_stop_command_of_a_forged_orphan_is_never_executed() {
    let host = Host::new("marks");
    let owner = host.user(ROOT);
    let mut canary = Canary::new(&host);
    let config = exec_config(&host, "orphan");
    canary.watch_process(host.attacker(EVE).forge("ghost", &[("LCM_CONFIG", &config)]));
    let manifest = owner.manifest(API);
    unmoved(&owner, &canary, &manifest);
}

fn a_forged_orphan_does_not_hold_up_down_by_its_grace() {
    let host = Host::new("marks");
    let owner = host.user(ROOT);
    let mut canary = Canary::new(&host);
    let eve = host.attacker(EVE);
    let mut unreadable = eve.program("sh");
    unreadable.args(["-c", "trap '' TERM; sleep 600; :"]);
    unreadable.envs([("LCM_PROJECT", host.name.as_str()), ("LCM_SERVICE", "ghost"), ("LCM_SALT", "x")]);
    unreadable.env("LCM_CONFIG", r#"{"stop":{"grace_ms":18446744073709551615}}"#);
    canary.watch_process(eve.spawn(unreadable));
    let manifest = owner.manifest(API);
    unmoved(&owner, &canary, &manifest);
}

fn a_forged_orphan_is_not_pruned_and_a_plan_names_pid_and_user() {
    let host = Host::new("marks");
    let owner = host.user(ROOT);
    let mut canary = Canary::new(&host);
    let ghost = host.attacker(EVE).forge("ghost", &[]);
    canary.watch_process(ghost);
    let manifest = owner.manifest(API);
    owner.converges(&manifest);
    owner.lcm(&["apply", "--yes", "--prune", &manifest]).exits(0);
    canary.assert_untouched();
    assert_eq!(claimed(&owner, &manifest), [(i64::from(ghost.pid), i64::from(EVE))]);
    for words in [&["plan"][..], &["plan", "--format", "markdown"], &["plan", "--format", "html"], &["status"]] {
        let shown = owner.lcm(&[words, &[manifest.as_str()]].concat()).exits(0);
        assert!(shown.stdout.contains(&ghost.pid.to_string()), "{shown}");
        assert!(shown.stdout.contains(&EVE.to_string()), "{shown}");
    }
    assert!(plan_of(&owner, &manifest)["orphans"].as_array().is_some_and(Vec::is_empty));
    owner.goes_down(&manifest);
    canary.assert_untouched();
}

fn a_copied_spec_is_not_the_service_before_its_start() {
    let host = Host::new("marks");
    let owner = host.user(ROOT);
    let mut canary = Canary::new(&host);
    let manifest = owner.manifest(API);
    owner.converges(&manifest);
    let marks = marks_of(&host);
    owner.goes_down(&manifest);
    canary.watch_process(host.attacker(EVE).sleeper(&borrowed(&marks)));
    let plan = plan_of(&owner, &manifest);
    assert_eq!(plan["steps"][0]["id"], "start:api", "{plan}");
    unmoved(&owner, &canary, &manifest);
}

fn a_copied_salt_and_spec_do_not_join_the_running_service() {
    let host = Host::new("marks");
    let owner = host.user(ROOT);
    let mut canary = Canary::new(&host);
    let manifest = owner.manifest(API);
    owner.converges(&manifest);
    canary.watch_process(host.attacker(EVE).sleeper(&borrowed(&marks_of(&host))));
    owner.lcm(&["plan", "--detailed-exitcode", &manifest]).exits(0);
    owner.lcm(&["restart", "-m", &manifest, "--yes", "api"]).exits(0);
    canary.assert_untouched();
    owner.lcm(&["stop", "-m", &manifest, "--yes", "api"]).exits(0);
    canary.assert_untouched();
    assert!(host.shims().is_empty(), "the service itself is stopped");
    unmoved(&owner, &canary, &manifest);
}

fn a_younger_start_of_a_forger_restarts_nothing() {
    let host = Host::new("marks");
    let owner = host.user(ROOT);
    let mut canary = Canary::new(&host);
    let manifest = owner.manifest(API);
    owner.converges(&manifest);
    let shims = host.shims();
    let now = jiff::Timestamp::now().to_string();
    canary.watch_process(host.attacker(EVE).forge("api", &[("LCM_SPEC", "v1:dead"), ("LCM_STARTED_AT", &now)]));
    owner.lcm(&["apply", "--yes", "--detailed-exitcode", &manifest]).exits(0);
    assert_eq!(host.shims(), shims);
    unmoved(&owner, &canary, &manifest);
}

fn a_start_in_the_future_restarts_nothing() {
    let host = Host::new("marks");
    let owner = host.user(ROOT);
    let mut canary = Canary::new(&host);
    let manifest = owner.manifest(API);
    owner.converges(&manifest);
    let shims = host.shims();
    let future = ("LCM_STARTED_AT", "2099-01-01T00:00:00Z");
    canary.watch_process(host.attacker(EVE).forge("api", &[("LCM_SPEC", "v1:dead"), future]));
    owner.lcm(&["apply", "--yes", "--detailed-exitcode", &manifest]).exits(0);
    assert_eq!(host.shims(), shims);
    unmoved(&owner, &canary, &manifest);
}

/// Runs a service with half of the only GPU, beside marks that claim all of it and more.
fn beside_claimed_memory(host: &Host, more: &[(&str, &str)]) {
    let gpus = host.gpus(&[24_564]);
    let mut owner = host.user(ROOT);
    owner.use_gpus(&gpus);
    let mut canary = Canary::new(host);
    let manifest = owner.manifest("  api: { process: { command: [sleep, \"300\"] }, stop: { grace: 1s }, vram: 12GB }");
    let plan = plan_of(&owner, &manifest);
    let gpu = plan["gpus"][0]["id"].as_str().expect("a GPU").to_owned();
    let claims = [("LCM_VRAM_MIB", "99999999"), ("LCM_GPUS", gpu.as_str())];
    canary.watch_process(host.attacker(EVE).forge("ghost", &[&claims[..], more].concat()));
    unmoved(&owner, &canary, &manifest);
}

fn declared_memory_of_a_forger_blocks_nothing() {
    beside_claimed_memory(&Host::new("marks"), &[]);
}

fn declared_memory_of_a_forged_other_project_blocks_nothing() {
    let host = Host::new("marks");
    let other = format!("{}-other", host.name);
    beside_claimed_memory(&host, &[("LCM_PROJECT", &other)]);
}

fn the_path_of_a_forged_member_runs_no_other_stop_program() {
    let host = Host::new("marks");
    let owner = host.user(ROOT);
    let mut canary = Canary::new(&host);
    let eve = host.attacker(EVE);
    let forged = eve.write("stopper", format!("#!/bin/sh\n{}\n", host.payload("path")).as_bytes());
    fs::set_permissions(&forged, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("executable");
    let stopper = owner.write("bin/stopper", "#!/bin/sh\necho stopped >>\"$HOME/stopped\"\nexit 1\n");
    fs::set_permissions(&stopper, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("executable");
    let bin = stopper.parent().expect("a folder").display().to_string();
    let manifest = owner.manifest(&format!(
        "  api: {{ process: {{ command: [sleep, \"300\"], environment: {{ PATH: \"{bin}:/usr/bin:/bin\" }} }}, stop: {{ exec: [stopper], grace: 1s }} }}"
    ));
    owner.converges(&manifest);
    let path = eve.path("").display().to_string();
    let marks = marks_of(&host);
    let mut member = eve.program("/bin/sleep");
    member.arg("600").envs(borrowed(&marks)).env("PATH", &path);
    canary.watch_process(eve.spawn(member));
    owner.goes_down(&manifest);
    canary.assert_untouched();
    unmoved(&owner, &canary, &manifest);
}

fn marks_of_roots_own_process_are_a_claim() {
    let host = Host::new("marks");
    let owner = host.user(ROOT);
    let mut canary = Canary::new(&host);
    let config = exec_config(&host, "root");
    // Root daemon whose environment comes from another user.
    let daemon = host.attacker(ROOT).forge("ghost", &[("LCM_CONFIG", &config)]);
    canary.watch_process(daemon);
    let manifest = owner.manifest(API);
    owner.converges(&manifest);
    assert_eq!(claimed(&owner, &manifest), [(i64::from(daemon.pid), 0)]);
    unmoved(&owner, &canary, &manifest);
}

/// Applies beside shim command lines of another user, for a service of the manifest and for an unknown one.
fn beside_shim_lines(owner_uid: u32) {
    let host = Host::new("marks");
    let owner = host.user(owner_uid);
    let mut canary = Canary::new(&host);
    let eve = host.attacker(EVE);
    let forged = shim_line(&host, &eve, "api", ":", &[]);
    canary.watch_process(forged);
    canary.watch_process(eve.fake_shim("ghost", &[]));
    let manifest = owner.manifest(API);
    owner.lcm(&["plan", &manifest]).exits(0);
    owner.converges(&manifest);
    let claims = claimed(&owner, &manifest);
    assert!(claims.contains(&(i64::from(forged.pid), i64::from(EVE))), "{claims:?}");
    unmoved(&owner, &canary, &manifest);
}

fn shim_command_lines_of_another_user_lock_no_one_out() {
    beside_shim_lines(ROOT);
}

fn shim_command_lines_lock_no_user_out_either() {
    beside_shim_lines(KIM);
}

fn a_forged_lock_of_another_user_makes_no_shim() {
    let host = Host::new("marks");
    let owner = host.user(ROOT);
    let mut canary = Canary::new(&host);
    let manifest = owner.manifest(API);
    owner.converges(&manifest);
    let marks = marks_of(&host);
    let eve = host.attacker(EVE);
    // Everything that a shim has, except the owner's user ids.
    let line = format!("mkdir -p projects/{0}/api; exec 9>projects/{0}/api/lock; flock 9; echo >locked", host.name);
    let forged = shim_line(&host, &eve, "api", &line, &borrowed(&marks));
    canary.watch_process(forged);
    until(|| eve.path("locked").exists());
    assert_eq!(claimed(&owner, &manifest), [(i64::from(forged.pid), i64::from(EVE))]);
    owner.lcm(&["plan", "--detailed-exitcode", &manifest]).exits(0);
    unmoved(&owner, &canary, &manifest);
}

fn a_lock_on_roots_own_file_makes_no_shim() {
    let host = Host::new("marks");
    let owner = host.user(ROOT);
    let mut canary = Canary::new(&host);
    let folder = host.folder_of(ROOT, &format!("old/projects/{}/api", host.name), 0o755);
    fs::write(folder.join("lock"), "").expect("a lock file of root's that all can read");
    let manifest = owner.manifest(API);
    let eve = host.attacker(EVE);
    let line = format!("exec 9<{}; flock 9; echo >locked", folder.join("lock").display());
    let forged =
        shim_line(&host, &eve, "api", &line, &[("LCM_PROJECT", &host.name), ("LCM_SERVICE", "api"), ("LCM_SALT", "x")]);
    canary.watch_process(forged);
    until(|| eve.path("locked").exists());
    assert_eq!(plan_of(&owner, &manifest)["steps"][0]["id"], "start:api");
    unmoved(&owner, &canary, &manifest);
}

fn a_root_of_a_user_namespace_is_not_root() {
    let host = Host::new("marks");
    let owner = host.user(ROOT);
    let mut canary = Canary::new(&host);
    let eve = host.attacker(EVE);
    let mut command = eve.program("unshare");
    command.args(["-U", "-r", "sleep", "600"]);
    let config = exec_config(&host, "userns");
    command.envs([("LCM_PROJECT", host.name.as_str()), ("LCM_SERVICE", "ghost"), ("LCM_SALT", "x")]);
    command.env("LCM_CONFIG", config);
    canary.watch_process(eve.spawn(command));
    let manifest = owner.manifest(API);
    unmoved(&owner, &canary, &manifest);
}

fn many_long_marks_exceed_no_bound() {
    let host = Host::new("marks");
    let owner = host.user(ROOT);
    let (mut canary, eve) = (Canary::new(&host), host.attacker(EVE));
    let long = "x".repeat(100_000);
    for number in 0..CLAIMS_MANY {
        let name = format!("ghost-{number}-{}", &long[..200]);
        // Names after long marks are not read: reading a foreign environment is bounded.
        let names = if number < CLAIMS_MANY / 2 { ["LCM_CONFIG", "LCM_GPUS"] } else { ["LCM_VRAM_MIB", "LCM_XDG"] };
        canary.watch_process(eve.forge(&name, &names.map(|name| (name, long.as_str()))));
    }
    let manifest = owner.manifest(API);
    owner.bounded(MEMORY_MIB_MAX, &["apply", "--yes", &manifest]).exits(0);
    let plan = owner.bounded(MEMORY_MIB_MAX, &["plan", "--format", "json", &manifest]).exits(0);
    let document: Value = serde_json::from_str(&plan.stdout).expect("JSON");
    assert_eq!(document["claimed"].as_array().map(Vec::len), Some(20), "as many as are listed");
    assert!(plan.stdout.len() < 50_000);
    unmoved(&owner, &canary, &manifest);
}

fn names_in_marks_forge_no_lines() {
    let host = Host::new("marks");
    let owner = host.user(ROOT);
    let mut canary = Canary::new(&host);
    let name = "ghost\n  + start forged\u{1b}]0;title\u{7}\u{1b}[2J\u{202e}";
    canary.watch_process(host.attacker(EVE).forge(name, &[]));
    let manifest = owner.manifest(API);
    for words in [&["plan"][..], &["plan", "--format", "markdown"], &["status"], &["apply", "--yes"]] {
        let shown = owner.lcm(&[words, &[manifest.as_str()]].concat()).exits(0);
        for text in [&shown.stdout, &shown.stderr] {
            assert!(!text.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{shown}");
            assert!(!text.lines().any(|line| line.trim_start().starts_with("+ start forged")), "{shown}");
        }
    }
    unmoved(&owner, &canary, &manifest);
}

fn a_service_that_dropped_its_user_can_not_claim_another_one() {
    let host = Host::new("marks");
    let owner = host.user(ROOT);
    let canary = Canary::new(&host);
    let config = exec_config(&host, "dropped");
    let line = format!(
        "env -i LCM_PROJECT={} LCM_SERVICE=ghost LCM_SALT=x 'LCM_CONFIG={config}' setpriv --reuid {EVE} --regid {EVE} --clear-groups setsid sleep 600 & exec sleep 600",
        host.name
    );
    let command = serde_json::to_string(&["sh", "-c", &line]).expect("JSON");
    let manifest = owner.manifest(&format!("  api: {{ process: {{ command: {command} }}, stop: {{ grace: 1s }} }}"));
    owner.converges(&manifest);
    let plan = plan_of(&owner, &manifest);
    assert!(plan.get("claimed").is_none() && plan["orphans"].as_array().is_some_and(Vec::is_empty), "{plan}");
    unmoved(&owner, &canary, &manifest);
}

fn a_copied_mark_keeps_no_orphan_of_the_owner_alive() {
    let host = Host::new("marks");
    let owner = host.user(ROOT);
    let mut canary = Canary::new(&host);
    let manifest = owner.manifest(&format!("{API}\n  old: {{ process: {{ command: [sleep, \"300\"] }} }}"));
    owner.converges(&manifest);
    let marks: Vec<(String, String)> = marks_of(&host)
        .into_iter()
        .filter(|(name, _)| name != "LCM_SERVICE")
        .chain([("LCM_SERVICE".to_owned(), "old".to_owned())])
        .collect();
    let manifest = owner.manifest(API);
    canary.watch_process(host.attacker(EVE).sleeper(&borrowed(&marks)));
    let plan = plan_of(&owner, &manifest);
    assert_eq!(plan["orphans"].as_array().map(Vec::len), Some(1), "{plan}");
    assert!(plan["orphans"][0]["message"].as_str().is_some_and(|text| text.contains("of uid 0")), "{plan}");
    owner.lcm(&["apply", "--yes", "--prune", &manifest]).exits(0);
    assert_eq!(host.shims().len(), 1, "the owner's own orphan is stopped");
    unmoved(&owner, &canary, &manifest);
}

fn a_forged_member_of_an_ended_service_is_not_left_of_it() {
    let host = Host::new("marks");
    let owner = host.user(ROOT);
    let mut canary = Canary::new(&host);
    let manifest = owner.manifest(API);
    owner.converges(&manifest);
    let marks = marks_of(&host);
    canary.watch_process(host.attacker(EVE).sleeper(&borrowed(&marks)));
    // The service exits: a process that claims to be part of it does not make it look degraded.
    for process in host.shims() {
        for child in fs::read_to_string(format!("/proc/{0}/task/{0}/children", process.pid))
            .unwrap_or_default()
            .split_whitespace()
        {
            Identity::of(child.parse().expect("a pid")).expect("it lives").signal("KILL");
        }
        until(|| !process.is_alive());
    }
    let plan = plan_of(&owner, &manifest);
    assert_eq!(plan["steps"].as_array().map(Vec::len), Some(1), "{plan}");
    assert_eq!(plan["steps"][0]["id"], "start:api", "{plan}");
    unmoved(&owner, &canary, &manifest);
}

fn marks_in_a_container_are_a_claim() {
    let host = Host::new("marks");
    let owner = host.user(ROOT);
    let mut canary = Canary::new(&host);
    let config = exec_config(&host, "container");
    let entries = [
        format!("LCM_PROJECT={}", host.name),
        "LCM_SERVICE=ghost".to_owned(),
        "LCM_SALT=x".to_owned(),
        format!("LCM_CONFIG={config}"),
    ];
    let mut words = vec!["--user", "12345", "--cap-drop", "ALL", "--network", "none"];
    words.extend(entries.iter().flat_map(|entry| ["--env", entry.as_str()]));
    canary.watch_container(&host.attacker(EVE).container(&words, "sleep 600"));
    let manifest = owner.manifest(API);
    owner.converges(&manifest);
    let claims = claimed(&owner, &manifest);
    assert!(!claims.is_empty() && claims.iter().all(|(_, uid)| *uid == 12_345), "{claims:?}");
    unmoved(&owner, &canary, &manifest);
}

fn a_shim_command_line_in_a_container_of_root_is_a_claim() {
    let host = Host::new("marks");
    let owner = host.user(ROOT);
    let mut canary = Canary::new(&host);
    let script = format!(
        "mkdir -p /projects/{0}/api; cd /; echo 'sleep 600; :' >__shim; exec sh __shim --project {0} --service api",
        host.name
    );
    let words = ["--env", &format!("LCM_PROJECT={}", host.name), "--env", "LCM_SERVICE=api", "--env", "LCM_SALT=x"];
    canary.watch_container(&host.attacker(EVE).container(&words, &script));
    let manifest = owner.manifest(API);
    unmoved(&owner, &canary, &manifest);
}

/// Waits for an immediate effect of the attacker.
#[track_caller]
fn until(mut is_so: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_mins(1);
    while !is_so() {
        assert!(std::time::Instant::now() < deadline, "it did not happen within a minute");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}
