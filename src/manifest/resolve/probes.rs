//! Health, busy, evict, wake and stop: the chosen kind of each, with its deadlines.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::manifest::resolve::address::{self, HostPort};
use crate::manifest::resolve::context::ResolveContext;
use crate::manifest::wire;
use crate::manifest::wire::probes::Listener;
use crate::manifest::wire::shape::{CommandLine, Commands, OneOrMany};
use crate::model::call::Call;
use crate::model::desired::{
    Busy, BusyProbe, Evict, Health, HttpProbe, PROBE_TIMEOUT_DEFAULT, Pointer, Probe, StopPolicy, Wake,
};
use crate::model::signal;
use crate::model::size::Mebibytes;
use crate::syntax::fault::suggest;
use crate::syntax::located::Located;
use crate::syntax::problem::Problem;
use crate::syntax::scalar::DurationText;
use crate::syntax::source::Span;

const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Memory of a CUDA context with nothing loaded, in MiB.
const RESIDENT: Mebibytes = Mebibytes(512);

/// Address of a probe, and the place that names it.
pub(super) type ProbedAddress = (HostPort, Span);

/// `runtimes`: keys of the service's runtimes.
pub(super) fn health(
    context: &mut ResolveContext<'_>,
    written: Option<&Located<wire::probes::HealthBlock>>,
    runtimes: &[(&str, Span)],
    asked: &mut Vec<ProbedAddress>,
) -> Health {
    let mut health = Health::default();
    let Some(written) = written else { return health };
    let mut kinds = vec![
        written.http.as_ref().map(|http| http.span),
        written.tcp.as_ref().map(|tcp| tcp.span),
        written.exec.as_ref().map(|exec| exec.span),
        written.log.as_ref().map(|log| log.span),
    ];
    kinds.extend(written.own_checks().into_iter().map(|(_, span)| Some(span)));
    one_of(context, "a service has only one kind of health probe", &kinds);
    only_with_http(context, written);
    health.any_listener = written.listener.as_ref().is_some_and(|listener| listener.value == Listener::Any);
    // A proxy's port is not the service's.
    let mut others = Vec::new();
    health.probe = probe(context, written, runtimes, if health.any_listener { &mut others } else { asked });
    for period in [&written.probe_timeout, &written.interval, &written.timeout] {
        context.positive(period.as_ref());
    }
    context.at_least_one(written.failures.as_ref());
    context.at_least_one(written.successes.as_ref());
    let period = |period: &Option<Located<DurationText>>| period.as_ref().map(|period| period.0);
    health.interval = period(&written.interval);
    health.probe_timeout = period(&written.probe_timeout).unwrap_or(health.probe_timeout);
    health.warm_time = period(&written.warm_time).unwrap_or(health.warm_time);
    health.timeout = period(&written.timeout).unwrap_or(health.timeout);
    health.stable_for = period(&written.stable_for).unwrap_or(health.stable_for);
    health.failures = written.failures.as_ref().map_or(health.failures, |failures| failures.value);
    health.successes = written.successes.as_ref().map_or(health.successes, |successes| successes.value);
    health
}

fn only_with_http(context: &mut ResolveContext<'_>, written: &Located<wire::probes::HealthBlock>) {
    if written.http.is_none() && !written.damaged {
        let status = written.status.as_ref().and_then(|status| status.0.first()).map(|status| ("status", status.span));
        let body = written.body.as_ref().map(|body| ("body", body.span));
        let pointer = written.pointer.as_ref().map(|pointer| ("pointer", pointer.span));
        for (key, span) in [status, body, pointer].into_iter().flatten() {
            context.error("lcm::manifest::conflict", span, format!("`{key}` only applies to `http`"), "no `http` here");
        }
    }
    if let (Some(listener), None, None, false) = (&written.listener, &written.http, &written.tcp, written.damaged) {
        let message = "`listener` only applies to `http` or `tcp`";
        context.error("lcm::manifest::conflict", listener.span, message, "no port is probed here");
    }
    if let (Some(equals), None, false) = (&written.equals, &written.pointer, written.damaged) {
        context.error(
            "lcm::manifest::conflict",
            equals.span,
            "`equals` only applies to `pointer`",
            "no `pointer` here",
        );
    }
}

