//! Extreme numbers, clocks and terminal sizes: in manifests, and in foreign snapshots and plans.

use std::process::Command;

use serde_json::json;

use crate::support::{AS_ROOT, Attack, Host, KIM, MEMORY_MIB_MAX, ROOT, attacks};
use crate::terminal::shown;
use crate::text::{API, Harmless as _, check_obeyed, every_form, hostile_world, saved_plan};

pub(crate) fn trials() -> Vec<Attack> {
    attacks![
        AS_ROOT =>
            a_clock_at_the_end_of_time_stops_no_command,
            a_name_of_a_megabyte_fills_no_screen,
            a_plan_of_others_with_figures_without_a_bound_ends,
            a_world_with_figures_without_a_bound_ends,
            a_zone_that_is_a_path_is_no_trouble,
            figures_of_a_manifest_without_a_bound_are_refused,
            terminals_of_any_size_and_kind_are_served,
            the_longest_grace_waits_only_as_long_as_it_must;
    ]
}

fn a_plan_of_others_with_figures_without_a_bound_ends() {
    let host = Host::new("text");
    let kim = host.user(KIM);
    for (most, at) in [(json!(u64::MAX), "9999-12-30T22:00:00.999999999Z"), (json!(0), "-009999-01-02T01:59:59Z")] {
        let file = kim.write("plan.json", &saved_plan("a", &most, at).to_string()).display().to_string();
        for format in ["text", "json", "markdown", "html", "mermaid"] {
            kim.bounded(MEMORY_MIB_MAX, &["show", "--offline", "-v", "--format", format, &file]).harmless().exits(0);
        }
    }
}

fn a_world_with_figures_without_a_bound_ends() {
    let host = Host::new("text");
    let kim = host.user(KIM);
    let manifest = kim.manifest(&format!(
        "{API}\n  web: {{ process: {{ command: [sleep, \"300\"] }}, vram: 1048576TiB, gpu: auto }}"
    ));
    let most = u64::MAX;
    let holder = json!({ "pid": i32::MAX, "program": "x", "memory": most, "owner": "stranger" });
    let gpu = |at: u32| {
        json!({
            "id": format!("GPU-{at}"), "index": u32::MAX - at, "capacity": most, "used": most, "reserved": most,
            "holders": [holder, holder],
        })
    };
    let marks = json!({ "project": "@NAME@", "service": "web", "vram_mib": most, "gpus": "GPU-0,GPU-1", "salt": "s" });
    let orphan = json!({
        "project": "@NAME@", "service": "old", "vram_mib": most, "gpus": "GPU-0,GPU-1", "salt": "o",
        "config": "{\"stop\":{\"grace_ms\":18446744073709551615},\"ports\":[18446744073709551615,80]}",
    });
    let member = json!({ "pid": i32::MIN, "start_ticks": most, "program": "x" });
    let ended = json!({ "code": null, "signal": i32::MAX, "at": "9999-12-30T22:00:00Z" });
    let world = json!({
        "format": "lcm.world/1", "host": "box", "observed_at": "2026-11-20T10:00:00Z",
        "trees": { "known": [
            { "marks": marks, "members": [member], "started_at": "9999-12-30T22:00:00Z" },
            { "marks": orphan, "members": [member], "exit": ended },
        ] },
        "gpus": { "known": [gpu(0), gpu(1), gpu(2)] },
        "listeners": { "known": [] },
        "history": { "web": {
            "estimates": { "ready_ms": most, "stopped_ms": most, "memory": most },
            "attempts": { "count": u32::MAX, "last_at": "9999-12-30T22:00:00Z", "spec": "v1:x" },
            "evicted_at": "9999-12-30T22:00:00Z",
        } },
    });
    let world = kim.write("world.json", &world.to_string()).display().to_string();
    every_form(&kim, &["--world", &world, &manifest]);
    for command in ["apply", "down"] {
        let ran = kim.bounded(MEMORY_MIB_MAX, &[command, "--yes", "--world", &world, &manifest]).harmless();
        assert!(ran.code <= 4, "{ran}");
    }
}

fn a_clock_at_the_end_of_time_stops_no_command() {
    let host = Host::new("text");
    let kim = host.user(KIM);
    let manifest = kim.manifest(&format!(
        "{API}\n  web: {{ process: {{ command: [sleep, \"300\"] }}, recover: {{ attempts: 2, backoff: 8784h, max_backoff: 8784h }} }}"
    ));
    let ends = ["-009999-01-02T01:59:59Z", "9999-12-30T22:00:00.999999999Z"];
    let times = [
        "1969-12-31T23:59:59Z",
        "1970-01-01T00:00:00Z",
        "2038-01-19T03:14:08Z",
        "2106-02-07T06:28:16Z",
        ends[0],
        ends[1],
    ];
    for now in times {
        for then in ends {
            let tree = |service: &str| {
                json!({
                    "marks": { "project": "@NAME@", "service": service, "salt": service },
                    "members": [{ "pid": 7, "start_ticks": 1, "program": "sleep" }], "started_at": then,
                })
            };
            let word = json!({ "word": "maintain", "by": "kim", "since": then });
            let world = json!({
                "format": "lcm.world/1", "host": "box", "observed_at": now,
                "trees": { "known": [tree("api")] }, "listeners": { "known": [] },
                "history": { "web": {
                    "state": "failed", "made": true, "evicted_at": then,
                    "attempts": { "count": 2, "last_at": then, "spec": "v1:x" },
                } },
                "words": { "api": word },
            });
            let world = kim.write("world.json", &world.to_string()).display().to_string();
            every_form(&kim, &["--world", &world, &manifest]);
            for command in ["apply", "down"] {
                let ran = kim.lcm(&[command, "--yes", "--world", &world, &manifest]).harmless();
                assert!(ran.code <= 4, "{ran}");
            }
        }
    }
}

