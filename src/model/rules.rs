//! Rules that narrow or widen the lifecycle's rows: `lifecycle.deny` and `lifecycle.allow`.

use std::collections::BTreeSet;

use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;

use crate::model::lifecycle::State;
use crate::model::names::{ModeName, ServiceName};

/// All rules of a manifest. Where both speak of a change, the denial counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Changes that are legal here though the rows have none.
    pub allow: Vec<Rule>,
    /// Changes that are not made here though the rows have them.
    pub deny: Vec<Rule>,
}

/// One rule; an empty set means any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub from: BTreeSet<State>,
    pub to: BTreeSet<State>,
    pub services: BTreeSet<ServiceName>,
    pub modes: BTreeSet<ModeName>,
    /// `None`: always.
    pub hours: Option<Hours>,
    pub reason: Option<String>,
    /// `lcm.yaml:12`, for messages.
    pub source: String,
}

/// When a rule holds, on the wall clock of one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hours {
    pub from: Time,
    /// Not included; one before `from` is on the next day.
    pub until: Time,
    /// On which `from` lies; empty: on all.
    pub days: BTreeSet<Day>,
    pub zone: TimeZone,
}

/// A day of the week, in the order of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Day(pub Weekday);

impl Ord for Day {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.to_monday_zero_offset().cmp(&other.0.to_monday_zero_offset())
    }
}

impl PartialOrd for Day {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
