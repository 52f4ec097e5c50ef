//! Every change of state that a run makes, told and written down. A store that fails stops nothing.

use std::collections::BTreeSet;

use super::expect::{is_of_older, is_of_service};
use super::notify::{Notice, point_of};
use super::pending::{self, Noted};
use super::run::Run;
use super::verdict::Verdict;
use super::words;
use crate::model::event::EventKind;
use crate::model::hooks::{FORMAT, HookPayload, Point, When};
use crate::model::instance::Instance;
use crate::model::lifecycle::State;
use crate::model::names::{ServiceName, StepId};
use crate::model::plan::Step;
use crate::model::rules::{Case, Verdict as Forbidden};
use crate::store::{Author, Entry, PendingChange, Transition};

/// Which word or rule stands against a step by now, though it did not when the plan was made. To be asked before the
/// step changes anything, and again after each wait before that.
pub(super) fn forbidden(run: &Run<'_>, step: &Step) -> Option<Verdict> {
    words::forbids(run, step).map(Verdict::Stale).or_else(|| by_rule(run, step))
}

fn by_rule(run: &Run<'_>, step: &Step) -> Option<Verdict> {
    let rules = &run.context.desired.rules;
    match rules.judge_route(&case(run, &step.service), &step.route) {
        Some(Forbidden::Denied(denial)) => Some(Verdict::Stale(denial.to_string())),
        Some(Forbidden::NoRow) => Some(Verdict::Stale("the lifecycle has no such way by now".to_owned())),
        Some(Forbidden::Legal) | None => None,
    }
}

/// Here and now.
fn case<'a>(run: &'a Run<'_>, service: &'a ServiceName) -> Case<'a> {
    Case { service, mode: run.context.desired.mode.as_ref(), at: run.context.driver.now() }
}

/// Where one service is on the route of one step.
pub(super) struct Cursor<'r, 'a> {
    run: &'r Run<'a>,
    service: ServiceName,
    route: Vec<State>,
    reason: String,
    /// What is done to a surplus copy or an older self changes nothing for the service of that name.
    counts: bool,
    step: StepId,
    payload: HookPayload,
    /// Changes that notifiers were told of as about to be made.
    announced: BTreeSet<State>,
    pub(super) state: State,
}

impl<'r, 'a> Cursor<'r, 'a> {
    /// At the beginning of the step's route.
    pub(super) fn at(run: &'r Run<'a>, step: &Step) -> Self {
        let state = step.route.first().copied().unwrap_or(step.expect.state);
        let (service, route) = (step.service.clone(), step.route.clone());
        let is_known = run.context.desired.services.contains_key(&service);
        let counts = !is_of_older(step) && (is_of_service(step) || !is_known);
        let reason = step.reason.message.clone();
        let (payload, step) = (payload(run, step), step.id.clone());
        Self { run, service, route, reason, counts, step, payload, announced: BTreeSet::new(), state }
    }

    /// Whether changes of the step are the service's own.
    pub(super) fn counts(&self) -> bool {
        self.counts
    }

    /// What notifiers are told of as the service's own.
    pub(super) fn is_now(&mut self, instance: &Instance) {
        self.payload.instance = Some(instance.clone());
    }

    /// Tells who wants to know beforehand of all that the step is about to do.
    pub(super) fn announce(&mut self) {
        let Some(here) = self.route.iter().position(|state| *state == self.state) else { return };
        let ahead: Vec<State> = self.route.get(here..).unwrap_or_default().to_vec();
        let reason = self.reason.clone();
        let news: Vec<(State, State)> = ahead.windows(2).map(|pair| (pair[0], pair[1])).collect();
        let news: Vec<(State, State)> = news.into_iter().filter(|(_, to)| self.announced.insert(*to)).collect();
        let told = self.notices(When::Before, &news, &reason);
        let written = told.write(self.run, None);
        told.post(self.run, &written);
    }

