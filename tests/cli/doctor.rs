//! `lcm doctor` on this machine: with and without a manifest, and with parts of the machine broken.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::Path;

use serde_json::Value;

use crate::lcm::{Lcm, Ran, studio};

/// Returns a call with an endpoint at which there is no engine, so that no test depends on this machine's.
fn doctor(folder: &Path, words: &[&str]) -> Lcm {
    let nowhere = format!("unix://{}", folder.join("no-engine.sock").display());
    Lcm::new(folder).args(&["doctor"]).args(words).env("DOCKER_HOST", &nowhere)
}

/// Returns level, finding and help of the first line of a check.
#[track_caller]
fn line(ran: &Ran, check: &str) -> (String, String, String) {
    let report = ran.json();
    let checks = report["checks"].as_array().expect("a list");
    let found = checks.iter().find(|found| found["check"] == check).unwrap_or_else(|| panic!("no {check}\n{ran}"));
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let help: Vec<String> = found["help"].as_array().expect("a list").iter().map(text).collect();
    (text(&found["level"]), text(&found["found"]), help.join("\n"))
}

#[test]
fn a_machine_without_a_manifest_an_engine_or_a_gpu_is_ready() {
    let folder = tempfile::tempdir().expect("a folder");
    let ran = doctor(folder.path(), &["--format", "json"]).run().code(0);
    let report = ran.json();
    assert_eq!((&report["format"], &report["passed"]), (&"lcm.doctor/1".into(), &true.into()));
    assert_eq!(report["manifest"], Value::Null);
    let (level, found, help) = line(&ran, "docker_engine");
    assert_eq!(level, "skip", "{ran}");
    assert!(found.contains("no-engine.sock") && help.contains("docs.docker.com/engine/install"), "{ran}");
    assert_eq!(line(&ran, "gpu_driver").0, "skip");
    assert_eq!(line(&ran, "lock").0, "ok");
    assert_eq!(line(&ran, "state_folder").0, "ok");
    assert_eq!(line(&ran, "process_survival").0.len(), 2, "processes outlive the tests of this machine\n{ran}");
    assert_eq!(fs::read_dir(folder.path()).expect("there").count(), 0, "nothing is left behind");
    let text = doctor(folder.path(), &[]).run().code(0);
    assert!(text.stdout.lines().any(|line| line.starts_with("ok    lock ")), "{text}");
    text.stdout_has("Ready: ").stdout_has("no manifest here");
}

#[test]
fn a_manifest_makes_its_needs_failures() {
    let folder = studio();
    // It declares a GPU, and no service is a container.
    let ran = doctor(folder.path(), &["--format", "json"]).run().code(0);
    assert_eq!(ran.json()["manifest"], "lcm.yaml");
    assert_eq!(line(&ran, "docker_engine").0, "skip");
    assert!(line(&ran, "manifest").1.contains("lcm.yaml is valid (3 services)"), "{ran}");
    let text = "version: 1\nname: one\nservices: { one: { docker: { image: none } } }\n";
    fs::write(folder.path().join("docker.yaml"), text).expect("written");
    let ran = doctor(folder.path(), &["docker.yaml", "--format", "json"]).run().code(1);
    assert_eq!(line(&ran, "docker_engine").0, "fail");
    doctor(folder.path(), &["-f", "docker.yaml"])
        .run()
        .code(1)
        .stdout_has("fail  docker engine")
        .stdout_has("Not ready");
    fs::write(folder.path().join("bad.yaml"), "version: 1\nname: bad\nservices: { a: {} }\n").expect("written");
    let ran = doctor(folder.path(), &["bad.yaml", "--format", "json"]).run().code(1);
    let (level, _, help) = line(&ran, "manifest");
    assert!(level == "fail" && help.contains("lcm validate bad.yaml"), "{ran}");
}

/// An engine that accepts connections and never answers must not delay the report without end.
#[test]
fn an_engine_that_hangs_is_named_with_its_deadline() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("hangs.sock");
    let listener = UnixListener::bind(&socket).expect("a socket");
    let host = format!("unix://{}", socket.display());
    let ran = doctor(folder.path(), &["--format", "json"]).env("DOCKER_HOST", &host).run().code(1);
    let (level, found, help) = line(&ran, "docker_engine");
    assert_eq!(level, "fail", "{ran}");
    assert!(found.contains("does not answer within") && help.contains("docker version"), "{ran}");
    // Nothing listens at a socket that is left of an engine.
    drop(listener);
    let ran = doctor(folder.path(), &["--format", "json"]).env("DOCKER_HOST", &host).run().code(1);
    assert!(line(&ran, "docker_engine").1.contains("the engine is not running"), "{ran}");
    let remote = doctor(folder.path(), &["--format", "json"]).env("DOCKER_HOST", "tcp://10.0.0.5:2375").run().code(1);
    assert!(line(&remote, "docker_engine").1.contains("DOCKER_HOST points to tcp://10.0.0.5:2375"), "{remote}");
}

#[test]
fn a_state_folder_that_lcm_does_not_use_has_its_repair() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    fs::create_dir(&state).expect("made");
    let with_mode = |mode| {
        fs::set_permissions(&state, Permissions::from_mode(mode)).expect("set");
        doctor(folder.path(), &["--format", "json"]).run()
    };
    let open = with_mode(0o777).code(1);
    let (level, found, help) = line(&open, "state_folder");
    assert_eq!(level, "fail", "{open}");
    assert!(found.contains("mode 0777") && help.contains(&format!("chmod go-w {}", state.display())), "{open}");
    assert_eq!(line(&open, "store").0, "skip");
    assert_eq!(line(&with_mode(0o755).code(0), "state_folder").0, "warn");
    assert_eq!(line(&with_mode(0o700).code(0), "state_folder").0, "ok");
    fs::write(state.join("lcm.db"), "not a database, but long enough for one".repeat(10)).expect("written");
    assert_eq!(line(&with_mode(0o700).code(1), "store").0, "fail");
}

#[test]
fn a_held_lock_is_named_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("lcm.lock");
    let holder =
        r#"{"pid": 4711, "user": "kim", "command": "lcm apply", "since": "2026-11-20T10:00:00Z", "project": "studio"}"#;
    fs::write(&path, holder).expect("written");
    let lock = File::open(&path).expect("there");
    lock.lock().expect("locked");
    let ran = doctor(folder.path(), &["--format", "json"]).run().code(0);
    let (level, found, help) = line(&ran, "lock");
    assert_eq!(level, "warn", "{ran}");
    assert!(found.contains("`lcm apply` of kim (pid 4711") && help.contains("--lock-timeout"), "{ran}");
    assert_eq!(fs::read_to_string(&path).expect("there"), holder);
    drop(lock);
    assert_eq!(line(&doctor(folder.path(), &["--format", "json"]).run().code(0), "lock").0, "ok");
    let below_a_file = path.join("lock").display().to_string();
    let nowhere = doctor(folder.path(), &["--format", "json"]).env("LCM_LOCK", &below_a_file).run().code(1);
    assert_eq!(line(&nowhere, "lock").0, "fail");
}
