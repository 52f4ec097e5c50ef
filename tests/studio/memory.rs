//! Memory of the studio on one simulated GPU: the waits of a switch, the holders that it names, and the services that
//! it leaves alone.

use std::collections::BTreeMap;

use jiff::{Timestamp, ToSpan as _};
use serde_json::{Value, json};

use crate::plans::{blocked, position, reason, result, stage, steps};
use crate::played::{BUSY, EVICT, Foreign, Manners, Played};
use crate::sandbox::{answers, wait_until};
use crate::studio::docker;

/// Sizes in the manifest, in MiB.
const COMFYUI_MIB: u64 = 19_074;
const OLLAMA_MIB: u64 = 17_167;

pub(crate) fn a_switch_unloads_stops_waits_and_starts() {
    let words = BTreeMap::from([("ollama", "--release-lag 1500ms --resident 1GiB"), ("comfyui", "--load 300ms")]);
    let played = Played::new(&Manners { words, ollama: &[EVICT] });
    played.lcm("chat", &["apply", "--yes"]).exits(0);
    assert_eq!(played.used_mib(), OLLAMA_MIB);
    let ran = played.lcm("video", &["apply", "--yes", "--format", "json"]).exits(0);
    let events = ran.events();
    let done = &events[position(&events, "step_done", "stop:ollama")];
    let names: Vec<&str> = stages(done).map(|(stage, _)| stage).collect();
    assert_eq!(names, ["evict", "stop", "release"], "{ran}");
    // The lag begins when the driver first notices the end; the rest is for clocks that differ.
    let (_, waited_ms) = stages(done).last().expect("a stage");
    assert!(waited_ms >= 1400, "the wait for the memory is in its stage: {done}");
    assert!(docker(&["logs", &format!("{}-ollama", played.sandbox.name)]).contains("unloaded"));
    for start in ["start:comfyui", "start:vidi"] {
        assert!(position(&events, "step_done", "stop:ollama") < stage(&events, start, "start"), "{ran}");
    }
    assert!(!answers(played.port("ollama")) && answers(played.port("comfyui")) && answers(played.port("vidi")));
    let again = played.lcm("video", &["apply", "--yes", "--format", "json"]).exits(0).events();
    assert_eq!(result(&again)["changed"], Value::Bool(false));
    played.was_never_overcommitted();
}

pub(crate) fn memory_that_is_not_released_is_named() {
    // Neither unloading nor the end of the process frees all of it.
    let words = BTreeMap::from([("ollama", "--leak --resident 12GiB")]);
    let played = Played::new(&Manners { words, ollama: &[EVICT] });
    played.lcm("chat", &["apply", "--yes"]).exits(0);
    let ran = played.lcm("video", &["apply", "--yes", "--release-timeout", "1s"]).exits(3);
    let pid = played.gpus.world().holds.iter().find_map(|hold| hold.host_pid).expect("its number on the host");
    let ran = ran
        .says(&format!(
            "stop ollama failed: stopped, but its resources were not released within 1s: pid {pid} (model_server)"
        ))
        .says("still holds 12 288 MiB on GPU 0")
        .says("comfyui is blocked: it needs 19 074 MiB")
        .says(&format!("12 388 foreign (a process that has ended (pid {pid}), the driver)"));
    assert!(!ran.stderr.contains("comfyui: start"), "{ran}");
    assert!(!answers(played.port("comfyui")));
    assert_eq!(played.sandbox.servers().len(), 1, "but the rest of the mode is up\n{ran}");
    // It is not started on memory that is not free either.
    let again = played.lcm("video", &["apply", "--yes", "--format", "json"]).exits(4).events();
    assert_eq!(result(&again)["changed"], Value::Bool(false));
    played.was_never_overcommitted();
}

