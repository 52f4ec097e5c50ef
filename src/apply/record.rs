//! Every change of state that a run makes, told and written down. A store that fails stops nothing.

use super::expect::{is_of_older, is_of_service};
use super::run::Run;
use crate::model::event::EventKind;
use crate::model::lifecycle::State;
use crate::model::names::ServiceName;
use crate::model::plan::Step;
use crate::store::Transition;

/// Where one service is on the route of one step.
pub(super) struct Cursor<'r, 'a> {
    run: &'r Run<'a>,
    service: ServiceName,
    route: Vec<State>,
    reason: String,
    /// What is done to a surplus copy or an older self changes nothing for the service of that name.
    counts: bool,
    pub(super) state: State,
}

impl<'r, 'a> Cursor<'r, 'a> {
    /// At the beginning of the step's route.
    pub(super) fn at(run: &'r Run<'a>, step: &Step) -> Self {
        let state = step.route.first().copied().unwrap_or(step.expect.state);
        let (service, route) = (step.service.clone(), step.route.clone());
        let is_known = run.context.desired.services.contains_key(&service);
        let counts = !is_of_older(step) && (is_of_service(step) || !is_known);
        Self { run, service, route, reason: step.reason.message.clone(), counts, state }
    }

    /// Along the route, up to and including `end`, where that lies ahead.
    pub(super) fn walk_to(&mut self, end: State) {
        let Some(here) = self.route.iter().position(|state| *state == self.state) else { return };
        let Some(there) = self.route.iter().rposition(|state| *state == end) else { return };
        let ahead: Vec<State> = self.route.get(here + 1..=there).unwrap_or_default().to_vec();
        let reason = self.reason.clone();
        for state in ahead {
            self.go(state, &reason);
        }
    }

    /// Along the route of a stop, up to what holds while the effect is under way: the last state in which it still runs.
    pub(super) fn walk_while_it_runs(&mut self) {
        if let Some(last) = self.route.iter().rfind(|state| !state.is_not_running()).copied() {
            self.walk_to(last);
        }
    }

    pub(super) fn walk_to_last(&mut self) {
        if let Some(last) = self.route.last().copied() {
            self.walk_to(last);
        }
    }

    /// One change, where the lifecycle has such a row: what it has not, is not claimed.
    pub(super) fn go(&mut self, to: State, reason: &str) {
        if !self.state.may_become(to) {
            return;
        }
        let from = std::mem::replace(&mut self.state, to);
        if !self.counts {
            return;
        }
        let (run, reason) = (self.run, self.run.mask(reason));
        run.ledger().states.insert(self.service.clone(), to);
        let transition = Transition {
            at: run.context.driver.now(),
            project: run.context.desired.project.clone(),
            service: self.service.clone(),
            from,
            to,
            reason: reason.clone(),
            made: true,
            author: run.context.author.clone(),
            metadata: run.said_of(&self.service),
        };
        if let Err(error) = run.context.store.record(&transition) {
            run.store_failed(&error);
        }
        run.say(EventKind::Transition { service: self.service.clone(), from, to, reason });
    }
}
