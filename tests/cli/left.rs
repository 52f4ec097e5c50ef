//! Switches to services that can't start, over real processes: the old service keeps running, and nothing is lost.

use std::fs;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

use crate::lcm::{Lcm, Ran};

/// Services with a missing part, which is known before anything is stopped.
const NEW: [(&str, &str); 4] = [
    ("command: [sleeep, \"600\"]", "sleeep"),
    ("command: [sleep, \"600\"], cwd: gone", "its folder"),
    ("command: [./start.sh]", "start.sh"),
    ("command: [sleep, \"600\"], env_file: gone.env", "gone.env"),
];

/// Two services, of which the GPU holds one; taken down when dropped.
struct Studio {
    name: String,
    /// A GPU of its own: what other tests start is foreign to it.
    gpu: u32,
    folder: tempfile::TempDir,
}

impl Studio {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let (pid, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let studio = Self {
            name: format!("left-{pid}-{count}"),
            gpu: pid * 8 + count,
            folder: tempfile::tempdir().expect("a temporary folder"),
        };
        studio.write(NEW[0].0);
        studio.lcm(&["apply", "--mode", "old"]).run().code(0).stdout_has("1 started");
        studio
    }

    fn write(&self, new: &str) {
        let manifest = format!(
            "version: 1\nname: {}\ngpus: {{ devices: [{{ index: {}, vram: 24GB }}] }}\nservices:\n  old: {{ process: \
             {{ command: [sleep, \"600\"] }}, vram: 18GB }}\n  new: {{ process: {{ {new} }}, vram: 18GB }}\nmodes: \
             {{ old: {{ services: [old] }}, new: {{ services: [new] }} }}\nmode: new\n",
            self.name, self.gpu
        );
        fs::write(self.folder.path().join("lcm.yaml"), manifest).expect("a manifest");
    }

    fn lcm(&self, words: &[&str]) -> Lcm {
        Lcm::new(self.folder.path()).args(words)
    }

    /// Returns the start time of the old service.
    fn since(&self) -> Value {
        let status: Value = self.lcm(&["status", "--format", "json"]).run().json();
        let old = status["services"].as_array().expect("services").iter().find(|line| line["name"] == "old");
        let old = old.expect("the old one");
        assert_eq!(old["state"], "online", "{old}");
        old["since"].clone()
    }
}

impl Drop for Studio {
    fn drop(&mut self) {
        let _ = self.lcm(&["down", "--yes"]).command().stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

#[test]
fn a_start_that_can_not_be_prepared_leaves_the_old_service_running_run_after_run() {
    let studio = Studio::new();
    let since = studio.since();
    for (new, names) in NEW {
        studio.write(new);
        for _ in 0..2 {
            let ran: Ran = studio.lcm(&["apply"]).run();
            let told = ran.told();
            assert!(told.contains(names), "{new}: {told}");
            let is_known = new.contains("env_file");
            let ran = ran.code(if is_known { 4 } else { 3 });
            assert!(is_known || ran.stdout.contains("old is left running"), "{told}");
            assert_eq!(studio.since(), since, "{new}: {told}");
        }
    }
}

#[test]
fn a_missing_secret_leaves_the_old_service_running_until_forced() {
    let studio = Studio::new();
    studio.write("command: [sleep, \"600\"], environment: { TOKEN: { env: ABSENT_TOKEN } }");
    let plan = studio.lcm(&["plan", "--detailed-exitcode"]).run().code(4);
    plan.stdout_has("= left")
        .stdout_has("it keeps running until new can start")
        .stdout_has("1 blocked, 1 left running");
    let json = studio.lcm(&["plan", "--format", "json"]).run().code(4).json();
    assert_eq!((&json["changes"], &json["left"][0]["waits_for"][0]), (&Value::from(false), &Value::from("new")));
    studio.lcm(&["switch", "new"]).run().code(4);
    studio.since();
    studio.lcm(&["apply", "--force"]).run().code(4).stdout_has("1 stopped");
}
