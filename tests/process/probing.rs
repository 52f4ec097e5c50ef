//! Probes of running services, through the driver.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use lcm::model::call::Call;
use lcm::model::desired::{Busy, BusyProbe, Evict, HttpProbe, Pointer, Probe, Service};
use lcm::model::facts::{BusyReading, ProbeReading};
use lcm::model::instance::Instance;
use lcm::model::size::Mebibytes;
use lcm::runtime::Driver as _;
use lcm::runtime::contract::{Adoption, Runtime as _};
use lcm::runtime::machine::Machine;
use serde_json::{Value, json};

use crate::server;
use crate::support::{Bench, Foreign, PATIENCE, set, wait_for};

/// Machine without a Docker engine: containers of other projects on this host are no part of these tests.
pub(crate) fn machine(bench: &Bench, services: &[&Service]) -> Machine {
    let shim = PathBuf::from(env!("CARGO_BIN_EXE_lcm"));
    let mut environment = bench.processes.environment.clone();
    environment.insert("DOCKER_HOST".to_owned(), "unix:///nowhere/docker.sock".to_owned());
    Machine::new(&bench.desired(services), &environment, &shim)
}

pub(crate) fn get(port: u16, path: &str) -> HttpProbe {
    let url = format!("http://localhost:{port}{path}");
    HttpProbe { url, status: BTreeSet::new(), body: None, pointer: None }
}

fn with_pointer(port: u16, path: &str, equals: Option<Value>) -> Probe {
    let pointer = Some(Pointer { path: path.to_owned(), equals });
    Probe::Http(HttpProbe { pointer, ..get(port, "/json") })
}

/// Starts a service that serves HTTP, and returns its port.
async fn serving(bench: &Bench) -> (Service, Instance, u16) {
    let service = server::service(bench, "web", "port");
    let instance = bench.start(&service).await;
    let port = bench.line_of("port").await.parse().expect("a port");
    (service, instance, port)
}

async fn reading(bench: &Bench, service: &Service, instance: &Instance, probe: Probe) -> ProbeReading {
    let mut service = service.clone();
    service.health.probe = Some(probe);
    machine(bench, &[&service]).probe(&bench.project, &service, instance).await
}

#[track_caller]
fn failed(reading: &ProbeReading) -> &str {
    match reading {
        ProbeReading::Failed { failures: 1, detail } => detail,
        ProbeReading::Failed { .. } | ProbeReading::Passed | ProbeReading::Unknown(_) => panic!("{reading:?}"),
    }
}

#[tokio::test]
async fn an_http_probe_checks_status_body_and_pointer() {
    let bench = Bench::new();
    let (service, instance, port) = serving(&bench).await;
    let ask = async |probe| reading(&bench, &service, &instance, probe).await;
    let body = |path: &str, text: &str| Probe::Http(HttpProbe { body: Some(text.to_owned()), ..get(port, path) });
    let status = |path: &str, code| Probe::Http(HttpProbe { status: BTreeSet::from([code]), ..get(port, path) });

    for passing in [
        Probe::Http(get(port, "/ok")),
        Probe::Http(get(port, "/moved")),
        status("/broken", 503),
        status("/moved", 302),
        body("/ok", "is well"),
        body("/long", "begin"),
        with_pointer(port, "/ready", None),
        with_pointer(port, "/jobs", Some(json!(0))),
        with_pointer(port, "/name", Some(json!("web"))),
    ] {
        assert_eq!(ask(passing.clone()).await, ProbeReading::Passed, "{passing:?}");
    }
    for (failing, why) in [
        (Probe::Http(get(port, "/broken")), "answered 503"),
        (status("/ok", 503), "answered 200"),
        (body("/ok", "burning"), "does not contain `burning`"),
        (body("/long", "end"), "does not contain `end`"),
        (with_pointer(port, "/waiting", None), "/waiting is []"),
        (with_pointer(port, "/jobs", Some(json!(1))), "/jobs is 0, not 1"),
        (with_pointer(port, "/nowhere", None), "has no /nowhere"),
        (
            Probe::Http(HttpProbe { pointer: Some(Pointer { path: "/a".into(), equals: None }), ..get(port, "/ok") }),
            "not JSON",
        ),
    ] {
        let reading = ask(failing).await;
        assert!(failed(&reading).contains(why), "{reading:?} should contain {why}");
    }
    for url in ["https://localhost/", "nowhere"] {
        let answer = ask(Probe::Http(HttpProbe { url: url.to_owned(), ..get(port, "/ok") })).await;
        assert!(matches!(&answer, ProbeReading::Unknown(reason) if reason.starts_with(url)), "{answer:?}");
    }
}

