//! What the machine asks of one service: whether it answers, whether it is busy, whether it would give its memory back,
//! and who else holds its ports. An answer counts only if it is the service's own.

use std::time::Duration;

use jiff::Timestamp;
use regex_lite::Regex;
use serde_json::Value;

use crate::host::program::command::{self, Ended};
use crate::host::program::environment;
use crate::host::{ports, probes};
use crate::model::desired::{BusyProbe, Call, Probe, Runtime, Service};
use crate::model::facts::{BusyReading, EngineHealth, ListenerFact, Owner, ProbeReading, Reading, TreeFact};
use crate::model::names::ProjectName;
use crate::model::observed::Instance;
use crate::runtime::docker::drive::{Ran, Searched};
use crate::runtime::machine::{Machine, listeners};
use crate::runtime::process::drive::{look_of, process_of};
use crate::runtime::{Driver as _, DriverError, Life, Look};

/// Of a process's log, for a pattern: what a chatty server writes in some minutes.
const LOG_BYTES_MAX: usize = 4 << 20;

impl Machine {
    /// One health probe. `seen` are listeners that were read already, for ports of which nobody else needs to be asked.
    pub(super) async fn inquire(&self, service: &Service, instance: &Instance, seen: &[ListenerFact]) -> ProbeReading {
        let Some(asked) = &service.health.probe else { return self.alive(service, instance).await };
        if let Some(reason) = self.asks_wrong_host(service, asked) {
            return probes::failed(reason);
        }
        let reading = self.probe_once(service, instance, asked).await;
        if reading != ProbeReading::Passed {
            return reading;
        }
        let port = probes::local_port(asked).filter(|_| !service.health.any_listener);
        let owned = |listener: &ListenerFact| Some(listener.port) == port && self.owns(service, instance, listener);
        if seen.iter().any(owned) {
            return ProbeReading::Passed;
        }
        match self.answered_by_another(service, instance, port).await {
            Ok(None) => ProbeReading::Passed,
            Ok(Some(reason)) => probes::failed(reason),
            Err(error) => ProbeReading::Unknown(error.to_string()),
        }
    }

    async fn probe_once(&self, service: &Service, instance: &Instance, asked: &Probe) -> ProbeReading {
        let deadline = service.health.probe_timeout;
        match asked {
            Probe::Http(http) => probes::http(http, deadline).await,
            Probe::Tcp { host, port } => probes::tcp(host, *port, deadline).await,
            Probe::Exec(argv) => match self.exec(service, instance, argv, deadline).await {
                Ok(Ran::Ended(0)) => ProbeReading::Passed,
                Ok(Ran::Ended(code)) => probes::failed(format!("{} exits {code}", argv.join(" "))),
                Ok(Ran::NotRun(reason)) => probes::failed(format!("can't run {}: {reason}", argv.join(" "))),
                Ok(Ran::TimedOut) => {
                    probes::failed(format!("{} did not end within {}", argv.join(" "), probes::seconds(deadline)))
                }
                Err(error) => ProbeReading::Unknown(error.to_string()),
            },
            Probe::Log(pattern) => self.log_shows(service, instance, pattern).await,
            Probe::Docker => self.engine_health(instance).await,
        }
    }

    /// Without a probe, being alive is enough; and healthy, for an image that checks itself.
    async fn alive(&self, service: &Service, instance: &Instance) -> ProbeReading {
        match instance {
            Instance::Container { .. } => self.engine_health(instance).await,
            Instance::Tree { .. } => match self.processes.look(&self.project, service).await {
                Ok(look) => lives(&look, instance).map_or(ProbeReading::Passed, probes::failed),
                Err(error) => ProbeReading::Unknown(error.to_string()),
            },
        }
    }

    async fn engine_health(&self, instance: &Instance) -> ProbeReading {
        let Instance::Container { id, .. } = instance else {
            return ProbeReading::Unknown("a process has no image that could check itself".to_owned());
        };
        let health = match self.engine() {
            Ok(engine) => engine.health(id).await,
            Err(error) => Err(error),
        };
        match health {
            Ok(Some(EngineHealth::Healthy) | None) => ProbeReading::Passed,
            Ok(Some(EngineHealth::Starting)) => probes::failed("its own health check has not passed yet"),
            Ok(Some(EngineHealth::Unhealthy)) => probes::failed("its own health check fails"),
            Err(error) => ProbeReading::Unknown(error.to_string()),
        }
    }

