//! The studio, with the real binary, a real engine and real processes: each switch converges in one run.
//!
//! Without an engine these tests report `ignored` and the reason; with `LCM_TEST_REQUIRE=docker` its absence is a
//! failure.

use std::fs;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::json;

#[expect(dead_code, reason = "the tests of the readings use the rest")]
#[path = "support/gpus.rs"]
mod gpus;
#[path = "studio/memory.rs"]
mod memory;
#[expect(dead_code, reason = "each test program uses a part of it")]
#[path = "support/plans.rs"]
mod plans;
#[expect(dead_code, reason = "each program uses a part of it")]
#[path = "support/played.rs"]
mod played;
#[path = "studio/recover.rs"]
mod recover;
#[path = "support/require.rs"]
mod require;
#[expect(dead_code, reason = "each test program uses a part of it")]
#[path = "support/sandbox.rs"]
mod sandbox;
#[path = "support/server.rs"]
mod server;
#[path = "support/studio.rs"]
mod studio;
#[path = "studio/words.rs"]
mod words;
#[path = "../examples/simulated_gpu/world.rs"]
#[expect(dead_code, reason = "the library and the server use the rest")]
mod world;

use plans::{blocked, position, reason, result, stage, steps};
use sandbox::{Sandbox, answers, free_port, kill, wait_until};
use studio::{Foreign, Studio, docker, engine_missing, exists, id, remove_labelled, status};

const TESTS: &[(&str, fn())] = &[
    ("voice_video_chat_and_back_each_in_one_run", voice_video_chat_and_back_each_in_one_run),
    ("nothing_starts_before_its_memory_is_free", nothing_starts_before_its_memory_is_free),
    ("down_leaves_adopted_services_stopped_and_nothing_else", down_leaves_adopted_services_stopped_and_nothing_else),
    (
        "an_image_that_can_not_be_pulled_leaves_the_old_service_running",
        an_image_that_can_not_be_pulled_leaves_the_old_service_running,
    ),
    (
        "a_changed_spec_recreates_that_service_and_shows_a_masked_diff",
        a_changed_spec_recreates_that_service_and_shows_a_masked_diff,
    ),
    ("another_projects_container_blocks_and_is_left_alone", another_projects_container_blocks_and_is_left_alone),
    ("a_missing_container_blocks_and_is_named", a_missing_container_blocks_and_is_named),
    ("a_killed_apply_is_finished_by_the_next", a_killed_apply_is_finished_by_the_next),
    ("the_script_can_be_run_twice_and_undone", the_script_can_be_run_twice_and_undone),
    ("memory::a_switch_unloads_stops_waits_and_starts", memory::a_switch_unloads_stops_waits_and_starts),
    ("memory::memory_that_is_not_released_is_named", memory::memory_that_is_not_released_is_named),
    ("memory::foreign_memory_is_counted_and_named", memory::foreign_memory_is_counted_and_named),
    ("memory::a_busy_service_is_waited_for_or_not", memory::a_busy_service_is_waited_for_or_not),
    (
        "memory::a_kept_service_unloads_and_the_next_time_it_stops",
        memory::a_kept_service_unloads_and_the_next_time_it_stops,
    ),
    (
        "words::a_container_is_suspended_maintained_and_terminated",
        words::a_container_is_suspended_maintained_and_terminated,
    ),
    ("words::maintenance_outlives_an_engine", words::maintenance_outlives_an_engine),
    ("memory::status_and_plan_show_what_is_measured", memory::status_and_plan_show_what_is_measured),
    (
        "recover::a_crash_loop_is_held_after_its_budget_and_nothing_oscillates",
        recover::a_crash_loop_is_held_after_its_budget_and_nothing_oscillates,
    ),
];

