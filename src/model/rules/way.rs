//! Route of an action where rules apply, or the reason for which there is none.

use std::fmt;

use crate::model::lifecycle::{Action, State, route};
use crate::model::rules::{Case, Denial, Legality, Rules};

/// Reason why there is no route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal<'a> {
    Denied(Denial<'a>),
    /// The table has no route for this action from this state, and no rule adds one.
    NoRoute {
        action: Action,
        from: State,
        /// States that may follow instead.
        next: Vec<State>,
    },
}

impl Rules {
    /// Returns the states that an action passes, the present one first: the table's route where it has one, else the
    /// most direct one that `allow` adds.
    pub fn way(&self, case: &Case<'_>, action: Action, from: State) -> Result<Vec<State>, Refusal<'_>> {
        if let Some(route) = route(action, from) {
            // Every route of the table is legal by the rows.
            if self.deny.is_empty() {
                return Ok(route.to_vec());
            }
            return match self.judge_route(case, route) {
                None => Ok(route.to_vec()),
                Some(Legality::Denied(denial)) => Err(Refusal::Denied(denial)),
                Some(Legality::Legal | Legality::NoRow) => Err(self.no_way(case, action, from)),
            };
        }
        let mut refusal = None;
        // A row that the table leaves unused stays unused: only a change that a rule adds is new.
        let opened = |rest: &&&[State]| !rest.contains(&from) && !from.may_become(rest[0]);
        for rest in shortcuts(action).iter().filter(opened) {
            let route: Vec<State> = [from].iter().chain(*rest).copied().collect();
            match self.judge_route(case, &route) {
                None => return Ok(route),
                // A route that only a denial closes: the denial must be removed first.
                Some(Legality::Denied(denial)) if self.has(case, from, rest[0]) => {
                    refusal.get_or_insert(Refusal::Denied(denial));
                }
                Some(Legality::Legal | Legality::NoRow | Legality::Denied(_)) => {}
            }
        }
        Err(refusal.unwrap_or_else(|| self.no_way(case, action, from)))
    }

    fn no_way(&self, case: &Case<'_>, action: Action, from: State) -> Refusal<'_> {
        Refusal::NoRoute { action, from, next: self.next(case, from).collect() }
    }
}

/// Returns the states after the first one, on the shortest routes that a rule may open. An eviction or a wake changes
/// no state.
fn shortcuts(action: Action) -> &'static [&'static [State]] {
    match action {
        Action::Start => &[&[State::Starting, State::Online]],
        Action::Stop => &[&[State::Stopping, State::Offline], &[State::Offline]],
        Action::Remove => &[&[State::Deleted]],
        Action::Pause => &[&[State::Suspended]],
        Action::Unpause => &[&[State::Online]],
        Action::Update => &[&[State::Updating, State::Online]],
        Action::Scale => &[&[State::Scaling, State::Online]],
        Action::Evict | Action::Wake => &[],
    }
}

impl fmt::Display for Refusal<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(denial) => denial.fmt(formatter),
            Self::NoRoute { action, from, next } => {
                write!(formatter, "the lifecycle does not allow {action} in state {from}; ")?;
                if next.is_empty() {
                    return formatter.write_str("no other state may follow");
                }
                let next: Vec<&str> = next.iter().map(|state| state.as_str()).collect();
                write!(formatter, "states that may follow: {}", next.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::Refusal;
    use crate::model::lifecycle::{Action, State, route};
    use crate::model::names::ServiceName;
    use crate::model::rules::{Case, Rule, Rules};

    fn rule(from: State, to: State) -> Rule {
        Rule::between(&[from], &[to])
    }

    fn way(rules: &Rules, action: Action, from: State) -> Result<Vec<State>, String> {
        let case = Case { service: &ServiceName::from("a"), mode: None, at: Timestamp::UNIX_EPOCH };
        rules.way(&case, action, from).map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn without_rules_the_table_is_the_route() {
        for action in Action::ALL {
            for from in State::ALL {
                let way = way(&Rules::default(), action, from);
                assert_eq!(way.clone().ok().as_deref(), route(action, from), "{action} from {from}");
                assert!(way.is_ok() || way.is_err_and(|why| why.contains("the lifecycle does not allow")));
            }
        }
    }

    #[test]
    fn a_denial_anywhere_on_the_route_closes_it() {
        for action in Action::ALL {
            for from in State::ALL {
                for pair in route(action, from).unwrap_or_default().windows(2) {
                    let rules = Rules { deny: vec![rule(pair[0], pair[1])], ..Rules::default() };
                    let refused = way(&rules, action, from).expect_err("it is denied");
                    assert_eq!(refused, format!("the rule at lcm.yaml:3 forbids {} → {}", pair[0], pair[1]));
                }
            }
        }
    }

    #[test]
    fn an_allowance_opens_the_most_direct_route_where_there_is_none() {
        use State::{Offline, Online, Starting, Terminated};
        let allow = vec![rule(Terminated, Starting)];
        let mut rules = Rules { allow, ..Rules::default() };
        assert_eq!(way(&rules, Action::Start, Terminated), Ok(vec![Terminated, Starting, Online]));
        assert_eq!(way(&rules, Action::Start, Offline), Ok(vec![Offline, Starting, Online]), "the table goes first");
        rules.deny.push(rule(Starting, Online));
        let refused = way(&rules, Action::Start, Terminated);
        assert_eq!(refused, Err("the rule at lcm.yaml:3 forbids starting → online".to_owned()));
        assert_eq!(
            way(&Rules::default(), Action::Start, Terminated),
            Err("the lifecycle does not allow start in state terminated; states that may follow: deleted".to_owned())
        );
        let service = ServiceName::from("a");
        let case = Case { service: &service, mode: None, at: Timestamp::UNIX_EPOCH };
        let none = Rules::default();
        let refusal = none.way(&case, Action::Stop, State::Deleted).expect_err("nothing to stop");
        assert!(matches!(&refusal, Refusal::NoRoute { next, .. } if next.is_empty()), "{refusal}");
    }
}
