//! Resolved manifests: defaults, templates, paths, ports, modes and specs.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lcm::manifest::{ModeSelection, load};
use lcm::model::call::Call;
use lcm::model::desired::{
    Condition, Desired, GpuRef, GpuRequest, ModeSource, Others, Probe, Service, VramAmount, VramShare,
};
use lcm::model::job::Job;
use lcm::model::mode_set::ModeSet;
use lcm::model::size::Mebibytes;
use lcm::runtime::docker::intent::DockerSpec;
use lcm::runtime::process::intent::{CommandSpec, ProcessSpec};
use lcm::syntax::Environment;
use lcm::syntax::problem::Problems;
use serde_json::json;
use tempfile::TempDir;

fn corpus(name: &str) -> Desired {
    let path = format!("tests/manifest/valid/{name}.yaml");
    let environment = [("TAG", "1.2"), ("PASSWORD", "secret"), ("DRAIN", "5m")];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    load(Path::new(&path), &environment, &ModeSelection::default()).unwrap_or_else(|problems| panic!("{problems}"))
}

fn written(text: &str, choice: &ModeSelection) -> Result<Desired, Problems> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("lcm.yaml");
    fs::write(&path, format!("version: 1\nname: studio\n{text}")).unwrap();
    load(&path, &Environment::new(), choice)
}

fn service<'a>(desired: &'a Desired, name: &str) -> &'a Service {
    &desired.services[&name.into()]
}

fn process<'a>(desired: &'a Desired, name: &str) -> &'a ProcessSpec {
    match service(desired, name).workload.spec::<ProcessSpec>() {
        Some(process) => process,
        None => panic!("{name} is a container"),
    }
}

/// Returns the corpus' folder, absolute.
fn here() -> PathBuf {
    std::env::current_dir().unwrap().join("tests/manifest")
}

#[test]
fn memory_by_gpu_as_a_share_and_of_the_host() {
    let desired = corpus("memory");
    let (size, share) =
        (|mib| VramAmount::Fixed(Mebibytes(mib)), |hundredths| VramAmount::Share(VramShare(hundredths)));
    let by_gpu = |name: &str| service(&desired, name).vram_by_gpu.as_deref().map(<[VramAmount]>::to_vec);
    assert_eq!(by_gpu("split"), Some(vec![size(17_167), size(7_630)]));
    assert_eq!(service(&desired, "split").vram, Mebibytes(17_167));
    assert_eq!(service(&desired, "split").gpu, GpuRequest::Count(2), "a list requests as many GPUs");
    assert_eq!(by_gpu("listed"), Some(vec![size(4_096), size(18_432)]));
    assert_eq!(by_gpu("shares"), Some(vec![share(4_500), share(3_750)]));
    assert_eq!((by_gpu("share"), &service(&desired, "share").gpu), (Some(vec![share(4_500)]), &GpuRequest::Auto));
    assert_eq!((by_gpu("one"), service(&desired, "one").vram), (None, Mebibytes(7_630)));
    assert_eq!((service(&desired, "listed").ram, desired.host_reserve), (Mebibytes(24 << 10), Mebibytes(4 << 10)));
    assert!(service(&desired, "share").exclusive_start && !service(&desired, "one").exclusive_start);
    let plain = written("services: {}\n", &ModeSelection::default()).unwrap();
    assert_eq!((plain.host_reserve, plain.counts_host_memory()), (Mebibytes(1 << 10), false));
}

