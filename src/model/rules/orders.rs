//! Commands and holds that rows and rules permit an operator for a service.
//!
//! Not here: whether lcm may touch the service at all, and the effects on its neighbours.

use crate::model::holds::{Hold, way};
use crate::model::lifecycle::{Action, State};
use crate::model::rules::{Case, Denial, Legality, Rules};

impl Rules {
    /// Returns the states that a service passes once a hold is set, both ends included. Empty: no row leads there, and
    /// the service is held in its present state.
    ///
    /// # Errors
    ///
    /// A rule forbids the change.
    pub fn may_hold(&self, case: &Case<'_>, hold: Hold, from: State) -> Result<Vec<State>, Denial<'_>> {
        // Where the rows have no such change at all, a rule may add one.
        let direct = [from, hold.state()];
        let opened = (!from.may_become(hold.state())).then_some(direct.as_slice());
        let Some(route) = way(hold, from).or(opened) else { return Ok(Vec::new()) };
        match self.judge_route(case, route) {
            None => Ok(route.to_vec()),
            Some(Legality::NoRow | Legality::Legal) => Ok(Vec::new()),
            Some(Legality::Denied(denial)) => Err(denial),
        }
    }

    /// Returns the commands that are permitted for a service in this state, as typed after `lcm`. A held service is not
    /// started or stopped before it is resumed.
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
    fn permitted_commands_depend_on_the_state() {
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
    fn rules_forbid_and_permit_commands() {
        let deny = vec![rule(State::Idle, State::Stopping)];
        assert_eq!(commands(&Rules { deny, ..Rules::default() }, State::Idle), "maintain suspend");
        // A restart is not offered where the start would be forbidden.
        let deny = vec![rule(State::Offline, State::Starting)];
        assert_eq!(commands(&Rules { deny, ..Rules::default() }, State::Idle), "stop maintain suspend terminate");
        let allow = vec![rule(State::Failed, State::Maintenance)];
        let rules = Rules { allow, ..Rules::default() };
        let case = Case { service: &ServiceName::from("a"), mode: None, at: Timestamp::UNIX_EPOCH };
        assert_eq!(rules.may_hold(&case, Hold::Maintain, State::Failed), Ok(vec![State::Failed, State::Maintenance]));
        assert_eq!(Rules::default().may_hold(&case, Hold::Maintain, State::Failed), Ok(Vec::new()));
    }
}
