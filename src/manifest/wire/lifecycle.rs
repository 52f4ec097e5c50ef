//! Rules that narrow or widen the lifecycle, as written in a manifest.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use crate::manifest::wire::example::Example;
use crate::manifest::wire::shape::OneOrMany;
use crate::model::lifecycle::State;
use crate::syntax::fault::Fault;
use crate::syntax::located::{Located, WORD};
use crate::syntax::scalar::{VARIABLE_PATTERN, WordVisitor};

/// Rules that allow or deny state changes, in addition to the lifecycle's own. A `deny` rule overrides an `allow` rule.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lifecycle {
    /// State changes that are allowed although the lifecycle itself does not have them.
    #[serde(default)]
    #[schemars(example = Example(r#"[{ "from": "terminated", "to": "starting" }]"#))]
    pub allow: Vec<Located<RuleBlock>>,
    /// State changes that lcm must not make, although the lifecycle has them.
    #[serde(default)]
    #[schemars(example = Example(r#"[{ "from": "busy", "to": "stopping", "services": "comfyui", "hours": "09:00-18:00", "zone": "Europe/Berlin", "reason": "renders for clients" }]"#))]
    pub deny: Vec<Located<RuleBlock>>,
}

/// Rule: the changes, services, modes and times that it covers. An absent key covers all of them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("anyOf" = [{ "required": ["from"] }, { "required": ["to"] }]))]
#[schemars(rename = "Rule")]
pub(crate) struct RuleBlock {
    /// State, or list of states, that a change starts from.
    #[schemars(example = &"busy", example = ["online", "busy", "idle"])]
    pub from: Option<Located<OneOrMany<Located<State>>>>,
    /// State, or list of states, that a change leads to.
    #[schemars(example = &"stopping", example = ["stopping", "suspended"])]
    pub to: Option<Located<OneOrMany<Located<State>>>>,
    /// Service, or list of services, whose changes the rule covers.
    #[schemars(example = &"comfyui", example = ["comfyui", "ollama"])]
    pub services: Option<Located<OneOrMany<Located<String>>>>,
    /// Mode, or list of modes, during which the rule applies. One of them being active is enough.
    #[schemars(example = &"video", example = ["video", "voice"])]
    pub mode: Option<Located<OneOrMany<Located<String>>>>,
    /// Hours during which the rule applies. The start is included, the end is not; if the end is earlier than the
    /// start, it is on the next day.
    #[schemars(example = &"09:00-18:00", example = Example(r#"{ "from": "22:00", "until": "06:00", "days": ["mon-fri"], "zone": "Europe/Berlin" }"#))]
    pub hours: Option<Located<HoursBlock>>,
    /// Time zone of `hours`, by its name in the IANA database. This way a plan means the same on every machine.
    #[schemars(example = &"Europe/Berlin", example = &"UTC")]
    pub zone: Option<Located<String>>,
    /// Reason for the rule, shown where the rule applies.
    #[schemars(example = "renders for clients")]
    pub reason: Option<Located<String>>,
}

/// Hours of the day.
#[derive(Debug)]
pub(crate) enum HoursBlock {
    /// `09:00-18:00`
    Line(TimeOfDay, TimeOfDay),
    Parts(Box<HoursParts>),
}

/// Hours of the day, on some days of the week.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HoursParts {
    /// Start, included.
    #[schemars(example = &"22:00")]
    pub from: Located<TimeOfDay>,
    /// End, not included. If it is earlier than `from`, it is on the next day.
    #[schemars(example = &"06:00", example = &"24:00")]
    pub until: Located<TimeOfDay>,
    /// Days of the week on which the period starts. Unset: every day.
    #[schemars(example = &"mon-fri", example = ["sat", "sun"])]
    pub days: Option<Located<OneOrMany<Located<Days>>>>,
    /// Time zone of the hours, by its name in the IANA database.
    #[schemars(example = &"Europe/Berlin", example = &"UTC")]
    pub zone: Option<Located<String>>,
}

/// Minutes since midnight, up to 24:00.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeOfDay(pub u16);

/// The end of a day.
pub(crate) const DAY_MINUTES: u16 = 24 * 60;

/// Day of the week, or several in a row, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Days {
    pub first: usize,
    pub last: usize,
}

/// From Monday on.
pub(crate) const WEEK: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

const TIME: &str = "([01]?[0-9]|2[0-3]):[0-5][0-9]|24:00";
const DAY: &str = "mon|tue|wed|thu|fri|sat|sun";

