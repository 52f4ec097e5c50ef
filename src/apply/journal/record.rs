//! State changes of a run, written to the history and reported as events and notifications. A store that fails stops
//! nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::payload::{payload, point_of};
use super::pending::{self, NoticeRecord};
use crate::apply::run::{Notice, Owed, Run, is_of_previous, is_of_service};
use crate::model::event::EventKind;
use crate::model::holds::HoldRecord;
use crate::model::hooks::{HookPayload, When};
use crate::model::instance::Instance;
use crate::model::lifecycle::State;
use crate::model::names::{ServiceName, StepId};
use crate::model::plan::Step;
use crate::store::{JournalEntry, PendingChange, Transition};

/// Position of one service on the route of one step.
pub(in crate::apply) struct Cursor<'r, 'a> {
    run: &'r Run<'a>,
    service: ServiceName,
    route: Vec<State>,
    reason: String,
    /// True if changes of the step are changes of the service: not for a surplus copy or a previous revision.
    counts: bool,
    step: StepId,
    payload: HookPayload,
    /// Changes that were notified of before they were made.
    announced: BTreeSet<State>,
    pub(in crate::apply) state: State,
}

impl<'r, 'a> Cursor<'r, 'a> {
    /// Places the cursor at the beginning of the step's route.
    pub(in crate::apply) fn at(run: &'r Run<'a>, step: &Step) -> Self {
        let state = step.route.first().copied().unwrap_or(step.expect.state);
        let (service, route) = (step.service.clone(), step.route.clone());
        let is_known = run.context.desired.services.contains_key(&service);
        let counts = !is_of_previous(step) && (is_of_service(step) || !is_known);
        let reason = step.reason.message.clone();
        let (payload, step) = (payload(run, step), step.id.clone());
        Self { run, service, route, reason, counts, step, payload, announced: BTreeSet::new(), state }
    }

    /// Returns true if changes of the step are changes of the service.
    pub(in crate::apply) fn counts(&self) -> bool {
        self.counts
    }

    /// Sets the instance that notifications name.
    pub(in crate::apply) fn set_instance(&mut self, instance: &Instance) {
        self.payload.instance = Some(instance.clone());
    }

    /// Notifies of the changes that lie ahead of the step, before they are made.
    pub(in crate::apply) async fn announce(&mut self) {
        let Some(here) = self.route.iter().position(|state| *state == self.state) else { return };
        let ahead: Vec<State> = self.route.get(here..).unwrap_or_default().to_vec();
        let reason = self.reason.clone();
        let news: Vec<(State, State)> = ahead.windows(2).map(|pair| (pair[0], pair[1])).collect();
        let news: Vec<(State, State)> = news.into_iter().filter(|(_, to)| self.announced.insert(*to)).collect();
        let notices = self.notices(When::Before, &news, &reason);
        let written = notices.write(self.run, None).await;
        notices.post(self.run, &written);
    }

    /// Moves along the route, up to and including `end`, where that lies ahead.
    pub(in crate::apply) async fn walk_to(&mut self, end: State) {
        let Some(here) = self.route.iter().position(|state| *state == self.state) else { return };
        let Some(there) = self.route.iter().rposition(|state| *state == end) else { return };
        let ahead: Vec<State> = self.route.get(here + 1..=there).unwrap_or_default().to_vec();
        self.announce().await;
        let reason = self.reason.clone();
        for state in ahead {
            self.go(state, &reason).await;
        }
    }

    /// Moves along the route of a stop, up to the last state in which the service still runs.
    pub(in crate::apply) async fn walk_while_it_runs(&mut self) {
        if let Some(last) = self.route.iter().rfind(|state| !state.is_not_running()).copied() {
            self.walk_to(last).await;
        }
    }

    pub(in crate::apply) async fn walk_to_last(&mut self) {
        if let Some(last) = self.route.last().copied() {
            self.walk_to(last).await;
        }
    }

    /// Makes one change, where the lifecycle and the rules have a row for it. Rules that deny it were consulted before the
    /// step began; a step that has begun is completed, and a failure needs no permission.
    pub(in crate::apply) async fn go(&mut self, to: State, reason: &str) {
        let case = self.run.rule_case(&self.service);
        if !self.run.context.desired.rules.has(&case, self.state, to) {
            return;
        }
        let from = std::mem::replace(&mut self.state, to);
        if !self.counts {
            return;
        }
        let mut notices = if self.announced.insert(to) {
            self.notices(When::Before, &[(from, to)], reason)
        } else {
            ChangeNotices::default()
        };
        notices.0.extend(self.notices(When::After, &[(from, to)], reason).0);
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
            metadata: hold_metadata(run, &self.service),
        };
        let written = notices.write(run, Some(&transition)).await;
        notices.post(run, &written);
        run.emit(EventKind::Transition { service: self.service.clone(), from, to, reason });
    }

    /// Returns the notifications of changes, for each notifier that subscribes to them.
    fn notices(&self, when: When, changes: &[(State, State)], reason: &str) -> ChangeNotices {
        let run = self.run;
        let notifiers = &run.context.desired.notify;
        if !self.counts || notifiers.is_empty() {
            return ChangeNotices::default();
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
                ChangeNotice { notifier, record, payload: payload.clone() }
            }));
        }
        ChangeNotices(notices)
    }
}

/// A notification of a change, its notifier and its record.
struct ChangeNotice {
    notifier: usize,
    record: NoticeRecord,
    payload: HookPayload,
}

#[derive(Default)]
struct ChangeNotices(Vec<ChangeNotice>);

impl ChangeNotices {
    /// Records the notifications together with their change. Returns the ids of the new records, in order.
    async fn write(&self, run: &Run<'_>, transition: Option<&Transition>) -> Vec<u64> {
        let mut due = Vec::new();
        let mut add = Vec::new();
        for notices in &self.0 {
            match &notices.record {
                NoticeRecord::Committed(id) => due.push(*id),
                NoticeRecord::New(call) => add.push(call.as_ref().clone()),
            }
        }
        if transition.is_none() && due.is_empty() && add.is_empty() {
            return Vec::new();
        }
        let pending = PendingChange { add: &add, due: &due, ..PendingChange::default() };
        let entry = JournalEntry { transition, pending, ..JournalEntry::of(&run.context.desired.project) };
        run.context.store.write(&entry).await.unwrap_or_else(|error| {
            run.store_failed(&error);
            Vec::new()
        })
    }

    /// Posts the notifications to their notifiers.
    fn post(self, run: &Run<'_>, written: &[u64]) {
        let mut written = written.iter().copied();
        for ChangeNotice { notifier, record, payload } in self.0 {
            let id = match record {
                NoticeRecord::Committed(id) => Some(id),
                NoticeRecord::New(_) => written.next(),
            };
            run.notices.post(notifier, Notice { owed: Owed { id, tries: None }, payload });
        }
    }
}

/// Returns the metadata of the hold on a service, for the history.
fn hold_metadata(run: &Run<'_>, service: &ServiceName) -> BTreeMap<String, String> {
    let metadata = |hold: &HoldRecord| hold.metadata.clone();
    run.ledger().holds.get(service).map(metadata).unwrap_or_default()
}
