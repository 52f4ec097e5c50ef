//! Holds of operators. A hold lasts until it is released, and the machine's state is seen through it: a service in
//! maintenance is left as it is, whatever it does.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::lifecycle::State;
use crate::model::lifecycle::State::{
    Busy, Deleted, Deploying, Error, Idle, Maintenance, Offline, Online, Scaling, Starting, Stopping, Suspended,
    Terminated, Timeout, Updating,
};
use crate::model::names::{ModeName, ServiceName};

/// What an operator wants of one service, against the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Word")]
pub enum Hold {
    /// Hands off: the machine is left as it is.
    Maintain,
    /// Paused: it keeps its memory, and counts in full.
    Suspend,
    /// Stopped, and not brought back.
    Terminate,
}

impl Hold {
    pub const ALL: [Self; 3] = [Self::Maintain, Self::Suspend, Self::Terminate];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Maintain => "maintain",
            Self::Suspend => "suspend",
            Self::Terminate => "terminate",
        }
    }

    /// Where a service is that this was said of, once it is so.
    #[must_use]
    pub fn state(self) -> State {
        match self {
            Self::Maintain => Maintenance,
            Self::Suspend => Suspended,
            Self::Terminate => Terminated,
        }
    }
}

/// The one way that a service takes from `from` once this is said of it, both ends included; `None`: it can't be said
/// then.
#[must_use]
pub fn way(hold: Hold, from: State) -> Option<&'static [State]> {
    WAYS.iter().find(|(of, states)| *of == hold && states[0] == from).map(|(_, states)| *states)
}

/// States that each hold leads through, as [`crate::model::lifecycle::ROUTES`] has it for actions: from where it can be
/// set, up to [`Hold::state`].
pub const WAYS: &[(Hold, &[State])] = &[
    (Hold::Maintain, &[Online, Maintenance]),
    (Hold::Maintain, &[Busy, Maintenance]),
    (Hold::Maintain, &[Idle, Maintenance]),
    (Hold::Maintain, &[Error, Maintenance]),
    (Hold::Maintain, &[Offline, Maintenance]),
    (Hold::Maintain, &[Suspended, Maintenance]),
    (Hold::Suspend, &[Online, Suspended]),
    (Hold::Suspend, &[Idle, Suspended]),
    (Hold::Suspend, &[Busy, Suspended]),
    (Hold::Terminate, &[Online, Stopping, Terminated]),
    (Hold::Terminate, &[Idle, Stopping, Terminated]),
    (Hold::Terminate, &[Busy, Stopping, Terminated]),
    (Hold::Terminate, &[Stopping, Terminated]),
    (Hold::Terminate, &[Error, Offline, Terminated]),
    (Hold::Terminate, &[Timeout, Offline, Terminated]),
    (Hold::Terminate, &[Suspended, Offline, Terminated]),
    (Hold::Terminate, &[Maintenance, Offline, Terminated]),
    (Hold::Terminate, &[Starting, Error, Offline, Terminated]),
    (Hold::Terminate, &[Deploying, Error, Offline, Terminated]),
    (Hold::Terminate, &[Updating, Error, Offline, Terminated]),
    (Hold::Terminate, &[Scaling, Online, Stopping, Terminated]),
    (Hold::Terminate, &[Offline, Terminated]),
];

/// States that a service may go to from a hold's state when the hold is released. What is deleted is registered anew.
pub const RETURNS: &[(Hold, &[State])] = &[
    (Hold::Maintain, &[Maintenance, Online]),
    (Hold::Maintain, &[Maintenance, Offline]),
    (Hold::Maintain, &[Maintenance, Suspended]),
    (Hold::Suspend, &[Suspended, Online]),
    (Hold::Terminate, &[Terminated, Deleted]),
];

