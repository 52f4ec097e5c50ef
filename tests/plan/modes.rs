//! Wanted, kept and unwanted services; dependencies, goals, and the order of stops and starts.

use crate::house::{House, assert_lines};

const STUDIO: &str = r#"
version: 1
name: studio
gpus: { reserve: 512MiB, devices: [{ index: 0, vram: 24GiB }] }
services:
  comfyui: { process: { command: [comfy] }, vram: 20GB, priority: 100, phases: [4], health: { http: "http://localhost:8188/" } }
  cosyvoice: { process: { command: [cosy] }, vram: 4GB, priority: 50, phases: [3] }
  vidi: { process: { command: [vidi] }, vram: 4GB, priority: 40, phases: [2] }
  ollama: { docker: { image: "ollama/ollama:0.12" }, vram: 18GB, priority: 10 }
modes:
  video: { services: [comfyui, vidi], stop: [ollama] }
  voice: { goals: [narrate] }
  chat: { services: [ollama], others: keep }
goals:
  narrate: { phases: [3], priority: 60 }
"#;

#[test]
fn from_nothing_a_mode_starts_its_services_the_highest_priority_first() {
    let house = House::new(STUDIO);
    assert_lines(
        &house.plan("video"),
        "start:comfyui [wanted_by_mode] 19074 on gpu-0
         start:vidi [wanted_by_mode] 3815 on gpu-0",
    );
    house.apply("video");
}

#[test]
fn a_goal_wants_services_by_phase() {
    let house = House::new(STUDIO);
    assert_lines(&house.plan("voice"), "start:cosyvoice [wanted_by_goal] 3815 on gpu-0");
}

#[test]
fn a_switch_stops_first_and_a_start_waits_for_the_memory_it_draws_on() {
    let house = House::new(STUDIO);
    house.apply("chat");
    assert_lines(
        &house.plan("video"),
        "stop:ollama [stopped_by_mode] 17167 on gpu-0
         start:comfyui [wanted_by_mode] 19074 on gpu-0 after stop:ollama
         start:vidi [wanted_by_mode] 3815 on gpu-0 after stop:ollama",
    );
    house.apply("video");
}

#[test]
fn kept_services_may_keep_running_and_no_lower_priority_preempts_them() {
    let house = House::new(STUDIO);
    house.apply("voice");
    // 24 576 − 512 − 3 815 leaves enough for ollama's 17 167.
    assert_lines(&house.plan("chat"), "start:ollama [wanted_by_mode] 17167 on gpu-0");
    house.apply("chat");
    house.apply("video");
    assert_lines(
        &house.plan("chat"),
        "blocked ollama [no_capacity] it needs 17 167 MiB (priority 10); GPU 0 has 24 576 − 512 reserve − 19 074 comfyui (priority 100) − 3 815 vidi (priority 40) = 1 175",
    );
}

#[test]
fn round_and_round_each_apply_converges() {
    let house = House::new(STUDIO);
    for mode in ["voice", "video", "voice", "video", "voice", "chat"] {
        house.apply(mode);
    }
}

const SEVERAL: &str = "
version: 1
name: several
gpus: { devices: [{ index: 0, vram: 24GiB }] }
lifecycle: { deny: [{ to: starting, services: guarded, mode: [voice, chat] }] }
services:
  comfyui: { process: { command: [comfy] }, vram: 8GiB }
  tts: { process: { command: [tts] }, vram: 2GiB }
  ollama: { process: { command: [ollama] }, vram: 8GiB }
  extra: { process: { command: [extra] } }
  old: { process: { command: [old] } }
  guarded: { process: { command: [guarded] } }
modes:
  video: { services: [comfyui, tts], stop: [old] }
  chat: { services: [ollama, tts], others: keep }
  voice: { goals: [narrate], others: keep, stop: [old] }
  free: { services: [extra, old], others: keep }
  watched: { services: [guarded] }
goals:
  narrate: { services: [tts] }
";

#[test]
fn several_modes_unite_their_services_goals_and_stops() {
    let house = House::new(SEVERAL);
    let plan = house.plan("video+chat");
    assert_lines(
        &plan,
        "start:comfyui [wanted_by_mode] 8192 on gpu-0
         start:ollama [wanted_by_mode] 8192 on gpu-0
         start:tts [wanted_by_mode] 2048 on gpu-0",
    );
    assert_eq!(plan, house.plan("chat+video"), "the order does not matter");
    let desired = house.desired(Some("chat+video"));
    let plan = house.plan_for(&desired, &lcm::model::plan::Request::default());
    let reasons: Vec<&str> = plan.steps.iter().map(|step| step.reason.message.as_str()).collect();
    assert_eq!(reasons, ["wanted by mode video", "wanted by mode chat", "wanted by mode chat+video"]);
    assert_eq!(plan.modes, ["chat".into(), "video".into()]);
    assert_lines(&house.plan("voice"), "start:tts [wanted_by_goal] 2048 on gpu-0");
}

