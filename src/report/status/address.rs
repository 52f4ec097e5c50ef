//! Handles of a running service for people: its process or its container, and the address at which it answers.

use std::net::IpAddr;

use crate::model::claim::bounded;
use crate::model::desired::{BusyProbe, Probe, Service};
use crate::model::endpoint::{Endpoint, Protocol};
use crate::model::observed::ObservedService;

/// Digits of a container's id that engines show.
const SHORT_ID_DIGITS: usize = 12;

/// Returns the short id of the service's container; `None`: nothing runs, or its runtime names no instances.
pub(super) fn short_id(seen: &ObservedService) -> Option<String> {
    let instance = seen.instance.as_ref().filter(|instance| seen.holds_capacity && instance.name.is_some())?;
    Some(bounded(&instance.id.chars().take(SHORT_ID_DIGITS).collect::<String>()))
}

/// Returns the local URL of a running service, without a path: of its HTTP probe, or of a port that it takes. A port
/// whose protocol the manifest does not tell has the scheme `tcp`.
pub(super) fn url(service: &Service, seen: &ObservedService) -> Option<String> {
    if !seen.holds_capacity {
        return None;
    }
    let health = match &service.health.probe {
        Some(Probe::Http(probe)) => http(&probe.url),
        Some(Probe::Tcp { host, port }) if is_local(host) => Some(format!("tcp://{}:{port}", bracketed(host))),
        Some(Probe::Tcp { .. } | Probe::Exec(_) | Probe::Log(_) | Probe::Runtime) | None => None,
    };
    let busy = service.busy.as_ref().and_then(|busy| match &busy.probe {
        BusyProbe::Http { url, .. } => http(url),
        BusyProbe::Exec(_) => None,
    });
    let published = || service.ports.iter().find(|endpoint| endpoint.protocol == Protocol::Tcp).map(endpoint);
    health.or(busy).or_else(published)
}

/// Returns `http://localhost:8188` of a probe's URL; `None` for an address of another host.
fn http(url: &str) -> Option<String> {
    let authority = url.strip_prefix("http://")?.split(['/', '?', '#']).next()?;
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next()?,
        None => authority.split(':').next()?,
    };
    is_local(host).then(|| format!("http://{}", bounded(authority)))
}

fn endpoint(endpoint: &Endpoint) -> String {
    match endpoint.address {
        None => format!("tcp://localhost:{}", endpoint.port),
        Some(address) => format!("tcp://{}:{}", bracketed(&address.to_string()), endpoint.port),
    }
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

fn is_local(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::{endpoint, http};

    #[test]
    fn a_probe_of_this_host_gives_a_url_without_a_path() {
        for (url, shown) in [
            ("http://localhost:8188/system_stats?x=1", Some("http://localhost:8188")),
            ("http://127.0.0.1:80", Some("http://127.0.0.1:80")),
            ("http://[::1]:8000#a", Some("http://[::1]:8000")),
            ("http://localhost/health", Some("http://localhost")),
            ("http://10.0.0.7:8188/", None),
            ("unix:///x", None),
        ] {
            assert_eq!(http(url).as_deref(), shown, "{url}");
        }
    }

    #[test]
    fn a_published_port_has_its_address() {
        for (port, shown) in [
            ("8080", "tcp://localhost:8080"),
            ("127.0.0.1:8080", "tcp://127.0.0.1:8080"),
            ("[::1]:8080", "tcp://[::1]:8080"),
        ] {
            assert_eq!(endpoint(&port.parse().expect("a port")), shown);
        }
    }
}
