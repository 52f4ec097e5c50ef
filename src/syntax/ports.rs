//! Parser of published ports in Compose's short form: `[[ADDRESS:]HOST:]CONTAINER[/PROTOCOL]`, with ranges.

use crate::model::endpoint::{Protocol, PublishedPort};
use crate::syntax::fault::suggest;

/// Fault in a published port, with its remedy.
pub(crate) struct PortFault {
    pub message: String,
    pub help: String,
}

/// Parses published ports; a range gives several.
pub(crate) fn parse(text: &str) -> Result<Vec<PublishedPort>, PortFault> {
    let wrong = || PortFault {
        message: format!("invalid port `{text}`"),
        help: "write `HOST:CONTAINER`, `ADDRESS:HOST:CONTAINER` or `CONTAINER`, numbers from 1 to 65535, with `/udp` \
               for UDP"
            .to_owned(),
    };
    let (ports, protocol) = match text.split_once('/') {
        None | Some((_, "tcp")) => (text.split('/').next().unwrap_or_default(), Protocol::Tcp),
        Some((ports, "udp")) => (ports, Protocol::Udp),
        Some((_, other)) => {
            let message = format!("unknown protocol `{other}`");
            return Err(PortFault { message, help: suggest(other, ["tcp", "udp"]) });
        }
    };
    let (rest, container) = match ports.rsplit_once(':') {
        Some((rest, container)) => (Some(rest), range(container).ok_or_else(wrong)?),
        None => (None, range(ports).ok_or_else(wrong)?),
    };
    let (address, host) = match rest {
        None => (None, None),
        Some(rest) => match rest.rsplit_once(':') {
            // An address with an empty port: the engine picks the port.
            Some((address, "")) => (Some(address), None),
            Some((address, host)) => (Some(address), Some(range(host).ok_or_else(wrong)?)),
            None => (None, Some(range(rest).ok_or_else(wrong)?)),
        },
    };
    let address = match address {
        Some(written) => {
            let bare = written.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(written);
            Some(bare.parse::<std::net::IpAddr>().map_err(|_| wrong())?.to_string())
        }
        None => None,
    };
    let count = container.1 - container.0;
    if let Some(host) = host
        && host.1 - host.0 != count
    {
        return Err(PortFault {
            message: format!("`{text}` has ranges of different lengths"),
            help: "each host port maps to one container port".to_owned(),
        });
    }
    Ok((0..=count)
        .map(|step| PublishedPort {
            address: address.clone(),
            host: host.map(|host| host.0 + step),
            container: container.0 + step,
            protocol,
        })
        .collect())
}

/// Formats a port for a spec.
pub(crate) fn text(port: &PublishedPort) -> String {
    let protocol = match port.protocol {
        Protocol::Tcp => "",
        Protocol::Udp => "/udp",
    };
    let host = port.host.map(|host| format!("{host}:"));
    let address = port.address.as_ref().map(|address| {
        let v6 = address.contains(':');
        if v6 { format!("[{address}]:") } else { format!("{address}:") }
    });
    let host = host.or_else(|| address.is_some().then(|| ":".to_owned()));
    format!("{}{}{}{protocol}", address.unwrap_or_default(), host.unwrap_or_default(), port.container)
}

/// Parses `80` or `80-90`.
fn range(text: &str) -> Option<(u16, u16)> {
    let port = |text: &str| {
        let digits = !text.is_empty() && text.chars().all(|digit| digit.is_ascii_digit());
        text.parse::<u16>().ok().filter(|port| digits && *port > 0)
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (port(first)?, port(last)?);
    (first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::{parse, text};

    fn read(written: &str) -> Option<Vec<String>> {
        parse(written).ok().map(|ports| ports.iter().map(text).collect())
    }

    #[test]
    fn the_short_forms_of_compose() {
        for (written, wanted) in [
            ("8080:80", vec!["8080:80"]),
            ("80", vec!["80"]),
            ("127.0.0.1:8080:80", vec!["127.0.0.1:8080:80"]),
            ("127.0.0.1::80", vec!["127.0.0.1::80"]),
            ("[::1]:8080:80", vec!["[::1]:8080:80"]),
            ("6060:6060/udp", vec!["6060:6060/udp"]),
            ("6060:6060/tcp", vec!["6060:6060"]),
            ("3000-3002:4000-4002", vec!["3000:4000", "3001:4001", "3002:4002"]),
        ] {
            assert_eq!(
                read(written).as_deref(),
                Some(&wanted.into_iter().map(str::to_owned).collect::<Vec<_>>()[..]),
                "{written}"
            );
        }
    }

    #[test]
    fn invalid_ports_are_refused() {
        for written in [
            "",
            "a",
            "0:80",
            "80:0",
            "70000:80",
            "1:2:3",
            "host:80:80",
            "3000-3002:80",
            "90-80",
            "80/sctp",
            ":80",
            "+80",
        ] {
            assert!(read(written).is_none(), "{written}");
        }
    }
}
