//! Resolution of networks: those that a manifest defines, and those that a service joins.
//!
//! A name that the manifest defines stands for that network; any other one is an existing network of the engine.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use crate::manifest::resolve::context::ResolveContext;
use crate::runtime::docker::network::{
    AddressRange, Attachments, BUILT_IN, NetworkEndpoint, NetworkSettings, NetworkSpec,
};
use crate::runtime::docker::resolve::labels::labels;
use crate::runtime::docker::wire::networks::{
    AddressPool, EndpointBlock, IpamBlock, MaybeEmpty, NetworkBlock, ServiceNetworks,
};
use crate::syntax::located::Located;
use crate::syntax::problem::Problem;
use crate::syntax::scalar::{ScalarText, is_name};
use crate::syntax::source::Span;

/// Network of services that name none: in a manifest that defines it, the project's own, as in Compose; else the engine's.
const DEFAULT: &str = "default";

/// Longest alias: the longest name of a host.
const ALIAS_BYTES_MAX: usize = 253;

/// Networks that a service joins.
#[derive(Debug, Default)]
pub(super) struct JoinedNetworks {
    /// Names in the engine, in the manifest's order.
    pub(super) names: Vec<String>,
    /// Names in the manifest, which the spec hash covers: they stay the same under another project name.
    pub(super) keys: Vec<String>,
    pub(super) attachments: Attachments,
}

/// Checks all definitions of the manifest, also those that no service joins.
pub(crate) fn check(context: &mut ResolveContext<'_>) {
    let mut names: BTreeMap<String, (bool, Span)> = BTreeMap::new();
    for (key, written) in definitions(context) {
        // As in Compose, `default` may be the project's own.
        if BUILT_IN.contains(&key.value.as_str()) && key.value != DEFAULT {
            let message = format!("`{}` is a network of the engine itself", key.value);
            let help = "choose another name, and list that one in the `networks` of services";
            context.error_with_help("lcm::manifest::name", key.span, (message, "this name"), help);
        }
        check_external(context, written);
        let is_external = is_external(written);
        let (name, span) = engine_name(context, key, written);
        if !is_name(&name) || (!is_external && BUILT_IN.contains(&name.as_str())) {
            let message = format!("invalid network name `{name}`");
            let help = "use letters, digits, `_`, `.` and `-`, begin with a letter or digit, and use no name of the \
                        engine's own networks";
            context.error_with_help("lcm::manifest::name", span, (message, "this name"), help);
        }
        match names.get(&name) {
            Some((true, _)) if is_external => {}
            Some((_, first)) => {
                let message = format!("two networks have the name `{name}` in the engine");
                let problem = Problem::error("lcm::manifest::duplicate", message)
                    .at(context.place(span), "the second one")
                    .also(context.place(*first), "the first one");
                context.problems.push(problem);
            }
            None => {
                names.insert(name, (is_external, span));
            }
        }
        let _ = settings(context, written);
    }
}

/// Resolves the networks of one service.
pub(super) fn joined(context: &mut ResolveContext<'_>, written: &ServiceNetworks) -> JoinedNetworks {
    let mut joined = JoinedNetworks::default();
    for (key, endpoint) in written.entries() {
        let definition = definitions(context).into_iter().find(|(name, _)| name.value == key.value);
        let name = match definition {
            Some((key, written)) => engine_name(context, key, written).0,
            None => key.value.clone(),
        };
        let has_subnet = match definition {
            Some((key, written)) if !is_external(written) => {
                // Its faults are reported once, by `check`.
                let reported = context.problems.len();
                let settings = settings(context, written);
                context.problems.truncate(reported);
                let has_subnet = !settings.pools.is_empty();
                let spec = NetworkSpec { key: key.value.clone(), settings };
                joined.attachments.defined.insert(name.clone(), spec);
                has_subnet
            }
            // Its subnet is known to the engine alone.
            Some(_) | None => true,
        };
        if let Some(endpoint) =
            endpoint.and_then(|written| resolve_endpoint(context, key, written, (definition.is_some(), has_subnet)))
        {
            joined.attachments.endpoints.insert(name.clone(), endpoint);
        }
        joined.keys.push(key.value.clone());
        joined.names.push(name);
    }
    joined
}