fn probe(
    context: &mut ResolveContext<'_>,
    written: &Located<wire::probes::HealthBlock>,
    runtimes: &[(&str, Span)],
    asked: &mut Vec<ProbedAddress>,
) -> Option<Probe> {
    if let Some(http) = &written.http {
        asked.push((address::url(context, http)?, http.span));
        let pointer = written.pointer.as_ref().map(|pointer| Pointer {
            path: pointer.0.clone(),
            equals: written.equals.as_ref().map(|equals| equals.value.clone()),
        });
        let status: BTreeSet<u16> =
            written.status.iter().flat_map(|status| &status.0).map(|status| status.value.0).collect();
        let body = written.body.as_ref().map(|body| body.value.clone());
        return Some(Probe::Http(HttpProbe { url: http.value.clone(), status, body, pointer }));
    }
    if let Some(tcp) = &written.tcp {
        let Some(address) = address::tcp(&tcp.0) else {
            let message = format!("invalid address `{}`", tcp.0);
            context.error_with_help(
                "lcm::manifest::url",
                tcp.span,
                (message, "this address"),
                "write `localhost:5432` or `5432`",
            );
            return None;
        };
        asked.push((address.clone(), tcp.span));
        return Some(Probe::Tcp { host: address.host, port: address.port });
    }
    if let Some(exec) = &written.exec {
        return Some(Probe::Exec(exec_argv(exec)));
    }
    if let Some(log) = &written.log {
        if let Err(error) = regex_lite::Regex::new(log) {
            let message = format!("invalid regular expression: {error}");
            context.error("lcm::manifest::regex", log.span, message, "this pattern");
        }
        return Some(Probe::Log(log.value.clone()));
    }
    let (key, span) = written.own_checks().into_iter().next()?;
    if !runtimes.iter().any(|(runtime, _)| *runtime == key) {
        let message = format!("`{key}` is the health check of a `{key}:` service, and this is not one");
        let help = "write `http`, `tcp`, `exec` or `log`";
        context.error_with_help("lcm::manifest::conflict", span, (message, "here"), help);
    }
    Some(Probe::Runtime)
}

pub(super) fn busy(
    context: &mut ResolveContext<'_>,
    written: &Located<wire::probes::BusyBlock>,
    asked: &mut Vec<ProbedAddress>,
) -> Option<Busy> {
    let kinds = [written.http.as_ref().map(|http| http.span), written.exec.as_ref().map(|exec| exec.span)];
    one_of(context, "a service has only one kind of busy probe", &kinds);
    context.positive(written.probe_timeout.as_ref());
    let probe_timeout = written.probe_timeout.as_ref().map_or(PROBE_TIMEOUT_DEFAULT, |period| period.0);
    let probe = match (&written.http, &written.exec) {
        (Some(http), _) => {
            let address = address::url(context, http);
            let Some(pointer) = &written.pointer else {
                let help = "write `pointer: /…` to a value that is false, 0, null or empty while the service is idle";
                context.missing(written, "`busy` with `http` needs a `pointer`", help);
                return None;
            };
            asked.push((address?, http.span));
            BusyProbe::Http { url: http.value.clone(), pointer: pointer.0.clone() }
        }
        (None, Some(exec)) => {
            if let Some(pointer) = &written.pointer {
                context.error(
                    "lcm::manifest::conflict",
                    pointer.span,
                    "`pointer` only applies to `http`",
                    "no `http` here",
                );
            }
            BusyProbe::Exec(exec_argv(exec))
        }
        (None, None) => {
            context.missing(written, "neither `http` nor `exec`", "write one of them, or remove `busy`");
            return None;
        }
    };
    Some(Busy { probe, probe_timeout })
}

