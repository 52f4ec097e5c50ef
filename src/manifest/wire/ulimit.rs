//! `ulimits` as written: limits of the kernel by name, which containers and processes share.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::{Value, json};

use crate::syntax::located::WORD;
use crate::syntax::scalar::VARIABLE_PATTERN;

/// Names of the limits, as Docker has them.
pub(crate) const NAMES: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// Schema of a limit's name.
pub(crate) fn names() -> Value {
    json!({ "enum": NAMES })
}

/// Limit of the kernel; -1 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UlimitBlock {
    pub soft: i64,
    pub hard: i64,
}

/// Soft and hard limit.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct UlimitPair {
    /// Soft limit: the one in effect.
    #[schemars(range(min = -1), example = 1024)]
    soft: i64,
    /// Hard limit: the one up to which a process may raise its soft limit.
    #[schemars(range(min = -1), example = 4096)]
    hard: i64,
}

impl<'de> Deserialize<'de> for UlimitBlock {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(WORD, UlimitVisitor)
    }
}

struct UlimitVisitor;

impl UlimitVisitor {
    fn check<E: Error>(soft: i64, hard: i64) -> Result<UlimitBlock, E> {
        // -1 is no limit, so it is above every other.
        let soft_is_higher = hard != -1 && (soft == -1 || soft > hard);
        if soft < -1 || hard < -1 || soft_is_higher {
            return Err(E::custom("expected a soft limit of -1 or more, and a hard limit not below it"));
        }
        Ok(UlimitBlock { soft, hard })
    }
}

impl<'de> Visitor<'de> for UlimitVisitor {
    type Value = UlimitBlock;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a whole number, or `{ soft: 1024, hard: 4096 }`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<UlimitBlock, E> {
        let limit = text.parse().map_err(|_| E::custom(format!("expected a whole number, found `{text}`")))?;
        Self::check(limit, limit)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<UlimitBlock, A::Error> {
        let UlimitPair { soft, hard } = UlimitPair::deserialize(MapAccessDeserializer::new(map))?;
        Self::check(soft, hard)
    }
}

impl JsonSchema for UlimitBlock {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Ulimit".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "integer", "minimum": -1 },
                { "type": "string", "pattern": VARIABLE_PATTERN },
                generator.subschema_for::<UlimitPair>(),
            ]
        })
    }
}
