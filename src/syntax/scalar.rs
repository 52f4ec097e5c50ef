//! Scalar types: sizes, durations, texts and names, each with the pattern that the schema and the reader share.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use jiff::fmt::friendly::SpanParser;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, Visitor};

use crate::model::safe_text;
use crate::syntax::duration;
use crate::syntax::fault::Fault;
use crate::syntax::located::WORD;

/// Pattern of names, which become parts of container names and file names.
pub(crate) const NAME_PATTERN: &str = "^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$";
/// Pattern of a name or a text with a variable, which gives one.
pub(crate) const NAME_OR_VARIABLE_PATTERN: &str = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$|\$";
/// Pattern of a value with a variable, which can be anything.
pub(crate) const VARIABLE_PATTERN: &str = r"\$";
pub(crate) const SIZE_PATTERN: &str = r"^[0-9]+(\.[0-9]+)? ?(KB|KiB|MB|MiB|GB|GiB|TB|TiB)$";
pub(crate) const DURATION_PATTERN: &str = concat!(
    r"^([0-9]+h( ?[0-9]+m)?( ?[0-9]+s)?( ?[0-9]+ms)?|[0-9]+m( ?[0-9]+s)?( ?[0-9]+ms)?|",
    r"[0-9]+s( ?[0-9]+ms)?|[0-9]+ms|[0-9]+\.[0-9]+(h|m|s|ms))$"
);

/// Names that no mode has: lcm keeps them for itself.
pub(crate) const RESERVED_MODES: [&str; 2] = ["auto", "off"];

/// Length limit of a name: longer ones don't fit in container names and file names.
const NAME_LENGTH_MAX: usize = 100;
/// 2⁶⁰ bytes (1 EiB): more than any machine has, and small enough that sums don't overflow.
const SIZE_MAX: u64 = 1 << 60;
/// One year: longer than any wait of lcm, and short enough to be added to any clock.
const PERIOD_MAX: Duration = Duration::from_hours(366 * 24);

/// Returns true if a text may name a service, mode, goal, template or project.
pub(crate) fn is_name(text: &str) -> bool {
    text.len() <= NAME_LENGTH_MAX
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.chars().all(|character| character.is_ascii_alphanumeric() || "_.-".contains(character))
}

/// Amount of memory or disk in bytes: `20GB` is 20·10⁹, `20GiB` is 20·2³⁰.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ByteSize(pub u64);

impl ByteSize {
    pub(crate) fn parse(text: &str) -> Result<Self, Fault> {
        let wrong = |message: String| Fault::new("lcm::manifest::size", message, "expected a size with a unit");
        let digits = text.trim_end_matches(|character: char| !character.is_ascii_digit());
        let unit = text[digits.len()..].trim_start();
        let bytes_in_unit: u64 = match unit {
            "KB" => 1000,
            "MB" => 1000_u64.pow(2),
            "GB" => 1000_u64.pow(3),
            "TB" => 1000_u64.pow(4),
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "TiB" => 1 << 40,
            "" if !text.is_empty() => {
                return Err(wrong(format!("`{text}` has no unit")).help(with_unit(text)));
            }
            _ if digits.ends_with(|last: char| last.is_ascii_digit())
                && let Some(letter) = sloppy_unit(unit) =>
            {
                return Err(wrong(format!("invalid size `{text}`"))
                    .help(format!("write `{digits}{letter}B` (powers of 1000) or `{digits}{letter}iB` (of 1024)")));
            }
            _ => {
                return Err(wrong(format!("invalid size `{text}`"))
                    .help("write a number and one of KB, MB, GB, TB (powers of 1000), KiB, MiB, GiB, TiB (of 1024)"));
            }
        };
        regex_lite::Regex::new(SIZE_PATTERN)
            .is_ok_and(|pattern| pattern.is_match(text))
            .then(|| multiply(digits, bytes_in_unit))
            .ok_or_else(|| wrong(format!("invalid size `{text}`")).help("write it like `20GB`, `512MiB` or `1.5GiB`"))?
            .filter(|bytes| *bytes <= SIZE_MAX)
            .map(Self)
            .ok_or_else(|| {
                wrong(format!("`{}` is too large", short(text))).help("at most 1048576TiB (2⁶⁰ bytes) can be declared")
            })
    }
}

