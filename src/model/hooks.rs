//! What is called beside a change: hooks of one service, and notifiers of the whole manifest; and what they are told,
//! `lcm.hook/2`.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::call::Call;
use crate::model::instance::Instance;
use crate::model::lifecycle::{Class, State};
use crate::model::names::{GpuId, ModeName, ProjectName, ServiceName};
use crate::model::plan::ReasonCode;

/// The version of what hooks and notifiers are told.
pub const FORMAT: &str = "lcm.hook/2";

/// What is called when one service starts or stops, in this order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hooks {
    pub pre_start: Vec<Hook>,
    pub post_start: Vec<Hook>,
    pub pre_stop: Vec<Hook>,
    pub post_stop: Vec<Hook>,
}

impl Hooks {
    /// Those of one point; a notifier belongs to no service.
    #[must_use]
    pub fn at(&self, point: Point) -> &[Hook] {
        match point {
            Point::PreStart => &self.pre_start,
            Point::PostStart => &self.post_start,
            Point::PreStop => &self.pre_stop,
            Point::PostStop => &self.post_stop,
            Point::NotifyBefore | Point::NotifyAfter => &[],
        }
    }
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
    /// Events of whole runs. Without states, classes and services it is told of nothing else.
    pub events: BTreeSet<RunEvent>,
    /// `lcm.yaml:12`, for messages.
    pub source: String,
}

impl Notifier {
    /// Whether it is to be told of a change of this service to that state.
    #[must_use]
    pub fn wants(&self, when: When, service: &ServiceName, to: State) -> bool {
        let any = self.states.is_empty() && self.classes.is_empty();
        if any && self.services.is_empty() && !self.events.is_empty() {
            return false;
        }
        let named = self.states.contains(&to) || self.classes.iter().any(|class| class.contains(to));
        let of_service = self.services.is_empty() || self.services.contains(service);
        self.when == when && (any || named) && of_service
    }
}

/// On which side of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Before,
    After,
}

/// When something is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Point {
    /// Its room is proved; the start comes next.
    PreStart,
    /// It is healthy.
    PostStart,
    /// It is idle; the signal comes next.
    PreStop,
    /// It is gone, and its room is back.
    PostStop,
    /// A change is about to be made.
    NotifyBefore,
    /// A change was made, or seen.
    NotifyAfter,
}

impl Point {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PreStart => "pre_start",
            Self::PostStart => "post_start",
            Self::PreStop => "pre_stop",
            Self::PostStop => "post_stop",
            Self::NotifyBefore => "notify_before",
            Self::NotifyAfter => "notify_after",
        }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// What a hook or a notifier is told: on its stdin, or as the body of the request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HookPayload {
    #[schemars(extend("const" = FORMAT))]
    pub format: String,
    #[schemars(with = "String")]
    pub at: Timestamp,
    pub hook: Point,
    pub project: ProjectName,
    pub service: ServiceName,
    /// Of a hook: where the whole step begins. Of a notifier: what this one change leaves.
    pub from: State,
    /// Where that leads.
    pub to: State,
    /// Why, as the plan says it.
    pub reason: String,
    /// `null` where nobody planned it.
    pub code: Option<ReasonCode>,
    /// lcm makes it, rather than saw it.
    pub made: bool,
    pub by: String,
    pub run: String,
    /// On which it is, or is to be.
    pub gpus: Vec<GpuId>,
    /// `null`: there is none, or none yet.
    pub instance: Option<Instance>,
}

/// An event of a whole run that a notifier may be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunEvent {
    /// A run came to its end in another mode than the last one that the notifier was told of.
    ModeChanged,
    /// A run ended with exit code 3: steps failed, or a wanted service is not up.
    RunFailed,
}

impl RunEvent {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ModeChanged => "mode_changed",
            Self::RunFailed => "run_failed",
        }
    }
}

/// What a notifier is told of an event of a whole run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunPayload {
    #[schemars(extend("const" = FORMAT))]
    pub format: String,
    #[schemars(with = "String")]
    pub at: Timestamp,
    pub hook: RunEvent,
    pub project: ProjectName,
    /// Mode of the run; `null`: the manifest has none.
    pub mode: Option<ModeName>,
    /// Of `mode_changed`: the mode before; `null`: none is known.
    pub from_mode: Option<ModeName>,
    /// `lcm apply`.
    pub command: String,
    pub by: String,
    pub run: String,
    pub exit_code: u8,
    /// Of `run_failed`: the first error.
    pub error: Option<String>,
}

/// What a call is handed: on its stdin, or as the body of the request.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(untagged)]
pub enum Payload<'a> {
    Change(&'a HookPayload),
    Run(&'a RunPayload),
}

impl<'a> Payload<'a> {
    #[must_use]
    pub fn project(self) -> &'a ProjectName {
        match self {
            Self::Change(change) => &change.project,
            Self::Run(run) => &run.project,
        }
    }

    /// `None`: it is about a whole run.
    #[must_use]
    pub fn service(self) -> Option<&'a ServiceName> {
        match self {
            Self::Change(change) => Some(&change.service),
            Self::Run(_) => None,
        }
    }

    /// As in `LCM_HOOK`.
    #[must_use]
    pub fn hook(self) -> &'static str {
        match self {
            Self::Change(change) => change.hook.as_str(),
            Self::Run(run) => run.hook.as_str(),
        }
    }
}

impl fmt::Display for Call {
    /// `./warm.sh --now`, `POST http://localhost:9000/lcm`; unmasked.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http { method, url, .. } => write!(formatter, "{method} {url}"),
            Self::Exec(argv) => formatter.write_str(&argv.join(" ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::PathBuf;
    use std::time::Duration;

    use super::{Notifier, RunEvent, When};
    use crate::model::call::Call;

    use crate::model::lifecycle::{Class, State};

    fn notifier(states: &[State], classes: &[Class], services: &[&str]) -> Notifier {
        Notifier {
            call: Call::Exec(vec!["./tell".to_owned()]),
            cwd: PathBuf::from("/"),
            timeout: Duration::from_secs(5),
            when: When::After,
            states: states.iter().copied().collect(),
            classes: classes.iter().copied().collect(),
            services: services.iter().map(|name| (*name).into()).collect(),
            events: BTreeSet::new(),
            source: String::new(),
        }
    }

    #[test]
    fn one_is_told_of_what_it_asked_for() {
        let told = |notifier: &Notifier| -> BTreeSet<State> {
            State::ALL.into_iter().filter(|to| notifier.wants(When::After, &"a".into(), *to)).collect()
        };
        assert_eq!(told(&notifier(&[], &[], &[])).len(), State::ALL.len());
        assert_eq!(told(&notifier(&[State::Offline], &[], &["a"])), [State::Offline].into());
        let trouble = notifier(&[State::Offline], &[Class::InError], &[]);
        assert_eq!(told(&trouble), [State::Error, State::Failed, State::Timeout, State::Offline].into());
        assert!(told(&notifier(&[], &[], &["b"])).is_empty());
        assert!(!notifier(&[], &[], &[]).wants(When::Before, &"a".into(), State::Online));
        let of_runs = Notifier { events: [RunEvent::RunFailed].into(), ..notifier(&[], &[], &[]) };
        assert!(told(&of_runs).is_empty(), "an event of a whole run is all that it asked for");
        let of_both = Notifier { events: [RunEvent::RunFailed].into(), ..notifier(&[State::Offline], &[], &[]) };
        assert_eq!(told(&of_both), [State::Offline].into());
    }
}
