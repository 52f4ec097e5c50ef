//! The lifecycle as data: 18 states, the legal rows between them, and one route for each action.
//!
//! Every change that lcm makes follows a row of [`ROWS`]; what it merely sees may jump. Nothing here decides
//! *whether* to act: that is the planner's work.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use State::{
    Busy, Deleted, Deployed, Deploying, Error, Failed, Idle, Maintenance, Offline, Online, Registered, Scaling,
    Starting, Stopping, Suspended, Terminated, Timeout, Updating,
};

/// Where a service is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Registered,
    Deploying,
    Deployed,
    Starting,
    Online,
    Busy,
    Idle,
    Stopping,
    Updating,
    Scaling,
    Error,
    Failed,
    Timeout,
    Maintenance,
    Suspended,
    Offline,
    Terminated,
    Deleted,
}

impl State {
    pub const ALL: [Self; 18] = [
        Registered,
        Deploying,
        Deployed,
        Starting,
        Online,
        Busy,
        Idle,
        Stopping,
        Updating,
        Scaling,
        Error,
        Failed,
        Timeout,
        Maintenance,
        Suspended,
        Offline,
        Terminated,
        Deleted,
    ];

    /// The state as it is written everywhere: lower case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Registered => "registered",
            Deploying => "deploying",
            Deployed => "deployed",
            Starting => "starting",
            Online => "online",
            Busy => "busy",
            Idle => "idle",
            Stopping => "stopping",
            Updating => "updating",
            Scaling => "scaling",
            Error => "error",
            Failed => "failed",
            Timeout => "timeout",
            Maintenance => "maintenance",
            Suspended => "suspended",
            Offline => "offline",
            Terminated => "terminated",
            Deleted => "deleted",
        }
    }

    /// As it stands after "is": `in maintenance`.
    #[must_use]
    pub fn holds_command(self) -> &'static str {
        if self == Maintenance { "in maintenance" } else { self.as_str() }
    }

    /// What it means, as a sentence for people.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Registered => "It is in the manifest, and nothing of it is there yet.",
            Deploying => "What it needs to run is being pulled or created.",
            Deployed => "It was created, and has never run.",
            Starting => "It runs, and does not answer yet; it still has time for that.",
            Online => "It runs and answers.",
            Busy => "It answers, and is working on something.",
            Idle => "It answers, and has nothing to do.",
            Stopping => "It was told to end, and has not ended yet.",
            Updating => "It is being changed to a newer version of itself.",
            Scaling => "The number of its copies is being changed.",
            Error => "It runs, and does not do well: it fails its probe, or a part of it died.",
            Failed => "It ended, and not as it was asked to.",
            Timeout => "It runs, and did not answer in the time that it had for its start.",
            Maintenance => "An operator looks after it; lcm leaves it as it is.",
            Suspended => "It is paused, and keeps its memory.",
            Offline => "It does not run; it ended well, or was stopped.",
            Terminated => "An operator ended it; it is not brought back.",
            Deleted => "Nothing of it is left.",
        }
    }

    /// It answers.
    #[must_use]
    pub fn is_operational(self) -> bool {
        matches!(self, Online | Busy | Idle)
    }

    /// It answers and has time for more.
    #[must_use]
    pub fn is_available(self) -> bool {
        matches!(self, Online | Idle)
    }

    #[must_use]
    pub fn is_in_error(self) -> bool {
        matches!(self, Error | Failed | Timeout)
    }

    #[must_use]
    pub fn is_in_maintenance(self) -> bool {
        matches!(self, Maintenance | Suspended)
    }

    /// Nothing of it is left to stop, and it holds no room.
    #[must_use]
    pub fn is_not_running(self) -> bool {
        matches!(self, Registered | Deployed | Offline | Failed | Terminated | Deleted)
    }

    /// The states that may follow from here, in the order of [`ROWS`].
    pub fn next(self) -> impl Iterator<Item = Self> {
        ROWS.iter().filter(move |row| row.0 == self).map(|row| row.1)
    }

    /// Whether lcm may change a service from this state to that.
    #[must_use]
    pub fn may_become(self, to: Self) -> bool {
        ROWS.contains(&(self, to))
    }
}