impl fmt::Display for Hold {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// A hold as it is kept: who set it, when, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Said")]
pub struct HoldRecord {
    #[serde(rename = "word")]
    pub kind: Hold,
    pub by: String,
    #[schemars(with = "String")]
    pub since: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// `--meta key=value`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

impl HoldRecord {
    /// `kim, since 2026-11-21T14:02:05Z: rendering`
    #[must_use]
    pub fn by_whom(&self) -> String {
        by_whom(&self.by, self.since, self.reason.as_deref())
    }
}

/// The same of any hold's parts.
#[must_use]
pub fn by_whom(by: &str, since: Timestamp, reason: Option<&str>) -> String {
    let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("{by}, since {since:.0}{reason}")
}

/// Mode override of a project, set by `lcm switch` and followed by every command that names no mode, from any checkout.
/// It holds until the manifest's own `mode:` is another than when it was set: the newest one wins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Switched")]
pub struct ModeOverride {
    pub mode: ModeName,
    /// The entry file that it was set with, absolute.
    pub entry: String,
    /// What that file itself said then.
    pub own_mode: Option<ModeName>,
    pub by: String,
    #[schemars(with = "String")]
    pub since: Timestamp,
    pub reason: Option<String>,
}

impl ModeOverride {
    /// As [`HoldRecord::by_whom`].
    #[must_use]
    pub fn by_whom(&self) -> String {
        by_whom(&self.by, self.since, self.reason.as_deref())
    }
}

/// All that operators said of one project.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holds {
    pub services: BTreeMap<ServiceName, HoldRecord>,
    /// The mode override.
    pub mode: Option<ModeOverride>,
}

#[cfg(test)]
mod tests {
    use super::{Hold, RETURNS, WAYS, way};
    use crate::model::lifecycle::{Action, State, route};

    #[test]
    fn every_way_there_and_back_walks_legal_rows() {
        for (hold, states) in WAYS.iter().chain(RETURNS) {
            for pair in states.windows(2) {
                assert!(pair[0].may_become(pair[1]), "{hold} from {}: {} to {}", states[0], pair[0], pair[1]);
            }
        }
        for hold in Hold::ALL {
            for from in State::ALL {
                let Some(states) = way(hold, from) else { continue };
                assert_eq!((states[0], states[states.len() - 1]), (from, hold.state()), "{hold}");
            }
            let back = RETURNS.iter().filter(|(of, _)| *of == hold);
            assert!(back.clone().count() > 0 && back.clone().all(|(_, states)| states[0] == hold.state()), "{hold}");
        }
    }

    #[test]
    fn a_suspension_is_a_pause_and_its_end_an_unpause() {
        for from in State::ALL {
            assert_eq!(way(Hold::Suspend, from), route(Action::Pause, from), "{from}");
        }
        assert!(
            RETURNS.iter().any(|(hold, back)| *hold == Hold::Suspend && Some(*back) == route(Action::Unpause, back[0]))
        );
    }

    #[test]
    fn a_termination_is_a_stop_that_ends_elsewhere() {
        for from in State::ALL {
            let Some(stop) = route(Action::Stop, from) else {
                assert_eq!(way(Hold::Terminate, from).is_some(), from == State::Offline, "{from}");
                continue;
            };
            let terminate = way(Hold::Terminate, from).expect("what can be stopped can be terminated");
            let before: Vec<State> = stop.iter().copied().filter(|state| *state != State::Offline).collect();
            let rest: Vec<State> = terminate.iter().copied().filter(|state| *state != State::Offline).collect();
            assert_eq!(rest, [before, vec![State::Terminated]].concat(), "{from}");
        }
    }

    #[test]
    fn hands_off_can_be_said_of_what_the_table_names() {
        let said = State::ALL.into_iter().filter(|from| way(Hold::Maintain, *from).is_some());
        let names: Vec<&str> = said.map(State::as_str).collect();
        assert_eq!(names, ["online", "busy", "idle", "error", "suspended", "offline"]);
    }
}