fn main() -> ExitCode {
    let missing = engine_missing();
    let required = require::required("docker");
    let trials = TESTS.iter().map(|(name, test)| {
        let reason = missing.clone();
        let trial = Trial::test(*name, move || {
            if let Some(reason) = reason {
                return Err(Failed::from(format!("no Docker engine: {reason}")));
            }
            test();
            Ok(())
        });
        match &missing {
            None if name.starts_with("memory::") => match gpus::nameless() {
                Some(reason) => trial.with_kind(reason).with_ignored_flag(true),
                None => trial,
            },
            Some(_) if !required => trial.with_kind("no Docker engine answers").with_ignored_flag(true),
            Some(_) | None => trial,
        }
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

fn voice_video_chat_and_back_each_in_one_run() {
    let studio = Studio::new();
    let foreign = Foreign::run(&["--name", &format!("{}-foreign", studio.sandbox.name), studio.image()]);
    let before = foreign.state();
    for (mode, services) in [
        ("voice", &["cosyvoice"][..]),
        ("video", &["comfyui", "vidi"]),
        ("chat", &["ollama"]),
        ("voice", &["cosyvoice"]),
    ] {
        studio.lcm(mode, &["apply", "--yes"]).exits(0);
        assert_eq!(studio.up(), services, "after {mode}");
        let again = studio.lcm(mode, &["apply", "--yes", "--detailed-exitcode", "--format", "json"]).exits(0);
        assert_eq!(result(&again.events())["changed"], json!(false), "{mode} twice");
        let plan = studio.lcm(mode, &["plan", "--detailed-exitcode", "--format", "json"]).exits(0).json();
        assert_eq!(plan["changes"], json!(false), "{plan:#}");
    }
    assert_eq!(foreign.state(), before, "a foreign container is left alone");
}

fn nothing_starts_before_its_memory_is_free() {
    let studio = Studio::new();
    studio.lcm("video", &["apply", "--yes"]).exits(0);
    let plan = studio.lcm("chat", &["plan", "--format", "json"]).exits(0).json();
    assert_eq!(reason(&plan, "stop:comfyui"), "not_in_mode");
    assert_eq!(reason(&plan, "start:ollama"), "wanted_by_mode");
    for gpu in plan["gpus"].as_array().expect("gpus") {
        let mib = |key: &str| gpu[key].as_u64().expect("MiB");
        assert!(mib("peak_mib") + mib("reserve_mib") <= mib("capacity_mib"), "{gpu}");
    }
    let events = studio.lcm("chat", &["apply", "--yes", "--format", "json"]).exits(0).events();
    assert!(position(&events, "step_done", "stop:comfyui") < stage(&events, "start:ollama", "start"));
}

fn down_leaves_adopted_services_stopped_and_nothing_else() {
    let studio = Studio::new();
    studio.lcm("voice", &["apply", "--yes"]).exits(0);
    studio.lcm("chat", &["apply", "--yes"]).exits(0);
    assert!(exists(&studio.container("ollama")));
    studio.lcm("lcm", &["down", "--yes"]).exits(0);
    assert_eq!(studio.up(), [""; 0]);
    assert_eq!(studio.sandbox.servers(), []);
    assert_eq!(studio.sandbox.shims(), []);
    assert!(!exists(&studio.container("ollama")), "lcm created it, so lcm removes it");
    assert_eq!(status(&studio.container("cosyvoice")), "exited", "the user created it, so it stays");
    let lock = fs::File::open(studio.sandbox.path("lcm.lock")).expect("the lock's file");
    assert!(lock.try_lock().is_ok(), "the lock is free");
}

fn an_image_that_can_not_be_pulled_leaves_the_old_service_running() {
    let mut studio = Studio::new();
    studio.lcm("chat", &["apply", "--yes"]).exits(0);
    let before = id(&studio.container("ollama"));
    let image = studio.image().to_owned();
    studio.sandbox.set("STUDIO_IMAGE", format!("{image}-that-is-not-there"));
    let ran = studio.lcm("chat", &["apply", "--yes"]);
    assert!(matches!(ran.code, 3 | 4), "{ran}");
    ran.says("that-is-not-there");
    assert_eq!((id(&studio.container("ollama")), status(&studio.container("ollama"))), (before, "running".to_owned()));
    assert!(answers(studio.port("ollama")));
    studio.sandbox.set("STUDIO_IMAGE", image);
    studio.lcm("chat", &["plan", "--detailed-exitcode"]).exits(0);
}

fn a_changed_spec_recreates_that_service_and_shows_a_masked_diff() {
    let mut pair = Pair::new();
    pair.sandbox.set("KEY", "hf_do_not_show_this");
    pair.apply("fast").exits(0);
    let (one, two) = (id(&pair.container("one")), id(&pair.container("two")));

    let manifest = pair.write("slow");
    let plan = pair.sandbox.lcm(&["plan", "--format", "json", &manifest]).hides("hf_do_not").json();
    assert_eq!(steps(&plan), ["stop:one", "start:one"]);
    assert_eq!(reason(&plan, "start:one"), "spec_changed");
    let diff = plan["steps"].as_array().expect("steps").iter().find_map(|step| step["diff"].as_str()).expect("a diff");
    assert!(diff.contains("fast") && diff.contains("slow"), "{diff}");
    pair.sandbox.lcm(&["plan", &manifest]).says("slow").hides("hf_do_not");

    pair.apply("slow").exits(0).hides("hf_do_not");
    assert_ne!(id(&pair.container("one")), one, "recreated");
    assert_eq!(id(&pair.container("two")), two, "left alone");
    let labels = docker(&["inspect", "--format", "{{json .Config.Labels}}", &pair.container("one")]);
    assert!(!labels.contains("hf_do_not"), "{labels}");

    pair.sandbox.set("KEY", "hf_another_one");
    let plan = pair.sandbox.lcm(&["plan", "--format", "json", &manifest]).json();
    assert_eq!(reason(&plan, "start:one"), "secret_changed");
    pair.sandbox.set("KEY", "hf_do_not_show_this");
    pair.sandbox.lcm(&["plan", "--detailed-exitcode", &manifest]).exits(0);
}

fn another_projects_container_blocks_and_is_left_alone() {
    let studio = Studio::new();
    let name = studio.container("ollama");
    let others = ["--label", "lcm.project=another", "--label", "lcm.service=ollama"];
    let foreign = Foreign::run(&[&["--name", &name], &others[..], &[studio.image()]].concat());
    let before = foreign.state();
    let plan = studio.lcm("chat", &["plan", "--format", "json"]).exits(4).json();
    assert_eq!(blocked(&plan), ["ollama: not_ours"]);
    studio.lcm("chat", &["apply", "--yes"]).exits(4).says(&name);
    studio.lcm("lcm", &["down", "--yes"]);
    assert_eq!(foreign.state(), before);
    drop(foreign);

    let name = studio.container("cosyvoice");
    docker(&["rm", &name]);
    let foreign = Foreign::create(&[&["--name", &name], &others[..], &[studio.image()]].concat());
    let before = foreign.state();
    studio.lcm("voice", &["apply", "--yes"]).exits(4).says(&name);
    assert_eq!(foreign.state(), before);
}

fn a_missing_container_blocks_and_is_named() {
    let studio = Studio::new();
    let name = studio.container("cosyvoice");
    docker(&["rm", &name]);
    let plan = studio.lcm("voice", &["plan", "--format", "json"]).exits(4).json();
    assert_eq!(blocked(&plan), ["cosyvoice: container_missing"]);
    studio.lcm("voice", &["apply", "--yes"]).exits(4).says(&name);
    studio.prepare(&[]).exits(0);
    studio.lcm("voice", &["apply", "--yes"]).exits(0);
}

fn a_killed_apply_is_finished_by_the_next() {
    let mut studio = Studio::new();
    studio.lcm("chat", &["apply", "--yes"]).exits(0);
    studio.sandbox.set("COMFYUI_LOAD", "2s");
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/studio/modes/video.yaml");
    let first = studio.sandbox.start(&["apply", "--yes", manifest]);
    wait_until("comfyui is being started", || !studio.sandbox.servers().is_empty());
    kill(i32::try_from(first.child.id()).expect("a pid"), "KILL");
    drop(first);
    studio.lcm("video", &["apply", "--yes"]).exits(0);
    assert_eq!(studio.up(), ["comfyui", "vidi"]);
    // ComfyUI has one child.
    assert_eq!(studio.sandbox.servers().len(), 3, "no second copy: {:?}", studio.sandbox.servers());
    studio.lcm("video", &["plan", "--detailed-exitcode"]).exits(0);
}

fn the_script_can_be_run_twice_and_undone() {
    let studio = Studio::new();
    let before = id(&studio.container("cosyvoice"));
    let again = studio.prepare(&[]).exits(0);
    assert_eq!((again.stdout.as_str(), id(&studio.container("cosyvoice"))), ("", before));
    studio.prepare(&["--undo"]).exits(0);
    assert!(!exists(&studio.container("cosyvoice")));
    studio.prepare(&["--undo"]).exits(0);
}

/// Two containers that lcm creates, one with a setting and a secret.
struct Pair {
    sandbox: Sandbox,
    /// Owner of the image.
    studio: Studio,
    ports: [u16; 2],
}

impl Pair {
    fn new() -> Self {
        Self { sandbox: Sandbox::new("pair"), studio: Studio::new(), ports: [free_port(), free_port()] }
    }

    fn write(&self, speed: &str) -> String {
        let image = self.studio.image();
        let service = |name: &str, port: u16, environment: &str| {
            format!(
                "  {name}:
    docker:
      image: {image}
      container_name: \"@NAME@-{name}\"
      pull_policy: never
      gpu_access: none
      command: [--host, 0.0.0.0, --port, \"8000\"]
      ports: [\"127.0.0.1:{port}:8000\"]
      environment: {{ {environment} }}
    vram: 1GB
    health: {{ http: \"http://127.0.0.1:{port}/health\", timeout: 30s }}
"
            )
        };
        let text = format!(
            "version: 1\nname: \"@NAME@\"\ngpus: {{ devices: [{{ index: 0, uuid: \"@GPU@\", vram: 24GiB }}] }}\nservices:\n{}{}",
            service("one", self.ports[0], &format!("SPEED: {speed}, KEY: {{ env: KEY }}")),
            service("two", self.ports[1], "SPEED: fast")
        );
        self.sandbox.write("lcm.yaml", &text).display().to_string()
    }

    fn apply(&mut self, speed: &str) -> sandbox::Ran {
        let manifest = self.write(speed);
        self.sandbox.take_down(&manifest);
        self.sandbox.lcm(&["apply", "--yes", &manifest])
    }

    fn container(&self, service: &str) -> String {
        format!("{}-{service}", self.sandbox.name)
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        // Before the studio goes with the image.
        remove_labelled(&format!("lcm.project={}", self.sandbox.name));
    }
}