/// States that are asked after together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// It answers.
    Operational,
    /// It answers and has time for more.
    Available,
    /// It should run, and does not do well.
    InError,
    /// An operator keeps it.
    InMaintenance,
    /// Nothing of it is left to stop.
    NotRunning,
}

impl Class {
    #[must_use]
    pub fn contains(self, state: State) -> bool {
        match self {
            Self::Operational => state.is_operational(),
            Self::Available => state.is_available(),
            Self::InError => state.is_in_error(),
            Self::InMaintenance => state.is_in_maintenance(),
            Self::NotRunning => state.is_not_running(),
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// What a step does to one service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Frees GPU memory and lets the service run on.
    Evict,
    Stop,
    /// Removes a container of lcm's own.
    Remove,
    Pause,
    Unpause,
    /// Changes settings of a running container in place, or replaces the copies of a service one by one.
    Update,
    /// Changes the number of copies of a running service.
    Scale,
    /// Has a running service take again the GPU memory that it gave back.
    Wake,
    /// Creates first where needed; on a service that is starting already, waits for it.
    Start,
}

impl Action {
    pub const ALL: [Self; 9] = [
        Self::Evict,
        Self::Stop,
        Self::Remove,
        Self::Pause,
        Self::Unpause,
        Self::Update,
        Self::Scale,
        Self::Wake,
        Self::Start,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Evict => "evict",
            Self::Stop => "stop",
            Self::Remove => "remove",
            Self::Pause => "pause",
            Self::Unpause => "unpause",
            Self::Update => "update",
            Self::Scale => "scale",
            Self::Wake => "wake",
            Self::Start => "start",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// The one way that `action` takes from `from`, both ends included; `None` where there is none.
/// An eviction or a wake changes no state, so its route is the state alone.
#[must_use]
pub fn route(action: Action, from: State) -> Option<&'static [State]> {
    ROUTES.iter().find(|(of, states)| *of == action && states[0] == from).map(|(_, states)| *states)
}

/// The route table: an action, and the states it passes.
pub const ROUTES: &[(Action, &[State])] = &[
    (Action::Start, &[Registered, Deploying, Deployed, Starting, Online]),
    (Action::Start, &[Deploying, Deployed, Starting, Online]),
    (Action::Start, &[Deployed, Starting, Online]),
    (Action::Start, &[Offline, Starting, Online]),
    (Action::Start, &[Failed, Starting, Online]),
    (Action::Start, &[Error, Offline, Starting, Online]),
    (Action::Start, &[Timeout, Offline, Starting, Online]),
    (Action::Start, &[Starting, Online]),
    (Action::Stop, &[Online, Stopping, Offline]),
    (Action::Stop, &[Idle, Stopping, Offline]),
    (Action::Stop, &[Busy, Stopping, Offline]),
    (Action::Stop, &[Stopping, Offline]),
    (Action::Stop, &[Error, Offline]),
    (Action::Stop, &[Timeout, Offline]),
    (Action::Stop, &[Suspended, Offline]),
    (Action::Stop, &[Maintenance, Offline]),
    (Action::Stop, &[Starting, Error, Offline]),
    (Action::Stop, &[Deploying, Error, Offline]),
    (Action::Stop, &[Updating, Error, Offline]),
    (Action::Stop, &[Scaling, Online, Stopping, Offline]),
    (Action::Remove, &[Deployed, Deleted]),
    (Action::Remove, &[Offline, Deleted]),
    (Action::Remove, &[Failed, Deleted]),
    (Action::Remove, &[Terminated, Deleted]),
    (Action::Remove, &[Registered, Deleted]),
    (Action::Pause, &[Online, Suspended]),
    (Action::Pause, &[Idle, Suspended]),
    (Action::Pause, &[Busy, Suspended]),
    (Action::Unpause, &[Suspended, Online]),
    (Action::Evict, &[Online]),
    (Action::Evict, &[Idle]),
    (Action::Evict, &[Busy]),
    (Action::Update, &[Online, Updating, Online]),
    (Action::Update, &[Idle, Updating, Online]),
    (Action::Scale, &[Online, Scaling, Online]),
    (Action::Scale, &[Idle, Scaling, Online]),
    (Action::Scale, &[Busy, Scaling, Online]),
    (Action::Wake, &[Online]),
    (Action::Wake, &[Idle]),
    (Action::Wake, &[Busy]),
];

/// Every legal change, from state and to state.
pub const ROWS: [(State, State); 69] = [
    (Registered, Deploying),
    (Registered, Deleted),
    (Deploying, Deployed),
    (Deploying, Failed),
    (Deploying, Error),
    (Deployed, Starting),
    (Deployed, Updating),
    (Deployed, Deleted),
    (Starting, Online),
    (Starting, Failed),
    (Starting, Error),
    (Starting, Timeout),
    (Online, Busy),
    (Online, Idle),
    (Online, Stopping),
    (Online, Updating),
    (Online, Maintenance),
    (Online, Suspended),
    (Online, Offline),
    (Online, Error),
    (Online, Scaling),
    (Busy, Idle),
    (Busy, Online),
    (Busy, Stopping),
    (Busy, Maintenance),
    (Busy, Suspended),
    (Busy, Offline),
    (Busy, Error),
    (Busy, Scaling),
    (Idle, Busy),
    (Idle, Online),
    (Idle, Stopping),
    (Idle, Updating),
    (Idle, Maintenance),
    (Idle, Suspended),
    (Idle, Offline),
    (Idle, Error),
    (Idle, Scaling),
    (Stopping, Offline),
    (Stopping, Terminated),
    (Stopping, Error),
    (Updating, Online),
    (Updating, Failed),
    (Updating, Error),
    (Scaling, Online),
    (Scaling, Busy),
    (Scaling, Idle),
    (Scaling, Error),
    (Error, Online),
    (Error, Offline),
    (Error, Maintenance),
    (Error, Failed),
    (Failed, Starting),
    (Failed, Deploying),
    (Failed, Deleted),
    (Timeout, Offline),
    (Timeout, Error),
    (Timeout, Starting),
    (Maintenance, Online),
    (Maintenance, Offline),
    (Maintenance, Suspended),
    (Suspended, Online),
    (Suspended, Maintenance),
    (Suspended, Offline),
    (Offline, Starting),
    (Offline, Maintenance),
    (Offline, Terminated),
    (Offline, Deleted),
    (Terminated, Deleted),
];

#[cfg(test)]
mod tests {
    use super::{Action, ROWS, State, route};

    #[test]
    fn every_route_walks_legal_rows_from_where_it_starts() {
        for action in Action::ALL {
            for from in State::ALL {
                let Some(states) = route(action, from) else { continue };
                assert_eq!(states[0], from, "{action} from {from}");
                for pair in states.windows(2) {
                    assert!(pair[0].may_become(pair[1]), "{action} from {from}: {} to {}", pair[0], pair[1]);
                }
            }
        }
    }

    #[test]
    fn what_runs_can_be_stopped_and_what_does_not_needs_no_stop() {
        for from in State::ALL {
            assert_eq!(route(Action::Stop, from).is_none(), from.is_not_running(), "{from}");
        }
    }

    #[test]
    fn rows_are_distinct() {
        let mut rows = ROWS.to_vec();
        rows.sort_unstable();
        rows.dedup();
        assert_eq!(rows.len(), ROWS.len());
    }
}