    /// A start that has shown the pattern is never asked again: its output may be cut while the service runs on.
    async fn log_shows(&self, service: &Service, instance: &Instance, pattern: &str) -> ProbeReading {
        let start = match self.start_of(instance).await {
            Ok(start) => start,
            Err(error) => return ProbeReading::Unknown(error.to_string()),
        };
        if self.processes.was_matched(&self.project, &service.name, &start, pattern) {
            return ProbeReading::Passed;
        }
        let regex = match Regex::new(pattern) {
            Ok(regex) => regex,
            Err(error) => return ProbeReading::Unknown(format!("`{pattern}` is no pattern: {error}")),
        };
        let searched = match self.search_log(service, instance, &regex).await {
            Ok(searched) => searched,
            Err(error) => return ProbeReading::Unknown(error.to_string()),
        };
        match searched {
            Searched::Found => {
                self.processes.note_match(&self.project, &service.name, &start, pattern);
                ProbeReading::Passed
            }
            Searched::Absent => probes::failed(format!("its output does not show `{pattern}` yet")),
            Searched::Incomplete { missing_bytes } => {
                let reason = unseen(pattern, missing_bytes);
                // Of a start that is over, a missing line whose place can't be read any more proves nothing: neither
                // that the service is well, nor that it is not.
                if self.start_is_over(service, instance).await {
                    ProbeReading::Unknown(reason)
                } else {
                    probes::failed(reason)
                }
            }
        }
    }

    /// What tells this start from all others.
    async fn start_of(&self, instance: &Instance) -> Result<String, DriverError> {
        match instance {
            Instance::Tree { id } => Ok(id.clone()),
            Instance::Container { id, .. } => {
                let started_at = self.engine()?.started_at(id).await?;
                Ok(format!("{id} {}", started_at.unwrap_or_default()))
            }
        }
    }

    async fn search_log(&self, service: &Service, instance: &Instance, regex: &Regex) -> Result<Searched, DriverError> {
        match instance {
            Instance::Container { id, .. } => {
                let found = |text: &str| regex.is_match(text);
                self.engine()?.search_log(id, found, service.health.probe_timeout).await
            }
            Instance::Tree { id } => {
                let written = self.processes.written(&self.project, &service.name, Some(id), LOG_BYTES_MAX).await?;
                if regex.is_match(&written.text) {
                    return Ok(Searched::Found);
                }
                // Its relay looks at all of it, and would have noted the pattern.
                if written.is_whole || self.processes.is_awaited(&self.project, &service.name, id, regex.as_str()) {
                    return Ok(Searched::Absent);
                }
                Ok(Searched::Incomplete { missing_bytes: written.missing_bytes })
            }
        }
    }

    /// Whether it has run for longer than it may take to start; one whose age is not known has not.
    async fn start_is_over(&self, service: &Service, instance: &Instance) -> bool {
        let started_at = match instance {
            Instance::Container { id, .. } => match self.engine() {
                Ok(engine) => engine.started_at(id).await.ok().flatten(),
                Err(_) => None,
            },
            Instance::Tree { .. } => {
                let tree = self.processes.tree(&self.project, service).await.ok().flatten();
                tree.and_then(|tree| tree.started_at)
            }
        };
        started_at.is_some_and(|started_at| !service.health.may_be_starting(started_at, Timestamp::now()))
    }

    /// On the host for a process, in its folder and environment; inside for a container.
    async fn exec(
        &self,
        service: &Service,
        instance: &Instance,
        argv: &[String],
        deadline: Duration,
    ) -> Result<Ran, DriverError> {
        if let Instance::Container { id, .. } = instance {
            return self.engine()?.exec(id, argv, deadline).await;
        }
        let invocation = environment::beside(service, process_of(service)?, &self.processes.environment, argv)?;
        match command::run(&self.processes.shim_program, &invocation, deadline).await? {
            Ended::Code(code) => Ok(Ran::Ended(code.into())),
            Ended::TimedOut => Ok(Ran::TimedOut),
        }
    }

