//! Readings of the engine, and output of containers.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use crate::bench::{Bench, docker, id, own, until};
use crate::image::SERVER;
use lcm::model::desired::{Desired, Probe, Service};
use lcm::model::endpoint::{Protocol, PublishedPort};
use lcm::model::facts::{EngineHealth, ProbeReading};
use lcm::model::instance::Instance;
use lcm::runtime::Driver as _;
use lcm::runtime::contract::{ExecOutcome, LogSearch};
use lcm::runtime::docker::facts::ContainerState;
use lcm::runtime::docker::intent::ImageHealthcheck;
use lcm::runtime::machine::Machine;

const DEADLINE: Duration = Duration::from_mins(1);

fn get(path: &str) -> Vec<String> {
    [SERVER, "--get", &format!("http://127.0.0.1:8000{path}")].map(str::to_owned).to_vec()
}

fn state_folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

/// Probes through a new machine, as one lcm after the other does.
async fn probe(bench: &Bench, state: &tempfile::TempDir, service: &Service, instance: &Instance) -> ProbeReading {
    let mut environment: BTreeMap<String, String> = std::env::vars().collect();
    environment.insert("LCM_STATE_DIR".to_owned(), state.path().display().to_string());
    let desired = Desired::plain(bench.project.clone(), [service.clone()]);
    let machine = Machine::new(&desired, &environment, Path::new(env!("CARGO_BIN_EXE_lcm")));
    machine.probe(&bench.project, service, instance).await
}

pub(crate) async fn a_moved_image_is_seen() {
    let bench = Bench::new();
    let name = format!("lcm-test/moving:{}", bench.project);
    // The same content under the same name, and by one label another image.
    let source = bench.foreign(&format!("{}-source", bench.project), &[], &[]);
    let make = |label: &str| docker(&["commit", "--change", &format!("LABEL variant={label}"), &source, &name]);
    make("first").expect("an image");
    bench.at_the_end(&["rmi", &name]);
    let before = docker(&["image", "inspect", "--format", "{{.Id}}", &name]).expect("an image");
    let mut container = bench.container("web", &[]);
    container.image.clone_from(&name);
    let web = own("web", container);
    let first = bench.start(&web).await.expect("started");
    let fact = bench.fact(&web).await;
    assert_eq!((fact.image.as_str(), fact.image_moved), (name.as_str(), false));

    make("second").expect("an image");
    bench.at_the_end(&["rmi", &before]);
    let fact = bench.fact(&web).await;
    assert_eq!((fact.image.as_str(), fact.image_moved), (name.as_str(), true));
    bench.stop(&web, &first).await.expect("stopped");
    assert_ne!(bench.start(&web).await.expect("started"), first, "the next start takes the new image");
    assert!(!bench.fact(&web).await.image_moved);
}

pub(crate) async fn exit_codes_and_published_ports_are_read_from_the_list() {
    let bench = Bench::new();
    let mut container = bench.container("web", &[]);
    let port =
        |protocol| PublishedPort { address: Some("127.0.0.1".to_owned()), host: None, container: 8000, protocol };
    container.ports = vec![port(Protocol::Tcp)];
    let web = own("web", container);
    let instance = bench.start(&web).await.expect("started");
    let fact = bench.fact(&web).await;
    assert_eq!(fact.ports.len(), 1);
    let published = bench.engine.published().await.expect("a list");
    assert!(published.contains(&(fact.ports[0], id(&instance).to_owned())), "{published:?}");

    // The engine may record the end of a container that ends at once before its start.
    let dying = bench.serving("dying", &["--die-after", "200ms", "--exit-code", "3"]);
    bench.start(&dying).await.expect("started");
    until("it has ended", || async { bench.fact(&dying).await.state == ContainerState::Exited }).await;
    let fact = bench.fact(&dying).await;
    assert_eq!(fact.exit_code, Some(3));
    assert!(fact.finished_at >= fact.started_at, "{fact:?}");
    bench.stop(&web, &instance).await.expect("stopped");
    assert!(!bench.engine.published().await.expect("a list").iter().any(|(_, holder)| holder == id(&instance)));
}