    /// Along the route, up to and including `end`, where that lies ahead.
    pub(super) fn walk_to(&mut self, end: State) {
        let Some(here) = self.route.iter().position(|state| *state == self.state) else { return };
        let Some(there) = self.route.iter().rposition(|state| *state == end) else { return };
        let ahead: Vec<State> = self.route.get(here + 1..=there).unwrap_or_default().to_vec();
        self.announce();
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

    /// One change, where rows or rules have it: what they have not, is not claimed. What they deny, was asked before
    /// the step began to change anything; what has begun is gone through with, and a failure asks nobody.
    pub(super) fn go(&mut self, to: State, reason: &str) {
        let case = case(self.run, &self.service);
        if !self.run.context.desired.rules.has(&case, self.state, to) {
            return;
        }
        let from = std::mem::replace(&mut self.state, to);
        if !self.counts {
            return;
        }
        let mut told = if self.announced.insert(to) {
            self.notices(When::Before, &[(from, to)], reason)
        } else {
            Notices::default()
        };
        told.0.extend(self.notices(When::After, &[(from, to)], reason).0);
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
        let written = told.write(run, Some(&transition));
        told.post(run, &written);
        run.say(EventKind::Transition { service: self.service.clone(), from, to, reason });
    }

    /// Notifications of changes, for each notifier that wants them.
    fn notices(&self, when: When, changes: &[(State, State)], reason: &str) -> Notices {
        let run = self.run;
        let notifiers = &run.context.desired.notify;
        if !self.counts || notifiers.is_empty() {
            return Notices::default();
        }
        let (at, reason) = (run.context.driver.now(), run.mask(reason));
        let mut notices = Vec::new();
        for (from, to) in changes {
            let hook = point_of(when);
            let payload =
                HookPayload { at, hook, from: *from, to: *to, reason: reason.clone(), ..self.payload.clone() };
            let wanted = notifiers.iter().enumerate().filter(|(_, other)| other.wants(when, &self.service, *to));
            notices.extend(wanted.map(|(notifier, found)| {
                let record = pending::note(run, &self.step, found, &payload);
                Told { notifier, record, payload: payload.clone() }
            }));
        }
        Notices(notices)
    }
}

/// One notification, and its record.
struct Told {
    notifier: usize,
    record: Noted,
    payload: HookPayload,
}

#[derive(Default)]
struct Notices(Vec<Told>);

impl Notices {
    /// Records them, with the change that they are of. Returns the ids of the new records, in their order.
    fn write(&self, run: &Run<'_>, transition: Option<&Transition>) -> Vec<u64> {
        let mut due = Vec::new();
        let mut add = Vec::new();
        for told in &self.0 {
            match &told.record {
                Noted::Committed(id) => due.push(*id),
                Noted::New(call) => add.push(call.as_ref().clone()),
            }
        }
        if transition.is_none() && due.is_empty() && add.is_empty() {
            return Vec::new();
        }
        let pending = PendingChange { add: &add, due: &due, ..PendingChange::default() };
        let entry = Entry { transition, pending, ..Entry::of(&run.context.desired.project) };
        run.context.store.write(&entry).unwrap_or_else(|error| {
            run.store_failed(&error);
            Vec::new()
        })
    }

    /// Hands them to their notifiers.
    fn post(self, run: &Run<'_>, written: &[u64]) {
        let mut written = written.iter().copied();
        for Told { notifier, record, payload } in self.0 {
            let id = match record {
                Noted::Committed(id) => Some(id),
                Noted::New(_) => written.next(),
            };
            run.notices.post(notifier, Notice { id, payload, tries: None });
        }
    }
}

/// What hooks and notifiers are told of a step: its ends, and of whom it is.
pub(super) fn payload(run: &Run<'_>, step: &Step) -> HookPayload {
    let state = |state: Option<&State>| state.copied().unwrap_or(step.expect.state);
    let Author { by, run: id } = run.context.author.clone();
    HookPayload {
        format: FORMAT.to_owned(),
        at: run.context.driver.now(),
        hook: Point::NotifyAfter,
        project: run.context.desired.project.clone(),
        service: step.service.clone(),
        from: state(step.route.first()),
        to: state(step.route.last()),
        reason: run.mask(&step.reason.message),
        code: Some(step.reason.code),
        made: true,
        by,
        run: id,
        gpus: step.gpus.clone(),
        instance: step.expect.instance.clone(),
    }
}
