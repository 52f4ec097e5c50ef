//! Rules that narrow or widen the lifecycle's rows: `lifecycle.deny` and `lifecycle.allow`; and which change is legal
//! by rows and rules together.
//!
//! Not here: the hours of a rule (`hours`), the route of an action (`way`), and the commands open to an operator
//! (`orders`).

mod hours;
mod orders;
pub mod way;

use std::collections::BTreeSet;
use std::fmt;

use jiff::{Timestamp, Zoned};

use crate::model::lifecycle::State;
use crate::model::mode_set::ModeSet;
use crate::model::names::{ModeName, ServiceName};

pub use hours::{Day, Hours};

/// All rules of a manifest. Where an allowance and a denial match a change, the denial counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Changes that are legal here, in addition to the rows.
    pub allow: Vec<Rule>,
    /// Changes that are not made here, though the rows have them.
    pub deny: Vec<Rule>,
}

/// One rule; an empty set matches all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub from: BTreeSet<State>,
    pub to: BTreeSet<State>,
    pub services: BTreeSet<ServiceName>,
    pub modes: BTreeSet<ModeName>,
    /// `None`: always.
    pub hours: Option<Hours>,
    pub reason: Option<String>,
    /// Place in the manifest, for messages: `lcm.yaml:12`.
    pub source: String,
}

/// Service, mode and time that a change is judged for.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    pub service: &'a ServiceName,
    pub mode: Option<&'a ModeSet>,
    pub at: Timestamp,
}

/// Judgement on a change, with the reason if it is not legal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Legality<'a> {
    Legal,
    /// The lifecycle has no such change, and no rule adds it.
    NoRow,
    Denied(Denial<'a>),
}

/// The rule that forbids a change, and the end of the denial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial<'a> {
    pub from: State,
    pub to: State,
    pub rule: &'a Rule,
    /// On the clock of the rule's zone; `None`: no end.
    pub until: Option<Zoned>,
    /// Time of the judgement.
    pub at: Timestamp,
}

impl Rules {
    /// Judges a change of a service from one state to another. Staying in a state is always legal.
    #[must_use]
    pub fn judge(&self, case: &Case<'_>, from: State, to: State) -> Legality<'_> {
        if from == to {
            return Legality::Legal;
        }
        // Of several denials, the one that holds longest: an earlier end of another is no reason to retry.
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

    /// Returns true if the rows, or an allowance, have such a change, denied or not: changes that happen without lcm
    /// are subject to no rule.
    #[must_use]
    pub fn has(&self, case: &Case<'_>, from: State, to: State) -> bool {
        let allows = |rule: &Rule| rule.names(from, to) && rule.holds(case).is_some();
        from.may_become(to) || self.allow.iter().any(allows)
    }

    /// Returns the judgement on the first change of a route that is not legal; `None`: all are legal.
    #[must_use]
    pub fn judge_route(&self, case: &Case<'_>, route: &[State]) -> Option<Legality<'_>> {
        let judgements = route.windows(2).map(|pair| self.judge(case, pair[0], pair[1]));
        judgements.into_iter().find(|judgement| *judgement != Legality::Legal)
    }

    /// Returns the changes from a state that rows or an allowance have and a rule forbids, in the order of the states.
    pub fn denials<'a>(&'a self, case: &'a Case<'_>, from: State) -> impl Iterator<Item = Denial<'a>> + 'a {
        let had = State::ALL.into_iter().filter(move |to| self.has(case, from, *to));
        had.filter_map(move |to| match self.judge(case, from, to) {
            Legality::Denied(denial) => Some(denial),
            Legality::Legal | Legality::NoRow => None,
        })
    }

    /// Returns the states that may follow by rows and rules, in the order of the states.
    pub fn next<'a>(&'a self, case: &'a Case<'_>, from: State) -> impl Iterator<Item = State> + 'a {
        let others = State::ALL.into_iter().filter(move |to| *to != from);
        others.filter(move |to| self.judge(case, from, *to) == Legality::Legal)
    }
}

impl Rule {
    /// Returns true if the rule matches this change, for any service, mode and time.
    #[must_use]
    pub fn names(&self, from: State, to: State) -> bool {
        let any_or_has = |states: &BTreeSet<State>, state| states.is_empty() || states.contains(&state);
        from != to && any_or_has(&self.from, from) && any_or_has(&self.to, to)
    }

    /// Returns true if every change that the rule matches satisfies `is_such`.
    pub fn matches_only(&self, is_such: impl Fn(State, State) -> bool) -> bool {
        State::ALL.iter().all(|from| State::ALL.iter().all(|to| !self.names(*from, *to) || is_such(*from, *to)))
    }

    /// Returns the end of the rule in this case; `None`: the rule is for other services, modes or hours.
    fn holds(&self, case: &Case<'_>) -> Option<ActiveUntil> {
        let of_service = self.services.is_empty() || self.services.contains(case.service);
        let in_mode = self.modes.is_empty()
            || case.mode.is_some_and(|active| active.iter().any(|mode| self.modes.contains(mode)));
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

/// End of a rule that is in force.
struct ActiveUntil {
    until: Option<Zoned>,
}

impl Denial<'_> {
    /// Returns the end and the reason, as far as the rule has them: ` until 18:00 Europe/Berlin (renders for clients)`.
    #[must_use]
    pub fn terms(&self) -> String {
        let reason = self.rule.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
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

/// Writes `the rule at lcm.yaml:12 forbids busy → stopping until 18:00 Europe/Berlin (renders for clients)`.
impl fmt::Display for Denial<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, rule, until: _, at: _ } = self;
        write!(formatter, "the rule at {} forbids {from} → {to}{}", rule.source, self.terms())
    }
}

