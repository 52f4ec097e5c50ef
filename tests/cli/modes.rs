//! Several modes at once, and the list of modes.

use std::fs;

use serde_json::json;

use crate::lcm::{Lcm, Ran, studio};

#[test]
fn several_modes_are_active_together_for_one_command_or_by_a_switch() {
    let folder = studio();
    let lcm = |words: &[&str]| Lcm::new(folder.path()).args(words).simulated().run();
    let text = lcm(&["plan", "--mode", "write", "--mode", "paint"]).stdout;
    assert!(text.contains("mode paint+write (command line)"), "{text}");
    assert_eq!(lcm(&["plan", "--mode", "paint", "--mode", "write"]).stdout, text, "the order does not matter");
    let plan = lcm(&["plan", "--mode", "write", "--mode", "paint", "--format", "json"]).json();
    assert_eq!((&plan["mode"], &plan["modes"]), (&json!("paint+write"), &json!(["paint", "write"])));
    let plan = lcm(&["plan", "--format", "json"]).json();
    assert_eq!((&plan["mode"], &plan["modes"]), (&json!("paint"), &json!(["paint"])));

    lcm(&["switch", "write", "paint", "--as", "kim"]).stdout_has("mode paint+write (switched to by kim at");
    let switched = || -> serde_json::Value {
        let world = fs::read_to_string(folder.path().join("world.json")).expect("a world");
        serde_json::from_str::<serde_json::Value>(&world).expect("JSON")["switches"].clone()
    };
    assert_eq!(switched()[0]["mode"], "paint+write");
    let first = switched();
    let status = lcm(&["status", "--format", "json"]).json();
    assert_eq!((&status["mode"], &status["modes"]), (&json!("paint+write"), &json!(["paint", "write"])));
    lcm(&["status"]).stdout_has("mode paint+write");
    lcm(&["switch", "paint", "write", "-m", "lcm.yaml", "--as", "kim"]);
    assert_eq!(switched()[0]["mode"], first[0]["mode"]);
    lcm(&["switch", "--clear"]).code(0).stdout_has("cleared the switch to mode paint+write");
    lcm(&["plan"]).stdout_has("match mode paint (");
}

#[test]
fn modes_that_contradict_each_other_are_refused_by_name() {
    let folder = studio();
    let path = folder.path().join("lcm.yaml");
    let text = fs::read_to_string(&path).expect("a manifest");
    fs::write(&path, text.replace("  both:", "  quiet: { stop: [encoder] }\n  both:")).expect("written");
    let lcm = |words: &[&str]| Lcm::new(folder.path()).args(words).simulated().run();
    let refusal = |ran: Ran| {
        let Ran { stdout, stderr, .. } = ran.code(1);
        let text = format!("{stdout}{stderr}");
        assert!(text.contains("the modes `paint` and `quiet` can't be active together"), "{text}");
        assert_eq!(text.matches("`quiet` stops it").count(), 1, "{text}");
        assert!(!text.contains("│ stops"), "{text}");
    };
    refusal(lcm(&["plan", "--mode", "quiet", "--mode", "paint"]));
    refusal(lcm(&["switch", "quiet", "paint"]));
    lcm(&["plan"]).code(0).stdout_has("mode paint (manifest)");
    let validate = || Lcm::new(folder.path()).args(&["validate"]).run();
    validate().code(0);
    fs::write(&path, fs::read_to_string(&path).expect("a manifest").replace("mode: paint", "mode: [paint, quiet]"))
        .expect("written");
    refusal(validate());
    lcm(&["plan", "--mode", "paint", "--mode", "nope"]).code(1).stderr_has("there is no mode `nope`");
}

#[test]
fn a_saved_plan_of_an_earlier_lcm_has_one_mode_and_no_list() {
    let folder = studio();
    let lcm = |words: &[&str]| Lcm::new(folder.path()).args(words).simulated().run();
    lcm(&["plan", "--out", "plan.json"]).code(0);
    let path = folder.path().join("plan.json");
    let mut plan: serde_json::Value = serde_json::from_str(&fs::read_to_string(&path).expect("a plan")).expect("JSON");
    assert!(plan.as_object_mut().expect("a map").remove("modes").is_some());
    fs::write(&path, plan.to_string()).expect("written");
    lcm(&["show", "plan.json"]).code(0).stdout_has("mode paint");
    lcm(&["apply", "--plan", "plan.json", "--mode", "write"]).code(64).stderr_has("the saved plan is for mode paint");
    lcm(&["apply", "--plan", "plan.json"]).code(0).stdout_has("2 started");
}

#[test]
fn modes_are_listed_and_the_active_one_is_marked_with_the_reason() {
    let folder = studio();
    let lcm = |words: &[&str]| Lcm::new(folder.path()).args(words).simulated().run();
    let listed = lcm(&["modes"]).code(0).stdout;
    assert!(listed.starts_with("lcm modes · studio · mode paint (manifest)\n"), "{listed}");
    assert!(listed.contains("\n  paint  active\n      services: painter\n      also needed: encoder\n"), "{listed}");
    assert_eq!(listed.matches("active").count(), 1, "{listed}");
    lcm(&["switch", "write", "--as", "kim", "--reason", "novel"]).code(0);
    lcm(&["modes", "lcm.yaml"]).code(0).stdout_has("mode write (switched to by kim ").stdout_has("ago, reason: novel)");
    let json = lcm(&["modes", "-m", "lcm.yaml", "--format", "json"]).code(0).json();
    assert_eq!((&json["format"], &json["source"]), (&json!("lcm.modes/1"), &json!("switch")));
    assert_eq!((&json["mode"], &json["switched"]["by"]), (&json!("write"), &json!("kim")));
    assert_eq!(json["modes"][1]["wanted"], json!(["encoder", "painter"]));
    let both = lcm(&["modes", "--mode", "paint", "--mode", "both", "--format", "json"]).code(0).json();
    assert_eq!((&both["active"], &both["source"]), (&json!(["both", "paint"]), &json!("command_line")));

    let path = folder.path().join("lcm.yaml");
    let text = fs::read_to_string(&path).expect("a manifest");
    let (before, rest) = text.split_once("modes:").expect("modes");
    let goals = rest.split_once("goals:").expect("goals").1;
    fs::write(&path, format!("{}goals:{goals}", before.replace("mode: paint\n", ""))).expect("written");
    lcm(&["switch", "--clear"]).code(0);
    lcm(&["modes"])
        .code(0)
        .stdout_has("The manifest has no modes, so every service is wanted (encoder, painter and writer).");
}