#[tokio::test]
async fn a_server_that_hangs_fails_at_the_probes_own_deadline() {
    let bench = Bench::new();
    let (mut service, instance, port) = serving(&bench).await;
    service.health.probe_timeout = Duration::from_millis(200);
    let answer = reading(&bench, &service, &instance, Probe::Http(get(port, "/hang"))).await;
    assert!(failed(&answer).contains("no answer within 200ms"), "{answer:?}");
    service.health.probe_timeout = Duration::from_millis(100);
    let sleeping = Probe::Exec(["sh", "-c", "echo $$ > probe; sleep 600"].map(str::to_owned).to_vec());
    let answer = reading(&bench, &service, &instance, sleeping).await;
    assert!(failed(&answer).contains("did not end within 100ms"), "{answer:?}");
    if let Ok(pid) = std::fs::read_to_string(bench.path("probe")) {
        let pid: i32 = pid.trim().parse().expect("a pid");
        wait_for("the probe's end", || (!crate::support::lives(pid)).then_some(())).await;
    }
}

#[tokio::test]
async fn processes_that_a_probe_or_a_busy_probe_starts_end_with_it() {
    let bench = Bench::new();
    let mut service = bench.service("web", "exec sleep 600");
    let instance = bench.start(&service).await;
    let starts = "setsid sh -c 'echo $$ >> left; exec sleep 600' & while ! [ -s left ]; do sleep 0.01; done";
    let argv = |then: &str| vec!["sh".to_owned(), "-c".to_owned(), format!("{starts}; {then}")];
    let short = Duration::from_millis(500);
    for (then, probe_timeout) in [("true", PATIENCE), ("exit 3", PATIENCE), ("sleep 600", short)] {
        service.health.probe_timeout = probe_timeout;
        let answer = reading(&bench, &service, &instance, Probe::Exec(argv(then))).await;
        assert_eq!(answer == ProbeReading::Passed, then == "true", "{answer:?}");
        let probe = BusyProbe::Exec(argv(then));
        service.busy = Some(Box::new(Busy { probe, probe_timeout }));
        machine(&bench, &[&service]).busy(&service, &instance).await;
    }
    let left = std::fs::read_to_string(bench.path("left")).expect("they began");
    let left: Vec<i32> = left.lines().map(|line| line.parse().expect("a pid")).collect();
    assert!(!left.is_empty() && left.iter().all(|pid| !crate::support::lives(*pid)), "{left:?}");
    assert_eq!(bench.tree(&service).await.members.len(), 1, "none of them is a member of the service");
}

#[tokio::test]
async fn a_tcp_probe_checks_for_a_connection() {
    let bench = Bench::new();
    let (service, instance, port) = serving(&bench).await;
    let probe = |port| Probe::Tcp { host: "127.0.0.1".to_owned(), port };
    assert_eq!(reading(&bench, &service, &instance, probe(port)).await, ProbeReading::Passed);
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
    let answer = reading(&bench, &service, &instance, probe(free)).await;
    assert!(failed(&answer).contains("refused"), "{answer:?}");
}

#[tokio::test]
async fn an_exec_probe_runs_in_the_services_folder_and_environment_and_is_not_a_member() {
    let bench = Bench::new();
    let mut service = bench.service("web", "exec sleep 600");
    set(&mut service, "ANSWER", "yes");
    let instance = bench.start(&service).await;
    let exec = |line: &str| Probe::Exec(["sh", "-c", line].map(str::to_owned).to_vec());
    let line = "test \"$ANSWER\" = yes && test -d state && ! env | grep -q LCM_";
    assert_eq!(reading(&bench, &service, &instance, exec(line)).await, ProbeReading::Passed);
    let answer = reading(&bench, &service, &instance, exec("exit 4")).await;
    assert!(failed(&answer).contains("exits 4"), "{answer:?}");
    let absent = Probe::Exec(vec!["./no-such-program".to_owned()]);
    let answer = reading(&bench, &service, &instance, absent).await;
    assert!(matches!(&answer, ProbeReading::Unknown(reason) if reason.contains("no-such-program")), "{answer:?}");
}