pub(crate) async fn times_of_start_and_end_are_read_from_the_engine() {
    let bench = Bench::new();
    let web = bench.serving("web", &[]);
    let instance = bench.start(&web).await.expect("started");
    let running = bench.fact(&web).await;
    assert!(running.started_at.is_some() && running.created_at.is_some() && running.finished_at.is_none());
    bench.stop(&web, &instance).await.expect("stopped");
    let stopped = bench.fact(&web).await;
    assert!(stopped.finished_at > running.started_at, "{stopped:?}");
}

pub(crate) async fn exec_returns_the_exit_status() {
    let bench = Bench::new();
    let web = bench.serving("web", &[]);
    let instance = bench.start(&web).await.expect("started");
    let run = async |command: &[String]| bench.engine.exec(id(&instance), command, DEADLINE).await;
    until("it serves", || async { matches!(run(&get("/live")).await, Ok(ExecOutcome::Ended(0))) }).await;
    assert_eq!(run(&get("/no/such/page")).await.expect("an answer"), ExecOutcome::Ended(1));
    // Engines differ in whether they refuse or answer in the command's place.
    let absent = run(&["/no/such/program".to_owned()]).await.expect("an answer");
    assert!(matches!(&absent, ExecOutcome::NotRun(reason) if reason.contains("/no/such/program")), "{absent:?}");
    let slow = [SERVER.to_owned(), "--port".to_owned(), "0".to_owned()];
    let late = bench.engine.exec(id(&instance), &slow, Duration::from_millis(300)).await.expect("an answer");
    assert_eq!(late, ExecOutcome::TimedOut);
    for (command, why) in [(&slow[..], "did not end within 300ms"), (&["/no/such/program".to_owned()], "/no/such")] {
        let mut probed = web.clone();
        probed.health.probe = Some(Probe::Exec(command.to_vec()));
        probed.health.probe_timeout = if why.contains("300ms") { Duration::from_millis(300) } else { DEADLINE };
        let reading = probe(&bench, &state_folder(), &probed, &instance).await;
        assert!(matches!(&reading, ProbeReading::Failed { detail, .. } if detail.contains(why)), "{reading:?}");
    }
    bench.stop(&web, &instance).await.expect("stopped");
    let ended = run(&get("/live")).await.expect("an answer");
    assert!(matches!(&ended, ExecOutcome::NotRun(reason) if reason.contains("not running")), "{ended:?}");
}

pub(crate) async fn a_log_begins_with_the_last_start() {
    let bench = Bench::new();
    let web = bench.serving("web", &[]);
    let instance = bench.start(&web).await.expect("started");
    let log = async || bench.engine.log_since_start(id(&instance), 64 << 10).await.expect("a log");
    for _ in 0..3 {
        until("it has loaded", async || log().await.contains("ready")).await;
        let text = log().await;
        assert_eq!(text.matches("listening on").count(), 1, "one start, one line: {text}");
        assert!(!text.contains("stopped"), "the end of the one before is not in it: {text}");
        bench.stop(&web, &instance).await.expect("stopped");
        let tail = bench.engine.log_tail(id(&instance), 2).await;
        assert_eq!(tail, ["stopping", "stopped"]);
        bench.start(&web).await.expect("started");
    }
    until("it has loaded", async || log().await.contains("ready")).await;
    let short = bench.engine.log_since_start(id(&instance), 8).await.expect("a log");
    assert_eq!(short, "ready\n", "the last bytes are kept");
}

pub(crate) async fn a_log_is_followed_through_a_restart_and_into_a_new_container() {
    let bench = Bench::new();
    let (first, second) = (bench.serving("web", &[]), bench.serving("web", &["--work", "2s"]));
    let (mark, seen) = (Mutex::new(None), Mutex::new(String::new()));
    let follow = async |instance: &Instance| {
        let from = mark.lock().expect("sound").clone();
        let logged = bench.engine.log_from(id(instance), from.as_ref()).await.expect("a log");
        assert!(logged.is_gapless);
        seen.lock().expect("sound").push_str(&String::from_utf8(logged.bytes).expect("text"));
        *mark.lock().expect("sound") = Some(logged.mark);
    };
    let count = |line: &str| seen.lock().expect("sound").lines().filter(|other| other.contains(line)).count();
    let old = bench.start(&first).await.expect("started");
    for run in 1..=2 {
        until("it has loaded", async || {
            follow(&old).await;
            count("ready") == run
        })
        .await;
        bench.stop(&first, &old).await.expect("stopped");
        // Its last lines are read in the next run at the latest.
        if run == 1 {
            bench.start(&first).await.expect("started");
        }
    }
    until("it has ended", async || {
        follow(&old).await;
        count("stopped") == 2
    })
    .await;
    let new = bench.start(&second).await.expect("started");
    assert_ne!(new, old);
    until("the new one has loaded", async || {
        follow(&new).await;
        count("ready") == 3
    })
    .await;
    assert_eq!((count("listening on"), count("stopped")), (3, 2), "each line once: {:?}", seen.lock());
}

