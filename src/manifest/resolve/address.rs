//! URLs and addresses of probes. Plain HTTP only: a probe connects to the service's own port on its own machine.

use std::net::IpAddr;

use crate::manifest::resolve::context::ResolveContext;
use crate::syntax::located::Located;

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HostPort {
    pub host: String,
    pub port: u16,
}

impl HostPort {
    /// Returns true for an address of this machine, as the manifest names it.
    pub(super) fn is_local(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

/// Checks a URL and returns its address.
pub(super) fn url(context: &mut ResolveContext<'_>, written: &Located<String>) -> Option<HostPort> {
    match parse_url(written) {
        Ok(address) => Some(address),
        Err(fault) => {
            context.error_with_help("lcm::manifest::url", written.span, (fault.message, "this URL"), fault.help);
            None
        }
    }
}

/// Reason why lcm can't probe a URL.
struct UrlFault {
    message: String,
    help: &'static str,
}

fn parse_url(text: &str) -> Result<HostPort, UrlFault> {
    const EXAMPLE: &str = "write it like `http://localhost:8188/health`";
    let fault = |message: String, help| Err(UrlFault { message, help });
    if text.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://")) {
        return fault(
            "lcm does not probe services over https".to_owned(),
            "write the service's own port over plain http: probes stay on the machine, and a certificate or a proxy \
             in between would be probed instead of the service",
        );
    }
    let Some(rest) = text.strip_prefix("http://") else {
        return fault(format!("invalid URL `{text}`"), EXAMPLE);
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return fault("a URL must not contain a user or a password".to_owned(), "it would show in plans and logs");
    }
    let odd =
        |character: char| character.is_whitespace() || character.is_control() || "\"<>\\^`{|}".contains(character);
    match split_port(authority, Some(80)) {
        Some(address) if !rest.contains(odd) => Ok(address),
        Some(_) | None => fault(format!("invalid URL `{text}`"), EXAMPLE),
    }
}

/// Parses `HOST:PORT` or `[v6]:PORT`; a port alone is on this machine.
pub(super) fn tcp(text: &str) -> Option<HostPort> {
    if let Ok(port) = text.parse::<u16>() {
        return (port > 0).then(|| HostPort { host: "localhost".to_owned(), port });
    }
    split_port(text, None)
}

fn split_port(authority: &str, default: Option<u16>) -> Option<HostPort> {
    let (host, rest) = match authority.strip_prefix('[') {
        Some(v6) => {
            let (host, rest) = v6.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, rest)
        }
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let port = match rest.strip_prefix(':') {
        Some(digits) if digits.chars().all(|digit| digit.is_ascii_digit()) => digits.parse().ok()?,
        None if rest.is_empty() => default?,
        Some(_) | None => return None,
    };
    let plain = |character: char| character.is_ascii_alphanumeric() || "-._:".contains(character);
    let valid = !host.is_empty() && host.chars().all(plain) && port > 0;
    valid.then(|| HostPort { host: host.to_ascii_lowercase(), port })
}

#[cfg(test)]
mod tests {
    use super::{HostPort, parse_url, tcp};

    #[test]
    fn urls() {
        for (text, host, port) in [
            ("http://localhost:8188/system_stats", "localhost", 8188),
            ("http://127.0.0.1", "127.0.0.1", 80),
            ("http://[::1]:50000/docs?a=b", "::1", 50000),
            ("http://HOST.example:1/", "host.example", 1),
        ] {
            assert_eq!(parse_url(text).ok(), Some(HostPort { host: host.to_owned(), port }), "{text}");
        }
        for text in [
            "",
            "localhost:80",
            "https://localhost",
            "HTTPS://x",
            "ftp://x",
            "http://",
            "http://:80",
            "http://a:b",
            "http://a:99999",
            "http://a:0",
            "http://u:p@a/",
            "http://a b/",
            "http://[::1",
            "http://[x]:1",
            "http://a:80:81",
        ] {
            assert!(parse_url(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ports() {
        assert_eq!(tcp("5432"), Some(HostPort { host: "localhost".to_owned(), port: 5432 }));
        assert_eq!(tcp("db:5432"), Some(HostPort { host: "db".to_owned(), port: 5432 }));
        assert_eq!(tcp("[::1]:5432").map(|address| address.is_local()), Some(true));
        for text in ["0", "70000", "db", "db:", ":1", "a/b:1"] {
            assert!(tcp(text).is_none(), "{text}");
        }
    }
}