#[test]
fn the_example_of_the_design() {
    let desired = corpus("design");
    assert_eq!(desired.project.as_str(), "studio");
    assert_eq!(
        (desired.mode.as_ref().map(ModeSet::text).as_deref(), desired.mode_source),
        (Some("voice"), ModeSource::Manifest)
    );
    assert_eq!(desired.reserve, Mebibytes(512));
    assert_eq!(desired.declared_gpus[0].capacity, Mebibytes(24 * 1024));
    assert_eq!(desired.active_goals().len(), 1);

    let comfyui = service(&desired, "comfyui");
    assert_eq!(comfyui.vram, Mebibytes(19_074));
    assert_eq!((comfyui.gpu.clone(), comfyui.priority), (GpuRequest::Auto, 100));
    assert_eq!(comfyui.stop.grace, Duration::from_secs(30));
    assert_eq!(comfyui.health.timeout, Duration::from_mins(2), "over the template's 60 s");
    assert_eq!(comfyui.health.warm_time, Duration::from_secs(30));
    assert_eq!(comfyui.drain, Some(Duration::from_mins(5)));
    assert_eq!(comfyui.ports, BTreeSet::from([8188.into()]));
    assert_eq!(comfyui.depends_on[&"cosyvoice".into()].condition, Condition::Healthy);
    assert_eq!(comfyui.missing_secrets, ["the environment variable HF_TOKEN, which is not set"]);
    assert!(comfyui.source.starts_with("tests/manifest/valid/design.yaml:"), "{}", comfyui.source);
    let comfyui = process(&desired, "comfyui");
    assert_eq!(comfyui.command, CommandSpec::Exec(vec!["./start_comfy.sh".to_owned()]));
    assert_eq!(comfyui.cwd, here().join("valid"));
    assert_eq!((comfyui.log.max_size_bytes, comfyui.log.files), (20 << 20, 3));

    let cosyvoice = service(&desired, "cosyvoice");
    assert_eq!(cosyvoice.object(), Some(&"mcn_cosyvoice".into()));
    assert_eq!(*cosyvoice.spec.config(), json!(null));
    assert_eq!(cosyvoice.ports, BTreeSet::from([50_000.into()]));

    let ollama = service(&desired, "ollama");
    assert_eq!(ollama.object(), Some(&"studio-ollama".into()));
    assert_eq!(
        *ollama.spec.config(),
        json!({ "image": "ollama/ollama:0.12", "ports": ["11434:11434"], "volumes": ["ollama:/root/.ollama"] })
    );
    let evict = ollama.evict.as_ref().unwrap();
    let body = json!({ "model": "qwen2.5:32b", "keep_alive": "0s" });
    let url = "http://localhost:11434/api/generate".to_owned();
    assert_eq!(evict.calls, [Call::Http { method: "POST".to_owned(), url, json: Some(body) }]);
    assert_eq!(evict.resident, Mebibytes(1024));
    assert_eq!(desired.modes[&"chat".into()].others, Others::Keep);
}

#[test]
fn specs_are_the_same_whichever_file_is_the_entry() {
    let (whole, mode_file) = (corpus("design"), corpus("design-mode-file"));
    assert_eq!(mode_file.mode.as_ref().map(ModeSet::text).as_deref(), Some("video"));
    for (name, service) in &whole.services {
        assert_eq!(service.spec, mode_file.services[name].spec, "{name}");
    }
    // Nor does it matter where the checkout lies.
    let folder = TempDir::new().unwrap();
    fs::create_dir_all(folder.path().join("parts")).unwrap();
    fs::create_dir_all(folder.path().join("elsewhere")).unwrap();
    for part in ["parts/gpu-templates.yaml", "valid/design.yaml"] {
        let target = folder.path().join(part.replace("valid/", "elsewhere/"));
        fs::copy(here().join(part), target).unwrap();
    }
    let moved =
        load(&folder.path().join("elsewhere/design.yaml"), &Environment::new(), &ModeSelection::default()).unwrap();
    assert_eq!(whole.services[&"comfyui".into()].spec.hash(), moved.services[&"comfyui".into()].spec.hash());
}

