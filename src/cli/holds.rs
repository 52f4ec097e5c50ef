//! Holds of `maintain`, `suspend`, `resume` and `terminate`: the operator, and the check that a service in its present
//! state may have the hold. All named services are checked before any is changed.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::cli::answer::data;
use crate::cli::args::names;
use crate::cli::args::operator::{DRY_RUN, HoldArgs, OperatorArgs};
use crate::cli::opened;
use crate::cli::stop::{Code, EarlyExit};
use crate::cli::terminal::session::Session;
use crate::manifest::ModeSelection;
use crate::model::budget;
use crate::model::desired::{Desired, Service};
use crate::model::facts::FailureReport;
use crate::model::holds::{Hold, HoldRecord, way};
use crate::model::lifecycle::State;
use crate::model::names::ServiceName;
use crate::model::observed::ObservedService;
use crate::model::plan::Purpose;
use crate::model::snapshot::Snapshot;
use crate::plan::judge_commands::{HoldBlock, may_hold};
use crate::reconcile::Project;
use crate::report::sheet::Sheet;
use crate::runtime::Pause;
use crate::store::{Author, Transition};

/// Command of an operator, with the observed services.
pub(crate) struct HoldCommand<'a> {
    session: &'a Session,
    pub(crate) opened: &'a Project,
    pub(crate) observed: BTreeMap<ServiceName, ObservedService>,
    /// Each once, in the order given.
    pub(crate) named: Vec<ServiceName>,
    pub(crate) operator: &'a OperatorArgs,
    pub(crate) metadata: BTreeMap<String, String>,
    /// Everything is checked and reported, and nothing is stored or changed.
    is_dry_run: bool,
    output: Sheet,
}

/// Opens the project of the held services.
pub(crate) async fn open(session: &Session, args: &HoldArgs) -> Result<Project, EarlyExit> {
    // In the active mode: rules may apply to one mode alone.
    let choice = ModeSelection { mode_optional: true, ..ModeSelection::default() };
    opened::open(session, &args.manifest, &choice, args.world.as_deref()).await
}

impl<'a> HoldCommand<'a> {
    /// Observes the services; nothing is checked yet. Errors: an unknown service, or a store that can't be written.
    pub(crate) async fn of(
        session: &'a Session,
        args: &'a HoldArgs,
        opened: &'a Project,
        is_dry_run: bool,
    ) -> Result<Self, EarlyExit> {
        let mut metadata = args.metadata()?;
        let masker = opened.desired.masker();
        for value in metadata.values_mut() {
            masker.mask_in_place(value);
        }
        names::check("service", &args.services, opened.desired.services.keys())?;
        // A hold that can't be stored is refused before anything changes, on a full disk too.
        if !is_dry_run {
            opened.ensure_writable(Purpose::Apply, |_| ()).await?;
            opened.rename_former().await.map_err(|error| EarlyExit::refused(Code::Store, error.to_string()))?;
        }
        let mut named: Vec<ServiceName> = Vec::new();
        for name in &args.services {
            if !named.contains(name) {
                named.push(name.clone());
            }
        }
        let Snapshot { facts, observed } = opened.snapshot(session).await?;
        opened.refuse_other_hosts(&facts)?;
        if !is_dry_run {
            opened.own(session)?;
        }
        let observed = observed.services;
        Ok(Self {
            session,
            opened,
            observed,
            named,
            operator: &args.operator,
            metadata,
            is_dry_run,
            output: Sheet::new(),
        })
    }

    /// Returns a service as observed. Errors: a service that was not observed.
    pub(crate) fn seen(&self, name: &ServiceName) -> Result<&ObservedService, EarlyExit> {
        self.observed
            .get(name)
            .ok_or_else(|| EarlyExit::refused(Code::Illegal, format!("the state of {name} is unknown")))
    }

    pub(crate) fn service(&self, name: &ServiceName) -> Option<&Service> {
        self.opened.desired.services.get(name)
    }

    /// Checks a hold on all named services, and returns each with the states that the hold leads it through. Services
    /// that already have the hold are reported and left out. Errors: a service that may not have it.
    pub(crate) fn judge(&mut self, hold: Hold) -> Result<Vec<(ServiceName, Vec<State>)>, EarlyExit> {
        let mut open = Vec::new();
        for name in self.named.clone() {
            let seen = self.seen(&name)?;
            let is_carried_out = seen.state == hold.state() || way(hold, seen.state).is_none();
            let existing = seen.hold.as_deref().filter(|record| record.kind == hold && is_carried_out);
            if let Some(whom) = existing.map(HoldRecord::attribution) {
                self.tell(&format!("{name} is already {} ({whom})", held(hold)));
            } else {
                let route = route_of_hold((&self.opened.desired, self.opened.driver().now()), &name, seen, hold)?;
                open.push((name, route));
            }
        }
        Ok(open)
    }

    /// Stores a hold. Its changes to the machine come afterwards: after a crash in between, the next apply makes them.
    pub(crate) async fn set_hold(&self, name: &ServiceName, hold: Hold) -> Result<(), EarlyExit> {
        if self.is_dry_run {
            return Ok(());
        }
        let record = self.record_of(hold);
        let stored = self.opened.store().set_hold(&self.opened.desired.project, name, Some(&record)).await;
        stored.map_err(|error| EarlyExit::refused(Code::Store, error.to_string()))
    }