pub(crate) async fn a_pattern_in_a_log_is_remembered_for_the_start_that_showed_it() {
    let bench = Bench::new();
    let (state, another) = (state_folder(), state_folder());
    let mut web = bench.serving("web", &[]);
    let instance = bench.start(&web).await.expect("started");
    web.health.probe = Some(Probe::Log("(?m)^ready$".to_owned()));
    web.health.probe_timeout = DEADLINE;
    until("it has loaded", async || probe(&bench, &state, &web, &instance).await == ProbeReading::Passed).await;
    // With no time to read anything, only a remembered match counts.
    web.health.probe_timeout = Duration::ZERO;
    assert_eq!(probe(&bench, &state, &web, &instance).await, ProbeReading::Passed);
    let reading = probe(&bench, &another, &web, &instance).await;
    assert!(matches!(reading, ProbeReading::Failed { .. }), "young, and nothing seen: {reading:?}");
    web.health.timeout = Duration::ZERO;
    let reading = probe(&bench, &another, &web, &instance).await;
    assert!(matches!(reading, ProbeReading::Unknown(_)), "what was not searched has not passed: {reading:?}");
    web.health.probe_timeout = DEADLINE;
    web.health.probe = Some(Probe::Log("never written".to_owned()));
    let reading = probe(&bench, &state, &web, &instance).await;
    assert!(matches!(reading, ProbeReading::Failed { .. }), "all was read: {reading:?}");

    bench.stop(&web, &instance).await.expect("stopped");
    let instance = bench.start(&web).await.expect("started");
    (web.health.timeout, web.health.probe_timeout) = (DEADLINE, Duration::ZERO);
    web.health.probe = Some(Probe::Log("(?m)^ready$".to_owned()));
    let reading = probe(&bench, &state, &web, &instance).await;
    assert!(matches!(reading, ProbeReading::Failed { .. }), "another start: {reading:?}");
}

pub(crate) async fn a_log_that_lost_its_beginning_is_told_from_a_whole_one() {
    let bench = Bench::new();
    let name = format!("{}-small", bench.project);
    let container = bench.foreign(&name, &["--log-opt", "max-size=10", "--log-opt", "max-file=1"], &[]);
    docker(&["start", &container]).expect("started");
    let search = async |text: &str| {
        let found = |log: &str| log.contains(text);
        bench.engine.search_log(&container, found, DEADLINE).await.expect("a log")
    };
    until("it has loaded", async || search("ready").await == LogSearch::Found).await;
    assert_eq!(search("listening on").await, LogSearch::Incomplete { missing_bytes: 0 });
}

pub(crate) async fn health_is_the_images_own() {
    let bench = Bench::new();
    let checked = |name: &str, path: &str| -> Service {
        let mut container = bench.container(name, &[]);
        container.healthcheck = Some(ImageHealthcheck {
            test: ["CMD".to_owned()].into_iter().chain(get(path)).collect(),
            interval: Some(Duration::from_millis(100)),
            timeout: Some(Duration::from_secs(10)),
            retries: Some(1),
            start_period: None,
        });
        own(name, container)
    };
    let (healthy, unhealthy) = (checked("healthy", "/health"), checked("unhealthy", "/no/such/page"));
    for (service, health) in [(&healthy, EngineHealth::Healthy), (&unhealthy, EngineHealth::Unhealthy)] {
        let instance = bench.start(service).await.expect("started");
        until("its health is known", || async {
            bench.engine.health(id(&instance)).await.expect("a reading") == Some(health)
        })
        .await;
        let fact = bench.fact(service).await;
        assert_eq!(fact.health, Some(health));
    }
    let plain = bench.serving("plain", &[]);
    let instance = bench.start(&plain).await.expect("started");
    assert_eq!(bench.engine.health(id(&instance)).await.expect("a reading"), None);
}