#[test]
fn paths_start_from_the_file_that_names_them() {
    let folder = TempDir::new().unwrap();
    fs::create_dir_all(folder.path().join("lib")).unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write(
        "lcm.yaml",
        "version: 1\nname: x\ninclude: lib/t.yaml\nservices:\n  a: { extends: t, process: { command: ./a } }\n  b: { process: { command: ./b, cwd: ~/b } }\n  c: { docker: { image: c, volumes: ['./c:/c', '/abs/../d:/d', 'v:/v'] } }\n",
    );
    write(
        "lib/t.yaml",
        "templates:\n  t: { process: { cwd: work, env_file: ../lib/t.env, pid_file: { path: a.pid, match: a } } }\n",
    );
    write("lib/t.env", "A=abc\n");
    let environment = [("HOME".to_owned(), "/home/me".to_owned())].into();
    let desired = load(&folder.path().join("lcm.yaml"), &environment, &ModeSelection::default()).unwrap();
    let root = folder.path();
    let a = process(&desired, "a");
    assert_eq!((a.cwd.clone(), a.pid_file.clone().unwrap().path), (root.join("lib/work"), root.join("lib/a.pid")));
    assert!(a.environment.contains_key("A"));
    assert_eq!(service(&desired, "a").spec.config()["cwd"], "lib/work");
    assert_eq!(process(&desired, "b").cwd, Path::new("/home/me/b"));
    let Some(DockerSpec::Created(c)) = service(&desired, "c").workload.spec::<DockerSpec>() else {
        panic!("c is a container")
    };
    assert_eq!(c.volumes, [format!("{}/c:/c", root.display()), "/d:/d".to_owned(), "v:/v".to_owned()]);
    assert_eq!(service(&desired, "c").spec.config()["volumes"], json!(["c:/c", "/d:/d", "v:/v"]));
}

#[test]
fn templates_merge_maps_and_replace_the_rest() {
    let desired = corpus("extends-chain");
    let web = service(&desired, "web");
    assert_eq!(web.health.timeout, Duration::from_secs(30));
    assert_eq!(web.health.interval, Some(Duration::from_millis(100)));
    assert_eq!(web.priority, 5);
    let web = process(&desired, "web");
    assert_eq!(web.cwd, Path::new("/srv"));
    assert_eq!(service(&desired, "web").spec.config()["environment"], json!({ "A": "base", "B": "fast" }));
    assert_eq!(process(&desired, "again").cwd, here().join("valid"));
}

#[test]
fn variables_reach_every_kind_of_value() {
    let desired = corpus("variables");
    assert_eq!(desired.mode.as_ref().map(ModeSet::text).as_deref(), Some("day"));
    let web = service(&desired, "web");
    assert_eq!(
        (web.vram, web.priority, web.drain),
        (Mebibytes::needed(4_000_000_000), 10, Some(Duration::from_mins(5)))
    );
    assert_eq!(web.gpu, GpuRequest::All(vec![GpuRef::Index(0)]));
    assert_eq!(web.health.probe, Some(Probe::Tcp { host: "localhost".to_owned(), port: 8080 }));
    assert_eq!((web.health.successes, web.health.timeout), (2, Duration::from_secs(90)));
    assert_eq!(web.ports, BTreeSet::from([8080.into()]));
    assert_eq!(web.spec.config()["image"], "web:1.2");
    assert_eq!(web.spec.config()["environment"], json!({ "PASSWORD": "***", "PRICE": "5$" }));
}

#[test]
fn gpus_are_requested_in_many_ways() {
    let gpu = |name: &str| service(&corpus(name), "web").gpu.clone();
    assert_eq!(gpu("gpu-auto"), GpuRequest::Auto);
    assert_eq!(gpu("gpu-none"), GpuRequest::None);
    assert_eq!(gpu("gpu-index"), GpuRequest::All(vec![GpuRef::Index(1)]));
    assert_eq!(gpu("gpu-list"), GpuRequest::All(vec![GpuRef::Index(0), GpuRef::Uuid("GPU-abc".to_owned())]));
    assert_eq!(gpu("gpu-any"), GpuRequest::Any(vec![GpuRef::Index(0), GpuRef::Index(1)]));
    assert_eq!(gpu("gpu-count"), GpuRequest::Count(2));
    assert_eq!(gpu("process-words"), GpuRequest::None, "no memory, no GPU");
}

