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
    let valid = lcm(&["validate"]).run().code(0);
    let mut plan = lcm(&["plan", "--world", "world.json"]);
    for name in asked_for(&manifest) {
        plan = plan.env(&name, "given");
    }
    let plan = plan.run().code(0);
    let stdout = lcm(&["init", "--from", "given.yaml", "-"]).run().code(0).stdout;
    assert_eq!(stdout, manifest, "stdout gets what a file gets");
    let all = format!("{}{}{}--- lcm.yaml\n{manifest}", init.told(), valid.told(), plan.told());
    assert!(!all.contains("s3cr3t"), "a secret was copied:\n{all}");
    all
}

/// Returns the variables that a manifest takes secrets from.
fn asked_for(manifest: &str) -> BTreeSet<String> {
    let pattern = Regex::new(r"\{ env: ([A-Z0-9_]+) \}").expect("a pattern");
    pattern.captures_iter(manifest).map(|found| found[1].to_owned()).collect()
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