/// Shortens a text for a message.
fn short(text: &str) -> String {
    safe_text::short(text, 40)
}

/// Returns advice on a size without a unit: small numbers are meant in GB, and large ones in MiB, as `nvidia-smi` shows
/// them.
fn with_unit(number: &str) -> String {
    const LARGEST_IN_GB: f64 = 1024.0;
    let number = short(number);
    if number.parse().is_ok_and(|amount: f64| amount < LARGEST_IN_GB) {
        return format!("write `{number}GB` for 10⁹ bytes each, or `{number}GiB` for 2³⁰");
    }
    format!("write `{number}MiB` if it counts as `nvidia-smi` does, or a size such as `20GB`")
}

/// Returns the prefix of an ambiguous unit in another tool's spelling: `G` of `G`, `g`, `gb`, `Gi`.
fn sloppy_unit(unit: &str) -> Option<char> {
    let lower = unit.to_ascii_lowercase();
    let letter = lower.chars().next().filter(|letter| "kmgt".contains(*letter))?;
    ["", "b", "i", "ib"].contains(&&lower[1..]).then(|| letter.to_ascii_uppercase())
}

/// Multiplies `1.5` by a unit exactly, rounded up: floating point would lose bytes. `None`: more than 2⁶⁴ bytes.
fn multiply(decimal: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = decimal.split_once('.').unwrap_or((decimal, ""));
    let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    u64::try_from(digits.checked_mul(u128::from(unit))?.div_ceil(scale)).ok()
}

/// Duration with its units: `250ms`, `30s`, `2m`, `1h30m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DurationText(pub Duration);

impl DurationText {
    pub(crate) fn parse(text: &str) -> Result<Self, Fault> {
        let wrong = |message: String| Fault::new("lcm::manifest::duration", message, "expected a duration with a unit");
        if !text.is_empty() && text.chars().all(|character| character.is_ascii_digit() || character == '.') {
            return Err(wrong(format!("`{text}` has no unit"))
                .help(format!("write `{text}s` for seconds, `{text}ms` for milliseconds, `{text}m` for minutes")));
        }
        let help = if text.starts_with('-') {
            "a duration can't be negative"
        } else {
            "write it like `250ms`, `30s`, `2m` or `1h30m`; hours are the longest unit"
        };
        regex_lite::Regex::new(DURATION_PATTERN)
            .is_ok_and(|pattern| pattern.is_match(text))
            .then(|| Self::length(text))
            .ok_or_else(|| wrong(format!("invalid duration `{text}`")).help(help))?
            .filter(|period| *period <= PERIOD_MAX)
            .map(Self)
            .ok_or_else(|| {
                wrong(format!("`{}` is too long", short(text))).help("a duration is at most 8784h (366 days)")
            })
    }

    /// Returns the length of a text that matches the pattern; `None`: it is too long.
    fn length(text: &str) -> Option<Duration> {
        if text.contains('.') {
            return SpanParser::new().parse_unsigned_duration(text).ok();
        }
        duration::parse(text, PERIOD_MAX).ok()
    }
}

/// String, or a number or boolean as written: for commands and environments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ScalarText(pub String);

/// Visitor of a scalar as written; the second field describes the expected value.
pub(crate) struct WordVisitor<T>(pub(crate) fn(&str) -> Result<T, Fault>, pub(crate) &'static str);

impl<T> Visitor<'_> for WordVisitor<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.1)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.0)(text).map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(WORD, WordVisitor(Self::parse, "a size like `20GB`"))
    }
}

impl<'de> Deserialize<'de> for DurationText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(WORD, WordVisitor(Self::parse, "a duration like `30s`"))
    }
}

impl<'de> Deserialize<'de> for ScalarText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let keep = |text: &str| Ok(Self(text.to_owned()));
        deserializer.deserialize_newtype_struct(WORD, WordVisitor(keep, "a string, a number or a boolean"))
    }
}

impl JsonSchema for ByteSize {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "Size with its unit: `20GB` is 20·10⁹ bytes, `20GiB` is 20·2³⁰ bytes; the maximum is 2⁶⁰ bytes.",
            "pattern": format!("{SIZE_PATTERN}|{VARIABLE_PATTERN}"),
            "examples": ["20GB", "512MiB", "1.5GiB"],
        })
    }
}

