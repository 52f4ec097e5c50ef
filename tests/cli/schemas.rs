//! The committed schemas are those that the binary prints. The harness checks the output of every run of every test
//! against them. `LCM_BLESS=1 cargo test --test cli schemas` updates them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use serde_json::Value;

use crate::lcm::promised::schema;
use crate::lcm::{Lcm, Ran, studio};

#[test]
fn committed_schemas_are_those_printed() {
    let folder = studio();
    let schemas = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
    let mut stale = Vec::new();
    for name in ["plan", "status", "modes", "history", "event", "hook", "problems", "doctor", "world"] {
        let printed = Lcm::new(folder.path()).args(&["schema", name]).run().code(0).stdout;
        let path = schemas.join(format!("{name}.schema.json"));
        if std::env::var_os("LCM_BLESS").is_some() {
            std::fs::create_dir_all(&schemas).and_then(|()| std::fs::write(&path, &printed)).expect("written");
        }
        if std::fs::read_to_string(&path).unwrap_or_default() != printed {
            stale.push(name);
        }
    }
    assert_eq!(stale, [""; 0], "LCM_BLESS=1 cargo test --test cli schemas updates them");
}

#[test]
fn output_fits_its_schema() {
    // The harness checks each of these; this test checks that there is output.
    let folder = studio();
    let lcm = |words: &[&str]| Lcm::new(folder.path()).args(words).simulated().run();
    assert_eq!(lcm(&["plan", "--mode", "both", "--format", "json"]).code(4).json()["format"], "lcm.plan/2");
    assert_eq!(lcm(&["apply", "--format", "json"]).code(0).events()[0]["format"], "lcm.event/2");
    assert_eq!(lcm(&["status", "--format", "json"]).code(0).json()["format"], "lcm.status/2");
    assert_eq!(lcm(&["observe", "--out", "seen.json"]).code(0).stdout, "");
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect("written");
    assert_eq!(serde_json::from_str::<Value>(&read("seen.json")).expect("JSON")["format"], "lcm.world/2");
    std::fs::write(
        folder.path().join("bad.yaml"),
        "version: 1\nname: bad\nname: bad\nservices: { a: { proces: {} } }\n",
    )
    .expect("written");
    let checked = Lcm::new(folder.path()).args(&["validate", "bad.yaml", "lcm.yaml", "--format", "json"]).run().code(1);
    assert_eq!(checked.json()["files"][0]["problems"][0]["severity"], "error");
}

/// Compares with the list in the help of `lcm schema`: each format described there is supported and listed.
#[test]
fn the_version_names_every_format_that_has_a_schema() {
    let folder = studio();
    let lcm = |words: &[&str]| Lcm::new(folder.path()).args(words).run().code(0).stdout;
    let help = lcm(&["schema", "--help"]);
    let named = help.lines().filter_map(|line| line.trim_start().strip_prefix("- ")?.split(':').next());
    let named: Vec<&str> = named.filter(|name| *name != "manifest").collect();
    assert!(named.len() > 6, "{help}");
    let version = lcm(&["--version"]);
    let formats = version.lines().find_map(|line| line.strip_prefix("formats")).expect("formats").trim();
    let formats: Vec<&str> = formats.split(", ").collect();
    for name in &named {
        let format = format!("lcm.{name}/{}", if matches!(*name, "problems" | "modes" | "doctor") { 1 } else { 2 });
        assert!(lcm(&["schema", name]).contains(&format!("\"const\": \"{format}\"")), "{name} states its format");
        assert!(formats.contains(&format.as_str()), "{format} in {version}");
    }
    assert_eq!(formats.len(), named.len(), "{version}");
}

/// A file name may be any bytes; output on it is UTF-8 all the same.
#[test]
fn a_name_that_is_not_utf_8_has_one_form_in_every_output() {
    let folder = studio();
    let name = OsStr::from_bytes(b"caf\xe9.yaml");
    std::fs::write(folder.path().join(name), "version: 1\nname: bad\nname: bad\n").expect("written");
    let validate = |format: &str| {
        let mut command = Lcm::new(folder.path()).args(&["validate", "--format", format]).command();
        Ran::new(&["validate".to_owned()], &command.arg(name).output().expect("lcm runs")).code(1)
    };
    let file = &validate("json").json()["files"][0];
    assert_eq!(file["file"], "caf\u{fffd}.yaml");
    let problem = &file["problems"][0];
    assert_eq!(problem["place"]["file"], "caf\u{fffd}.yaml");
    assert_eq!(problem["related"][0]["place"]["file"], "caf\u{fffd}.yaml");
    validate("github").stdout_has("::error file=caf\u{fffd}.yaml,line=3");
    validate("text").stdout_has("caf\u{fffd}.yaml: 1 error");
}

#[test]
fn the_harness_finds_output_that_does_not_fit() {
    let folder = studio();
    let plan = Lcm::new(folder.path()).args(&["plan", "--format", "json"]).simulated().run().code(0).json();
    let refused = |change: &dyn Fn(&mut Value)| {
        let mut plan = plan.clone();
        change(&mut plan);
        std::panic::catch_unwind(|| schema::check(&plan, "lcm plan")).is_err()
    };
    assert!(!refused(&|_| ()));
    assert!(refused(&|plan| plan["steps"][0]["action"] = "launch".into()), "a word that it does not have");
    assert!(refused(&|plan| plan["steps"][0]["more"] = 1.into()), "a field that it does not describe");
    assert!(
        refused(&|plan| drop(plan.as_object_mut().and_then(|plan| plan.remove("host")))),
        "a field that is missing"
    );
    let result = Lcm::new(folder.path()).args(&["apply", "--format", "json"]).simulated().run().code(0).events();
    let mut result = result.last().expect("a result").clone();
    result["more"] = 1.into();
    assert!(std::panic::catch_unwind(|| schema::check(&result, "lcm apply")).is_err(), "the same of an event");
}