#[test]
fn a_service_without_settings_gets_the_defaults() {
    let desired = corpus("process-words");
    let web = service(&desired, "web");
    let health = &web.health;
    assert_eq!((health.probe.clone(), health.interval, health.failures, health.successes), (None, None, 3, 1));
    assert_eq!((health.probe_timeout, health.timeout), (Duration::from_secs(5), Duration::from_mins(1)));
    assert_eq!((health.warm_time, health.stable_for), (Duration::ZERO, Duration::ZERO));
    assert_eq!((web.stop.signal.clone(), web.stop.grace, web.priority), (None, Duration::from_secs(10), 0));
    assert_eq!(*web.spec.config(), json!({ "command": ["python3", "-m", "http.server", "8000", "true"], "cwd": "." }));
    assert_eq!((desired.mode, desired.reserve), (None, Mebibytes::ZERO));
}

/// The literal is on running instances: a change of it restarts every service of every user.
#[test]
fn specs_keep_their_hashes() {
    assert_eq!(service(&corpus("process-words"), "web").spec.hash(), "v1:90069f8cdd4c805518e0e1c90c6a9e8f");
    assert_eq!(service(&corpus("container-whole"), "big").spec.hash(), "v1:df3774dbae3c8bbbb0f0bcdac92a82c3");
}

#[test]
fn probes_and_placement_of_a_service_are_not_in_its_spec() {
    let with = |more: &str| {
        let text = format!("services:\n  a: {{ process: {{ command: ./a }}{more} }}\n");
        written(&text, &ModeSelection::default()).unwrap().services[&"a".into()].spec.hash().to_owned()
    };
    let plain = with("");
    assert_eq!(with(", vram: 1GB, gpu: 0, priority: 3, phases: [1], drain: 1s, stop: { grace: 1s }"), plain);
    assert_eq!(with(", health: { tcp: 1 }, busy: { exec: ./b }, evict: { exec: ./e }"), plain);
}

#[test]
fn the_newest_choice_of_the_mode_wins() {
    let text = "mode: one\nservices:\n  a: { process: { command: ./a } }\nmodes: { one: {}, two: {}, three: {} }\n";
    let chosen = |mode: Option<&str>, override_to: Option<&str>| {
        let choice = ModeSelection {
            mode: mode.map(ModeSet::from),
            mode_override: override_to.map(ModeSet::from),
            ..ModeSelection::default()
        };
        written(text, &choice).map(|desired| (desired.mode.unwrap().text(), desired.mode_source))
    };
    assert_eq!(chosen(None, None).unwrap(), ("one".to_owned(), ModeSource::Manifest));
    assert_eq!(chosen(None, Some("two")).unwrap(), ("two".to_owned(), ModeSource::Override));
    assert_eq!(chosen(Some("three"), Some("two")).unwrap(), ("three".to_owned(), ModeSource::CommandLine));
    assert!(chosen(None, Some("gone")).unwrap_err().to_string().contains("lcm switch --clear"));
    assert!(chosen(Some("tow"), None).unwrap_err().to_string().contains("did you mean `two`?"));
    let goal = ModeSelection { goals: ["gaol".into()].into(), mode: Some("one".into()), ..ModeSelection::default() };
    assert!(written(text, &goal).unwrap_err().to_string().contains("there is no goal `gaol`; none are defined"));
    let several = chosen(None, Some("two+gone+away")).unwrap_err().to_string();
    assert!(several.contains("`gone`") && several.contains("`away`"), "{several}");
    let none = ModeSelection { mode: Some("one".into()), ..ModeSelection::default() };
    assert!(written("services: {}\n", &none).unwrap_err().to_string().contains("there is no mode `one`"));
}