    /// Anything but a clear no is busy.
    pub(super) async fn ask_busy(&self, service: &Service, instance: &Instance) -> BusyReading {
        let Some(busy) = &service.busy else { return BusyReading::Idle };
        match &busy.probe {
            BusyProbe::Http { url, pointer } => match probes::value_at(url, pointer, busy.probe_timeout).await {
                Ok(value) if probes::truthy(&value) => {
                    BusyReading::Busy(format!("{pointer} is {}", probes::shown(&value)))
                }
                Ok(_) => BusyReading::Idle,
                Err(reason) => BusyReading::Busy(format!("can't tell: {reason}")),
            },
            BusyProbe::Exec(argv) => match self.exec(service, instance, argv, busy.probe_timeout).await {
                Ok(Ran::Ended(0)) => BusyReading::Busy(format!("{} says so", argv.join(" "))),
                Ok(Ran::Ended(_)) => BusyReading::Idle,
                Ok(Ran::NotRun(reason)) => BusyReading::Busy(format!("can't tell: {reason}")),
                Ok(Ran::TimedOut) => BusyReading::Busy(format!("can't tell: {} did not end", argv.join(" "))),
                Err(error) => BusyReading::Busy(format!("can't tell: {error}")),
            },
        }
    }

    pub(super) async fn evict_calls(&self, service: &Service) -> Result<(), DriverError> {
        let Some(evict) = &service.evict else { return Ok(()) };
        self.make_calls(service, &evict.calls, evict.timeout, "evicted").await
    }

    pub(super) async fn wake_calls(&self, service: &Service) -> Result<(), DriverError> {
        let Some(wake) = &service.wake else { return Ok(()) };
        self.make_calls(service, &wake.calls, wake.timeout, "woken").await
    }

