//! What is called beside a change: hooks of one service, and notifiers of the whole manifest.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use crate::model::desired::Call;
use crate::model::lifecycle::{Class, State};
use crate::model::names::ServiceName;

/// What is called when one service starts or stops, in this order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hooks {
    pub pre_start: Vec<Hook>,
    pub post_start: Vec<Hook>,
    pub pre_stop: Vec<Hook>,
    pub post_stop: Vec<Hook>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Hook {
    pub call: Call,
    /// Where it is run: the folder of the file that says it, absolute.
    pub cwd: PathBuf,
    pub timeout: Duration,
    /// Before a change: its failure prevents it.
    pub required: bool,
}

/// Who is told of changes. It prevents none and delays none.
#[derive(Clone, Debug, PartialEq)]
pub struct Notifier {
    pub call: Call,
    pub cwd: PathBuf,
    pub timeout: Duration,
    pub when: When,
    /// Changes to these states; with `classes` empty too: to any.
    pub states: BTreeSet<State>,
    pub classes: BTreeSet<Class>,
    /// Empty: all.
    pub services: BTreeSet<ServiceName>,
    /// `lcm.yaml:12`, for messages.
    pub source: String,
}

/// On which side of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Before,
    After,
}