pub(crate) fn foreign_memory_is_counted_and_named() {
    let played = Played::new(&Manners { ollama: &[EVICT], ..Manners::default() });
    played.lcm("chat", &["apply", "--yes"]).exits(0);
    let _blender = Foreign::new(&played, "blender", "6GiB");
    // 6 144 of that program, and the memory of the driver. Services of lower priority than comfyui are not in its way.
    let arithmetic =
        "it needs 19 074 MiB; GPU 0 has 24 564 − 512 reserve − 6 244 foreign (blender, the driver) = 17 808\n";
    for beside in ["plan", "apply"] {
        let ran = played.lcm("beside", &[beside]).exits(4).says(arithmetic);
        ran.says("Nothing can be done now");
    }
    assert_eq!(played.used_mib(), OLLAMA_MIB + 6_144, "nothing was stopped or unloaded needlessly");
    played.lcm("video", &["apply", "--yes", "--strict"]).exits(4).says(arithmetic);
    assert!(answers(played.port("ollama")), "with --strict it is all or nothing");

    // The mode wants ollama off in any case, and its other services running.
    let plan = played.lcm("video", &["plan", "--format", "json"]).exits(4).json();
    assert_eq!(
        (blocked(&plan), steps(&plan)),
        (vec!["comfyui: no_capacity".to_owned()], vec!["stop:ollama".to_owned(), "start:vidi".to_owned()])
    );
    played.lcm("video", &["apply", "--yes"]).exits(4).says(&format!("comfyui is blocked: {arithmetic}"));
    assert!(!answers(played.port("comfyui")) && answers(played.port("vidi")));
    played.was_never_overcommitted();
}

pub(crate) fn a_busy_service_is_waited_for_or_not() {
    let played = Played::new(&Manners { words: BTreeMap::from([("ollama", "--work 2s")]), ollama: &[BUSY] });
    played.lcm("chat", &["apply", "--yes"]).exits(0);
    let asked: Timestamp = Timestamp::now();
    played.post("ollama", "/work");
    let ran = played.lcm("video", &["apply", "--yes", "--format", "json"]).exits(0);
    let events = ran.events();
    let drain = &events[stage(&events, "stop:ollama", "drain")];
    assert_eq!(drain["detail"], "/exec_info/queue_remaining is 1");
    let stopped: Timestamp =
        events[stage(&events, "stop:ollama", "stop")]["at"].as_str().expect("a time").parse().expect("a time");
    assert!(stopped >= asked + 2.seconds(), "it was stopped while it was busy: {ran}");

    played.lcm("chat", &["apply", "--yes"]).exits(0);
    // More work than a run waits for.
    for _ in 0..100 {
        played.post("ollama", "/work");
    }
    let ran = played.lcm("video", &["apply", "--yes", "--force", "--format", "json"]).exits(0);
    let events = ran.events();
    assert!(events.iter().all(|event| event["stage"] != "drain"), "{ran}");
    assert!(answers(played.port("comfyui")) && !answers(played.port("ollama")));
    played.was_never_overcommitted();
}

pub(crate) fn a_kept_service_unloads_and_the_next_time_it_stops() {
    let words = BTreeMap::from([("ollama", "--resident 512MiB")]);
    let played = Played::new(&Manners { words, ollama: &[EVICT] });
    played.lcm("chat", &["apply", "--yes"]).exits(0);
    let ollama = format!("{}-ollama", played.sandbox.name);
    let started_at = docker(&["inspect", "--format", "{{.State.StartedAt}}", &ollama]);
    let plan = played.lcm("beside", &["plan", "--format", "json"]).exits(0).json();
    assert_eq!(steps(&plan), ["evict:ollama", "start:comfyui"]);
    assert_eq!(reason(&plan, "evict:ollama"), "preempted");
    played.lcm("beside", &["apply", "--yes"]).exits(0).says("Applied: 1 evicted, 1 started");
    assert!(answers(played.port("ollama")) && answers(played.port("comfyui")), "it goes on");
    assert_eq!(docker(&["inspect", "--format", "{{.State.StartedAt}}", &ollama]), started_at);
    assert_eq!(played.used_mib(), 512 + COMFYUI_MIB);
    let again = played.lcm("beside", &["plan", "--detailed-exitcode", "--format", "json"]).exits(0).json();
    assert_eq!(again["changes"], Value::Bool(false), "{again:#}");
    // It counts for what it may keep: 24 564 less 512 in reserve, 100 of the driver, 19 074 and 1 024.
    played.lcm("beside", &["status"]).exits(0).says("free 3 854");

    // It takes its memory again with the next request.
    played.lcm("chat", &["apply", "--yes"]).exits(0);
    played.post("ollama", "/work");
    wait_until("it has its memory again", || played.used_mib() == OLLAMA_MIB);
    let plan = played.lcm("beside", &["plan", "--format", "json"]).exits(0).json();
    assert_eq!(steps(&plan), ["stop:ollama", "start:comfyui"], "{plan:#}");
    played.lcm("beside", &["apply", "--yes"]).exits(0);
    assert!(!answers(played.port("ollama")) && answers(played.port("comfyui")));
    played.was_never_overcommitted();
}