#[test]
fn others_keep_running_only_where_all_modes_keep_them() {
    let house = House::new(SEVERAL);
    house.apply("free");
    assert_lines(
        &house.plan("chat+voice"),
        "stop:old [stopped_by_mode]
         start:ollama [wanted_by_mode] 8192 on gpu-0
         start:tts [wanted_by_mode] 2048 on gpu-0",
    );
    assert_lines(
        &house.plan("chat+video"),
        "stop:extra [not_in_mode]
         stop:old [stopped_by_mode]
         start:comfyui [wanted_by_mode] 8192 on gpu-0
         start:ollama [wanted_by_mode] 8192 on gpu-0
         start:tts [wanted_by_mode] 2048 on gpu-0",
    );
    house.apply("chat+voice");
    house.apply("video+chat");
}

#[test]
fn a_rule_of_one_active_mode_applies() {
    let house = House::new(SEVERAL);
    assert_lines(&house.plan("watched"), "start:guarded [wanted_by_mode]");
    let text = house.plan("watched+chat");
    assert!(text.contains("blocked guarded [rule]") && !text.contains("start:guarded"), "{text}");
}

const CHAIN: &str = r"
version: 1
name: chain
services:
  web: { process: { command: [web] }, depends_on: [api] }
  api: { process: { command: [api] }, depends_on: [db, cache] }
  db: { process: { command: [db] } }
  cache: { process: { command: [cache] } }
modes:
  all: { services: [web] }
  none: { services: [] }
  data: { services: [db] }
";

#[test]
fn dependencies_are_wanted_with_their_dependents_and_start_first() {
    let house = House::new(CHAIN);
    assert_lines(
        &house.plan("all"),
        "start:cache [wanted_by_dependency]
         start:db [wanted_by_dependency]
         start:api [wanted_by_dependency] after start:cache, start:db
         start:web [wanted_by_mode] after start:api",
    );
    house.apply("all");
}

#[test]
fn stops_are_in_reverse_order() {
    let house = House::new(CHAIN);
    house.apply("all");
    assert_lines(
        &house.plan("none"),
        "stop:web [not_in_mode]
         stop:api [not_in_mode] after stop:web
         stop:cache [not_in_mode] after stop:api
         stop:db [not_in_mode] after stop:api",
    );
    assert_lines(
        &house.plan("data"),
        "stop:web [not_in_mode]
         stop:api [not_in_mode] after stop:web
         stop:cache [not_in_mode] after stop:api",
    );
    house.apply("none");
}

#[test]
fn a_target_includes_its_dependencies_and_an_exclude_blocks_dependents() {
    use lcm::model::plan::Request;
    let house = House::new(CHAIN);
    let target = Request { targets: ["db".into()].into(), ..Request::default() };
    assert_lines(&house.plan_with("all", &target), "start:db [wanted_by_dependency]");
    let exclude = Request { excludes: ["db".into()].into(), ..Request::default() };
    assert_lines(
        &house.plan_with("all", &exclude),
        "start:cache [wanted_by_dependency]
         blocked api [dependency] it depends on db, which is not up: it is left out of this run
         blocked web [dependency] it depends on api, which is blocked: it depends on db, which is not up: it is left out of this run",
    );
    let strict = Request { strict: true, ..exclude };
    let text = house.plan_with("all", &strict);
    assert!(!text.contains("start:"), "{text}");
}

#[test]
fn services_that_a_selection_leaves_out_are_reported_in_one_line() {
    use lcm::model::plan::{Purpose, Request};
    let house = House::new(CHAIN);
    let warnings = |mode: &str, targets: &[&str], excludes: &[&str]| {
        let set = |names: &[&str]| names.iter().map(|name| (*name).into()).collect();
        let request = Request { targets: set(targets), excludes: set(excludes), ..Request::default() };
        house.plan_for(&house.desired(Some(mode)), &request).warnings
    };
    assert_eq!(warnings("all", &[], &[]), [""; 0]);
    assert_eq!(
        warnings("all", &["db"], &[]),
        ["--target: 1 of 4 services is selected; left out despite differing from mode all: api, cache, web"]
    );
    assert_eq!(
        warnings("all", &["api"], &["cache"]),
        ["--target and --exclude: 2 of 4 services are selected; left out despite differing from mode all: cache, web"]
    );
    assert_eq!(warnings("all", &["web", "db", "cache"], &[]), [""; 0], "with what they depend on, that is all");
    house.apply("all");
    assert_eq!(warnings("all", &["db"], &[]), ["--target: 1 of 4 services is selected; the other 3 stay as they are"]);
    assert_eq!(
        warnings("none", &[], &["web"]),
        ["--exclude: 3 of 4 services are selected; left out despite differing from mode none: web"]
    );
    let stop = Request { purpose: Purpose::Stop, targets: ["web".into()].into(), ..Request::default() };
    assert_eq!(house.plan_for(&house.desired(Some("all")), &stop).warnings, [""; 0], "it is just about that");
}

#[test]
fn without_modes_everything_is_wanted() {
    let house = House::new("version: 1\nname: plain\nservices:\n  a: { process: { command: [a] } }\n");
    let desired = house.desired(None);
    let plan = house.plan_for(&desired, &lcm::model::plan::Request::default());
    assert_lines(&crate::house::text(&plan), "start:a [wanted_by_mode]");
    house.apply_for(&desired, &lcm::model::plan::Request::default());
}
