//! Rules that narrow or widen the lifecycle's rows: `lifecycle.deny` and `lifecycle.allow`; and which change is legal
//! by rows and rules together. When hours hold is `hours`' to say, which way an action takes `way`'s, and what an operator
//! may order `orders`'.

mod hours;
mod orders;
pub mod way;

use std::collections::BTreeSet;
use std::fmt;

use jiff::{Timestamp, Zoned};

use crate::model::lifecycle::State;
use crate::model::names::{ModeName, ServiceName};

pub use hours::{Day, Hours};

/// All rules of a manifest. Where both speak of a change, the denial counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Changes that are legal here though the rows have none.
    pub allow: Vec<Rule>,
    /// Changes that are not made here though the rows have them.
    pub deny: Vec<Rule>,
}

/// One rule; an empty set means any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub from: BTreeSet<State>,
    pub to: BTreeSet<State>,
    pub services: BTreeSet<ServiceName>,
    pub modes: BTreeSet<ModeName>,
    /// `None`: always.
    pub hours: Option<Hours>,
    pub reason: Option<String>,
    /// `lcm.yaml:12`, for messages.
    pub source: String,
}

/// For whom and when it is asked what is legal.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    pub service: &'a ServiceName,
    pub mode: Option<&'a ModeName>,
    pub at: Timestamp,
}

/// Whether a change is legal, and if not, why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Legality<'a> {
    Legal,
    /// The lifecycle has no such change, and no rule adds it.
    NoRow,
    Denied(Denial<'a>),
}

/// The rule that stands in the way, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial<'a> {
    pub from: State,
    pub to: State,
    pub rule: &'a Rule,
    /// On the clock of the rule's zone; `None`: it has no end.
    pub until: Option<Zoned>,
    /// When it was asked.
    pub at: Timestamp,
}

impl Rules {
    /// Whether a service may be changed from this state to that. To stay as it is, is always legal.
    #[must_use]
    pub fn judge(&self, case: &Case<'_>, from: State, to: State) -> Legality<'_> {
        if from == to {
            return Legality::Legal;
        }
        // Of several, the one that holds longest: the others are no reason to come back earlier.
        let denials = self.deny.iter().filter(|rule| rule.names(from, to)).filter_map(|rule| {
            let ActiveUntil { until } = rule.holds(case)?;
            Some(Denial { from, to, rule, until, at: case.at })
        });
        match denials.reduce(|longest, other| if other.outlasts(&longest) { other } else { longest }) {
            Some(denial) => Legality::Denied(denial),
            None if self.has(case, from, to) => Legality::Legal,
            None => Legality::NoRow,
        }
    }

    /// Whether the rows, or an allowance, have such a change, be it denied or not: what happens to a service by
    /// itself, asks no rule.
    #[must_use]
    pub fn has(&self, case: &Case<'_>, from: State, to: State) -> bool {
        let allows = |rule: &Rule| rule.names(from, to) && rule.holds(case).is_some();
        from.may_become(to) || self.allow.iter().any(allows)
    }

    /// What stands in the way of a route: the verdict on its first change that is not legal. `None`: all are.
    #[must_use]
    pub fn judge_route(&self, case: &Case<'_>, route: &[State]) -> Option<Legality<'_>> {
        let verdicts = route.windows(2).map(|pair| self.judge(case, pair[0], pair[1]));
        verdicts.into_iter().find(|judgement| *judgement != Legality::Legal)
    }

    /// What rows or an allowance have from here and a rule forbids, in the order of the states.
    pub fn denials<'a>(&'a self, case: &'a Case<'_>, from: State) -> impl Iterator<Item = Denial<'a>> + 'a {
        let had = State::ALL.into_iter().filter(move |to| self.has(case, from, *to));
        had.filter_map(move |to| match self.judge(case, from, to) {
            Legality::Denied(denial) => Some(denial),
            Legality::Legal | Legality::NoRow => None,
        })
    }

    /// The states that may follow from here by rows and rules, in the order of the states.
    pub fn next<'a>(&'a self, case: &'a Case<'_>, from: State) -> impl Iterator<Item = State> + 'a {
        let others = State::ALL.into_iter().filter(move |to| *to != from);
        others.filter(move |to| self.judge(case, from, *to) == Legality::Legal)
    }
}

