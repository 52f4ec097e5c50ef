//! Identity of a host: distinguishes machines of the same name, and one boot from the next.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Digests of a host's ids. An id that can't be read is absent, for example the machine id inside a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostIdentity {
    /// Digest of the machine id; absent if it can't be read, or belongs to a container and not to the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// Digest of the boot id, which is the same on the host and in all of its containers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<String>,
}

impl HostIdentity {
    /// Returns true if both are one host; `None`: their ids do not decide it.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> Option<bool> {
        match (&self.machine, &other.machine, &self.boot, &other.boot) {
            (Some(one), Some(two), ..) => Some(one == two),
            (_, _, Some(one), Some(two)) if one == two => Some(true),
            // Another boot of one machine, or another machine.
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::HostIdentity;

    #[test]
    fn the_machine_decides_and_where_it_is_hidden_an_equal_boot() {
        let host = |machine: Option<&str>, boot: Option<&str>| HostIdentity {
            machine: machine.map(str::to_owned),
            boot: boot.map(str::to_owned),
        };
        for (one, two, expected) in [
            (host(Some("m"), Some("b")), host(Some("m"), Some("c")), Some(true)),
            (host(Some("m"), Some("b")), host(Some("n"), Some("b")), Some(false)),
            (host(Some("m"), Some("b")), host(None, Some("b")), Some(true)),
            (host(None, Some("b")), host(None, Some("c")), None),
            (host(None, None), host(None, None), None),
        ] {
            assert_eq!(one.is_same(&two), expected, "{one:?} {two:?}");
        }
    }
}
