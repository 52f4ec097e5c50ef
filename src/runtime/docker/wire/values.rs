//! Values of a container's keys that have a form of their own.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::Deserializer;

use crate::manifest::wire::example::Example;
use crate::manifest::wire::shape::NamedMap;
use crate::runtime::docker::options::NANOS_PER_CPU;
use crate::syntax::fault::Fault;
use crate::syntax::located::{Located, WORD};
use crate::syntax::scalar::{ScalarText, VARIABLE_PATTERN, WordVisitor};

/// Digits behind the point of a number of CPUs: engines count in billionths.
const CPU_DECIMALS_MAX: usize = 9;
/// Least number of CPUs that the kernel can limit to, in billionths.
const NANO_CPUS_MIN: u64 = NANOS_PER_CPU / 100;
/// Most CPUs that a Linux kernel is built for.
const CPUS_MAX: u64 = 8192;

/// Destination of a container's output.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Logging")]
pub(crate) struct LoggingBlock {
    /// Driver of the engine, such as `json-file`, `local`, `journald` or `none`. Without output that can be read back,
    /// `lcm logs` and a `health` probe by `log` find nothing.
    #[schemars(length(min = 1), example = &"local")]
    pub driver: Option<Located<String>>,
    /// Options of the driver.
    #[schemars(example = Example(r#"{ "max-size": "20m", "max-file": 3 }"#))]
    pub options: Option<NamedMap<ScalarText>>,
}

/// Number of CPUs, in billionths of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CpuCount(pub u64);

impl CpuCount {
    fn parse(text: &str) -> Result<Self, Fault> {
        let wrong = |help: String| {
            let fault = Fault::new("lcm::manifest::type", format!("invalid number of CPUs `{text}`"), "this number");
            fault.help(help)
        };
        let form = || wrong("write it like `4`, `0.5` or `1.25`, with at most 9 decimals".to_owned());
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
        if !is_number(whole) || !is_number(fraction) || fraction.len() > CPU_DECIMALS_MAX {
            return Err(form());
        }
        let whole: u64 = whole.parse().map_err(|_| form())?;
        let fraction: u64 = format!("{fraction:0<CPU_DECIMALS_MAX$}").parse().map_err(|_| form())?;
        if whole > CPUS_MAX {
            return Err(wrong(format!("no machine has more than {CPUS_MAX}")));
        }
        let nanos = whole * NANOS_PER_CPU + fraction;
        if nanos < NANO_CPUS_MIN {
            return Err(wrong(
                "the least that the kernel can limit to is 0.01; remove the key for no limit".to_owned(),
            ));
        }
        Ok(Self(nanos))
    }
}

impl<'de> Deserialize<'de> for CpuCount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(WORD, WordVisitor(Self::parse, "a number of CPUs like `1.5`"))
    }
}

impl JsonSchema for CpuCount {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "CpuCount".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "number", "minimum": 0.01, "maximum": CPUS_MAX },
                { "type": "string", "pattern": format!(r"^[0-9]+(\.[0-9]{{1,{CPU_DECIMALS_MAX}}})?$|{VARIABLE_PATTERN}") },
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::CpuCount;

    #[test]
    fn numbers_of_cpus() {
        for (text, nanos) in [
            ("4", 4_000_000_000),
            ("0.5", 500_000_000),
            ("1.25", 1_250_000_000),
            ("0.01", 10_000_000),
            ("2.000000001", 2_000_000_001),
            ("8192", 8_192_000_000_000),
        ] {
            assert_eq!(CpuCount::parse(text), Ok(CpuCount(nanos)), "{text}");
        }
        for text in ["", "-1", "0", "0.0", "0.009", ".5", "1.", "1e3", "1,5", "two", "8193", "1.0000000001", "٣", "+1"]
        {
            assert!(CpuCount::parse(text).is_err(), "{text}");
        }
        let long = "9".repeat(500);
        assert!(CpuCount::parse(&long).is_err() && CpuCount::parse(&format!("0.{long}")).is_err());
    }
}