impl Rule {
    /// Whether it speaks of this change, of whichever service, in whichever mode, at whatever time.
    #[must_use]
    pub fn names(&self, from: State, to: State) -> bool {
        let any_or_has = |states: &BTreeSet<State>, state| states.is_empty() || states.contains(&state);
        from != to && any_or_has(&self.from, from) && any_or_has(&self.to, to)
    }

    /// Whether every change that it speaks of is such.
    pub fn speaks_only_of(&self, is_such: impl Fn(State, State) -> bool) -> bool {
        State::ALL.iter().all(|from| State::ALL.iter().all(|to| !self.names(*from, *to) || is_such(*from, *to)))
    }

    /// `None`: it says nothing in this case, since it is of other services, modes or hours.
    fn holds(&self, case: &Case<'_>) -> Option<ActiveUntil> {
        let of_service = self.services.is_empty() || self.services.contains(case.service);
        let in_mode = self.modes.is_empty() || case.mode.is_some_and(|mode| self.modes.contains(mode));
        if !(of_service && in_mode) {
            return None;
        }
        match &self.hours {
            None => Some(ActiveUntil { until: None }),
            Some(hours) if !hours.contain(case.at) => None,
            Some(hours) => {
                Some(ActiveUntil { until: hours.end_after(case.at).map(|end| end.to_zoned(hours.zone.clone())) })
            }
        }
    }
}

/// A rule speaks; to when.
struct ActiveUntil {
    until: Option<Zoned>,
}

impl Denial<'_> {
    /// ` until 18:00 Europe/Berlin: renders for clients`: until when, and why, as far as the rule says.
    #[must_use]
    pub fn terms(&self) -> String {
        let reason = self.rule.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        let Some(until) = &self.until else { return reason };
        let zone = until.time_zone();
        let today = self.at.to_zoned(zone.clone()).date() == until.date();
        let time = until.strftime(if today { "%H:%M" } else { "%Y-%m-%d %H:%M" });
        format!(" until {time} {}{reason}", zone.iana_name().unwrap_or_default())
    }

    fn outlasts(&self, other: &Self) -> bool {
        match (&self.until, &other.until) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(until), Some(other)) => until.timestamp() > other.timestamp(),
        }
    }
}

/// `the rule at lcm.yaml:12 forbids busy to stopping until 18:00 Europe/Berlin: renders for clients`
impl fmt::Display for Denial<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, rule, until: _, at: _ } = self;
        write!(formatter, "the rule at {} forbids {from} to {to}{}", rule.source, self.terms())
    }
}

