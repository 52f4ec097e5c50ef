//! A draft from a recorded machine: its first plan changes nothing, with any running services.

use std::fs;

use insta::assert_snapshot;
use tempfile::TempDir;

use crate::lcm::Lcm;

/// Two GPUs; containers in every state, of Compose and plain; a desktop and a user's script.
const WORLD: &str = r#"{
  "format": "lcm.world/1", "host": "box", "observed_at": "2026-11-20T10:00:00Z",
  "containers": { "known": [
    { "id": "a1", "name": "chat-ollama-1", "image": "ollama/ollama", "state": "running", "compose_project": "chat",
      "ports": [11434], "restart_policy": "unless-stopped" },
    { "id": "a2", "name": "chat-webui-1", "image": "open-webui", "state": "running", "compose_project": "chat",
      "health": "healthy", "ports": [3000] },
    { "id": "a3", "name": "chat-sick-1", "image": "x", "state": "running", "compose_project": "chat", "health": "unhealthy" },
    { "id": "b1", "name": "comfyui", "image": "comfy", "state": "exited", "exit_code": 0 },
    { "id": "b2", "name": "crashed", "image": "comfy", "state": "exited", "exit_code": 1 },
    { "id": "b3", "name": "flapping", "image": "comfy", "state": "restarting" },
    { "id": "b4", "name": "frozen", "image": "comfy", "state": "paused" },
    { "id": "b5", "name": "whisper", "image": "whisper", "state": "running" },
    { "id": "b6", "name": "fresh", "image": "x", "state": "created" },
    { "id": "c1", "name": "studio-tts", "image": "tts", "state": "running",
      "marks": { "project": "studio", "service": "tts", "salt": "x", "gpus": "GPU-1", "vram_mib": 1000 } }
  ] },
  "gpus": { "known": [
    { "id": "GPU-0", "index": 0, "name": "RTX 4090", "capacity": 24564, "used": 8192, "reserved": 100, "holders": [
      { "pid": 1001, "program": "ollama", "memory": 5913, "owner": { "container": "a1" } },
      { "pid": 1002, "program": "python3", "memory": 1900, "owner": { "container": "b5" } },
      { "pid": 900, "program": "Xorg", "memory": 379, "owner": "stranger" }
    ] },
    { "id": "GPU-1", "index": 1, "name": "RTX 4090", "capacity": 24564, "used": 1000, "reserved": 100, "holders": [
      { "pid": 1003, "program": "tts", "memory": 1000, "owner": { "container": "c1" } }
    ] }
  ] }
}"#;

fn folder(world: &str) -> TempDir {
    let folder = TempDir::with_prefix("lcm-init-").expect("a folder");
    fs::write(folder.path().join("world.json"), world).expect("written");
    folder
}

#[test]
fn a_machine_in_use_is_described_and_its_first_plan_has_nothing_to_do() {
    let folder = folder(WORLD);
    let lcm = |words: &[&str]| Lcm::new(folder.path()).args(words);
    let init = lcm(&["init", "--name", "box"]).simulated().run().code(0);
    let manifest = fs::read_to_string(folder.path().join("lcm.yaml")).expect("written");
    let valid = lcm(&["validate"]).run().code(0);
    let plan = lcm(&["plan", "--detailed-exitcode"]).simulated().run().code(0);
    let apply = lcm(&["apply", "--yes"]).simulated().run().code(0);
    lcm(&["plan", "--detailed-exitcode", "--mode", "whisper"]).simulated().run().code(2).stdout_has("ollama");
    let told = [init.told(), valid.told(), plan.told(), apply.told()].concat();
    assert_snapshot!(format!("{told}--- lcm.yaml\n{manifest}"));
}

#[test]
fn only_named_containers_are_included() {
    let folder = folder(WORLD);
    let init = |words: &[&str]| Lcm::new(folder.path()).args(&["init", "-"]).args(words).simulated().run();
    let text = init(&["--only", "chat", "--only", "comfyui"]).code(0).stdout;
    assert!(text.contains("chat-ollama-1") && text.contains("comfyui") && !text.contains("whisper"), "{text}");
    init(&["--only", "nobody"]).code(1).stderr_has("no container and no Compose project `nobody`");
}

#[test]
fn an_empty_machine_writes_nothing() {
    let folder = folder(r#"{ "format": "lcm.world/1", "host": "box", "observed_at": "2026-11-20T10:00:00Z" }"#);
    Lcm::new(folder.path()).args(&["init"]).simulated().run().code(1).stderr_has("--from");
    assert!(!folder.path().join("lcm.yaml").exists());
}