impl TimeOfDay {
    fn parse(text: &str) -> Result<Self, Fault> {
        let minutes = text.split_once(':').filter(|(hour, minute)| {
            (1..=2).contains(&hour.len())
                && minute.len() == 2
                && format!("{hour}{minute}").chars().all(|character| character.is_ascii_digit())
        });
        let minutes = minutes.and_then(|(hour, minute)| {
            let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
            Some((hour * 60 + minute, minute)).filter(|(all, minute)| *all <= DAY_MINUTES && *minute < 60)
        });
        minutes.map(|(all, _)| Self(all)).ok_or_else(|| {
            Fault::new("lcm::manifest::hours", format!("invalid time of day `{text}`"), "this time")
                .help("write hours and minutes, from `00:00` to `24:00`")
        })
    }
}

impl Days {
    fn parse(text: &str) -> Result<Self, Fault> {
        let place = |name: &str| WEEK.iter().position(|day| *day == name);
        let days = match text.split_once('-') {
            Some((first, last)) => place(first).zip(place(last)),
            None => place(text).zip(place(text)),
        };
        days.map(|(first, last)| Self { first, last }).ok_or_else(|| {
            Fault::new("lcm::manifest::hours", format!("invalid day of the week `{text}`"), "these days")
                .help(format!("available: {}; write `mon-fri` for several in a row", WEEK.join(", ")))
        })
    }
}

struct HoursVisitor;

impl<'de> Visitor<'de> for HoursVisitor {
    type Value = HoursBlock;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("hours like `09:00-18:00`, or `{ from: 09:00, until: 18:00, days: [mon-fri] }`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<HoursBlock, E> {
        let Some((from, until)) = text.split_once('-') else {
            let fault = Fault::new("lcm::manifest::hours", format!("invalid hours `{text}`"), "these hours");
            return Err(E::custom(fault.help("write two times of day with a dash in between, like `09:00-18:00`")));
        };
        let time = |text: &str| TimeOfDay::parse(text.trim()).map_err(E::custom);
        Ok(HoursBlock::Line(time(from)?, time(until)?))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<HoursBlock, A::Error> {
        let parts = HoursParts::deserialize(MapAccessDeserializer::new(map))?;
        Ok(HoursBlock::Parts(Box::new(parts)))
    }
}

impl<'de> Deserialize<'de> for HoursBlock {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(WORD, HoursVisitor)
    }
}

impl<'de> Deserialize<'de> for TimeOfDay {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(WORD, WordVisitor(Self::parse, "a time of day like `09:00`"))
    }
}

impl<'de> Deserialize<'de> for Days {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(WORD, WordVisitor(Self::parse, "a day like `mon`, or `mon-fri`"))
    }
}

fn pattern_schema(pattern: &str) -> Schema {
    json_schema!({ "type": "string", "pattern": format!("{pattern}|{VARIABLE_PATTERN}") })
}

impl JsonSchema for HoursBlock {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Hours".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                pattern_schema(&format!("^ *({TIME}) *- *({TIME}) *$")),
                generator.subschema_for::<HoursParts>(),
            ]
        })
    }
}

impl JsonSchema for TimeOfDay {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "TimeOfDay".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        pattern_schema(&format!("^({TIME})$"))
    }
}

impl JsonSchema for Days {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Days".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        pattern_schema(&format!("^({DAY})(-({DAY}))?$"))
    }
}

#[cfg(test)]
mod tests {
    use super::{Days, TimeOfDay};

    #[test]
    fn times_of_day() {
        for (text, minutes) in [("00:00", 0), ("9:05", 545), ("09:05", 545), ("23:59", 1439), ("24:00", 1440)] {
            assert_eq!(TimeOfDay::parse(text), Ok(TimeOfDay(minutes)), "{text}");
        }
        for text in ["", "9", "9:5", "24:01", "25:00", "09:60", "009:00", "-9:00", "+9:00", "09:00:00", "9h", "٩:00"] {
            assert!(TimeOfDay::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn days() {
        assert_eq!(Days::parse("tue"), Ok(Days { first: 1, last: 1 }));
        assert_eq!(Days::parse("sat-mon"), Ok(Days { first: 5, last: 0 }));
        for text in ["", "monday", "Mon", "mon-", "-fri", "mon..fri", "mon-fri-sun"] {
            assert!(Days::parse(text).is_err(), "{text}");
        }
    }
}