#[test]
fn several_modes_are_active_together_in_any_order() {
    let text = |mode: &str| {
        format!(
            "mode: {mode}\nservices:\n  a: {{ process: {{ command: ./a }} }}\n  b: {{ process: {{ command: ./b }} }}\n\
             modes: {{ one: {{ services: [a] }}, two: {{ services: [b], goals: [g] }}, not: {{ stop: [a] }} }}\n\
             goals: {{ g: {{ services: [a] }} }}\n"
        )
    };
    let own = |mode: &str| written(&text(mode), &ModeSelection::default());
    let both = own("[two, one, two]").unwrap();
    assert_eq!(both.mode, Some("one+two".into()));
    assert_eq!((both.own_mode.clone(), both.mode.unwrap().text().as_str()), (Some("two+one".into()), "one+two"));
    assert_eq!(own("[one]").unwrap().mode, own("one").unwrap().mode);
    let said = |mode: &str| own(mode).unwrap_err().to_string();
    assert!(said("[one, tow]").contains("did you mean `two`?"));
    assert!(said("[]").contains("this list is empty; name at least one mode"), "{}", said("[]"));
    let clash = "the modes `one` and `not` can't be active together: `one` runs `a`, and `not` stops it";
    assert!(said("[not, one]").contains(clash), "{}", said("[not, one]"));
    assert!(said("[not, two]").contains("`two` runs `a`, and `not` stops it"), "by a goal");
    // The same at the command line, and by an override.
    let select = |mode: Option<&str>, switched: Option<&str>| {
        let (mode, mode_override) = (mode.map(ModeSet::from), switched.map(ModeSet::from));
        written(&text("one"), &ModeSelection { mode, mode_override, ..ModeSelection::default() })
    };
    assert!(select(Some("one+not"), None).unwrap_err().to_string().contains(clash));
    let switched = select(None, Some("one+not")).unwrap_err().to_string();
    assert!(switched.contains(clash) && switched.contains("lcm switch --clear"), "{switched}");
    assert_eq!(select(Some("two+one"), None).unwrap().active_goals(), ["g".into()].into());
}

#[test]
fn modes_that_are_active_together_share_ports_and_memory() {
    let text = |mode: &str| {
        format!(
            "gpus: {{ devices: [{{ index: 0, vram: 24GiB }}] }}\nmode: {mode}\nservices:\n  \
             a: {{ process: {{ command: ./a }}, vram: 20GiB, health: {{ tcp: 8000 }} }}\n  \
             b: {{ process: {{ command: ./b }}, vram: 20GiB, health: {{ tcp: 8001 }} }}\n  \
             c: {{ process: {{ command: ./c }}, health: {{ tcp: 8000 }} }}\n\
             modes: {{ one: {{ services: [a] }}, two: {{ services: [b] }}, three: {{ services: [c] }} }}\n"
        )
    };
    let own = |mode: &str| written(&text(mode), &ModeSelection::default());
    assert_eq!(own("one").unwrap().warnings, [""; 0]);
    let sum = "the combination of modes `one`, `two` needs 40 960 MiB of GPU memory; the declared GPUs have 24 576 MiB";
    assert!(own("[one, two]").unwrap().warnings.iter().any(|warning| warning.contains(sum)));
    let clash = own("[one, three]").unwrap_err().to_string();
    assert!(clash.contains("in the combination of modes `one`, `three`, `a` and `c` both claim port 8000"), "{clash}");
}

#[test]
fn warnings_stop_nothing() {
    let text = "gpus: { devices: [{ index: 0, vram: 24GiB }] }\nmode: m\nmodes:\n  m: { services: [a, b], goals: [g] }\n\
                goals:\n  g: { phases: [9] }\nservices:\n  a: { process: { command: ./a }, vram: 20GiB }\n  \
                b: { process: { command: ./b }, vram: 20GiB }\n  c: { process: { command: ./b }, vram: 1GiB, gpu: none }\n";
    let warnings = written(text, &ModeSelection::default()).unwrap().warnings;
    let expected = ["the mode `m` needs 40 960 MiB", "the goal `g` needs no service", "`vram` has no effect"];
    assert_eq!(warnings.len(), expected.len(), "{warnings:?}");
    for (warning, wanted) in warnings.iter().zip(expected) {
        assert!(warning.contains(wanted) && warning.contains("lcm.yaml:"), "{warning}");
    }
}