pub(crate) fn status_and_plan_show_what_is_measured() {
    let words = BTreeMap::from([("ollama", "--vram 15GiB"), ("vidi", "--vram 4500MiB")]);
    let played = Played::new(&Manners { words, ..Manners::default() });
    played.lcm("chat", &["apply", "--yes"]).exits(0);
    let foreign = Foreign::new(&played, "blender", "1GiB");
    let status = played.lcm("chat", &["status", "--format", "json"]).exits(0).json();
    assert_eq!(memory_of(&status, "ollama"), (OLLAMA_MIB, Some(15_360)), "declared and measured");
    assert_eq!(memory_of(&status, "vidi"), (3_815, None), "it does not run");
    let gpu = |gpu: &Value, figures: &[&str]| -> Vec<u64> {
        figures.iter().map(|figure| gpu[figure].as_u64().expect("MiB")).collect()
    };
    let figures =
        ["capacity_mib", "reserve_mib", "foreign_mib", "declared_mib", "measured_mib", "used_mib", "free_mib"];
    let used_mib = OLLAMA_MIB + 1_124;
    let wanted = [24_564, 512, 1_124, OLLAMA_MIB, 15_360 + 1_124, used_mib, 24_564 - 512 - used_mib];
    assert_eq!(gpu(&status["gpus"][0], &figures), wanted);
    assert_eq!(status["gpus"][0]["foreign_holders"], json!(["blender", "the driver"]));
    played.lcm("chat", &["status"]).exits(0).says("17 167 MiB  15 360 MiB").says("measured 16 484  foreign 1 124");

    let plan = played.lcm("video", &["plan", "--format", "json"]).exits(0).json();
    let figures = ["foreign_mib", "measured_mib", "before_mib", "peak_mib", "after_mib"];
    let after_mib = 1_124 + COMFYUI_MIB + 3_815;
    assert_eq!(gpu(&plan["gpus"][0], &figures), [1_124, 15_360 + 1_124, used_mib, after_mib, after_mib]);
    played.lcm("video", &["plan"]).exits(0).says("foreign 1 124  measured now 16 484");

    // A service that holds more than it declares counts with what it holds, and is named with the size to write.
    drop(foreign);
    played.lcm("video", &["apply", "--yes"]).exits(0);
    let warning = "warning: vidi holds 4 500 MiB on GPU 0, but declares 3 815: write vram: 4500MiB";
    played.lcm("video", &["status"]).exits(0).says("3 815 MiB   4 500 MiB").says(warning);
    played.was_never_overcommitted();
}

fn memory_of(status: &Value, service: &str) -> (u64, Option<u64>) {
    let services = status["services"].as_array().expect("services");
    let line = services.iter().find(|line| line["name"] == service).expect("it is there");
    (line["vram_declared_mib"].as_u64().expect("MiB"), line["vram_measured_mib"].as_u64())
}

/// Returns the stages of a finished step and their times in milliseconds.
fn stages(event: &Value) -> impl Iterator<Item = (&str, u64)> {
    let stages = event["stages"].as_array().expect("stages").iter();
    stages.map(|stage| (stage["stage"].as_str().expect("a name"), stage["took_ms"].as_u64().expect("a time")))
}
