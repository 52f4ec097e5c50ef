//! Holds of operators. A hold lasts until it is released, and overrides the observed state: a service in maintenance is
//! left as it is, whether it runs or not.

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
use crate::model::mode_set::ModeSet;
use crate::model::names::ServiceName;

/// Hold that an operator sets on one service; it overrides the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Hold {
    /// Maintenance: lcm leaves the service unchanged.
    Maintain,
    /// Paused: the service keeps its GPU memory, which is counted in full.
    Suspend,
    /// Stopped, and not started again.
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

    /// Returns the state of a service under this hold, once it is in effect.
    #[must_use]
    pub fn state(self) -> State {
        match self {
            Self::Maintain => Maintenance,
            Self::Suspend => Suspended,
            Self::Terminate => Terminated,
        }
    }
}

/// Returns the states that a service passes from `from` once this hold is set, both ends included; `None`: the hold
/// can't be set in that state.
#[must_use]
pub fn way(hold: Hold, from: State) -> Option<&'static [State]> {
    HOLD_ROUTES.iter().find(|(of, states)| *of == hold && states[0] == from).map(|(_, states)| *states)
}

/// States that each hold leads through, as [`crate::model::lifecycle::ROUTES`] has it for actions: from where it can be
/// set, up to [`Hold::state`].
pub const HOLD_ROUTES: &[(Hold, &[State])] = &[
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

/// States that a service may go to from a hold's state when the hold is released. A deleted service is registered anew.
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

/// A hold, with its author, time and reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HoldRecord {
    #[serde(rename = "hold", alias = "word")]
    pub kind: Hold,
    pub by: String,
    #[schemars(with = "String")]
    pub since: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Metadata given with `--meta key=value`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

impl HoldRecord {
    /// Returns author, time and reason: `kim, since 2026-11-21T14:02:05Z, reason: rendering`.
    #[must_use]
    pub fn attribution(&self) -> String {
        attribution(&self.by, self.since, self.reason.as_deref())
    }

    /// Returns the same for a sentence: `kim at 2026-11-21T14:02:05Z, reason: rendering`.
    #[must_use]
    pub fn author(&self) -> String {
        author(&self.by, self.since, self.reason.as_deref())
    }
}

/// Returns author, time and reason of a hold or a mode override for a sentence: `kim at 2026-11-21T14:02:05Z, reason:
/// rendering`.
#[must_use]
pub fn author(by: &str, since: Timestamp, reason: Option<&str>) -> String {
    format!("{by} at {since:.0}{}", because(reason))
}

/// Returns author, time and reason of a hold or a mode override: `kim, since 2026-11-21T14:02:05Z, reason: rendering`.
#[must_use]
pub fn attribution(by: &str, since: Timestamp, reason: Option<&str>) -> String {
    format!("{by}, since {since:.0}{}", because(reason))
}

fn because(reason: Option<&str>) -> String {
    reason.map(|reason| format!(", reason: {reason}")).unwrap_or_default()
}

/// Mode override of a project, set by `lcm switch`. It applies to every command that names no mode, in any folder with
/// a manifest of the project. It ends when the manifest's own `mode:` is changed after the switch: the later of the two
/// choices applies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModeOverride {
    pub mode: ModeSet,
    /// Entry file (the manifest file given on the command line) that the override was set with, as an absolute path.
    pub entry: String,
    /// The `mode:` of that entry file at the time of the switch; `null` if it had none.
    pub own_mode: Option<ModeSet>,
    pub by: String,
    #[schemars(with = "String")]
    pub since: Timestamp,
    pub reason: Option<String>,
}

impl ModeOverride {
    /// Returns author, time and reason, as [`HoldRecord::attribution`] does.
    #[must_use]
    pub fn attribution(&self) -> String {
        attribution(&self.by, self.since, self.reason.as_deref())
    }
}

/// All holds of one project, and its mode override.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holds {
    pub services: BTreeMap<ServiceName, HoldRecord>,
    /// The mode override.
    pub mode: Option<ModeOverride>,
}

#[cfg(test)]
mod tests {
    use super::{HOLD_ROUTES, Hold, RETURNS, way};
    use crate::model::lifecycle::{Action, State, route};

    #[test]
    fn every_way_there_and_back_walks_legal_rows() {
        for (hold, states) in HOLD_ROUTES.iter().chain(RETURNS) {
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
    fn maintenance_can_be_set_in_the_states_of_the_table() {
        let states = State::ALL.into_iter().filter(|from| way(Hold::Maintain, *from).is_some());
        let names: Vec<&str> = states.map(State::as_str).collect();
        assert_eq!(names, ["online", "busy", "idle", "error", "suspended", "offline"]);
    }
}