fn figures_of_a_manifest_without_a_bound_are_refused() {
    let host = Host::new("text");
    let kim = host.user(KIM);
    let most = "18446744073709551615";
    let nines = "9".repeat(400);
    let services = [
        format!("stop: {{ grace: {most}s }}"),
        format!("stop: {{ grace: {nines}h }}"),
        "stop: { grace: 8785h }".to_owned(),
        format!("vram: {most}TB"),
        "vram: 1048577TiB".to_owned(),
        format!("vram: {nines}MB"),
        format!("health: {{ exec: [a], timeout: {most}ms }}"),
        format!("health: {{ exec: [a], failures: {most} }}"),
        format!("drain: {most}m"),
        format!("recover: {{ attempts: {most} }}"),
        format!("priority: {most}"),
        format!("gpu: {{ count: {most} }}"),
    ];
    for service in services {
        let manifest = kim.write(
            "lcm.yaml",
            &format!("version: 1\nname: x\nservices:\n  a: {{ process: {{ command: [a] }}, {service} }}\n"),
        );
        let manifest = manifest.display().to_string();
        let refused = kim.bounded(MEMORY_MIB_MAX, &["validate", &manifest]).harmless().exits(1);
        assert!(refused.stdout.contains("lcm.yaml:4:"), "it is underlined in its file: {refused}");
        kim.lcm(&["down", "--yes", &manifest]).harmless().exits(1);
    }
}

fn the_longest_grace_waits_only_as_long_as_it_must() {
    let host = Host::new("text");
    let kim = host.user(KIM);
    let manifest = kim.manifest(
        "  api: { process: { command: [sleep, \"300\"] }, stop: { grace: 8784h }, drain: 8784h, health: { timeout: 8784h, warm_time: 8784h, exec: [\"true\"], probe_timeout: 8784h } }",
    );
    kim.converges(&manifest);
    kim.goes_down(&manifest);
}

fn terminals_of_any_size_and_kind_are_served() {
    let host = Host::new("text");
    let kim = host.user(KIM);
    let manifest = kim.manifest(API);
    let world = kim.write("world.json", &hostile_world().to_string()).display().to_string();
    for columns in [0, 1, 2, 5, 20, 79, u16::MAX] {
        for words in [["plan", "-v"], ["status", "-v"], ["plan", "--color=always"]] {
            let command = kim.command(&[&words[..], &["--world", &world, &manifest]].concat());
            let (code, text) = shown(command, columns);
            assert!(code.is_some_and(|code| code <= 4), "{columns}: {text}");
            // A narrow terminal wraps lines between words: the first word is then not on a line of its own.
            let plain = without_paint(&text);
            check_obeyed(&plain, &format!("{columns} columns: {words:?}"));
        }
    }
    for (name, value) in [
        ("COLUMNS", "0"),
        ("COLUMNS", "18446744073709551615"),
        ("COLUMNS", "-1"),
        ("COLUMNS", "x"),
        ("TERM", ""),
        ("TERM", "\u{1b}[2J"),
        ("TERM", "../../../etc/passwd"),
        ("LINES", "0"),
        ("NO_COLOR", "\n"),
        ("LANG", "\u{1b}"),
    ] {
        let mut command: Command = kim.command(&["plan", "-v", "--world", &world, &manifest]);
        command.env(name, value);
        let (code, text) = shown(command, 80);
        assert!(code.is_some_and(|code| code <= 4), "{name}={value:?}: {text}");
        check_obeyed(&without_paint(&text), &format!("{name}={value:?}"));
    }
}

/// Removes colour sequences.
fn without_paint(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        plain.push_str(before);
        let digits = after.find(|letter: char| !(letter.is_ascii_digit() || letter == ';')).unwrap_or(after.len());
        if let Some(after) = after[digits..].strip_prefix('m') {
            rest = after;
        } else {
            plain.push('\u{1b}');
            rest = after;
        }
    }
    plain + rest
}

fn a_zone_that_is_a_path_is_no_trouble() {
    let host = Host::new("text");
    let mut kim = host.user(KIM);
    let manifest = kim.manifest(API);
    kim.converges(&manifest);
    for zone in ["../../../etc/passwd", ":/dev/zero", "\u{1b}[2J", "x\n::stop-commands::t", "", "UTC+99999999"] {
        kim.set("TZ", zone);
        kim.bounded(MEMORY_MIB_MAX, &["history", "-v", "-m", &manifest]).harmless().exits(0);
        kim.bounded(MEMORY_MIB_MAX, &["status", &manifest]).harmless().exits(0);
    }
    kim.unset("TZ");
    kim.goes_down(&manifest);
}

fn a_name_of_a_megabyte_fills_no_screen() {
    let host = Host::new("text");
    let owner = host.user(ROOT);
    let manifest = owner.manifest(API);
    let name = "long ".repeat(200_000);
    let marks = json!({ "project": "@NAME@", "service": name, "salt": "s" });
    let world = json!({
        "format": "lcm.world/1", "host": "box", "observed_at": "2026-11-20T10:00:00Z", "listeners": { "known": [] },
        "trees": { "known": [{ "marks": marks, "members": [{ "pid": 7, "start_ticks": 1, "program": "x" }] }] },
    });
    let world = owner.write("world.json", &world.to_string()).display().to_string();
    for words in [["plan", "-v"], ["status", "-v"]] {
        let ran = owner.bounded(MEMORY_MIB_MAX, &[&words[..], &["--world", &world, &manifest]].concat()).harmless();
        assert!(ran.stdout.len() < 20_000, "{} bytes", ran.stdout.len());
    }
}