impl JsonSchema for DurationText {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "Duration with its units: `250ms`, `30s`, `2m`, `1h30m`. The largest unit is the hour; the maximum is `8784h` (366 days).",
            "pattern": format!("{DURATION_PATTERN}|{VARIABLE_PATTERN}"),
            "examples": ["250ms", "30s", "2m", "1h30m"],
        })
    }
}

/// Name of a project, for the schema alone.
pub(crate) struct ProjectNameText;

impl JsonSchema for ProjectNameText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "ProjectName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": NAME_OR_VARIABLE_PATTERN })
    }
}

impl JsonSchema for ScalarText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Word".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number", "boolean"] })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{ByteSize, DurationText, NAME_LENGTH_MAX, PERIOD_MAX, SIZE_MAX, is_name};

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("20GB", 20_000_000_000),
            ("20GiB", 20 << 30),
            ("1.5GiB", 3 << 29),
            ("0.1MB", 100_000),
            ("512 MiB", 512 << 20),
            ("1TiB", 1 << 40),
            ("2TB", 2_000_000_000_000),
            ("0KB", 0),
        ] {
            assert_eq!(ByteSize::parse(text).map(|size| size.0), Ok(bytes), "{text}");
        }
        for text in ["20", "", "GB", "20gb", "20G", "-1GB", "1.GB", "1,5GB", "20GBGB", "99999999999TB", "1e3GB", "٣GB"]
        {
            assert!(ByteSize::parse(text).is_err(), "{text}");
        }
        assert_eq!(ByteSize::parse("20").unwrap_err().message, "`20` has no unit");
        for text in ["20G", "20gb", "20 Gb", "20gib"] {
            let help = ByteSize::parse(text).unwrap_err().help.unwrap_or_default();
            assert_eq!(help, "write `20GB` (powers of 1000) or `20GiB` (of 1024)", "{text}");
        }
        for text in ["20X", "20Gx", "20é"] {
            let help = ByteSize::parse(text).unwrap_err().help.unwrap_or_default();
            assert!(help.starts_with("write a number"), "{text}: {help}");
        }
    }

    #[test]
    fn durations() {
        for (text, milliseconds) in [
            ("250ms", 250),
            ("30s", 30_000),
            ("2m", 120_000),
            ("1h30m", 5_400_000),
            ("1m 30s", 90_000),
            ("1.5s", 1_500),
            ("0s", 0),
        ] {
            assert_eq!(
                DurationText::parse(text).map(|period| period.0),
                Ok(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
        for text in ["30", "", "-5s", "1d", "1w", "2months", "30m1h", "1y", "5 s", "s", "30S", "99999999999999999999h"]
        {
            assert!(DurationText::parse(text).is_err(), "{text}");
        }
        assert_eq!(DurationText::parse("30").unwrap_err().message, "`30` has no unit");
    }

    #[test]
    fn sizes_and_durations_are_bounded() {
        assert_eq!(DurationText::parse("8784h").map(|period| period.0), Ok(PERIOD_MAX));
        for text in
            ["18446744073709551615s", "8784h1ms", "99999999999999999999h", "31622401s", "18446744073709551615ms"]
        {
            let message = DurationText::parse(text).expect_err(text).message;
            assert_eq!(message, format!("`{text}` is too long"));
        }
        assert_eq!(ByteSize::parse("1048576TiB").map(|size| size.0), Ok(SIZE_MAX));
        let digits = "9".repeat(500);
        for text in ["1048577TiB", "18446744073709551615GB", "1152921504606847KB", &format!("{digits}GB")] {
            assert!(ByteSize::parse(text).expect_err(text).message.ends_with("is too large"), "{text}");
        }
        assert!(ByteSize::parse(&format!("1.{digits}GB")).is_err());
        assert!(is_name(&"a".repeat(NAME_LENGTH_MAX)) && !is_name(&"a".repeat(NAME_LENGTH_MAX + 1)));
    }

    #[test]
    fn names() {
        assert!(is_name("a") && is_name("0-x_Y.z"));
        assert!(!is_name("") && !is_name("-a") && !is_name("a b") && !is_name("ä") && !is_name("a/b"));
    }
}