#[cfg(test)]
impl Rule {
    /// About these changes of every service, always.
    fn between(from: &[State], to: &[State]) -> Self {
        Self {
            from: from.iter().copied().collect(),
            to: to.iter().copied().collect(),
            services: BTreeSet::new(),
            modes: BTreeSet::new(),
            hours: None,
            reason: None,
            source: "lcm.yaml:3".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use jiff::Timestamp;
    use jiff::civil::time;
    use jiff::tz::TimeZoneDatabase;

    use super::{Case, Hours, Legality, Rule, Rules};
    use crate::model::lifecycle::State;
    use crate::model::lifecycle::State::{Busy, Offline, Online, Starting, Stopping, Suspended, Terminated};
    use crate::model::names::{ModeName, ServiceName};

    fn rule(source: &str, from: &[State], to: &[State]) -> Rule {
        Rule { source: source.to_owned(), ..Rule::between(from, to) }
    }

    /// What is said of `comfyui`, in mode `video`, on a Saturday at 12:00 in Berlin.
    fn told(rules: &Rules, from: State, to: State) -> String {
        let (service, mode) = (ServiceName::from("comfyui"), ModeName::from("video"));
        let at: Timestamp = "2026-11-21T11:00:00Z".parse().expect("a time");
        match rules.judge(&Case { service: &service, mode: Some(&mode), at }, from, to) {
            Legality::Legal => "legal".to_owned(),
            Legality::NoRow => "no row".to_owned(),
            Legality::Denied(denial) => denial.to_string().replace(&format!(" forbids {from} to {to}"), ""),
        }
    }

    #[test]
    fn without_rules_the_rows_are_what_is_legal() {
        let rules = Rules::default();
        for from in State::ALL {
            for to in State::ALL {
                let legal = from == to || from.may_become(to);
                assert_eq!(told(&rules, from, to), if legal { "legal" } else { "no row" }, "{from} to {to}");
            }
        }
    }

    #[test]
    fn a_rule_speaks_of_its_states_alone() {
        let deny = vec![rule("a:1", &[Busy], &[Stopping, Suspended])];
        let rules = Rules { deny, allow: vec![rule("a:2", &[Terminated], &[Starting])] };
        assert_eq!(told(&rules, Busy, Stopping), "the rule at a:1");
        assert_eq!(told(&rules, Busy, Suspended), "the rule at a:1");
        assert_eq!(told(&rules, Busy, Offline), "legal");
        assert_eq!(told(&rules, Online, Stopping), "legal");
        assert_eq!(told(&rules, Terminated, Starting), "legal");
        assert_eq!(told(&rules, Terminated, Online), "no row");
        let any = Rules { deny: vec![rule("a:3", &[], &[Starting])], ..Rules::default() };
        assert_eq!(told(&any, Offline, Starting), "the rule at a:3");
        // What has no row is not denied by name only: the rule is what must go first.
        assert_eq!(told(&any, Online, Starting), "the rule at a:3");
        assert_eq!(told(&any, Starting, Starting), "legal", "to stay is no change");
    }

    #[test]
    fn a_denial_goes_over_an_allowance() {
        let both = Rules { allow: vec![rule("a:1", &[Terminated], &[])], deny: vec![rule("a:2", &[], &[Starting])] };
        assert_eq!(told(&both, Terminated, Starting), "the rule at a:2");
        assert_eq!(told(&both, Terminated, Online), "legal");
    }

    #[test]
    fn other_services_and_modes_are_none_of_its_business() {
        for (services, modes, wanted) in [
            (vec!["comfyui", "ollama"], vec![], "the rule at a:1: renders"),
            (vec!["ollama"], vec![], "legal"),
            (vec![], vec!["video"], "the rule at a:1: renders"),
            (vec![], vec!["voice"], "legal"),
            (vec!["comfyui"], vec!["voice"], "legal"),
        ] {
            let mut rule = rule("a:1", &[Busy], &[]);
            rule.reason = Some("renders".to_owned());
            rule.services = services.into_iter().map(ServiceName::from).collect();
            rule.modes = modes.into_iter().map(ModeName::from).collect();
            assert_eq!(told(&Rules { deny: vec![rule], ..Rules::default() }, Busy, Stopping), wanted);
        }
        // Without a mode, a rule of some mode says nothing.
        let mut of_mode = rule("a:1", &[Busy], &[]);
        of_mode.modes = BTreeSet::from([ModeName::from("video")]);
        let (rules, service) = (Rules { deny: vec![of_mode], ..Rules::default() }, ServiceName::from("comfyui"));
        let case = Case { service: &service, mode: None, at: Timestamp::UNIX_EPOCH };
        assert_eq!(rules.judge(&case, Busy, Stopping), Legality::Legal);
    }

    #[test]
    fn of_several_denials_the_one_that_holds_longest_is_told() {
        let during = |source: &str, from: i8, until: i8| {
            let zone = TimeZoneDatabase::bundled().get("Europe/Berlin").expect("a zone");
            let hours = Hours { from: time(from, 0, 0, 0), until: time(until, 0, 0, 0), days: BTreeSet::new(), zone };
            Rule { hours: Some(hours), ..rule(source, &[Busy], &[]) }
        };
        let mut rules = Rules { deny: vec![during("a:1", 9, 13), during("a:2", 9, 18)], ..Rules::default() };
        assert_eq!(told(&rules, Busy, Stopping), "the rule at a:2 until 18:00 Europe/Berlin");
        rules.deny.insert(0, during("a:3", 10, 6));
        assert_eq!(told(&rules, Busy, Stopping), "the rule at a:3 until 2026-11-22 06:00 Europe/Berlin");
        rules.deny.push(rule("a:4", &[Busy], &[]));
        assert_eq!(told(&rules, Busy, Stopping), "the rule at a:4");
        // Out of its hours, an allowance allows nothing.
        let rules = Rules { allow: vec![during("a:5", 14, 15)], ..Rules::default() };
        assert_eq!(told(&rules, Busy, Starting), "no row");
    }
}
