//! Lifecycle state of an instance: from its age and its probes while it runs, from its exit after that.

use jiff::Timestamp;

use crate::model::desired::{Probe, Service};
use crate::model::facts::{BusyReading, EngineHealth, ExitFact, Facts, ProbeReading};
use crate::model::lifecycle::State;
use crate::model::signal::SIGNALS;

/// State of an instance, with its detail.
pub(crate) struct Assessment {
    pub(crate) state: State,
    pub(crate) detail: String,
    pub(crate) unknown: Option<String>,
    pub(crate) warning: Option<String>,
}

impl Assessment {
    fn of(state: State, detail: impl Into<String>) -> Self {
        Self { state, detail: detail.into(), unknown: None, warning: None }
    }
}

/// Returns the state of a running instance.
pub(crate) fn running(
    facts: &Facts,
    service: &Service,
    started_at: Option<Timestamp>,
    engine: Option<EngineHealth>,
) -> Assessment {
    if service.job.is_some() {
        // A job is judged by its end; its timeout is judged with its history.
        return Assessment::of(State::Online, "it is running");
    }
    let young = started_at.is_some_and(|started| service.health.may_be_starting(started, facts.observed_at));
    let judgement = match &service.health.probe {
        None | Some(Probe::Runtime) => by_engine(engine, young),
        Some(_) => by_probe(facts, service, young),
    };
    if !judgement.state.is_operational() {
        return timed_out(facts, service, judgement);
    }
    if let Some(failing) = reported(facts, service, started_at) {
        return failing;
    }
    match facts.probes.get(&service.name).and_then(|probes| probes.busy.as_ref()) {
        Some(BusyReading::Idle) => Assessment { state: State::Idle, ..judgement },
        Some(BusyReading::Busy(detail)) => {
            Assessment { state: State::Busy, detail: format!("it is busy: {detail}"), ..judgement }
        }
        None => judgement,
    }
}

/// Failure that an outside observer reported since this start; it counts like a failing probe.
fn reported(facts: &Facts, service: &Service, started_at: Option<Timestamp>) -> Option<Assessment> {
    let report = facts.history.get(&service.name)?.report.as_ref()?;
    let is_of_this_start = started_at.is_none_or(|started| report.at >= started);
    let detail = || format!("{} reported a failure at {:.0}: {}", report.by, report.at, report.error);
    is_of_this_start.then(|| Assessment::of(State::Error, detail()))
}

fn by_engine(engine: Option<EngineHealth>, young: bool) -> Assessment {
    match engine {
        None => Assessment::of(State::Online, "it is running"),
        Some(EngineHealth::Healthy) => Assessment::of(State::Online, "its own health check passes"),
        Some(EngineHealth::Starting) => Assessment::of(State::Starting, "its own health check has not passed yet"),
        Some(EngineHealth::Unhealthy) if young => Assessment::of(State::Starting, "its own health check fails so far"),
        Some(EngineHealth::Unhealthy) => Assessment::of(State::Error, "its own health check fails"),
    }
}

fn by_probe(facts: &Facts, service: &Service, young: bool) -> Assessment {
    let reading = facts.probes.get(&service.name).and_then(|probes| probes.health.as_ref());
    match reading {
        Some(ProbeReading::Passed) => Assessment::of(State::Online, "its health probe passes"),
        Some(ProbeReading::Failed { detail, .. }) if young => {
            Assessment::of(State::Starting, format!("it does not answer yet: {detail}"))
        }
        Some(ProbeReading::Failed { failures, detail }) if *failures >= service.health.failures => {
            Assessment::of(State::Error, format!("its health probe fails: {detail}"))
        }
        Some(ProbeReading::Failed { detail, .. }) => Assessment {
            warning: Some(format!("{}: one health probe failed: {detail}", service.name)),
            ..Assessment::of(State::Online, "its health probe passes")
        },
        Some(ProbeReading::Unknown(reason)) => Assessment {
            unknown: Some(format!("its health can't be probed: {reason}")),
            ..Assessment::of(State::Online, "it is running")
        },
        None => {
            let unknown = Some("it was not probed".to_owned());
            Assessment { unknown, ..Assessment::of(State::Online, "it is running") }
        }
    }
}

/// Turns an error into a `timeout` where lcm itself ended the wait for this start.
fn timed_out(facts: &Facts, service: &Service, judgement: Assessment) -> Assessment {
    let last = facts.history.get(&service.name);
    if judgement.state == State::Error && last.is_some_and(|last| last.made && last.state == Some(State::Timeout)) {
        return Assessment { state: State::Timeout, ..judgement };
    }
    judgement
}

/// Returns state and detail for an exit. Exit code 0, KILL, TERM and the service's own stop signal are no failure.
pub(crate) fn ended(exit: &ExitFact, stop_signal: Option<&str>) -> (State, String) {
    let by_signal = exit.signal.or_else(|| exit.code.filter(|code| *code > 128).map(|code| code - 128));
    match (by_signal, exit.code) {
        (Some(signal), _) if is_stop_signal(signal, stop_signal) => {
            (State::Offline, format!("it was ended by {}", signal_name(signal)))
        }
        (Some(signal), Some(code)) if exit.signal.is_none() => {
            (State::Failed, format!("it exited with {code}: {}", signal_name(signal)))
        }
        (Some(signal), _) => (State::Failed, format!("it was ended by {}", signal_name(signal))),
        (None, Some(0)) => (State::Offline, "it exited with 0".to_owned()),
        (None, Some(code)) => (State::Failed, format!("it exited with {code}")),
        (None, None) => (State::Offline, "it ended with unknown exit status".to_owned()),
    }
}

fn is_stop_signal(signal: i32, own: Option<&str>) -> bool {
    let own = own.map(|name| name.trim_start_matches("SIG"));
    matches!(signal, 9 | 15) || SIGNALS.iter().any(|known| known.number == signal && Some(known.name) == own)
}

fn signal_name(signal: i32) -> String {
    SIGNALS
        .iter()
        .find(|known| known.number == signal)
        .map_or_else(|| format!("signal {signal}"), |known| format!("signal {signal} (SIG{})", known.name))
}

/// Returns true if an instance that does not run ended without lcm: the last state that lcm recorded is a running one.
pub(crate) fn ended_by_itself(facts: &Facts, service: &Service, state: State) -> bool {
    match facts.history.get(&service.name).and_then(|last| last.state) {
        Some(last) => last.is_operational() || last == State::Starting,
        None => state == State::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::ended;
    use crate::model::facts::ExitFact;
    use crate::model::lifecycle::State;
    use crate::model::signal::SIGNALS;

    #[test]
    fn an_end_by_the_services_own_stop_signal_is_no_failure() {
        for signal in SIGNALS {
            let by_signal = ExitFact { code: None, signal: Some(signal.number), at: None };
            let by_code = ExitFact { code: Some(128 + signal.number), signal: None, at: None };
            for exit in [by_signal, by_code] {
                if signal.stops {
                    for own in [signal.name.to_owned(), format!("SIG{}", signal.name)] {
                        let (state, detail) = ended(&exit, Some(&own));
                        assert_eq!(state, State::Offline, "{own}");
                        assert!(detail.contains(&format!("SIG{}", signal.name)), "{detail}");
                    }
                }
                let always = matches!(signal.name, "KILL" | "TERM");
                assert_eq!(ended(&exit, None).0 == State::Failed, !always, "{}", signal.name);
            }
        }
    }
}