fn definitions<'a>(context: &ResolveContext<'a>) -> Vec<(&'a Located<String>, &'a NetworkBlock)> {
    let files = context.input.files.iter();
    let entries = files.flat_map(|file| &file.manifest.networks.0);
    entries.map(|(key, MaybeEmpty(written))| (key, written)).collect()
}

fn is_external(written: &NetworkBlock) -> bool {
    written.external.as_ref().is_some_and(|external| external.value)
}

/// Returns the name of a network in the engine, and the place that gives it.
fn engine_name(context: &ResolveContext<'_>, key: &Located<String>, written: &NetworkBlock) -> (String, Span) {
    match &written.name {
        Some(name) => (name.value.clone(), name.span),
        None if is_external(written) => (key.value.clone(), key.span),
        None => (format!("{}_{}", context.project, key.value), key.span),
    }
}

/// Reports keys that have no effect on a network that exists already.
fn check_external(context: &mut ResolveContext<'_>, written: &NetworkBlock) {
    let Some(external) = written.external.as_ref().filter(|external| external.value) else { return };
    // Every field by its name, so that a new one is not forgotten here.
    let NetworkBlock {
        driver,
        driver_opts,
        internal,
        attachable,
        enable_ipv6,
        labels,
        ipam,
        // The two keys of an existing network.
        external: _,
        name: _,
    } = written;
    let others = [
        ("driver", driver.is_some()),
        ("driver_opts", driver_opts.is_some()),
        ("internal", internal.is_some()),
        ("attachable", attachable.is_some()),
        ("enable_ipv6", enable_ipv6.is_some()),
        ("labels", labels.is_some()),
        ("ipam", ipam.is_some()),
    ];
    let others: Vec<&str> = others.into_iter().filter_map(|(key, set)| set.then_some(key)).collect();
    if !others.is_empty() {
        let message = format!("an external network takes no other keys than `name`, found: {}", others.join(", "));
        let help = "lcm neither makes nor changes it; remove these keys, or `external` for a network that lcm makes";
        context.error_with_help("lcm::manifest::conflict", external.span, (message, "this one exists already"), help);
    }
}

fn settings(context: &mut ResolveContext<'_>, written: &NetworkBlock) -> NetworkSettings {
    let driver = written.driver.as_ref().map(|driver| {
        if driver.trim().is_empty() {
            context.error("lcm::manifest::empty", driver.span, "the driver has no name", "this name");
        }
        driver.value.clone()
    });
    let options = written.driver_opts.iter().flat_map(|options| &options.0);
    NetworkSettings {
        driver,
        options: options.map(|(name, ScalarText(value))| (name.value.clone(), value.clone())).collect(),
        internal: written.internal.unwrap_or_default(),
        attachable: written.attachable.unwrap_or_default(),
        ipv6: written.enable_ipv6,
        labels: labels(context, written.labels.as_ref()),
        ipam_driver: written.ipam.as_ref().and_then(|ipam| Some(ipam.driver.as_ref()?.value.clone())),
        pools: written.ipam.as_ref().map(|ipam| pools(context, ipam)).unwrap_or_default(),
    }
}

fn pools(context: &mut ResolveContext<'_>, ipam: &IpamBlock) -> BTreeSet<AddressRange> {
    ipam.config.iter().map(|pool| address_range(context, pool)).collect()
}

fn address_range(context: &mut ResolveContext<'_>, pool: &AddressPool) -> AddressRange {
    let gateway = pool.gateway.as_ref().map(|gateway| {
        gateway.parse::<IpAddr>().map_or_else(
            |_| {
                let message = format!("invalid address `{}`", gateway.value);
                context.error("lcm::manifest::address", gateway.span, message, "write it like `172.28.0.1`");
                gateway.value.clone()
            },
            |address| address.to_string(),
        )
    });
    AddressRange {
        subnet: subnet(context, &pool.subnet),
        ip_range: pool.ip_range.as_ref().map(|range| subnet(context, range)),
        gateway,
    }
}