#[test]
fn ports_of_containers_are_the_published_ones() {
    let big = corpus("container-whole");
    let ports: Vec<u16> = service(&big, "big").ports.iter().map(|endpoint| endpoint.port).collect();
    assert_eq!(ports, [9, 3000, 3001, 3002, 6060, 8080, 11_434], "not those that the engine picks");
}

#[test]
fn problems_are_an_error_like_any_other() {
    let problems = written("services: { a: {} }\n", &ModeSelection::default()).unwrap_err();
    assert!(problems.has_errors());
    let error: Box<dyn std::error::Error> = Box::new(problems);
    assert!(error.to_string().contains("the service `a` has no runtime"), "{error}");
}

#[test]
fn a_pid_file_is_read_or_written() {
    let with = |keys: &str| {
        let folder = TempDir::new().unwrap();
        let text = format!(
            "version: 1\nname: x\nservices: {{ a: {{ process: {{ command: [./a], pid_file: {{ path: run/a.pid{keys} }} }} }} }}\n"
        );
        fs::write(folder.path().join("lcm.yaml"), text).unwrap();
        let loaded = load(&folder.path().join("lcm.yaml"), &Environment::new(), &ModeSelection::default());
        (folder, loaded)
    };
    let files = |keys: &str| {
        let (folder, loaded) = with(keys);
        let desired = loaded.unwrap_or_else(|problems| panic!("{problems}"));
        let Some(process) = desired.services[&"a".into()].workload.spec::<ProcessSpec>() else { panic!("a process") };
        let written = process.writes_pid.clone().map(|path| path.strip_prefix(folder.path()).unwrap().to_owned());
        (process.pid_file.is_some(), written, desired.services[&"a".into()].spec.hash().to_owned())
    };
    let (reads, writes) = (files(", match: a"), files(", write: true"));
    assert_eq!((reads.0, &reads.1), (true, &None));
    assert_eq!((writes.0, writes.1), (false, Some("run/a.pid".into())));
    assert_eq!(reads.2, writes.2, "neither is a reason to restart it");
    assert!(files(", match: a, write: false").0);
    for (keys, why) in [
        ("", "a pid file needs `match` or `write: true`"),
        (", write: false", "a pid file needs `match` or `write: true`"),
        (", match: a, write: true", "exclude each other"),
        (", match: ''", "`match` is empty"),
    ] {
        let problems = with(keys).1.unwrap_err().to_string();
        assert!(problems.contains(why), "{keys}: {problems}");
    }
}

#[test]
fn a_dependency_on_a_job_waits_for_its_completion_unless_it_says_otherwise() {
    let desired = corpus("jobs");
    let condition = |name: &str, on: &str| service(&desired, name).depends_on[&on.into()].condition;
    assert_eq!(condition("list", "job"), Condition::Completed);
    assert_eq!(condition("list", "no-job"), Condition::Healthy);
    assert_eq!(condition("map", "job"), Condition::Completed);
    assert_eq!(condition("map", "container"), Condition::Started);
    let job = |name: &str| service(&desired, name).job;
    assert_eq!(job("job"), Some(Job { timeout: Some(Duration::from_hours(2)) }));
    assert_eq!((job("container"), job("no-job")), (Some(Job::default()), None));
    let plain = corpus("process-words");
    assert_eq!(service(&plain, "web").spec.hash(), "v1:90069f8cdd4c805518e0e1c90c6a9e8f", "a job key is in no spec");
}
