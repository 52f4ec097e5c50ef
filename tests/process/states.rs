//! Derivation of each state from observations, on real process trees.

use std::time::{Duration, Instant};

use lcm::model::desired::{Busy, BusyProbe, Probe, Service};
use lcm::model::facts::HistoryFact;
use lcm::model::lifecycle::State;
use lcm::model::observed::ObservedService;
use lcm::runtime::Driver as _;
use lcm::runtime::registry::observe;
use rustix::process::Signal;

use crate::probing::machine;
use crate::support::{Bench, PATIENCE, kill};

/// Observes a service as `lcm status` does; `past` is the last state in its history.
async fn inspect_service(bench: &Bench, service: &Service, past: Option<State>) -> ObservedService {
    let desired = bench.desired(&[service]);
    let mut facts = machine(bench, &[service]).observe(&desired).await;
    let fact = |state| HistoryFact { state: Some(state), made: true, ..HistoryFact::default() };
    facts.history.extend(past.map(|state| (service.name.clone(), fact(state))));
    let seen = observe(&facts, &desired).services.remove(&service.name).expect("it is in the manifest");
    assert_eq!(seen.unknown, None);
    seen
}

/// Waits until the service is observed in this state, with a detail that contains `why`.
async fn becomes(bench: &Bench, service: &Service, state: State, why: &str) {
    let begun = Instant::now();
    loop {
        let seen = inspect_service(bench, service, None).await;
        if seen.state == state && seen.detail.contains(why) {
            return;
        }
        let late = begun.elapsed() > PATIENCE;
        assert!(!late, "`{}` is {} ({}), not {state} ({why})", service.name, seen.state, seen.detail);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn probed(mut service: Service, command: &str) -> Service {
    service.health.probe = Some(Probe::Exec(vec![command.to_owned()]));
    service
}

fn busy(service: &Service, command: &str) -> Service {
    let probe = BusyProbe::Exec(vec![command.to_owned()]);
    Service { busy: Some(Box::new(Busy { probe, probe_timeout: PATIENCE })), ..service.clone() }
}

#[tokio::test]
async fn a_service_that_never_started_is_registered() {
    let bench = Bench::new();
    becomes(&bench, &bench.service("never", "true"), State::Registered, "never started").await;
}

#[tokio::test]
async fn a_running_service_is_starting_online_busy_idle_or_in_error_by_its_probes() {
    let bench = Bench::new();
    let service = bench.service("web", "exec sleep 600");
    let instance = bench.start(&service).await;
    becomes(&bench, &service, State::Online, "it is running").await;

    let mut silent = probed(service.clone(), "false");
    becomes(&bench, &silent, State::Starting, "does not answer yet").await;
    silent.health.timeout = Duration::ZERO;
    becomes(&bench, &silent, State::Error, "its health probe fails").await;
    assert_eq!(inspect_service(&bench, &silent, Some(State::Timeout)).await.state, State::Timeout);

    let well = probed(service.clone(), "true");
    becomes(&bench, &well, State::Online, "its health probe passes").await;
    becomes(&bench, &busy(&well, "true"), State::Busy, "it is busy").await;
    becomes(&bench, &busy(&well, "false"), State::Idle, "its health probe passes").await;
    bench.stop(&service, &instance).await;
    becomes(&bench, &service, State::Offline, "SIGTERM").await;
    bench.assert_empty();
}

#[tokio::test]
async fn a_service_stopped_by_a_signal_is_suspended() {
    let bench = Bench::new();
    let service = bench.service("web", "exec sleep 600");
    let instance = bench.start(&service).await;
    for member in &bench.tree(&service).await.members {
        kill(member.pid, Signal::STOP);
    }
    becomes(&bench, &service, State::Suspended, "paused by a signal").await;
    bench.stop(&service, &instance).await;
    bench.assert_empty();
}

#[tokio::test]
async fn a_service_that_exits_with_0_or_by_a_stop_signal_is_offline_and_otherwise_failed() {
    let bench = Bench::new();
    let ends = [
        ("exit 0", None, State::Offline, "exited with 0"),
        ("kill -KILL $$", None, State::Offline, "SIGKILL"),
        ("kill -TERM $$", None, State::Offline, "SIGTERM"),
        ("kill -INT $$", Some("INT"), State::Offline, "SIGINT"),
        ("kill -INT $$", None, State::Failed, "SIGINT"),
        ("kill -SEGV $$", None, State::Failed, "SIGSEGV"),
        ("exit 3", None, State::Failed, "exited with 3"),
    ];
    for (number, (line, own_signal, state, why)) in ends.into_iter().enumerate() {
        let mut service = bench.service(&format!("ends-{number}"), line);
        service.stop.signal = own_signal.map(str::to_owned);
        bench.start(&service).await;
        becomes(&bench, &service, state, why).await;
    }
    bench.assert_empty();
}

#[tokio::test]
async fn a_service_whose_first_process_died_is_in_error_while_others_are_left() {
    let bench = Bench::new();
    let service = bench.service("web", "sleep 600 & exit 3");
    let instance = bench.start(&service).await;
    becomes(&bench, &service, State::Error, "processes still running: 1").await;
    bench.stop(&service, &instance).await;
    bench.assert_empty();
}
