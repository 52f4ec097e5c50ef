//! The lifecycle as data: 18 states, the legal rows between them, and one route for each action.
//!
//! Every change that lcm makes follows a row of [`ROWS`]; a change that it observes may jump.
//!
//! Not here: the decision to act, which is the planner's.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use State::{
    Busy, Deleted, Deployed, Deploying, Error, Failed, Idle, Maintenance, Offline, Online, Registered, Scaling,
    Starting, Stopping, Suspended, Terminated, Timeout, Updating,
};

/// State of a service in its lifecycle.
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

    /// Returns the state as it is written everywhere: lower case.
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

    /// Returns the state as it reads after "is": `in maintenance`.
    #[must_use]
    pub fn label(self) -> &'static str {
        if self == Maintenance { "in maintenance" } else { self.as_str() }
    }

    /// Returns the meaning of the state as one sentence for people.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Registered => "In the manifest, and not created yet.",
            Deploying => "Being pulled or created.",
            Deployed => "Created, and never started.",
            Starting => "Running, not answering yet, and within its time to start.",
            Online => "Running and answering.",
            Busy => "Answering, and working.",
            Idle => "Answering, with nothing to do.",
            Stopping => "Asked to stop, and not stopped yet.",
            Updating => "Being changed to a newer revision of itself.",
            Scaling => "Its number of copies is being changed.",
            Error => "Running, but unhealthy: it fails its probe, or a part of it died.",
            Failed => "Ended, but not on request.",
            Timeout => "Running, but did not answer within its time to start.",
            Maintenance => "Held by an operator, and left as it is by lcm.",
            Suspended => "Paused; it keeps its memory.",
            Offline => "Not running: it ended well, or was stopped.",
            Terminated => "Stopped by an operator, and not started again until released.",
            Deleted => "Nothing of it is left.",
        }
    }

    /// Returns true for a service that answers.
    #[must_use]
    pub fn is_operational(self) -> bool {
        matches!(self, Online | Busy | Idle)
    }

    /// Returns true for a service that answers and can take more work.
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

    /// Returns true if nothing is left to stop, and neither memory nor ports are held.
    #[must_use]
    pub fn is_not_running(self) -> bool {
        matches!(self, Registered | Deployed | Offline | Failed | Terminated | Deleted)
    }

    /// Returns the states that may follow, in the order of [`ROWS`].
    pub fn next(self) -> impl Iterator<Item = Self> {
        ROWS.iter().filter(move |row| row.0 == self).map(|row| row.1)
    }

    /// Returns true if lcm may change a service from this state to that.
    #[must_use]
    pub fn may_become(self, to: Self) -> bool {
        ROWS.contains(&(self, to))
    }
}

/// Class of states: one name for several states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The service answers: it is online, busy or idle.
    Operational,
    /// The service answers and can take more work: it is online or idle.
    Available,
    /// The service should be running, but is unhealthy, failed or timed out.
    InError,
    /// An operator holds the service: it is in maintenance or suspended.
    InMaintenance,
    /// The service is not running.
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

/// Action of a step on one service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Makes a running service release GPU memory; it keeps running.
    Evict,
    Stop,
    /// Removes a container that lcm created.
    Remove,
    Pause,
    Unpause,
    /// Changes settings of a running container in place, or replaces the copies (replicas) of a service one by one.
    Update,
    /// Changes the number of copies (replicas) of a running service.
    Scale,
    /// Makes a running service reload the GPU memory that it had released.
    Wake,
    /// Starts a service, after creating it if needed; waits for a service that is already starting.
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

/// Returns the one route of an action from a state, both ends included; `None`: there is none. An eviction or a wake
/// changes no state, so its route is the state alone.
#[must_use]
pub fn route(action: Action, from: State) -> Option<&'static [State]> {
    ROUTES.iter().find(|(of, states)| *of == action && states[0] == from).map(|(_, states)| *states)
}

/// The route table: an action, and the states that it passes.
pub const ROUTES: &[(Action, &[State])] = &[
    (Action::Start, &[Registered, Deploying, Deployed, Starting, Online]),
    (Action::Start, &[Deploying, Deployed, Starting, Online]),
    (Action::Start, &[Deployed, Starting, Online]),
    (Action::Start, &[Offline, Starting, Online]),
    (Action::Start, &[Failed, Starting, Online]),
    (Action::Start, &[Error, Offline, Starting, Online]),
    (Action::Start, &[Timeout, Offline, Starting, Online]),
    (Action::Start, &[Starting, Online]),
    // A job that runs already, and whose end is awaited.
    (Action::Start, &[Online]),
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

/// Every legal change: the state before, and the state after.
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
    fn every_running_state_can_be_stopped_and_no_other() {
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