/// Returns a subnet as engines write it.
fn subnet(context: &mut ResolveContext<'_>, written: &Located<String>) -> String {
    match subnet_text(written) {
        Ok(text) => text,
        Err(help) => {
            let message = format!("invalid subnet `{}`", written.value);
            context.error_with_help("lcm::manifest::address", written.span, (message, "this subnet"), help);
            written.value.clone()
        }
    }
}

/// `Err`: the help for what is wrong.
fn subnet_text(text: &str) -> Result<String, String> {
    let expected = || "write the first address and the number of leading bits, like `172.28.0.0/16`".to_owned();
    let (address, bits) = text.split_once('/').ok_or_else(expected)?;
    let (address, bits) = (address.parse::<IpAddr>().map_err(|_| expected())?, bits.parse::<u32>().ok());
    let first = match (address, bits) {
        (IpAddr::V4(address), Some(bits @ 0..=32)) => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from(u32::from(address) & mask))
        }
        (IpAddr::V6(address), Some(bits @ 0..=128)) => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            IpAddr::V6((u128::from(address) & mask).into())
        }
        (_, _) => return Err(expected()),
    };
    let bits = bits.unwrap_or_default();
    if first == address { Ok(format!("{first}/{bits}")) } else { Err(format!("its first address is `{first}/{bits}`")) }
}

fn resolve_endpoint(
    context: &mut ResolveContext<'_>,
    network: &Located<String>,
    written: &EndpointBlock,
    (is_defined, has_subnet): (bool, bool),
) -> Option<NetworkEndpoint> {
    let EndpointBlock { aliases, ipv4_address } = written;
    if aliases.is_empty() && ipv4_address.is_none() {
        return None;
    }
    if BUILT_IN.contains(&network.value.as_str()) && !is_defined {
        let message = format!("a service has no aliases and no fixed address on `{}`", network.value);
        let help = "that network of the engine itself has neither; define one under `networks:` at the top";
        context.error_with_help("lcm::manifest::conflict", network.span, (message, "this network"), help);
        return None;
    }
    for alias in aliases {
        if !is_name(alias) || alias.len() > ALIAS_BYTES_MAX {
            let message = format!("invalid alias `{}`", alias.value);
            let help = "use letters, digits, `_`, `.` and `-`, and begin with a letter or digit";
            context.error_with_help("lcm::manifest::name", alias.span, (message, "this name"), help);
        }
    }
    if let Some(address) = ipv4_address {
        if address.parse::<Ipv4Addr>().is_err() {
            let message = format!("invalid address `{}`", address.value);
            context.error("lcm::manifest::address", address.span, message, "write it like `172.28.5.10`");
        } else if !has_subnet {
            let message = format!("`ipv4_address` needs a subnet, and the network `{}` has none", network.value);
            let help = "write `ipam: { config: [{ subnet: 172.28.0.0/16 }] }` in that network";
            context.error_with_help("lcm::manifest::missing", address.span, (message, "this address"), help);
        }
    }
    Some(NetworkEndpoint {
        aliases: aliases.iter().map(|alias| alias.value.clone()).collect(),
        ipv4_address: ipv4_address.as_ref().map(|address| address.value.clone()),
    })
}

#[cfg(test)]
mod tests {
    use super::subnet_text;

    #[test]
    fn a_subnet_is_written_as_engines_write_it() {
        assert_eq!(subnet_text("172.28.0.0/16").as_deref(), Ok("172.28.0.0/16"));
        assert_eq!(subnet_text("2001:DB8::/64").as_deref(), Ok("2001:db8::/64"));
        assert_eq!(subnet_text("0.0.0.0/0").as_deref(), Ok("0.0.0.0/0"));
        assert_eq!(subnet_text("172.28.5.1/16"), Err("its first address is `172.28.0.0/16`".to_owned()));
        for wrong in ["172.28.0.0", "172.28.0.0/33", "172.28.0/16", "x/8", "::/129", "172.28.0.0/-1"] {
            assert!(subnet_text(wrong).is_err_and(|help| help.contains("`172.28.0.0/16`")), "{wrong}");
        }
    }
}
