//! Networks as they are written: those that a manifest defines at its top, and those that a service joins. The keys are
//! Compose's, with Compose's meaning.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::manifest::wire::example::Example;
use crate::manifest::wire::shape::{NamedMap, Pairs};
use crate::syntax::located::Located;
use crate::syntax::scalar::ScalarText;

/// Entry that may be empty, as in `networks: { front: }`.
#[derive(Debug)]
pub(crate) struct MaybeEmpty<T>(pub T);

/// Network that lcm makes for the services that join it, or an existing one (`external: true`).
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Network")]
pub(crate) struct NetworkBlock {
    /// Driver of the network. Unset: the engine's default, `bridge`.
    #[schemars(example = &"bridge")]
    pub driver: Option<Located<String>>,
    /// Options of the driver.
    #[schemars(example = Example(r#"{ "com.docker.network.bridge.name": "br-studio" }"#))]
    pub driver_opts: Option<NamedMap<ScalarText>>,
    /// True if the network has no way out: its containers reach each other only.
    #[schemars(extend("default" = false), example = true)]
    pub internal: Option<bool>,
    /// True if containers may join a swarm's network by hand.
    #[schemars(extend("default" = false), example = true)]
    pub attachable: Option<bool>,
    /// True if the network has IPv6. Unset: the engine's default.
    #[schemars(example = true)]
    pub enable_ipv6: Option<bool>,
    /// Labels of the network. Those that begin with `lcm.` are reserved.
    #[schemars(example = Example(r#"{ "team": "audio" }"#), example = ["team=audio"])]
    pub labels: Option<Located<Pairs<ScalarText>>>,
    /// True if the network exists already: lcm neither makes nor removes it.
    #[schemars(extend("default" = false), example = true)]
    pub external: Option<Located<bool>>,
    /// Name of the network in the engine. Unset: `PROJECT_NAME`, or the name here if it is external.
    #[schemars(example = "studio-front")]
    pub name: Option<Located<String>>,
    /// Addresses of the network. Unset: the engine chooses them.
    #[schemars(example = Example(r#"{ "config": [{ "subnet": "172.28.0.0/16" }] }"#))]
    pub ipam: Option<Located<IpamBlock>>,
}

/// Addresses of a network.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Ipam")]
pub(crate) struct IpamBlock {
    /// Driver that assigns the addresses. Unset: the engine's own.
    #[schemars(example = &"default")]
    pub driver: Option<Located<String>>,
    /// Ranges of addresses: one of IPv4, and one of IPv6 if the network has it.
    #[serde(default)]
    #[schemars(example = Example(r#"[{ "subnet": "172.28.0.0/16", "gateway": "172.28.0.1" }]"#))]
    pub config: Vec<Located<AddressPool>>,
}

/// Range of addresses of a network.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AddressPool {
    /// Addresses of the network.
    #[schemars(example = "172.28.0.0/16")]
    pub subnet: Located<String>,
    /// Part of the subnet that containers get their addresses from. Unset: all of it.
    #[schemars(example = "172.28.5.0/24")]
    pub ip_range: Option<Located<String>>,
    /// Address of the way out. Unset: the engine chooses one.
    #[schemars(example = "172.28.0.1")]
    pub gateway: Option<Located<String>>,
}

/// Networks that a service joins.
#[derive(Debug)]
pub(crate) enum ServiceNetworks {
    List(Vec<Located<String>>),
    Map(NamedMap<MaybeEmpty<EndpointBlock>>),
}

impl Default for ServiceNetworks {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

impl ServiceNetworks {
    /// Returns true if no network is named.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::List(names) => names.is_empty(),
            Self::Map(entries) => entries.0.is_empty(),
        }
    }

    /// Returns the networks in their order, with the settings of the service there.
    pub(crate) fn entries(&self) -> Vec<(&Located<String>, Option<&EndpointBlock>)> {
        match self {
            Self::List(names) => names.iter().map(|name| (name, None)).collect(),
            Self::Map(entries) => entries.0.iter().map(|(name, endpoint)| (name, Some(&endpoint.0))).collect(),
        }
    }
}

/// Settings of a service on one network.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Endpoint")]
pub(crate) struct EndpointBlock {
    /// Further names by which other containers on the network find the service, beside its own.
    #[serde(default)]
    #[schemars(example = ["api", "api.internal"])]
    pub aliases: Vec<Located<String>>,
    /// Fixed address of the container; the network needs a `subnet` that contains it.
    #[schemars(example = "172.28.5.10")]
    pub ipv4_address: Option<Located<String>>,
}

impl<'de, T: Deserialize<'de> + Default> Deserialize<'de> for MaybeEmpty<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MaybeEmptyVisitor(std::marker::PhantomData))
    }
}

struct MaybeEmptyVisitor<T>(std::marker::PhantomData<T>);

impl<'de, T: Deserialize<'de> + Default> Visitor<'de> for MaybeEmptyVisitor<T> {
    type Value = MaybeEmpty<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a map of settings, or nothing")
    }

    fn visit_unit<E: Error>(self) -> Result<MaybeEmpty<T>, E> {
        Ok(MaybeEmpty(T::default()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<MaybeEmpty<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(MaybeEmpty)
    }
}

impl<T: JsonSchema> JsonSchema for MaybeEmpty<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("MaybeEmpty_of_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [generator.subschema_for::<T>(), { "const": null }] })
    }
}

impl<'de> Deserialize<'de> for ServiceNetworks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ServiceNetworksVisitor)
    }
}

struct ServiceNetworksVisitor;

impl<'de> Visitor<'de> for ServiceNetworksVisitor {
    type Value = ServiceNetworks;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of networks, or a map of networks and settings")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<ServiceNetworks, A::Error> {
        let mut names = Vec::new();
        while let Some(name) = items.next_element()? {
            names.push(name);
        }
        Ok(ServiceNetworks::List(names))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ServiceNetworks, A::Error> {
        NamedMap::deserialize(MapAccessDeserializer::new(map)).map(ServiceNetworks::Map)
    }
}

impl JsonSchema for ServiceNetworks {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ServiceNetworks".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "array", "items": { "type": "string" } },
                generator.subschema_for::<NamedMap<MaybeEmpty<EndpointBlock>>>(),
            ]
        })
    }
}
