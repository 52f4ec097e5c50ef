//! Probes and calls of one service: health and busy probes, evict and wake calls, and other holders of its ports. An
//! answer counts only if it is the service's own.

use std::time::Duration;

use jiff::Timestamp;
use regex_lite::Regex;
use serde_json::Value;

use crate::files::own;
use crate::host::log_match::LogMatch;
use crate::host::{ports, probes, state};
use crate::model::call::Call;
use crate::model::desired::{BusyProbe, Probe, Service};
use crate::model::facts::{Attribution, BusyReading, ListenerFact, ProbeReading, ProcessOwner, Reading};
use crate::model::instance::Instance;
use crate::model::names::ProjectName;
use crate::runtime::contract::{ExecOutcome, LogSearch};
use crate::runtime::machine::{Machine, listeners};
use crate::runtime::{Driver as _, DriverError, Inspection, not_alive};

impl Machine {
    /// Runs one health probe. `seen` are listeners that were read already: a port held by the service there is not read
    /// again.
    pub(super) async fn probe_health(
        &self,
        service: &Service,
        instance: &Instance,
        seen: &[ListenerFact],
    ) -> ProbeReading {
        let Some(probe) = &service.health.probe else { return self.check(service, instance).await };
        if let Some(reason) = self.probes_wrong_host(service, probe) {
            return probes::failed(reason);
        }
        let reading = self.probe_once(service, instance, probe).await;
        if reading != ProbeReading::Passed {
            return reading;
        }
        let port = probes::local_port(probe).filter(|_| !service.health.any_listener);
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

    async fn probe_once(&self, service: &Service, instance: &Instance, probe: &Probe) -> ProbeReading {
        let deadline = service.health.probe_timeout;
        match probe {
            Probe::Http(http) => probes::http(http, deadline).await,
            Probe::Tcp { host, port } => probes::tcp(host, *port, deadline).await,
            Probe::Exec(argv) => match self.exec(service, instance, argv, deadline).await {
                Ok(ExecOutcome::Ended(0)) => ProbeReading::Passed,
                Ok(ExecOutcome::Ended(code)) => probes::failed(format!("{} exits {code}", argv.join(" "))),
                Ok(ExecOutcome::NotRun(reason)) => probes::failed(format!("can't run {}: {reason}", argv.join(" "))),
                Ok(ExecOutcome::TimedOut) => {
                    probes::failed(format!("{} did not end within {}", argv.join(" "), probes::seconds(deadline)))
                }
                Err(error) => ProbeReading::Unknown(error.to_string()),
            },
            Probe::Log(pattern) => self.log_shows(service, instance, pattern).await,
            Probe::Runtime => self.check(service, instance).await,
        }
    }

    /// Checks a service without a probe: alive is enough, and healthy where the runtime has a health check of its own.
    async fn check(&self, service: &Service, instance: &Instance) -> ProbeReading {
        match self.runtime(&instance.runtime) {
            Ok(runtime) => runtime.check(&self.project, service, instance).await,
            Err(error) => ProbeReading::Unknown(error.to_string()),
        }
    }

    /// Probes the output for a pattern. A start that has shown the pattern is not searched again: its output may be cut
    /// while the service runs on.
    async fn log_shows(&self, service: &Service, instance: &Instance, pattern: &str) -> ProbeReading {
        let start = match self.start_id(instance).await {
            Ok(start) => start,
            Err(error) => return ProbeReading::Unknown(error.to_string()),
        };
        if self.was_matched(service, &start, pattern) {
            return ProbeReading::Passed;
        }
        let regex = match Regex::new(pattern) {
            Ok(regex) => regex,
            Err(error) => return ProbeReading::Unknown(format!("invalid pattern `{pattern}`: {error}")),
        };
        let searched = match self.search(service, instance, &regex).await {
            Ok(searched) => searched,
            Err(error) => return ProbeReading::Unknown(error.to_string()),
        };
        match searched {
            LogSearch::Found => {
                self.note_match(service, &start, pattern);
                ProbeReading::Passed
            }
            LogSearch::Absent => probes::failed(format!("its output does not show `{pattern}` yet")),
            LogSearch::Incomplete { missing_bytes } => {
                let reason = unseen(pattern, missing_bytes);
                // Once the start is over, a line missing from output that can no longer be read whole proves nothing:
                // neither that the service is healthy, nor that it is not.
                if self.start_is_over(service, instance).await {
                    ProbeReading::Unknown(reason)
                } else {
                    probes::failed(reason)
                }
            }
        }
    }

    /// Returns true if this pattern was seen in the output of that start before.
    fn was_matched(&self, service: &Service, start: &str, pattern: &str) -> bool {
        let mut projects = [&self.project].into_iter().chain(&self.aliases);
        projects.any(|project| {
            let folder = state::service_folder(&self.state_dir, project.as_str(), service.name.as_str());
            LogMatch::read(&folder).is_some_and(|noted| noted.is_of(start, pattern))
        })
    }

    /// Records a match. If it can't be written, the next probe searches for the pattern again.
    fn note_match(&self, service: &Service, start: &str, pattern: &str) {
        let folder = state::service_folder(&self.state_dir, self.project.as_str(), service.name.as_str());
        // For a container this may be the first file, so that its folder is missing.
        let _ =
            own::create_folder(&self.state_dir, &folder).and_then(|()| LogMatch::new(start, pattern).write(&folder));
    }

    async fn start_id(&self, instance: &Instance) -> Result<String, DriverError> {
        self.runtime(&instance.runtime)?.start_id(instance).await
    }

    async fn search(&self, service: &Service, instance: &Instance, regex: &Regex) -> Result<LogSearch, DriverError> {
        self.runtime(&instance.runtime)?.search_log(&self.project, service, instance, regex).await
    }

    /// Returns true if the service has run for longer than a start may take; false if its age is unknown.
    async fn start_is_over(&self, service: &Service, instance: &Instance) -> bool {
        let Ok(runtime) = self.runtime(&instance.runtime) else { return false };
        let started_at = runtime.started_at(&self.project, service, instance).await;
        started_at.is_some_and(|started_at| !service.health.may_be_starting(started_at, Timestamp::now()))
    }

    async fn exec(
        &self,
        service: &Service,
        instance: &Instance,
        argv: &[String],
        deadline: Duration,
    ) -> Result<ExecOutcome, DriverError> {
        self.runtime(&instance.runtime)?.exec(service, instance, argv, deadline).await
    }

    /// Runs the busy probe: anything but a clear negative counts as busy.
    pub(super) async fn probe_busy(&self, service: &Service, instance: &Instance) -> BusyReading {
        let Some(busy) = &service.busy else { return BusyReading::Idle };
        match &busy.probe {
            BusyProbe::Http { url, pointer } => match probes::value_at(url, pointer, busy.probe_timeout).await {
                Ok(value) if probes::truthy(&value) => {
                    BusyReading::Busy(format!("{pointer} is {}", probes::shown(&value)))
                }
                Ok(_) => BusyReading::Idle,
                Err(reason) => BusyReading::Busy(format!("its busy probe failed: {reason}")),
            },
            BusyProbe::Exec(argv) => match self.exec(service, instance, argv, busy.probe_timeout).await {
                Ok(ExecOutcome::Ended(0)) => BusyReading::Busy(format!("{} exits 0", argv.join(" "))),
                Ok(ExecOutcome::Ended(_)) => BusyReading::Idle,
                Ok(ExecOutcome::NotRun(reason)) => BusyReading::Busy(format!("its busy probe failed: {reason}")),
                Ok(ExecOutcome::TimedOut) => {
                    BusyReading::Busy(format!("its busy probe failed: {} did not end", argv.join(" ")))
                }
                Err(error) => BusyReading::Busy(format!("its busy probe failed: {error}")),
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

    /// Makes the calls one after another, up to the first that fails.
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
                        return Err(refused("it does not exist".to_owned()));
                    };
                    match self.exec(service, &instance, argv, timeout).await? {
                        ExecOutcome::Ended(0) => {}
                        ExecOutcome::Ended(code) => return Err(refused(format!("{} exits {code}", argv.join(" ")))),
                        ExecOutcome::NotRun(reason) => {
                            return Err(refused(format!("can't run {}: {reason}", argv.join(" "))));
                        }
                        ExecOutcome::TimedOut => {
                            let deadline = probes::seconds(timeout);
                            return Err(refused(format!("{} did not end within {deadline}", argv.join(" "))));
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Returns the holders of ports that this service needs, other than the service itself.
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
            tokio::join!(self.inspect_owned(project, service), ports::listeners(numbers, self.processes()));
        let (inspection, owned) = there?;
        let instance = inspection.instance;
        let listeners = self.attributed(listeners, &owned).await?;
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

    /// Returns the reason why an answer is not this instance's own; `None` also where that is unknown.
    async fn answered_by_another(
        &self,
        service: &Service,
        instance: &Instance,
        port: Option<u16>,
    ) -> Result<Option<String>, DriverError> {
        let there = async {
            // The id of an object is proof enough.
            if instance.name.is_some() {
                return Ok::<_, DriverError>((None, Vec::new()));
            }
            let (inspection, owned) = self.inspect_owned(&self.project, service).await?;
            Ok((not_alive(&inspection, instance), owned))
        };
        // Both are read after the answer.
        let numbers = port.into_iter().collect();
        let (there, listeners) = tokio::join!(there, ports::listeners(numbers, self.processes()));
        let (ended, owned) = there?;
        let (None, Some(port)) = (&ended, port) else { return Ok(ended) };
        let listeners = self.attributed(listeners, &owned).await?;
        if listeners.iter().any(|listener| self.owns(service, instance, listener)) {
            return Ok(None);
        }
        let is_known = |listener: &&ListenerFact| listener.pid.is_some() || listener.owner != ProcessOwner::Foreign;
        let other = listeners.iter().find(is_known);
        Ok(other.map(|other| format!("port {port} is answered by {}, not by the service", ports::describe(other))))
    }

    /// Returns the inspection of a service with its processes and ports, from one reading.
    async fn inspect_owned(
        &self,
        project: &ProjectName,
        service: &Service,
    ) -> Result<(Inspection, Vec<Attribution>), DriverError> {
        self.runtime(&service.workload.runtime)?.inspect_owned(project, service).await
    }

    async fn attributed(
        &self,
        listeners: Reading<Vec<ListenerFact>>,
        owned: &[Attribution],
    ) -> Result<Vec<ListenerFact>, DriverError> {
        let mut listeners = match listeners {
            Reading::Known(listeners) => listeners,
            Reading::NotAsked => Vec::new(),
            Reading::Unknown(reason) => return Err(DriverError::Missing(reason)),
        };
        let mut owned = owned.to_vec();
        if listeners.iter().any(|listener| listener.owner == ProcessOwner::Foreign) {
            for runtime in &self.runtimes {
                owned.extend(runtime.forwarded().await);
            }
        }
        listeners::attribute(&mut listeners, &owned);
        Ok(listeners)
    }

    fn owns(&self, service: &Service, instance: &Instance, listener: &ListenerFact) -> bool {
        listener.owner == ProcessOwner::of(&self.project, &service.name, instance)
    }

    async fn look_at(&self, service: &Service) -> Result<Inspection, DriverError> {
        self.inspect(&self.project, service).await
    }
}

/// Returns the reason why a pattern missing from the output may have been written all the same.
fn unseen(pattern: &str, missing_bytes: u64) -> String {
    let gone = match missing_bytes {
        0 => "not all of it could be searched, because it is too long or its beginning was rotated away".to_owned(),
        bytes => format!("{bytes} bytes of it were rotated away before they could be searched"),
    };
    format!("its output does not show `{pattern}`, and {gone}: raise the log's size, or probe by http, tcp or exec")
}
