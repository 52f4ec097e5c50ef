//! Every row of the table from observations to states, on real containers.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use crate::bench::{Bench, docker, service, until};
use crate::image::SERVER;
use lcm::model::desired::{Busy, BusyProbe, Desired, Probe, Service};
use lcm::model::facts::HistoryFact;
use lcm::model::lifecycle::State;
use lcm::model::observed::{ObservedService, Ownership};
use lcm::runtime::Driver as _;
use lcm::runtime::docker::intent::ExistingContainer;
use lcm::runtime::machine::Machine;
use lcm::runtime::registry::observe;

/// Service that is an existing container, observed as by `lcm status`.
struct Seen<'a> {
    bench: &'a Bench,
    service: Service,
    id: String,
    /// State that lcm last brought it to, by its history.
    past: Option<State>,
}

impl<'a> Seen<'a> {
    /// Creates a container with these options, to run the server with these arguments; does not start it.
    fn of(bench: &'a Bench, name: &str, options: &[&str], words: &[&str]) -> Self {
        let container = format!("{}-{name}", bench.project);
        let id = bench.foreign(&container, options, words);
        let service =
            service(name, ExistingContainer { container: container.as_str().into(), accepts_auto_remove: false });
        Self { bench, service, id, past: None }
    }

    fn started(self) -> Self {
        self.docker(&["start"])
    }

    fn docker(self, words: &[&str]) -> Self {
        docker(&[words, &[&self.id]].concat()).expect("done");
        self
    }

    /// Adds a health probe of this path, run within the container.
    fn healthy_when(mut self, path: &str) -> Self {
        self.service.health.probe = Some(Probe::Exec(get(path)));
        self
    }

    /// Lets a start take no time at all, so that any failure is final.
    fn old(mut self) -> Self {
        self.service.health.timeout = Duration::ZERO;
        self
    }

    fn busy_when(mut self, path: &str) -> Self {
        self.service.busy =
            Some(Box::new(Busy { probe: BusyProbe::Exec(get(path)), probe_timeout: Duration::from_mins(1) }));
        self
    }

    async fn observe(&self) -> ObservedService {
        let folder = tempfile::tempdir().expect("a folder");
        let mut environment: BTreeMap<String, String> = std::env::vars().collect();
        environment.insert("LCM_STATE_DIR".to_owned(), folder.path().display().to_string());
        environment.insert("LCM_NVML_LIB".to_owned(), String::new());
        let desired = Desired::plain(self.bench.project.clone(), [self.service.clone()]);
        let machine = Machine::new(&desired, &environment, Path::new(env!("CARGO_BIN_EXE_lcm")));
        let mut facts = machine.observe(&desired).await;
        let past = |state| HistoryFact { state: Some(state), made: true, ..HistoryFact::default() };
        facts.history.extend(self.past.map(|state| (self.service.name.clone(), past(state))));
        let seen = observe(&facts, &desired).services.remove(&self.service.name).expect("it is in the manifest");
        assert_eq!(seen.unknown, None);
        seen
    }

    /// Waits until the service is observed in this state, for this reason.
    async fn becomes(&self, state: State, why: &str) {
        until(&format!("it is {state}: {why}"), || async {
            let seen = self.observe().await;
            seen.state == state && seen.detail.contains(why)
        })
        .await;
    }
}

fn get(path: &str) -> Vec<String> {
    [SERVER, "--get", &format!("http://127.0.0.1:8000{path}")].map(str::to_owned).to_vec()
}

pub(crate) async fn without_a_container_it_is_registered() {
    let bench = Bench::new();
    let own = bench.serving("own", &[]);
    let seen = Seen { bench: &bench, service: own, id: String::new(), past: None };
    let found = seen.observe().await;
    assert_eq!((found.state, found.ownership), (State::Registered, Ownership::Absent));
    let removed = Seen::of(&bench, "removed", &[], &[]).started().docker(&["rm", "--force"]);
    let found = removed.observe().await;
    assert_eq!(found.state, State::Registered);
    assert!(matches!(found.ownership, Ownership::Missing { .. }), "{found:?}");
}

pub(crate) async fn created_and_never_run_it_is_deployed() {
    let bench = Bench::new();
    Seen::of(&bench, "web", &[], &[]).becomes(State::Deployed, "created and never run").await;
}

pub(crate) async fn young_and_without_an_answer_it_is_starting() {
    let bench = Bench::new();
    let web = Seen::of(&bench, "web", &[], &["--load", "60m"]).started().healthy_when("/health");
    web.becomes(State::Starting, "does not answer yet").await;
}

pub(crate) async fn a_container_that_the_engine_restarts_is_starting() {
    let bench = Bench::new();
    let loops = Seen::of(&bench, "loops", &["--restart", "always"], &["--die-after", "0ms"]).started();
    loops.becomes(State::Starting, "the engine is restarting").await;
}

pub(crate) async fn with_an_answer_it_is_online_busy_or_idle() {
    let bench = Bench::new();
    let web = Seen::of(&bench, "web", &[], &[]).started().healthy_when("/health");
    web.becomes(State::Online, "its health probe passes").await;
    let web = web.busy_when("/live");
    web.becomes(State::Busy, "it is busy").await;
    web.busy_when("/no/such/page").becomes(State::Idle, "its health probe passes").await;
}

pub(crate) async fn old_and_without_an_answer_it_is_in_error_or_timed_out() {
    let bench = Bench::new();
    let mut web = Seen::of(&bench, "web", &[], &["--load", "60m"]).started().healthy_when("/health").old();
    web.becomes(State::Error, "its health probe fails").await;
    web.past = Some(State::Timeout);
    web.becomes(State::Timeout, "its health probe fails").await;
}

pub(crate) async fn paused_it_is_suspended() {
    let bench = Bench::new();
    let web = Seen::of(&bench, "web", &[], &[]).started().docker(&["pause"]);
    web.becomes(State::Suspended, "paused").await;
}

pub(crate) async fn ended_with_0_or_by_a_stop_signal_it_is_offline() {
    let bench = Bench::new();
    let ended = Seen::of(&bench, "ended", &[], &["--die-after", "0ms", "--exit-code", "0"]).started();
    ended.becomes(State::Offline, "exited with 0").await;
    let killed = Seen::of(&bench, "killed", &[], &[]).started().docker(&["kill"]);
    killed.becomes(State::Offline, "SIGKILL").await;
    let mut interrupted = Seen::of(&bench, "interrupted", &[], &["--die-after", "0ms", "--exit-code", "130"]).started();
    interrupted.becomes(State::Failed, "SIGINT").await;
    interrupted.service.stop.signal = Some("INT".to_owned());
    interrupted.becomes(State::Offline, "SIGINT").await;
}

pub(crate) async fn ended_otherwise_it_has_failed() {
    let bench = Bench::new();
    let ended = Seen::of(&bench, "ended", &[], &["--die-after", "0ms", "--exit-code", "3"]).started();
    ended.becomes(State::Failed, "exited with 3").await;
}

pub(crate) async fn killed_out_of_memory_it_has_failed() {
    let bench = Bench::new();
    let hungry = Seen::of(&bench, "hungry", &["--memory", "32m"], &["--fill", "256MiB"]).started();
    hungry.becomes(State::Failed, "out of memory").await;
}
