//! All steps of one service, as one entry: a stop and a start are a restart.

use crate::model::lifecycle::{Action, State};
use crate::model::names::ServiceName;
use crate::model::plan::{Plan, ReasonCode, Step};
use crate::report::style::Paint;
use crate::report::table::{about, joined};
use crate::report::view::memory::{exchanged, has_memory, step_memory};

/// Most states of a route that is shown whole without `verbose`; a longer one shows its ends.
const ROUTE_SHOWN_MAX: usize = 3;

/// Steps of one service, in plan order.
#[derive(Debug)]
pub(in crate::report) struct Entry<'a> {
    pub(in crate::report) kind: Kind,
    pub(in crate::report) service: &'a ServiceName,
    pub(in crate::report) steps: Vec<&'a Step>,
}

/// Combined effect of the steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::report) enum Kind {
    Stop,
    Remove,
    Evict,
    Pause,
    Restart,
    Move,
    Unpause,
    Update,
    Scale,
    Wake,
    Start,
}

/// Groups of entries, in the order in which they are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::report) enum Group {
    Pending,
    Goes,
    Changes,
    Comes,
    Networks,
    Kept,
    Left,
    NotDone,
}

impl Kind {
    /// All kinds, in the order of a plan's summary.
    pub(in crate::report) const ALL: [Self; 11] = [
        Self::Stop,
        Self::Remove,
        Self::Evict,
        Self::Pause,
        Self::Restart,
        Self::Move,
        Self::Update,
        Self::Scale,
        Self::Unpause,
        Self::Wake,
        Self::Start,
    ];

    pub(in crate::report) fn verb(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Remove => "remove",
            Self::Evict => "evict",
            Self::Pause => "pause",
            Self::Restart => "restart",
            Self::Move => "move",
            Self::Unpause => "unpause",
            Self::Update => "update",
            Self::Scale => "scale",
            Self::Wake => "wake",
            Self::Start => "start",
        }
    }

    pub(in crate::report) fn group(self) -> Group {
        match self {
            Self::Stop | Self::Remove | Self::Evict | Self::Pause => Group::Goes,
            Self::Restart | Self::Move | Self::Update | Self::Scale => Group::Changes,
            Self::Unpause | Self::Wake | Self::Start => Group::Comes,
        }
    }

    pub(in crate::report) fn symbol(self) -> (&'static str, Paint) {
        match self {
            Self::Start | Self::Wake | Self::Unpause => ("+", Paint::Good),
            Self::Stop | Self::Remove | Self::Pause => ("-", Paint::Bad),
            Self::Restart | Self::Move | Self::Update | Self::Scale | Self::Evict => ("~", Paint::Warn),
        }
    }

    fn of(steps: &[&Step]) -> Self {
        let step = |action: Action| steps.iter().find(|step| step.action == action);
        match (step(Action::Start), step(Action::Stop)) {
            (Some(start), Some(_)) if start.reason.code == ReasonCode::Moved => Self::Move,
            (Some(_), Some(_)) => Self::Restart,
            (Some(_), None) => Self::Start,
            (None, _) if step(Action::Remove).is_some() => Self::Remove,
            (None, Some(_)) => Self::Stop,
            (None, None) if step(Action::Evict).is_some() => Self::Evict,
            (None, None) if step(Action::Pause).is_some() => Self::Pause,
            (None, None) if step(Action::Wake).is_some() => Self::Wake,
            (None, None) if step(Action::Update).is_some() => Self::Update,
            (None, None) if step(Action::Scale).is_some() => Self::Scale,
            (None, None) => Self::Unpause,
        }
    }
}

/// Returns one entry for each service, in the order of their first steps.
pub(in crate::report) fn entries(plan: &Plan) -> Vec<Entry<'_>> {
    let mut entries: Vec<Entry<'_>> = Vec::new();
    for step in &plan.steps {
        match entries.iter_mut().find(|entry| *entry.service == step.service) {
            Some(entry) => entry.steps.push(step),
            None => entries.push(Entry { kind: Kind::Start, service: &step.service, steps: vec![step] }),
        }
    }
    for entry in &mut entries {
        entry.kind = Kind::of(&entry.steps);
    }
    entries
}

impl<'a> Entry<'a> {
    /// Returns the states passed by all steps; a long route is shown by its ends.
    pub(in crate::report) fn route(&self, verbose: bool) -> String {
        let mut states: Vec<State> = self.steps.iter().flat_map(|step| step.route.iter().copied()).collect();
        states.dedup();
        match states.as_slice() {
            [first, .., last] if states.len() > ROUTE_SHOWN_MAX && !verbose => format!("{first} → … → {last}"),
            all => all.iter().map(|state| state.as_str()).collect::<Vec<_>>().join(" → "),
        }
    }

