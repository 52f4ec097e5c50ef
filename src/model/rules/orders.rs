//! What an operator may order of a service, by rows and rules. Whether it is lcm's to order about at all, and what
//! becomes of its neighbours, is not asked here.

use crate::model::holds::{Hold, way};
use crate::model::lifecycle::{Action, State};
use crate::model::rules::{Case, Denial, Legality, Rules};

impl Rules {
    /// Returns the states that a service passes once this is said of it, both ends included. Empty: no row leads there,
    /// and it is held in the state that it is in. `Err`: a rule forbids the change.
    pub fn may_hold(&self, case: &Case<'_>, hold: Hold, from: State) -> Result<Vec<State>, Denial<'_>> {
        // Where the rows have no such change at all, a rule may open one.
        let direct = [from, hold.state()];
        let opened = (!from.may_become(hold.state())).then_some(direct.as_slice());
        let Some(route) = way(hold, from).or(opened) else { return Ok(Vec::new()) };
        match self.judge_route(case, route) {
            None => Ok(route.to_vec()),
            Some(Legality::NoRow | Legality::Legal) => Ok(Vec::new()),
            Some(Legality::Denied(denial)) => Err(denial),
        }
    }

    /// The commands that may be given of a service from here, as they are typed after `lcm`. What an operator holds is
    /// not started or stopped before it is resumed.
    #[must_use]
    pub fn commands(&self, case: &Case<'_>, from: State) -> Vec<&'static str> {
        let may = |action, from| self.way(case, action, from).is_ok();
        let is_held = matches!(from, State::Maintenance | State::Suspended | State::Terminated);
        let runs = from.is_operational() || matches!(from, State::Starting | State::Error | State::Timeout);
        let starts = !is_held && (from.is_not_running() || from.is_in_error()) && may(Action::Start, from);
        let stops = runs && may(Action::Stop, from);
        let restarts = from.is_operational() && stops && may(Action::Start, State::Offline);
        let orders = [("resume", is_held), ("start", starts), ("stop", stops), ("restart", restarts)];
        let may_hold = |hold: &Hold| hold.state() != from && self.may_hold(case, *hold, from).is_ok();
        let holds = Hold::ALL.into_iter().filter(may_hold);
        orders.into_iter().filter(|(_, may)| *may).map(|(order, _)| order).chain(holds.map(Hold::as_str)).collect()
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use crate::model::holds::Hold;
    use crate::model::lifecycle::State;
    use crate::model::names::ServiceName;
    use crate::model::rules::{Case, Rule, Rules};

    fn commands(rules: &Rules, from: State) -> String {
        let case = Case { service: &ServiceName::from("a"), mode: None, at: Timestamp::UNIX_EPOCH };
        rules.commands(&case, from).join(" ")
    }

    fn rule(from: State, to: State) -> Rule {
        Rule::between(&[from], &[to])
    }

    #[test]
    fn what_may_be_ordered_depends_on_where_it_is() {
        for (from, wanted) in [
            (State::Registered, "start maintain suspend terminate"),
            (State::Deploying, "maintain suspend terminate"),
            (State::Starting, "stop maintain suspend terminate"),
            (State::Idle, "stop restart maintain suspend terminate"),
            (State::Stopping, "maintain suspend terminate"),
            (State::Error, "start stop maintain suspend terminate"),
            (State::Failed, "start maintain suspend terminate"),
            (State::Maintenance, "resume suspend terminate"),
            (State::Suspended, "resume maintain terminate"),
            (State::Offline, "start maintain suspend terminate"),
            (State::Terminated, "resume maintain suspend"),
            (State::Deleted, "maintain suspend terminate"),
        ] {
            assert_eq!(commands(&Rules::default(), from), wanted, "{from}");
        }
    }

    #[test]
    fn rules_close_and_open_what_may_be_ordered() {
        let deny = vec![rule(State::Idle, State::Stopping)];
        assert_eq!(commands(&Rules { deny, ..Rules::default() }, State::Idle), "maintain suspend");
        // What could not be started again is not offered for a restart.
        let deny = vec![rule(State::Offline, State::Starting)];
        assert_eq!(commands(&Rules { deny, ..Rules::default() }, State::Idle), "stop maintain suspend terminate");
        let allow = vec![rule(State::Failed, State::Maintenance)];
        let rules = Rules { allow, ..Rules::default() };
        let case = Case { service: &ServiceName::from("a"), mode: None, at: Timestamp::UNIX_EPOCH };
        assert_eq!(rules.may_hold(&case, Hold::Maintain, State::Failed), Ok(vec![State::Failed, State::Maintenance]));
        assert_eq!(Rules::default().may_hold(&case, Hold::Maintain, State::Failed), Ok(Vec::new()));
    }
}
