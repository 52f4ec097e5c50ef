//! Refusals: errors that are reported before anything changes, such as bad manifests, a missing engine, ports in use.

use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::Path;

#[expect(dead_code, reason = "each test program uses a part of it")]
#[path = "support/sandbox.rs"]
mod sandbox;
#[path = "support/server.rs"]
mod server;

use sandbox::{Ran, Sandbox, answers, free_port};

const HEAD: &str = "version: 1
name: \"@NAME@\"
gpus: { devices: [{ index: 0, uuid: \"@GPU@\", vram: 24GiB }] }
";

/// Writes the manifest, applies it, and takes it down at the end.
#[track_caller]
fn apply(sandbox: &mut Sandbox, text: &str) -> Ran {
    let manifest = sandbox.write("lcm.yaml", text);
    sandbox.take_down(&manifest);
    sandbox.lcm(&[Path::new("apply"), Path::new("--yes"), &manifest])
}

#[test]
fn no_file() {
    let sandbox = Sandbox::new("refusal");
    sandbox.lcm(&["plan"]).exits(1).says("lcm.yaml");
    sandbox.lcm(&["apply", "--yes", "nowhere/at-all.yaml"]).exits(1).says("nowhere/at-all.yaml");
}

#[test]
fn an_empty_file() {
    let mut sandbox = Sandbox::new("refusal");
    apply(&mut sandbox, "").exits(1).says("lcm.yaml");
}

#[test]
fn not_yaml() {
    let mut sandbox = Sandbox::new("refusal");
    apply(&mut sandbox, "services: [a, {b: ]\n\t- c\n").exits(1).says("lcm.yaml").hides("panicked");
    apply(&mut sandbox, "\u{1}\u{2}\u{0}").exits(1).hides("panicked");
}

#[test]
fn an_alias_bomb() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        let _ = writeln!(text, "a{level}: &a{level} [{aliases}]");
    }
    let mut sandbox = Sandbox::new("refusal");
    apply(&mut sandbox, &text).exits(1).says("lcm.yaml").hides("panicked");
}

#[test]
fn ten_megabytes_of_nesting() {
    let mut sandbox = Sandbox::new("refusal");
    apply(&mut sandbox, &"[".repeat(10 << 20)).exits(1).says("lcm.yaml").hides("overflow");
}

#[test]
fn an_unknown_mode_lists_the_modes_of_the_manifest() {
    let sandbox = Sandbox::new("refusal");
    let text = format!(
        "{HEAD}services: {{ a: {{ process: {{ command: [sleep, \"60\"] }} }} }}\nmodes: {{ day: {{ services: [a] }}, night: {{ services: [] }} }}\n"
    );
    let manifest = sandbox.write("lcm.yaml", &text);
    let manifest = manifest.to_str().expect("UTF-8");
    sandbox.lcm(&["plan", "--mode", "dusk", manifest]).exits(1).says("dusk").says("day").says("night");
    sandbox.lcm(&["plan", manifest]).exits(1).says("day").says("night");
}

#[test]
fn a_port_held_by_a_foreign_process_is_named_with_its_holder() {
    let mut sandbox = Sandbox::new("refusal");
    let foreign = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = foreign.local_addr().expect("an address").port();
    let ran =
        apply(&mut sandbox, &format!("{HEAD}services:\n{}{}", server("taken", port), server("free", free_port())));
    ran.exits(4).says("taken").says(&port.to_string()).says(&std::process::id().to_string());
    assert_eq!(sandbox.servers().len(), 1, "the other one runs");
}

#[test]
fn no_engine() {
    let mut sandbox = Sandbox::new("refusal");
    let socket = sandbox.path("no-engine.sock").display().to_string();
    sandbox.set("DOCKER_HOST", format!("unix://{socket}"));
    let text = format!("{HEAD}services: {{ a: {{ docker: {{ image: nothing, gpu_access: none }} }} }}\n");
    apply(&mut sandbox, &text).exits(1).says("no-engine.sock");
}

#[test]
fn a_remote_engine_from_the_environment() {
    let mut sandbox = Sandbox::new("refusal");
    sandbox.set("DOCKER_HOST", "tcp://127.0.0.1:1");
    let text = format!("{HEAD}services: {{ a: {{ docker: {{ image: nothing, gpu_access: none }} }} }}\n");
    apply(&mut sandbox, &text).exits(1).says("tcp://127.0.0.1:1");
}

#[test]
fn a_missing_command_leaves_the_old_service_running() {
    let mut sandbox = Sandbox::new("refusal");
    let port = free_port();
    apply(&mut sandbox, &format!("{HEAD}services:\n{}", server("one", port))).exits(0);
    let before = sandbox.servers();
    let broken = server("one", port).replace("@SERVER@", "@SERVER@-that-is-not-there");
    let ran = apply(&mut sandbox, &format!("{HEAD}services:\n{broken}"));
    assert!(matches!(ran.code, 3 | 4), "{ran}");
    ran.says("model_server-that-is-not-there");
    assert_eq!(sandbox.servers(), before);
    assert!(answers(port));
}

#[test]
fn a_variable_that_is_not_set() {
    let mut sandbox = Sandbox::new("refusal");
    let text = format!("{HEAD}services: {{ a: {{ process: {{ command: [\"${{NO_SUCH_PROGRAM}}\"] }} }} }}\n");
    apply(&mut sandbox, &text).exits(1).says("NO_SUCH_PROGRAM").says("lcm.yaml:4");
}

#[test]
fn a_missing_secret_blocks_its_service_alone() {
    let mut sandbox = Sandbox::new("refusal");
    let secret =
        server("locked", free_port()).replace("process: { ", "process: { environment: { KEY: { env: NO_SUCH_KEY } }, ");
    let ran = apply(&mut sandbox, &format!("{HEAD}services:\n{secret}{}", server("free", free_port())));
    ran.exits(4).says("locked").says("NO_SUCH_KEY");
    assert_eq!(sandbox.servers().len(), 1, "the other one runs");
}

#[test]
fn a_secret_reaches_its_service_and_no_output() {
    let mut sandbox = Sandbox::new("refusal");
    sandbox.set("REAL_KEY", "hf_do_not_show_this");
    let port = free_port();
    let secret = server("locked", port).replace("process: { ", "process: { environment: { KEY: { env: REAL_KEY } }, ");
    let ran = apply(&mut sandbox, &format!("{HEAD}services:\n{secret}"));
    ran.exits(0).hides("hf_do_not_show_this");
    let mut get = std::process::Command::new(sandbox.path("model_server"));
    get.args(["--get", &format!("http://127.0.0.1:{port}/env/KEY")]);
    sandbox::run(get, "model_server --get").exits(0).says("hf_do_not_show_this");
    let manifest = sandbox.path("lcm.yaml");
    sandbox.lcm(&[Path::new("plan"), Path::new("--format"), Path::new("json"), &manifest]).hides("hf_do_not");
}

#[test]
fn an_env_file_that_can_not_be_read() {
    let mut sandbox = Sandbox::new("refusal");
    std::fs::create_dir(sandbox.path("secrets.env")).expect("a folder where a file should be");
    let text =
        format!("{HEAD}services:\n  a: {{ docker: {{ image: nothing, env_file: secrets.env, gpu_access: none }} }}\n");
    let ran = apply(&mut sandbox, &text);
    assert!(matches!(ran.code, 1 | 4), "{ran}");
    ran.says("secrets.env");
}

#[test]
fn a_state_folder_that_can_not_be_created() {
    let mut sandbox = Sandbox::new("refusal");
    let file = sandbox.write("a-file", "");
    sandbox.set("LCM_STATE_DIR", file.join("state").display().to_string());
    apply(&mut sandbox, &format!("{HEAD}services:\n{}", server("one", free_port()))).exits(1).says("a-file");
    assert_eq!(sandbox.servers(), [], "nothing was started");
}

#[test]
fn a_wrong_command_line() {
    let sandbox = Sandbox::new("refusal");
    sandbox.lcm(&["plan", "--no-such-flag"]).exits(64).says("--no-such-flag");
    sandbox.lcm(&["dance"]).exits(64);
}

/// Returns the manifest of a service that answers on its port.
fn server(name: &str, port: u16) -> String {
    format!(
        "  {name}:
    process: {{ command: [\"@SERVER@\", --port, \"{port}\"] }}
    stop: {{ grace: 2s }}
    vram: 1GB
    health: {{ http: \"http://127.0.0.1:{port}/health\", timeout: 30s }}
"
    )
}