#[tokio::test]
async fn a_log_that_was_ready_once_stays_so_while_the_service_lives() {
    let bench = Bench::new();
    let service =
        bench.service("web", "echo loading; while [ ! -e go ]; do sleep 0.01; done; echo ready; exec sleep 600");
    let instance = bench.start(&service).await;
    let probe = Probe::Log("(?m)^ready$".to_owned());
    let answer = reading(&bench, &service, &instance, probe.clone()).await;
    assert!(failed(&answer).contains("(?m)^ready$"), "{answer:?}");
    crate::support::write(&bench.path("go"), "");
    let begun = std::time::Instant::now();
    while reading(&bench, &service, &instance, probe.clone()).await != ProbeReading::Passed {
        assert!(begun.elapsed() < crate::support::PATIENCE, "it never became ready");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // The line may be rotated away while the service runs on.
    crate::support::write(&bench.path(&format!("state/projects/{}/web/log", bench.project)), "much else\n");
    assert_eq!(reading(&bench, &service, &instance, probe.clone()).await, ProbeReading::Passed);

    bench.stop(&service, &instance).await;
    std::fs::remove_file(bench.path("go")).expect("removed");
    let instance = bench.start(&service).await;
    let answer = reading(&bench, &service, &instance, probe).await;
    assert!(failed(&answer).contains("does not show"), "output of the last start does not count: {answer:?}");
}

#[tokio::test]
async fn output_that_lost_its_beginning_proves_nothing_of_a_start_that_is_over() {
    let bench = Bench::new();
    let mut service = bench.service("web", "echo loading; exec sleep 600");
    let instance = bench.start(&service).await;
    let log = bench.path(&format!("state/projects/{}/web/log", bench.project));
    wait_for("its output", || std::fs::read_to_string(&log).ok().filter(|text| !text.is_empty())).await;
    let probe = |pattern: &str| Probe::Log(pattern.to_owned());
    let answer = reading(&bench, &service, &instance, probe("(")).await;
    assert!(matches!(&answer, ProbeReading::Unknown(reason) if reason.contains("invalid pattern")), "{answer:?}");
    let young = service.clone();
    service.health.timeout = Duration::ZERO;
    let answer = reading(&bench, &service, &instance, probe("ready")).await;
    assert!(failed(&answer).contains("does not show"), "all of it can be read: {answer:?}");
    for moved in ["elsewhere", "further"] {
        // Moved away, then a folder with nothing but a note in its place.
        let _ = std::fs::rename(bench.path("state"), bench.path(moved));
        let answer = reading(&bench, &young, &instance, probe("ready")).await;
        assert!(failed(&answer).contains("does not show"), "{answer:?}");
        let answer = reading(&bench, &service, &instance, probe("ready")).await;
        let ProbeReading::Unknown(reason) = &answer else { panic!("{answer:?}") };
        assert!(reason.contains("does not show `ready`, and not all of it could be searched"), "{reason}");
        assert_eq!(reading(&bench, &young, &instance, probe("loading")).await, ProbeReading::Passed);
    }
}

#[tokio::test]
async fn the_answer_of_a_foreign_process_does_not_count() {
    let bench = Bench::new();
    let service = bench.service("web", "exec sleep 600");
    let instance = bench.start(&service).await;
    let port = server::foreign(&bench.path("notes"));
    for probe in [Probe::Http(get(port, "/ok")), Probe::Tcp { host: "localhost".to_owned(), port }] {
        let answer = reading(&bench, &service, &instance, probe.clone()).await;
        let who = format!("(pid {})", std::process::id());
        assert!(failed(&answer).contains(&who), "{answer:?} should name {who}");
        // It counts if the manifest allows a proxy.
        let mut proxied = service.clone();
        proxied.health.any_listener = true;
        assert_eq!(reading(&bench, &proxied, &instance, probe).await, ProbeReading::Passed);
    }
    // The answer of a service that is gone does not count either.
    bench.stop(&service, &instance).await;
    let answer = reading(&bench, &service, &instance, Probe::Exec(vec!["true".to_owned()])).await;
    assert!(failed(&answer).contains("ended"), "{answer:?}");
}

#[tokio::test]
async fn the_answer_of_an_adopted_service_counts() {
    let bench = Bench::new();
    let service = server::service(&bench, "web", "port");
    let program = std::env::current_exe().expect("this binary");
    let mut command = std::process::Command::new(program);
    command.args(["--ignored", "--exact", "server::serve", "--nocapture"]).env("LCM_TEST_SERVE", bench.path("port"));
    let foreign = Foreign(command.stdout(std::process::Stdio::null()).spawn().expect("it runs"));
    let port = bench.line_of("port").await.parse().expect("a port");
    let desired = bench.desired(&[&service]);
    let adoption = Adoption { desired: &desired, service: &service.name, pid: foreign.pid(), is_forced: true };
    bench.processes.adopt(&adoption).expect("adopted");
    let instance = bench.inspect_service(&service).await.instance.expect("it is there");
    let answer = reading(&bench, &service, &instance, Probe::Http(get(port, "/ok"))).await;
    assert_eq!(answer, ProbeReading::Passed);
}

#[tokio::test]
async fn without_a_probe_being_alive_is_enough() {
    let bench = Bench::new();
    let service = bench.service("web", "exec sleep 600");
    let instance = bench.start(&service).await;
    let machine = machine(&bench, &[&service]);
    assert_eq!(machine.probe(&bench.project, &service, &instance).await, ProbeReading::Passed);
    bench.stop(&service, &instance).await;
    let answer = machine.probe(&bench.project, &service, &instance).await;
    assert!(failed(&answer).contains("ended"), "{answer:?}");
}

#[tokio::test]
async fn busy_is_everything_but_a_clear_no() {
    let bench = Bench::new();
    let (service, instance, port) = serving(&bench).await;
    let ask = async |probe| {
        let mut service = service.clone();
        service.busy = Some(Box::new(Busy { probe, probe_timeout: Duration::from_millis(500) }));
        machine(&bench, &[&service]).busy(&service, &instance).await
    };
    let http = |path: &str, pointer: &str| BusyProbe::Http {
        url: format!("http://127.0.0.1:{port}{path}"),
        pointer: pointer.to_owned(),
    };
    let exec = |line: &str| BusyProbe::Exec(["sh", "-c", line].map(str::to_owned).to_vec());
    for idle in [http("/json", "/jobs"), http("/json", "/waiting"), exec("exit 1")] {
        assert_eq!(ask(idle.clone()).await, BusyReading::Idle, "{idle:?}");
    }
    for (busy, why) in [
        (http("/working", "/jobs"), "/jobs is 3"),
        (http("/json", "/nowhere"), "has no /nowhere"),
        (http("/broken", "/jobs"), "answered 503"),
        (http("/hang", "/jobs"), "no answer within 500ms"),
        (exec("exit 0"), "exits 0"),
        (exec("sleep 600"), "did not end"),
        (BusyProbe::Exec(vec!["./no-such-program".to_owned()]), "its busy probe failed"),
    ] {
        let answer = ask(busy).await;
        assert!(
            matches!(&answer, BusyReading::Busy(detail) if detail.contains(why)),
            "{answer:?} should contain {why}"
        );
    }
}

#[tokio::test]
async fn an_eviction_runs_all_calls_and_fails_with_the_first_that_fails() {
    let bench = Bench::new();
    let (mut service, _instance, port) = serving(&bench).await;
    let http = |method: &str, path: &str| Call::Http {
        method: method.to_owned(),
        url: format!("http://localhost:{port}{path}"),
        json: Some(json!({ "keep_alive": 0 })),
    };
    let exec = |line: &str| Call::Exec(["sh", "-c", line].map(str::to_owned).to_vec());
    let mut evict = async |calls| {
        service.evict = Some(Box::new(Evict { calls, resident: Mebibytes::ZERO, timeout: Duration::from_millis(500) }));
        machine(&bench, &[&service]).evict(&service).await.map_err(|error| error.to_string())
    };
    evict(vec![http("post", "/free"), exec("echo done > evicted")]).await.expect("it gives its memory back");
    let freed = std::fs::read_to_string(bench.path("port.freed")).expect("it was asked");
    assert_eq!(freed, r#"{"keep_alive":0}"#);
    assert_eq!(bench.line_of("evicted").await, "done");
    for (calls, why) in [
        (vec![http("GET", "/broken"), exec("echo > never")], "answered 503"),
        (vec![http("GET", "/hang")], "no answer within 500ms"),
        (vec![exec("exit 2")], "exits 2"),
    ] {
        let error = evict(calls).await.expect_err("it refuses");
        assert!(error.contains("`web` was not evicted") && error.contains(why), "{error} should contain {why}");
    }
    assert!(!bench.path("never").exists(), "the first that fails ends it");
}