    /// Returns `takes 19 074 MiB on GPU 0, after ollama has stopped, ready in about 95 s`.
    pub(in crate::report) fn effect(&self, plan: &Plan) -> String {
        let mut parts: Vec<String> = self.copies().into_iter().chain(self.memory(plan)).collect();
        parts.extend(self.waits(plan));
        parts.extend(self.estimate());
        parts.join(", ")
    }

    /// Returns the reasons, each sentence once.
    pub(in crate::report) fn reasons(&self) -> Vec<&'a str> {
        let mut reasons: Vec<&str> = Vec::new();
        for step in &self.steps {
            if !reasons.contains(&step.reason.message.as_str()) {
                reasons.push(&step.reason.message);
            }
        }
        reasons
    }

    /// Returns the changes of a spec, as a unified diff.
    pub(in crate::report) fn diff(&self) -> Option<&'a str> {
        self.steps.iter().find_map(|step| step.diff.as_deref())
    }

    /// Returns `2 → 3 copies`; `None` for services with one copy.
    pub(in crate::report) fn copies(&self) -> Option<String> {
        self.steps.iter().find_map(|step| step.copies).map(|copies| copies.to_string())
    }

    /// Returns `takes 19 074 MiB on GPU 0`.
    pub(in crate::report) fn memory(&self, plan: &Plan) -> Option<String> {
        let of = |actions: &[Action]| {
            let mut with_memory = self.steps.iter().filter(|step| has_memory(step));
            with_memory.find(|step| actions.contains(&step.action)).copied()
        };
        let freed = of(&[Action::Stop, Action::Evict, Action::Pause]);
        let taken = of(&[Action::Start, Action::Wake, Action::Unpause, Action::Update, Action::Scale]);
        match (freed, taken) {
            (None, None) => None,
            (Some(one), None) | (None, Some(one)) => step_memory(plan, one),
            (Some(freed), Some(taken)) => Some(exchanged(plan, freed, taken)),
        }
    }

    /// Returns the conditions on other services. A restart has separate ones for its stop and its start.
    pub(in crate::report) fn waits(&self, plan: &Plan) -> Vec<String> {
        let (starts, stops): (Vec<&Step>, Vec<&Step>) =
            self.steps.iter().partition(|step| matches!(step.action, Action::Start | Action::Wake | Action::Unpause));
        let is_both = !starts.is_empty() && !stops.is_empty();
        let half = |word: &str, steps: &[&Step]| {
            let conditions = self.conditions(plan, steps);
            let word = if is_both { format!("{word} ") } else { String::new() };
            (!conditions.is_empty()).then(|| format!("{word}after {}", joined(&conditions)))
        };
        half("stops", &stops).into_iter().chain(half("starts", &starts)).collect()
    }

    /// Returns `painter and writer have stopped`, `encoder is up`.
    fn conditions(&self, plan: &Plan, steps: &[&Step]) -> Vec<String> {
        let mut groups: Vec<([&str; 2], Vec<String>)> = Vec::new();
        let needed = steps.iter().flat_map(|step| &step.needs).filter_map(|id| plan.step(id));
        for step in needed.filter(|step| step.service != *self.service) {
            let words = match step.action {
                Action::Start if step.is_until_end() => ["has completed", "have completed"],
                Action::Start | Action::Unpause => ["is up", "are up"],
                Action::Stop => ["has stopped", "have stopped"],
                Action::Remove => ["is removed", "are removed"],
                Action::Evict => ["has released its memory", "have released their memory"],
                Action::Pause => ["is paused", "are paused"],
                Action::Update => ["is updated", "are updated"],
                Action::Scale => ["is scaled", "are scaled"],
                Action::Wake => ["is awake", "are awake"],
            };
            match groups.iter_mut().find(|(of, _)| *of == words) {
                Some((_, names)) if names.contains(&step.service.to_string()) => {}
                Some((_, names)) => names.push(step.service.to_string()),
                None => groups.push((words, vec![step.service.to_string()])),
            }
        }
        let said = |([one, several], names): ([&str; 2], Vec<String>)| {
            format!("{} {}", joined(&names), if names.len() == 1 { one } else { several })
        };
        groups.into_iter().map(said).collect()
    }

    /// Returns the total estimate of the steps, or `None` without an estimate of the last one.
    pub(in crate::report) fn estimate(&self) -> Option<String> {
        let (last, word) = match self.kind {
            Kind::Start | Kind::Unpause | Kind::Restart | Kind::Move => (Action::Start, "ready"),
            Kind::Wake => (Action::Wake, "ready"),
            Kind::Update => (Action::Update, "done"),
            Kind::Scale => (Action::Scale, "done"),
            Kind::Stop | Kind::Remove | Kind::Evict | Kind::Pause => (Action::Stop, "done"),
        };
        let known = |step: &&&Step| step.action == last && step.estimate_ms.is_some();
        self.steps.iter().find(known)?;
        let sum = self.steps.iter().filter_map(|step| step.estimate_ms).fold(0, u64::saturating_add);
        Some(format!("{word} in about {}", about(sum)))
    }
}