#[cfg(test)]
impl Rule {
    /// Creates a rule for these changes of every service, always.
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
    use crate::model::mode_set::ModeSet;
    use crate::model::names::{ModeName, ServiceName};

    fn rule(source: &str, from: &[State], to: &[State]) -> Rule {
        Rule { source: source.to_owned(), ..Rule::between(from, to) }
    }

    /// Returns the judgement for `comfyui` in mode `video`, on a Saturday at 12:00 in Berlin.
    fn judged(rules: &Rules, from: State, to: State) -> String {
        let (service, mode) = (ServiceName::from("comfyui"), ModeSet::from("video"));
        let at: Timestamp = "2026-11-21T11:00:00Z".parse().expect("a time");
        match rules.judge(&Case { service: &service, mode: Some(&mode), at }, from, to) {
            Legality::Legal => "legal".to_owned(),
            Legality::NoRow => "no row".to_owned(),
            Legality::Denied(denial) => denial.to_string().replace(&format!(" forbids {from} → {to}"), ""),
        }
    }

    #[test]
    fn without_rules_the_rows_are_what_is_legal() {
        let rules = Rules::default();
        for from in State::ALL {
            for to in State::ALL {
                let legal = from == to || from.may_become(to);
                assert_eq!(judged(&rules, from, to), if legal { "legal" } else { "no row" }, "{from} to {to}");
            }
        }
    }

    #[test]
    fn a_rule_matches_its_states_alone() {
        let deny = vec![rule("a:1", &[Busy], &[Stopping, Suspended])];
        let rules = Rules { deny, allow: vec![rule("a:2", &[Terminated], &[Starting])] };
        assert_eq!(judged(&rules, Busy, Stopping), "the rule at a:1");
        assert_eq!(judged(&rules, Busy, Suspended), "the rule at a:1");
        assert_eq!(judged(&rules, Busy, Offline), "legal");
        assert_eq!(judged(&rules, Online, Stopping), "legal");
        assert_eq!(judged(&rules, Terminated, Starting), "legal");
        assert_eq!(judged(&rules, Terminated, Online), "no row");
        let any = Rules { deny: vec![rule("a:3", &[], &[Starting])], ..Rules::default() };
        assert_eq!(judged(&any, Offline, Starting), "the rule at a:3");
        // A change without a row is denied too: removing the rule comes first.
        assert_eq!(judged(&any, Online, Starting), "the rule at a:3");
        assert_eq!(judged(&any, Starting, Starting), "legal", "to stay is no change");
    }

    #[test]
    fn a_denial_overrides_an_allowance() {
        let both = Rules { allow: vec![rule("a:1", &[Terminated], &[])], deny: vec![rule("a:2", &[], &[Starting])] };
        assert_eq!(judged(&both, Terminated, Starting), "the rule at a:2");
        assert_eq!(judged(&both, Terminated, Online), "legal");
    }

    #[test]
    fn a_rule_does_not_match_other_services_and_modes() {
        for (services, modes, wanted) in [
            (vec!["comfyui", "ollama"], vec![], "the rule at a:1 (renders)"),
            (vec!["ollama"], vec![], "legal"),
            (vec![], vec!["video"], "the rule at a:1 (renders)"),
            (vec![], vec!["voice"], "legal"),
            (vec!["comfyui"], vec!["voice"], "legal"),
        ] {
            let mut rule = rule("a:1", &[Busy], &[]);
            rule.reason = Some("renders".to_owned());
            rule.services = services.into_iter().map(ServiceName::from).collect();
            rule.modes = modes.into_iter().map(ModeName::from).collect();
            assert_eq!(judged(&Rules { deny: vec![rule], ..Rules::default() }, Busy, Stopping), wanted);
        }
        // Without a mode, a rule for some mode does not match.
        let mut of_mode = rule("a:1", &[Busy], &[]);
        of_mode.modes = BTreeSet::from([ModeName::from("video")]);
        let (rules, service) = (Rules { deny: vec![of_mode], ..Rules::default() }, ServiceName::from("comfyui"));
        let case = Case { service: &service, mode: None, at: Timestamp::UNIX_EPOCH };
        assert_eq!(rules.judge(&case, Busy, Stopping), Legality::Legal);
    }

    #[test]
    fn of_several_denials_the_one_that_holds_longest_is_reported() {
        let during = |source: &str, from: i8, until: i8| {
            let zone = TimeZoneDatabase::bundled().get("Europe/Berlin").expect("a zone");
            let hours = Hours { from: time(from, 0, 0, 0), until: time(until, 0, 0, 0), days: BTreeSet::new(), zone };
            Rule { hours: Some(hours), ..rule(source, &[Busy], &[]) }
        };
        let mut rules = Rules { deny: vec![during("a:1", 9, 13), during("a:2", 9, 18)], ..Rules::default() };
        assert_eq!(judged(&rules, Busy, Stopping), "the rule at a:2 until 18:00 Europe/Berlin");
        rules.deny.insert(0, during("a:3", 10, 6));
        assert_eq!(judged(&rules, Busy, Stopping), "the rule at a:3 until 2026-11-22 06:00 Europe/Berlin");
        rules.deny.push(rule("a:4", &[Busy], &[]));
        assert_eq!(judged(&rules, Busy, Stopping), "the rule at a:4");
        // Outside of its hours, an allowance allows nothing.
        let rules = Rules { allow: vec![during("a:5", 14, 15)], ..Rules::default() };
        assert_eq!(judged(&rules, Busy, Starting), "no row");
    }
}
