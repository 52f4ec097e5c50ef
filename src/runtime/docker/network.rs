//! Networks of an engine: settings as a manifest defines them or an engine reports them, and their comparison.
//!
//! Pure, and the base of all that concerns networks here: `resolve::networks` makes the definitions, `drive::networks`
//! carries them out, `observe::networks` compares.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Networks of the engine itself, and the name for its default one: no manifest defines them.
pub const BUILT_IN: [&str; 4] = ["bridge", "host", "none", "default"];

/// Returns true if the network is not one of the engine's own, or another container's.
#[must_use]
pub fn is_user_defined(network: &str) -> bool {
    !BUILT_IN.contains(&network) && !network.starts_with("container:")
}

/// Settings of a network, as the manifest states them or the engine reports them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkSettings {
    /// Driver; absent in a manifest that leaves it to the engine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// Options of the driver.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
    /// True if the network has no way out.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub internal: bool,
    /// True if containers may join a swarm's network by hand.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub attachable: bool,
    /// True if the network has IPv6; absent in a manifest that leaves it to the engine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<bool>,
    /// Labels, without those of lcm.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Driver of the addresses; absent if it is the engine's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipam_driver: Option<String>,
    /// Ranges of addresses; empty in a manifest that leaves them to the engine.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub pools: BTreeSet<AddressRange>,
}

/// Range of addresses of a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AddressRange {
    /// Addresses of the network, such as `172.28.0.0/16`.
    pub subnet: String,
    /// Part of the subnet that containers get their addresses from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_range: Option<String>,
    /// Address of the way out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
}

/// Network that the manifest defines, and lcm makes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkSpec {
    /// Its name in the manifest.
    pub key: String,
    pub settings: NetworkSettings,
}

/// Settings of a container on one network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkEndpoint {
    /// Names beside the service's own.
    pub aliases: BTreeSet<String>,
    pub ipv4_address: Option<String>,
}

/// Networks that a container joins, as far as the manifest states more than their names; keyed by those in the engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attachments {
    /// Networks that lcm makes.
    pub defined: BTreeMap<String, NetworkSpec>,
    /// Networks on which the manifest sets more than the membership.
    pub endpoints: BTreeMap<String, NetworkEndpoint>,
}

impl Attachments {
    /// Returns the names of a container on a network, as lcm gives them: the service's, and its aliases.
    #[must_use]
    pub fn names(&self, network: &str, service: &str) -> BTreeSet<String> {
        let more = self.endpoints.get(network).map(|endpoint| endpoint.aliases.clone()).unwrap_or_default();
        more.into_iter().chain([service.to_owned()]).collect()
    }

    /// Returns the fixed address of a container on a network.
    #[must_use]
    pub fn address(&self, network: &str) -> Option<&str> {
        self.endpoints.get(network)?.ipv4_address.as_deref()
    }
}

impl NetworkSettings {
    /// Returns the names of the settings in which a network as the engine reports it differs from this definition.
    #[must_use]
    pub fn differences(&self, real: &Self) -> Vec<&'static str> {
        // Every field by its name, so that a new one is not forgotten here.
        let Self { driver, options, internal, attachable, ipv6, labels, ipam_driver, pools } = self;
        let stated = |stated: &BTreeMap<String, String>, real: &BTreeMap<String, String>| {
            stated.iter().any(|(name, value)| real.get(name) != Some(value))
        };
        let is_missing = |pool: &AddressRange| !real.pools.iter().any(|other| pool.is_met_by(other));
        [
            ("driver", driver.is_some() && *driver != real.driver),
            ("driver_opts", stated(options, &real.options)),
            ("internal", *internal != real.internal),
            ("attachable", *attachable != real.attachable),
            ("enable_ipv6", ipv6.is_some() && *ipv6 != real.ipv6),
            ("labels", stated(labels, &real.labels)),
            ("ipam", (ipam_driver.is_some() && *ipam_driver != real.ipam_driver) || pools.iter().any(is_missing)),
        ]
        .into_iter()
        .filter_map(|(name, differs)| differs.then_some(name))
        .collect()
    }
}

impl AddressRange {
    /// Returns true if a real range has all that this one states.
    fn is_met_by(&self, real: &Self) -> bool {
        let same = |stated: &Option<String>, real: &Option<String>| stated.is_none() || stated == real;
        self.subnet == real.subnet && same(&self.ip_range, &real.ip_range) && same(&self.gateway, &real.gateway)
    }
}

/// Returns the names and the fixed address of a container on a network as one text, for comparison.
#[must_use]
pub fn endpoint_text(names: &BTreeSet<String>, address: Option<&str>) -> String {
    let names = names.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    match address.filter(|address| !address.is_empty()) {
        Some(address) => format!("{names} at {address}"),
        None => names,
    }
}

#[cfg(test)]
mod tests {
    use super::{AddressRange, Attachments, NetworkEndpoint, NetworkSettings, endpoint_text};

    #[test]
    fn only_what_a_definition_states_is_compared() {
        let pool = |gateway: Option<&str>| AddressRange {
            subnet: "172.28.0.0/16".to_owned(),
            ip_range: None,
            gateway: gateway.map(str::to_owned),
        };
        let real = NetworkSettings {
            driver: Some("bridge".to_owned()),
            options: [("mtu".to_owned(), "1400".to_owned())].into(),
            ipv6: Some(false),
            labels: [("team".to_owned(), "audio".to_owned())].into(),
            pools: [pool(Some("172.28.0.1"))].into(),
            ..NetworkSettings::default()
        };
        assert!(NetworkSettings::default().differences(&real).is_empty());
        assert!(NetworkSettings { pools: [pool(None)].into(), ..real.clone() }.differences(&real).is_empty());
        let changed = NetworkSettings {
            driver: Some("macvlan".to_owned()),
            options: [("mtu".to_owned(), "9000".to_owned())].into(),
            internal: true,
            attachable: true,
            ipv6: Some(true),
            labels: [("team".to_owned(), "video".to_owned())].into(),
            ipam_driver: None,
            pools: [pool(Some("172.28.0.254"))].into(),
        };
        let all = ["driver", "driver_opts", "internal", "attachable", "enable_ipv6", "labels", "ipam"];
        assert_eq!(changed.differences(&real), all);
    }

    #[test]
    fn a_container_has_its_services_name_beside_its_aliases() {
        let endpoint =
            NetworkEndpoint { aliases: ["api".to_owned()].into(), ipv4_address: Some("172.28.0.9".to_owned()) };
        let attachments =
            Attachments { endpoints: [("shop_front".to_owned(), endpoint)].into(), ..Attachments::default() };
        let text = |network: &str| endpoint_text(&attachments.names(network, "web"), attachments.address(network));
        assert_eq!((text("shop_front"), text("other")), ("api, web at 172.28.0.9".to_owned(), "web".to_owned()));
    }
}