pub(super) fn evict(context: &mut ResolveContext<'_>, written: &Located<wire::probes::EvictBlock>) -> Option<Evict> {
    context.positive(written.timeout.as_ref());
    let calls =
        calls(context, written.http.as_ref(), written.exec.as_ref(), "memory is evicted by `http` or by `exec`");
    if calls.is_empty() {
        context.missing(written, "neither `http` nor `exec`", "write one of them, or remove `evict`");
        return None;
    }
    Some(Evict {
        calls,
        resident: written.resident.as_ref().map_or(RESIDENT, |size| Mebibytes::needed(size.0)),
        timeout: written.timeout.as_ref().map_or(CALL_TIMEOUT, |period| period.0),
    })
}

pub(super) fn wake(context: &mut ResolveContext<'_>, written: &Located<wire::probes::WakeBlock>) -> Option<Wake> {
    context.positive(written.timeout.as_ref());
    let calls =
        calls(context, written.http.as_ref(), written.exec.as_ref(), "a service is woken by `http` or by `exec`");
    if calls.is_empty() {
        context.missing(written, "neither `http` nor `exec`", "write one of them, or remove `wake`");
        return None;
    }
    Some(Wake { calls, timeout: written.timeout.as_ref().map_or(CALL_TIMEOUT, |period| period.0) })
}

/// Returns the requests or the commands in their order; reports a problem for both.
fn calls(
    context: &mut ResolveContext<'_>,
    http: Option<&OneOrMany<Located<wire::probes::RequestBlock>>>,
    exec: Option<&Located<Commands>>,
    rule: &str,
) -> Vec<Call> {
    let first = http.and_then(|http| http.0.first()).map(|http| http.span);
    one_of(context, rule, &[first, exec.map(|exec| exec.span)]);
    let requests = http.iter().flat_map(|http| &http.0);
    let mut calls: Vec<Call> = requests.map(|request| self::request(context, request)).collect();
    let commands = exec.iter().flat_map(|exec| &exec.value.0);
    calls.extend(commands.map(|command| Call::Exec(shell_argv(command))));
    calls
}

pub(super) fn stop(context: &mut ResolveContext<'_>, written: Option<&Located<wire::probes::StopBlock>>) -> StopPolicy {
    let mut policy = StopPolicy::default();
    let Some(written) = written else { return policy };
    if let Some(signal) = &written.signal {
        let name = signal.0.strip_prefix("SIG").unwrap_or(&signal.0);
        if !signal::stopping().any(|known| known == name) {
            let message = format!("signal `{}` does not stop a service", signal.0);
            context.error_with_help(
                "lcm::manifest::signal",
                signal.span,
                (message, "this signal"),
                suggest(name, signal::stopping()),
            );
        }
        policy.signal = Some(name.to_owned());
    }
    let kinds = [written.signal.as_ref().map(|signal| signal.span), written.exec.as_ref().map(|exec| exec.span)];
    one_of(context, "a service is stopped by a signal or by a command", &kinds);
    policy.exec = written.exec.as_ref().map(exec_argv);
    policy.grace = written.grace.as_ref().map_or(policy.grace, |grace| grace.0);
    policy
}

/// Returns the request as lcm sends it.
pub(super) fn request(context: &mut ResolveContext<'_>, written: &wire::probes::RequestBlock) -> Call {
    address::url(context, &written.url);
    Call::Http {
        method: written.method.unwrap_or(wire::probes::Method::Post).as_str().to_owned(),
        url: written.url.value.clone(),
        json: written.json.clone(),
    }
}

/// Reports two of several keys that exclude each other, with both places.
pub(super) fn one_of(context: &mut ResolveContext<'_>, rule: &str, spans: &[Option<Span>]) {
    let mut set = spans.iter().flatten();
    if let (Some(first), Some(second)) = (set.next(), set.next()) {
        let problem = Problem::error("lcm::manifest::conflict", format!("{rule}; found two"))
            .at(context.place(*second), "and this one")
            .also(context.place(*first), "this one");
        context.problems.push(problem);
    }
}

pub(super) fn exec_argv(command: &Located<CommandLine>) -> Vec<String> {
    shell_argv(&command.value)
}

fn shell_argv(command: &CommandLine) -> Vec<String> {
    match command {
        CommandLine::Words(words) => words.clone(),
        CommandLine::Line(line) => vec!["sh".to_owned(), "-c".to_owned(), line.clone()],
    }
}
