//! `vram` as written: an amount, a share of the GPU, or a list of either.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

use crate::syntax::fault::Fault;
use crate::syntax::located::WORD;
use crate::syntax::scalar::{ByteSize, VARIABLE_PATTERN};

/// Pattern of a share: above 0% and up to 100%, with at most two digits after the point.
const SHARE_PATTERN: &str = r"^(100(\.0{1,2})?|[1-9][0-9]?(\.[0-9]{1,2})?|0\.(0[1-9]|[1-9][0-9]?)) ?%$";

/// Entries of a list: more GPUs than any machine has.
const LISTED_MAX: usize = 64;

/// GPU memory of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum VramValue {
    /// On each GPU.
    Each(VramEntry),
    /// One entry for each GPU; never empty, and all of one kind.
    ByGpu(Vec<VramEntry>),
}

/// GPU memory on one GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VramEntry {
    Amount(ByteSize),
    /// Hundredths of a percent of the GPU's capacity: 1 to 10 000.
    Share(u16),
}

impl VramValue {
    /// Returns true if some GPU memory is needed.
    pub(crate) fn is_some(&self) -> bool {
        let is_some = |entry: &VramEntry| !matches!(entry, VramEntry::Amount(ByteSize(0)));
        match self {
            Self::Each(entry) => is_some(entry),
            Self::ByGpu(entries) => entries.iter().any(is_some),
        }
    }
}

impl VramEntry {
    fn parse(text: &str) -> Result<Self, Fault> {
        match text.strip_suffix('%') {
            Some(number) => share(text, number.trim_end()).map(Self::Share),
            None => ByteSize::parse(text).map(Self::Amount),
        }
    }
}

/// Parses a share in hundredths of a percent.
fn share(text: &str, number: &str) -> Result<u16, Fault> {
    let wrong = || {
        let message = format!("invalid share `{}`", crate::model::safe_text::short(text, 40));
        Fault::new("lcm::manifest::size", message, "expected a share of the GPU's memory")
            .help("write a number above 0% and up to 100%, such as `45%` or `37.5%`")
    };
    if !regex_lite::Regex::new(SHARE_PATTERN).is_ok_and(|pattern| pattern.is_match(text)) {
        return Err(wrong());
    }
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    format!("{whole}{fraction:0<2}").parse().map_err(|_| wrong())
}

impl<'de> Deserialize<'de> for VramEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(WORD, VramEntryVisitor)
    }
}

struct VramEntryVisitor;

impl Visitor<'_> for VramEntryVisitor {
    type Value = VramEntry;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a size like `20GB`, or a share like `45%`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<VramEntry, E> {
        VramEntry::parse(text).map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for VramValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(WORD, VramVisitor)
    }
}

struct VramVisitor;

impl<'de> Visitor<'de> for VramVisitor {
    type Value = VramValue;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a size like `20GB`, a share like `45%`, or a list of one kind, with an entry for each GPU")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<VramValue, E> {
        VramEntry::parse(text).map(VramValue::Each).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<VramValue, A::Error> {
        let wrong = |message: String, label: &str| Fault::new("lcm::manifest::size", message, label);
        let mut entries: Vec<VramEntry> = Vec::new();
        while let Some(entry) = items.next_element()? {
            if entries.len() == LISTED_MAX {
                let fault = wrong(format!("`vram` lists more than {LISTED_MAX} amounts"), "too many");
                return Err(A::Error::custom(fault.help("write one entry for each GPU of the service")));
            }
            entries.push(entry);
        }
        let is_share = |entry: &VramEntry| matches!(entry, VramEntry::Share(_));
        let shares = entries.iter().filter(|entry| is_share(entry)).count();
        if entries.is_empty() {
            let fault = wrong("the list of amounts is empty".to_owned(), "no entries");
            return Err(A::Error::custom(fault.help("write one entry for each GPU, such as `[18GB, 8GB]`")));
        }
        if shares > 0 && shares < entries.len() {
            let fault = wrong("`vram` mixes sizes and shares".to_owned(), "these together");
            return Err(A::Error::custom(fault.help("write all entries as sizes, or all as shares")));
        }
        Ok(VramValue::ByGpu(entries))
    }
}

impl JsonSchema for VramEntry {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "VramEntry".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                generator.subschema_for::<ByteSize>(),
                { "type": "string", "pattern": format!("{SHARE_PATTERN}|{VARIABLE_PATTERN}") },
            ]
        })
    }
}

impl JsonSchema for VramValue {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Vram".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let entry = generator.subschema_for::<VramEntry>();
        json_schema!({ "anyOf": [entry, { "type": "array", "minItems": 1, "maxItems": LISTED_MAX, "items": entry }] })
    }
}

#[cfg(test)]
mod tests {
    use super::{SHARE_PATTERN, VramEntry};

    #[test]
    fn shares_are_above_zero_and_at_most_the_whole() {
        for (text, hundredths) in [("45%", 4_500), ("37.5%", 3_750), ("0.01%", 1), ("100%", 10_000), ("7 %", 700)] {
            assert_eq!(VramEntry::parse(text), Ok(VramEntry::Share(hundredths)), "{text}");
            assert!(regex_lite::Regex::new(SHARE_PATTERN).expect("a pattern").is_match(text), "{text}");
        }
        for text in ["0%", "101%", "100.01%", "-5%", "%", "1e1%", "4,5%", "45.123%", "45%%", "99999999999%", "٤%"] {
            let fault = VramEntry::parse(text).expect_err(text);
            assert!(fault.message.contains("share"), "{text}: {}", fault.message);
        }
        assert!(VramEntry::parse("45").expect_err("no unit").message.contains("no unit"));
    }
}
