//! Calls beside a change: hooks of one service, and notifiers of the whole manifest; and the payload that they get,
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
use crate::model::mode_set::ModeSet;
use crate::model::names::{GpuId, ModeName, ProjectName, ServiceName};
use crate::model::plan::ReasonCode;

/// Version of the payload of hooks and notifiers.
pub const FORMAT: &str = "lcm.hook/2";

/// Hooks of one service, called at its start and stop in this order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hooks {
    pub pre_start: Vec<Hook>,
    pub post_start: Vec<Hook>,
    pub pre_stop: Vec<Hook>,
    pub post_stop: Vec<Hook>,
}

impl Hooks {
    /// Returns the hooks of one point; notifiers belong to no service.
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

/// A call at a start or a stop of one service.
#[derive(Clone, Debug, PartialEq)]
pub struct Hook {
    pub call: Call,
    /// Working folder: the folder of the file that defines the hook, absolute.
    pub cwd: PathBuf,
    pub timeout: Duration,
    /// Hook before a change only: its failure prevents the change.
    pub required: bool,
}

/// A call that reports changes. It neither prevents nor delays any.
#[derive(Clone, Debug, PartialEq)]
pub struct Notifier {
    pub call: Call,
    pub cwd: PathBuf,
    pub timeout: Duration,
    pub when: When,
    /// Reports changes to these states; with `classes` empty too: to any.
    pub states: BTreeSet<State>,
    pub classes: BTreeSet<Class>,
    /// Empty: all services.
    pub services: BTreeSet<ServiceName>,
    /// Events of whole runs to report. Without states, classes and services, the notifier gets nothing else.
    pub events: BTreeSet<RunEvent>,
    /// Place in the manifest, for messages: `lcm.yaml:12`.
    pub source: String,
}

impl Notifier {
    /// Returns true if the notifier reports a change of this service to that state.
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

/// Side of a change on which a notifier is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Before,
    After,
}

/// Point at which a hook or a notifier is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Point {
    /// GPU memory and ports are free; the start comes next.
    PreStart,
    /// The service is healthy.
    PostStart,
    /// The service is idle; the stop signal comes next.
    PreStop,
    /// The service has stopped, and its GPU memory is free again.
    PostStop,
    /// A state change follows.
    NotifyBefore,
    /// A state change was made or observed.
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

/// Payload of a hook or a notifier: on its stdin, or as the body of the request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HookPayload {
    #[schemars(extend("const" = FORMAT))]
    pub format: String,
    #[schemars(with = "String")]
    pub at: Timestamp,
    pub hook: Point,
    pub project: ProjectName,
    pub service: ServiceName,
    /// State before the change. For a hook: the state in which the whole step begins. For a notifier: the state from
    /// which this single change is made.
    pub from: State,
    /// State after the change.
    pub to: State,
    /// Reason for the change, as the plan states it.
    pub reason: String,
    /// Reason code from the plan; `null` for a change that is not in a plan.
    pub code: Option<ReasonCode>,
    /// True if lcm makes the change, false if it observed it.
    pub made: bool,
    pub by: String,
    pub run: String,
    /// GPUs that the service uses, or will be placed on.
    pub gpus: Vec<GpuId>,
    /// Instance of the service; `null` if there is none, or none yet.
    pub instance: Option<Instance>,
}

/// Event of a whole run that a notifier may report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunEvent {
    /// A run ended in a mode that differs from the last mode that this notifier reported.
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

/// Payload of a notifier for an event of a whole run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunPayload {
    #[schemars(extend("const" = FORMAT))]
    pub format: String,
    #[schemars(with = "String")]
    pub at: Timestamp,
    pub hook: RunEvent,
    pub project: ProjectName,
    /// Mode of the run; the names of several modes are sorted and joined by `+`. `null` if the manifest has no modes.
    pub mode: Option<ModeSet>,
    /// Names of the modes of the run.
    #[serde(default)]
    pub modes: Vec<ModeName>,
    /// For `mode_changed`: the previous mode; `null` if unknown.
    pub from_mode: Option<ModeSet>,
    /// The command that ran, such as `lcm apply`.
    pub command: String,
    pub by: String,
    pub run: String,
    pub exit_code: u8,
    /// For `run_failed`: the first error.
    pub error: Option<String>,
}

/// Payload of a call: on its stdin, or as the body of the request.
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

    /// Returns the service that changes; `None`: the event is of a whole run.
    #[must_use]
    pub fn service(self) -> Option<&'a ServiceName> {
        match self {
            Self::Change(change) => Some(&change.service),
            Self::Run(_) => None,
        }
    }

    /// Returns the name of the point or event, as in `LCM_HOOK`.
    #[must_use]
    pub fn hook(self) -> &'static str {
        match self {
            Self::Change(change) => change.hook.as_str(),
            Self::Run(run) => run.hook.as_str(),
        }
    }
}

impl fmt::Display for Call {
    /// Writes the call in one line, unmasked: `./warm.sh --now`, `POST http://localhost:9000/lcm`.
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
    fn a_notifier_reports_the_states_classes_and_services_it_names() {
        let reported = |notifier: &Notifier| -> BTreeSet<State> {
            State::ALL.into_iter().filter(|to| notifier.wants(When::After, &"a".into(), *to)).collect()
        };
        assert_eq!(reported(&notifier(&[], &[], &[])).len(), State::ALL.len());
        assert_eq!(reported(&notifier(&[State::Offline], &[], &["a"])), [State::Offline].into());
        let errors = notifier(&[State::Offline], &[Class::InError], &[]);
        assert_eq!(reported(&errors), [State::Error, State::Failed, State::Timeout, State::Offline].into());
        assert!(reported(&notifier(&[], &[], &["b"])).is_empty());
        assert!(!notifier(&[], &[], &[]).wants(When::Before, &"a".into(), State::Online));
        let of_runs = Notifier { events: [RunEvent::RunFailed].into(), ..notifier(&[], &[], &[]) };
        assert!(reported(&of_runs).is_empty(), "it names an event of a whole run and nothing else");
        let of_both = Notifier { events: [RunEvent::RunFailed].into(), ..notifier(&[State::Offline], &[], &[]) };
        assert_eq!(reported(&of_both), [State::Offline].into());
    }
}