    /// One call after the other; the first that fails ends it.
    async fn make_calls(
        &self,
        service: &Service,
        calls: &[Call],
        timeout: Duration,
        what: &str,
    ) -> Result<(), DriverError> {
        for call in calls {
            let refused = |reason: String| DriverError::Refused(format!("`{}` was not {what}: {reason}", service.name));
            match call {
                Call::Http { method, url, json } => {
                    let call: Option<&Value> = json.as_ref();
                    probes::call(method, url, call, timeout).await.0.map_err(refused)?;
                }
                Call::Exec(argv) => {
                    let Some(instance) = self.look_at(service).await?.instance else {
                        return Err(refused("it is not there".to_owned()));
                    };
                    match self.exec(service, &instance, argv, timeout).await? {
                        Ran::Ended(0) => {}
                        Ran::Ended(code) => return Err(refused(format!("{} exits {code}", argv.join(" ")))),
                        Ran::NotRun(reason) => {
                            return Err(refused(format!("can't run {}: {reason}", argv.join(" "))));
                        }
                        Ran::TimedOut => {
                            let deadline = probes::seconds(timeout);
                            return Err(refused(format!("{} did not end within {deadline}", argv.join(" "))));
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Who holds a port that this service needs, other than itself.
    pub(super) async fn other_holders(
        &self,
        project: &ProjectName,
        service: &Service,
    ) -> Result<Option<String>, DriverError> {
        if service.ports.is_empty() || self.is_on_remote_engine(service) {
            return Ok(None);
        }
        let numbers = service.ports.iter().map(|endpoint| endpoint.port).collect();
        let (there, listeners) =
            tokio::join!(self.there(project, service), ports::listeners(numbers, self.processes.reader()));
        let (look, trees) = there?;
        let instance = look.instance;
        let listeners = self.attributed(listeners, &trees).await?;
        let is_needed = |listener: &&ListenerFact| {
            let endpoint = listener.endpoint();
            service.ports.iter().any(|needed| needed.clashes(&endpoint))
        };
        let other = |listener: &&ListenerFact| {
            !instance.as_ref().is_some_and(|instance| self.owns(service, instance, listener))
        };
        let held: Vec<String> = listeners
            .iter()
            .filter(is_needed)
            .filter(other)
            .map(|listener| format!("{} by {}", listener.port, ports::describe(listener)))
            .collect();
        Ok((!held.is_empty()).then(|| held.join(", ")))
    }

    /// Why an answer is not this instance's own; `None` also where that can't be told.
    async fn answered_by_another(
        &self,
        service: &Service,
        instance: &Instance,
        port: Option<u16>,
    ) -> Result<Option<String>, DriverError> {
        let there = async {
            match instance {
                Instance::Tree { .. } => {
                    let (look, trees) = self.there(&self.project, service).await?;
                    Ok::<_, DriverError>((lives(&look, instance), trees))
                }
                Instance::Container { .. } => Ok((None, Vec::new())),
            }
        };
        // Both are read after the answer.
        let asked = port.into_iter().collect();
        let (there, listeners) = tokio::join!(there, ports::listeners(asked, self.processes.reader()));
        let (ended, trees) = there?;
        let (None, Some(port)) = (&ended, port) else { return Ok(ended) };
        let listeners = self.attributed(listeners, &trees).await?;
        if listeners.iter().any(|listener| self.owns(service, instance, listener)) {
            return Ok(None);
        }
        let told = |listener: &&ListenerFact| listener.pid.is_some() || listener.owner != Owner::Stranger;
        let other = listeners.iter().find(told);
        Ok(other.map(|other| format!("port {port} is answered by {}, not by the service", ports::describe(other))))
    }

    /// What is there of a service, and its tree where it is one: of one reading.
    async fn there(&self, project: &ProjectName, service: &Service) -> Result<(Look, Vec<TreeFact>), DriverError> {
        match &service.runtime {
            Runtime::Process(_) => {
                let tree = self.processes.tree(project, service).await?;
                Ok((look_of(tree.clone()), tree.into_iter().collect()))
            }
            Runtime::Container(_) | Runtime::Existing(_) => Ok((self.look_at(service).await?, Vec::new())),
        }
    }

    async fn attributed(
        &self,
        listeners: Reading<Vec<ListenerFact>>,
        trees: &[TreeFact],
    ) -> Result<Vec<ListenerFact>, DriverError> {
        let mut listeners = match listeners {
            Reading::Known(listeners) => listeners,
            Reading::NotAsked => Vec::new(),
            Reading::Unknown(reason) => return Err(DriverError::Missing(reason)),
        };
        let mut published = Vec::new();
        if self.asks_engine && listeners.iter().any(|listener| listener.owner == Owner::Stranger) {
            // Without an answer of the engine, whoever forwards for it stays a stranger.
            if let Ok(engine) = self.engine() {
                published = engine.published().await.unwrap_or_default();
            }
        }
        listeners::attribute(&mut listeners, trees, &published);
        Ok(listeners)
    }

    fn owns(&self, service: &Service, instance: &Instance, listener: &ListenerFact) -> bool {
        match (&listener.owner, instance) {
            (Owner::Service { project, service: name }, Instance::Tree { .. }) => {
                *project == self.project && *name == service.name
            }
            (Owner::Container(id), Instance::Container { id: own, .. }) => id == own,
            (Owner::Service { .. }, Instance::Container { .. })
            | (Owner::Container(_), Instance::Tree { .. })
            | (Owner::Stranger, _) => false,
        }
    }

    async fn look_at(&self, service: &Service) -> Result<Look, DriverError> {
        self.look(&self.project, service).await
    }
}

/// Why output without the pattern is no proof that it was not written.
fn unseen(pattern: &str, missing_bytes: u64) -> String {
    let gone = match missing_bytes {
        0 => "not all of it could be searched, because it is too long or its beginning was rotated away".to_owned(),
        bytes => format!("{bytes} bytes of it were rotated away before they could be searched"),
    };
    format!("its output does not show `{pattern}`, and {gone}: raise the log's size, or probe by http, tcp or exec")
}

/// Why this is not that instance, up and running.
fn lives(look: &Look, instance: &Instance) -> Option<String> {
    if look.instance.as_ref() != Some(instance) {
        return Some("it is not there any more".to_owned());
    }
    match &look.life {
        Life::Running => None,
        Life::Suspended => Some("it is suspended".to_owned()),
        Life::Crippled(_) => Some("its first process has ended".to_owned()),
        Life::Ended(_) | Life::Absent => Some("it has ended".to_owned()),
    }
}