    /// Returns the record of a hold to store.
    pub(crate) fn record_of(&self, hold: Hold) -> HoldRecord {
        HoldRecord {
            kind: hold,
            by: self.operator.by(self.session),
            since: self.opened.driver().now(),
            reason: self.operator.reason(self.opened),
            metadata: self.metadata.clone(),
        }
    }

    /// Removes the hold of a service.
    pub(crate) async fn release(&self, name: &ServiceName) -> Result<(), EarlyExit> {
        if self.is_dry_run {
            return Ok(());
        }
        let released = self.opened.store().set_hold(&self.opened.desired.project, name, None).await;
        released.map_err(|error| EarlyExit::refused(Code::Store, error.to_string()))
    }

    /// Resets the restart budget of a service.
    pub(crate) async fn reset_attempts(&self, name: &ServiceName) -> Result<(), EarlyExit> {
        if self.is_dry_run {
            return Ok(());
        }
        let (project, now) = (&self.opened.desired.project, self.opened.driver().now());
        let attempts = self.service(name).and_then(|service| budget::resumed(service, now));
        let reset = self.opened.store().set_attempts(project, name, attempts.as_ref()).await;
        reset.map_err(|error| EarlyExit::refused(Code::Store, error.to_string()))
    }

    /// Stores a failure report of a service, or removes it.
    pub(crate) async fn set_report(&self, name: &ServiceName, report: Option<&FailureReport>) -> Result<(), EarlyExit> {
        if self.is_dry_run {
            return Ok(());
        }
        let stored = self.opened.store().set_report(&self.opened.desired.project, name, report).await;
        stored.map_err(|error| EarlyExit::refused(Code::Store, error.to_string()))
    }

    /// Records a change that lcm observed but did not make. A store that fails causes a warning alone.
    pub(crate) async fn record_seen(&self, name: &ServiceName, from: State, to: State, what: &str) {
        if from != to {
            self.record_transition(name, (from, to), what, false).await;
        }
    }

    /// Records the changes of a service in order. A store that fails causes a warning alone: the hold is stored.
    pub(crate) async fn record(&self, name: &ServiceName, route: &[State], what: &str) {
        for pair in route.windows(2) {
            self.record_transition(name, (pair[0], pair[1]), what, true).await;
        }
    }

    async fn record_transition(&self, name: &ServiceName, (from, to): (State, State), what: &str, made: bool) {
        if self.is_dry_run {
            return;
        }
        let transition = Transition {
            at: self.opened.driver().now(),
            project: self.opened.desired.project.clone(),
            service: name.clone(),
            from,
            to,
            reason: self.operator.reason(self.opened).unwrap_or_else(|| what.to_owned()),
            made,
            author: Author { by: self.operator.by(self.session), run: String::new() },
            metadata: self.metadata.clone(),
        };
        if let Err(error) = self.opened.store().record(&transition).await {
            self.session.warn(&format!("can't record this change in the history: {error}"));
        }
    }

    /// Pauses a service, or unpauses it.
    pub(crate) async fn set_paused(&self, name: &ServiceName, paused: bool) -> Result<(), String> {
        let Some(instance) = self.observed.get(name).and_then(|seen| seen.instance.as_ref()) else {
            return Err("nothing is running".to_owned());
        };
        if self.is_dry_run {
            return Ok(());
        }
        let (driver, pause) =
            (self.opened.driver(), Pause { project: &self.opened.desired.project, service: name, instance });
        let done = if paused { driver.pause(&pause).await } else { driver.unpause(&pause).await };
        done.map_err(|error| error.to_string())
    }

    /// Adds a line to the output.
    pub(crate) fn tell(&mut self, line: &str) {
        self.output.line(line);
    }

    /// Ends the command: writes a simulated world back, and prints the output.
    pub(crate) async fn end(mut self) -> Result<(), EarlyExit> {
        if !self.is_dry_run {
            self.opened.close(self.session).await?;
        }
        self.print()
    }

    /// Prints the output.
    pub(crate) fn print(&mut self) -> Result<(), EarlyExit> {
        if self.is_dry_run {
            self.tell(DRY_RUN);
        }
        data(&self.output.output(self.session.stdout))
    }
}

/// Returns the states that a hold leads a service through. Errors: the refusal of the hold.
fn route_of_hold(
    of: (&Desired, Timestamp),
    name: &ServiceName,
    seen: &ObservedService,
    hold: Hold,
) -> Result<Vec<State>, EarlyExit> {
    let message = match may_hold(of, name, seen, hold) {
        Ok(route) => return Ok(route),
        Err(HoldBlock::Foreign { holder }) => format!("lcm does not own {name}, so it can't {hold} it: {holder}"),
        Err(HoldBlock::Renamed { container, to }) => format!(
            "{name} can't be held: its container was renamed to {container}; run `docker rename {container} {to}`"
        ),
        Err(HoldBlock::Denied(denial)) => format!("{name} can't be {}: {denial}", held(hold)),
    };
    Err(EarlyExit::refused(Code::Illegal, message))
}

/// Returns the change of a state, as `online → maintenance`, or the state alone where it stays.
pub(crate) fn change(seen: &ObservedService, route: &[State]) -> String {
    match (&seen.unknown, route.last()) {
        (Some(why), _) => format!("its state is unknown ({why})"),
        (None, Some(to)) if *to != seen.state => format!("{} → {to}", seen.state),
        (None, Some(_) | None) => seen.state.to_string(),
    }
}

fn held(hold: Hold) -> &'static str {
    match hold {
        Hold::Maintain => "in maintenance",
        Hold::Suspend => "suspended",
        Hold::Terminate => "terminated",
    }
}
