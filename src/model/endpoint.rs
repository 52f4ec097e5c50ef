//! Ports of this host with their address and protocol: those that services take, and those that are taken.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error};
use serde::{Serialize, Serializer};

/// Port that a container publishes on its host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedPort {
    /// Address of the host; `None`: all addresses.
    pub address: Option<String>,
    /// `None`: the engine picks one, so no port is reserved.
    pub host: Option<u16>,
    pub container: u16,
    pub protocol: Protocol,
}

/// Transport of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    Tcp,
    Udp,
}

/// One port. In JSON a number if it is TCP on all addresses, otherwise text: `127.0.0.1:8080` or `53/udp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    pub port: u16,
    pub protocol: Protocol,
    /// `None`: every address of the host.
    pub address: Option<IpAddr>,
}

impl Endpoint {
    /// Creates a TCP endpoint on one address; an unspecified address (`0.0.0.0`, `::`) is every address.
    #[must_use]
    pub fn tcp(address: Option<IpAddr>, port: u16) -> Self {
        Self { port, protocol: Protocol::Tcp, address: address.filter(|address| !address.is_unspecified()) }
    }

    /// Returns the endpoint of a published port; `None`: the engine picks the port, so none is reserved.
    #[must_use]
    pub fn of_published(published: &PublishedPort) -> Option<Self> {
        let address = published.address.as_deref().and_then(|text| text.trim_matches(['[', ']']).parse().ok());
        Some(Self { protocol: published.protocol, ..Self::tcp(address, published.host?) })
    }

    /// Returns true if only one process can listen on both.
    #[must_use]
    pub fn clashes(&self, other: &Self) -> bool {
        let same_address = match (self.address, other.address) {
            (Some(one), Some(other)) => one == other,
            (None, _) | (_, None) => true,
        };
        self.port == other.port && self.protocol == other.protocol && same_address
    }
}

impl From<u16> for Endpoint {
    fn from(port: u16) -> Self {
        Self::tcp(None, port)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            None => write!(formatter, "{}", self.port)?,
            Some(IpAddr::V4(address)) => write!(formatter, "{address}:{}", self.port)?,
            Some(IpAddr::V6(address)) => write!(formatter, "[{address}]:{}", self.port)?,
        }
        match self.protocol {
            Protocol::Tcp => Ok(()),
            Protocol::Udp => formatter.write_str("/udp"),
        }
    }
}

impl std::str::FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fault = || format!("invalid port {text:?}: write 8080, \"127.0.0.1:8080\" or \"53/udp\"");
        let (rest, protocol) = match text.rsplit_once('/') {
            Some((rest, "udp")) => (rest, Protocol::Udp),
            Some((rest, "tcp")) => (rest, Protocol::Tcp),
            Some(_) => return Err(fault()),
            None => (text, Protocol::Tcp),
        };
        let (address, port) = match rest.rsplit_once(':') {
            Some((address, port)) => (Some(address.trim_matches(['[', ']']).parse().map_err(|_| fault())?), port),
            None => (None, rest),
        };
        Ok(Self { protocol, ..Self::tcp(address, port.parse().map_err(|_| fault())?) })
    }
}

impl Serialize for Endpoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self.address, self.protocol) {
            (None, Protocol::Tcp) => serializer.serialize_u16(self.port),
            _ => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Endpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(untagged)]
        enum PortNotation {
            Number(u16),
            Text(String),
        }
        match PortNotation::deserialize(deserializer)? {
            PortNotation::Number(port) => Ok(port.into()),
            PortNotation::Text(text) => text.parse().map_err(D::Error::custom),
        }
    }
}

impl JsonSchema for Endpoint {
    fn schema_name() -> Cow<'static, str> {
        "Endpoint".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A port of the host: a number if it is TCP on all addresses, otherwise text such as `127.0.0.1:8080` or `53/udp`.",
            "anyOf": [
                { "type": "integer", "minimum": 0, "maximum": 65535 },
                { "type": "string", "pattern": "^(.+:)?[0-9]{1,5}(/(tcp|udp))?$" },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Endpoint;

    fn endpoint(text: &str) -> Endpoint {
        text.parse().expect("an endpoint")
    }

    #[test]
    fn ports_clash_on_one_address_or_on_all_by_one_protocol() {
        for (one, other, clash) in [
            ("8080", "8080", true),
            ("127.0.0.1:8080", "8080", true),
            ("127.0.0.1:8080", "127.0.0.9:8080", false),
            ("127.0.0.1:8080", "[::1]:8080", false),
            ("0.0.0.0:8080", "127.0.0.9:8080", true),
            ("[::]:8080", "127.0.0.9:8080", true),
            ("53", "53/udp", false),
            ("53/udp", "10.0.0.1:53/udp", true),
            ("8080", "8081", false),
        ] {
            assert_eq!(endpoint(one).clashes(&endpoint(other)), clash, "{one} and {other}");
            assert_eq!(endpoint(other).clashes(&endpoint(one)), clash, "{other} and {one}");
        }
    }

    #[test]
    fn an_endpoint_is_written_as_it_is_read() {
        for (text, json) in
            [("8080", "8080"), ("127.0.0.1:8080", "\"127.0.0.1:8080\""), ("[::1]:53/udp", "\"[::1]:53/udp\"")]
        {
            assert_eq!(endpoint(text).to_string(), text);
            assert_eq!(serde_json::to_string(&endpoint(text)).expect("JSON"), json);
            assert_eq!(serde_json::from_str::<Endpoint>(json).expect("JSON"), endpoint(text));
        }
        for bad in ["", "x", "70000", "127.0.0.1", "53/sctp", "host:80"] {
            assert!(bad.parse::<Endpoint>().is_err(), "{bad}");
        }
    }
}
