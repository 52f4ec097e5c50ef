//! What operators said. A word holds until it is taken back, and the machine's state is seen through it: a service in
//! maintenance is left as it is, whatever it does.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::lifecycle::State;
use crate::model::names::{ModeName, ServiceName};

/// What an operator wants of one service, against the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Word {
    /// Hands off: the machine is left as it is.
    Maintain,
    /// Paused: it keeps its memory, and counts in full.
    Suspend,
    /// Stopped, and not brought back.
    Terminate,
}

impl Word {
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
            Self::Maintain => State::Maintenance,
            Self::Suspend => State::Suspended,
            Self::Terminate => State::Terminated,
        }
    }
}

impl fmt::Display for Word {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// A word as it is kept: who said it, when, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Said {
    pub word: Word,
    pub by: String,
    pub since: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// `--meta key=value`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

/// `lcm switch`: the mode from now on, for whoever names none. It is about one entry file, and holds until that file's
/// own `mode:` is another than when it was said: the newest word wins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switched {
    pub mode: ModeName,
    /// The entry file, absolute.
    pub entry: String,
    /// What the entry file itself said then.
    pub own_mode: Option<ModeName>,
    pub by: String,
    pub since: Timestamp,
    pub reason: Option<String>,
}

/// All that operators said of one project.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    pub services: BTreeMap<ServiceName, Said>,
    pub modes: Vec<Switched>,
}
