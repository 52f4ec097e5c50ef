//! Real-world stacks, written by their documented options: translated, validated, and planned on a snapshot. No value with
//! `s3cr3t` in it may occur in any output.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use insta::assert_snapshot;
use regex_lite::Regex;
use tempfile::TempDir;

use crate::lcm::Lcm;

/// Two GPUs, and nothing runs.
const WORLD: &str = r#"{
  "format": "lcm.world/1", "host": "box", "observed_at": "2026-11-20T10:00:00Z",
  "gpus": { "known": [
    { "id": "GPU-0", "index": 0, "capacity": 24564, "used": 0 }, { "id": "GPU-1", "index": 1, "capacity": 24564, "used": 0 }
  ] },
  "containers": { "known": [] }, "listeners": { "known": [] }
}"#;

/// Translates a file of `tests/init`, and returns all output and the manifest.
fn translated(kind: &str, stack: &str) -> String {
    let folder = TempDir::with_prefix("lcm-init-").expect("a folder");
    let given = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/init").join(kind);
    let project = folder.path().join(stack);
    fs::create_dir(&project).expect("a folder");
    fs::copy(given.join(format!("{stack}.yaml")), project.join("given.yaml")).expect("a copy");
    if let Ok(text) = fs::read_to_string(given.join(format!("{stack}.env"))) {
        fs::write(project.join(".env"), text).expect("written");
    }
    fs::write(project.join("world.json"), WORLD).expect("written");
    for name in ["localai.env", "overrides.env"] {
        fs::write(project.join(name), "").expect("written");
    }
    let lcm = |words: &[&str]| Lcm::new(&project).args(words);
    let init = lcm(&["init", "--from", "given.yaml"]).run().code(0);
    let manifest = fs::read_to_string(project.join("lcm.yaml")).expect("a manifest");
    let mut checked = String::new();
    if knows_all_keys(&lcm(&["schema", "manifest"]).run().code(0).stdout, &manifest) {
        let given = |call: Lcm| asked_for(&manifest).iter().fold(call, |call, name| call.env(name, "given"));
        checked.push_str(&given(lcm(&["validate"])).run().code(0).told());
        checked.push_str(&given(lcm(&["plan", "--world", "world.json"])).run().code(0).told());
    }
    let stdout = lcm(&["init", "--from", "given.yaml", "-"]).run().code(0).stdout;
    assert_eq!(stdout, manifest, "stdout gets what a file gets");
    // Of a manifest with keys that this lcm does not have yet, it also reports that it is not valid.
    let told = init.told();
    let told = told.split("! the manifest is not valid yet").next().unwrap_or_default();
    let all = format!("{told}{checked}--- lcm.yaml\n{manifest}");
    assert!(!all.contains("s3cr3t"), "a secret was copied:\n{all}");
    all
}

/// Returns true if this lcm has the keys for networks and jobs that the manifest uses.
fn knows_all_keys(schema: &str, manifest: &str) -> bool {
    let schema: serde_json::Value = serde_json::from_str(schema).expect("a schema");
    let has_networks = schema.get("properties").is_some_and(|keys| keys.get("networks").is_some());
    let has_jobs = schema.to_string().contains("\"job\":");
    (has_networks || !manifest.contains("\nnetworks:")) && (has_jobs || !manifest.contains("\n    job: true"))
}

/// Returns the variables that a manifest requires.
fn asked_for(manifest: &str) -> BTreeSet<String> {
    let pattern = Regex::new(r"\{ env: ([A-Z0-9_]+) \}|\$\{([A-Z0-9_]+):?\?").expect("a pattern");
    let names = pattern.captures_iter(manifest).filter_map(|found| found.get(1).or_else(|| found.get(2)));
    names.map(|name| name.as_str().to_owned()).collect()
}

macro_rules! stacks {
    ($($test:ident: $kind:literal, $stack:literal;)+) => {
        $(#[test]
        fn $test() {
            assert_snapshot!(translated($kind, $stack));
        })+
    };
}

stacks! {
    open_webui_and_ollama: "compose", "open-webui";
    comfyui: "compose", "comfyui";
    sd_webui_by_profiles: "compose", "sd-webui";
    localai_with_its_store: "compose", "localai";
    vllm_tgi_and_text_generation_webui: "compose", "inference";
    speaches_and_kokoro: "compose", "speech";
    immich_with_its_variables: "compose", "immich";
    frigate: "compose", "frigate";
    options_of_containers: "compose", "options";
    llama_swap: "swap", "simple";
    llama_swap_with_groups: "swap", "groups";
}
