//! Services that a rule protects from being stopped.

use std::collections::BTreeMap;

use crate::model::lifecycle::Action;
use crate::model::observed::REMOVED_BY_STOP;
use crate::model::plan::Reason;
use crate::model::plan::ReasonCode;
use crate::plan::input::PlanInput;
use crate::plan::numbers::Number;

/// Running services that a rule protects from being stopped.
#[derive(Debug, Default)]
pub(crate) struct Protected {
    /// Protected by a rule about themselves.
    own: BTreeMap<Number, String>,
    /// The same services with their dependencies, which can't be stopped under them.
    all: BTreeMap<Number, String>,
}

impl Protected {
    /// Returns the protected ones among the running services.
    pub(crate) fn of(input: &PlanInput<'_>) -> Self {
        if let Some(why) = input.request.keeps_running() {
            let all: BTreeMap<Number, String> = input
                .all()
                .filter(|number| input.summary(*number).holds_capacity)
                .map(|number| (number, why.to_owned()))
                .collect();
            return Self { own: all.clone(), all };
        }
        let removed = |number: &Number| input.seen(*number).is_removed_by_stop;
        // Without a deny rule every route of the table is open.
        if input.desired.rules.deny.is_empty() && !input.all().any(|number| removed(&number)) {
            return Self::default();
        }
        let own: BTreeMap<Number, String> = input
            .all()
            .filter(|number| input.summary(*number).holds_capacity && input.summary(*number).is_known)
            .filter_map(|number| {
                let why = if removed(&number) { Some(removed_by_stop()) } else { None };
                Some((number, why.or_else(|| input.way(number, Action::Stop, input.summary(number).state).err())?))
            })
            .collect();
        let mut all = own.clone();
        let mut open: Vec<Number> = own.keys().rev().copied().collect();
        // Each service is opened once: at most as many rounds as services.
        while let Some(number) = open.pop() {
            for base in input.bases(number).iter().copied().filter(|base| !all.contains_key(base)).collect::<Vec<_>>() {
                let name = input.name(number);
                let why = format!("{name} depends on it, and can't be stopped either: {}", all[&number]);
                // The reason names the service of the rule, not every dependency between.
                let why = if own.contains_key(&number) { why } else { all[&number].clone() };
                all.insert(base, why);
                open.push(base);
            }
        }
        Self { own, all }
    }

    /// Reason for which a service can't be stopped: a rule about itself.
    pub(crate) fn own(&self, number: Number) -> Option<&str> {
        self.own.get(&number).map(String::as_str)
    }

    /// Reason for which a service can't be stopped for good: a rule about it, or about a dependent.
    pub(crate) fn any(&self, number: Number) -> Option<&str> {
        self.all.get(&number).map(String::as_str)
    }
}

/// Reason for which a container that was created with `--rm` is not stopped.
fn removed_by_stop() -> String {
    format!("{REMOVED_BY_STOP}; create it without, or write `auto_remove: accept` beside `container:`")
}

/// Reason of a block by a rule.
pub(crate) fn by_rule(message: String) -> Reason {
    Reason { code: ReasonCode::Rule, message, by: None }
}
