//! What `maintain`, `suspend`, `resume` and `terminate` share: whose word it is, and whether it can be said of a service
//! as it is now. All that are named are judged before any is touched.

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

/// A command of an operator's, with the world that it is about.
pub(crate) struct HoldCommand<'a> {
    session: &'a Session,
    pub(crate) opened: &'a Project,
    pub(crate) observed: BTreeMap<ServiceName, ObservedService>,
    /// Each once, in the order given.
    pub(crate) named: Vec<ServiceName>,
    pub(crate) voice: &'a OperatorArgs,
    pub(crate) metadata: BTreeMap<String, String>,
    /// All is judged and told, and nothing is kept or done.
    is_rehearsal: bool,
    told: Sheet,
}

/// Opens the world that the words are about.
pub(crate) async fn open(session: &Session, args: &HoldArgs) -> Result<Project, EarlyExit> {
    // In the mode that counts: rules may be of one mode.
    let choice = ModeSelection { mode_optional: true, ..ModeSelection::default() };
    opened::open(session, &args.manifest, &choice, args.world.as_deref()).await
}

impl<'a> HoldCommand<'a> {
    /// Looks at the world; nothing is judged yet.
    pub(crate) async fn of(
        session: &'a Session,
        args: &'a HoldArgs,
        opened: &'a Project,
        is_rehearsal: bool,
    ) -> Result<Self, EarlyExit> {
        let mut metadata = args.metadata()?;
        let masker = opened.desired.masker();
        for value in metadata.values_mut() {
            masker.mask_in_place(value);
        }
        names::check("service", &args.services, opened.desired.services.keys())?;
        // A word that can't be kept is refused when it is said, on a full disk too.
        if !is_rehearsal {
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
        if !is_rehearsal {
            opened.own(session)?;
        }
        let observed = observed.services;
        Ok(Self { session, opened, observed, named, voice: &args.voice, metadata, is_rehearsal, told: Sheet::new() })
    }

    pub(crate) fn seen(&self, name: &ServiceName) -> Result<&ObservedService, EarlyExit> {
        self.observed.get(name).ok_or_else(|| EarlyExit::refused(Code::Illegal, format!("nothing is known of {name}")))
    }

    pub(crate) fn service(&self, name: &ServiceName) -> Option<&Service> {
        self.opened.desired.services.get(name)
    }

    /// Judges a hold on all named services; those on which it is already are reported and left out.
    /// With each the changes that it makes.
    pub(crate) fn judge(&mut self, word: Hold) -> Result<Vec<(ServiceName, Vec<State>)>, EarlyExit> {
        let mut open = Vec::new();
        for name in self.named.clone() {
            let seen = self.seen(&name)?;
            let is_carried_out = seen.state == word.state() || way(word, seen.state).is_none();
            let holds = seen.hold.as_deref().filter(|said| said.kind == word && is_carried_out);
            if let Some(whom) = holds.map(HoldRecord::by_whom) {
                self.tell(&format!("{name} is {} already ({whom})", past(word)));
            } else {
                let route = route_of_hold((&self.opened.desired, self.opened.driver().now()), &name, seen, word)?;
                open.push((name, route));
            }
        }
        Ok(open)
    }

    /// Keeps the word. What it does to the machine comes after that: what crashes in between is made up for by the next
    /// apply.
    pub(crate) async fn keep(&self, name: &ServiceName, word: Hold) -> Result<(), EarlyExit> {
        if self.is_rehearsal {
            return Ok(());
        }
        let said = self.said(word);
        let kept = self.opened.store().set_hold(&self.opened.desired.project, name, Some(&said)).await;
        kept.map_err(|error| EarlyExit::refused(Code::Store, error.to_string()))
    }

    /// The word as it is kept.
    pub(crate) fn said(&self, word: Hold) -> HoldRecord {
        HoldRecord {
            kind: word,
            by: self.voice.by(self.session),
            since: self.opened.driver().now(),
            reason: self.voice.reason(self.opened),
            metadata: self.metadata.clone(),
        }
    }

    /// Takes it back.
    pub(crate) async fn forget(&self, name: &ServiceName) -> Result<(), EarlyExit> {
        if self.is_rehearsal {
            return Ok(());
        }
        let forgotten = self.opened.store().set_hold(&self.opened.desired.project, name, None).await;
        forgotten.map_err(|error| EarlyExit::refused(Code::Store, error.to_string()))
    }

    /// Gives a service its budget anew.
    pub(crate) async fn reset_attempts(&self, name: &ServiceName) -> Result<(), EarlyExit> {
        if self.is_rehearsal {
            return Ok(());
        }
        let (project, now) = (&self.opened.desired.project, self.opened.driver().now());
        let leave = self.service(name).and_then(|service| budget::resumed(service, now));
        let reset = self.opened.store().set_attempts(project, name, leave.as_ref()).await;
        reset.map_err(|error| EarlyExit::refused(Code::Store, error.to_string()))
    }

    /// Keeps a report of a service, or takes it back.
    pub(crate) async fn set_report(&self, name: &ServiceName, report: Option<&FailureReport>) -> Result<(), EarlyExit> {
        if self.is_rehearsal {
            return Ok(());
        }
        let kept = self.opened.store().set_report(&self.opened.desired.project, name, report).await;
        kept.map_err(|error| EarlyExit::refused(Code::Store, error.to_string()))
    }

    /// Records a change that was seen, and not made. A store that fails stops nothing here.
    pub(crate) async fn record_seen(&self, name: &ServiceName, from: State, to: State, what: &str) {
        if from != to {
            self.write_down(name, (from, to), what, false).await;
        }
    }

    /// Writes changes of a service down, one after the other. A store that fails stops nothing here: the word is kept.
    pub(crate) async fn record(&self, name: &ServiceName, route: &[State], what: &str) {
        for pair in route.windows(2) {
            self.write_down(name, (pair[0], pair[1]), what, true).await;
        }
    }

    async fn write_down(&self, name: &ServiceName, (from, to): (State, State), what: &str, made: bool) {
        if self.is_rehearsal {
            return;
        }
        let transition = Transition {
            at: self.opened.driver().now(),
            project: self.opened.desired.project.clone(),
            service: name.clone(),
            from,
            to,
            reason: self.voice.reason(self.opened).unwrap_or_else(|| what.to_owned()),
            made,
            author: Author { by: self.voice.by(self.session), run: String::new() },
            metadata: self.metadata.clone(),
        };
        if let Err(error) = self.opened.store().record(&transition).await {
            self.session.warn(&format!("this is not in the history: {error}"));
        }
    }

    /// Freezes it, or lets it go on.
    pub(crate) async fn freeze(&self, name: &ServiceName, frozen: bool) -> Result<(), String> {
        let Some(instance) = self.observed.get(name).and_then(|seen| seen.instance.as_ref()) else {
            return Err("there is nothing that runs".to_owned());
        };
        if self.is_rehearsal {
            return Ok(());
        }
        let (driver, pause) =
            (self.opened.driver(), Pause { project: &self.opened.desired.project, service: name, instance });
        let done = if frozen { driver.pause(&pause).await } else { driver.unpause(&pause).await };
        done.map_err(|error| error.to_string())
    }

    /// A line of the answer.
    pub(crate) fn tell(&mut self, line: &str) {
        self.told.line(line);
    }

    /// Ends the command: a simulated world is written back, and the answer given.
    pub(crate) async fn end(mut self) -> Result<(), EarlyExit> {
        if !self.is_rehearsal {
            self.opened.close(self.session).await?;
        }
        self.answer()
    }

    pub(crate) fn answer(&mut self) -> Result<(), EarlyExit> {
        if self.is_rehearsal {
            self.tell(DRY_RUN);
        }
        data(&self.told.output(self.session.stdout))
    }
}

/// Returns the states that a hold leads a service through, or the refusal.
fn route_of_hold(
    of: (&Desired, Timestamp),
    name: &ServiceName,
    seen: &ObservedService,
    word: Hold,
) -> Result<Vec<State>, EarlyExit> {
    let message = match may_hold(of, name, seen, word) {
        Ok(route) => return Ok(route),
        Err(HoldBlock::Foreign { holder }) => format!("{name} is not lcm's to {word}: {holder}"),
        Err(HoldBlock::Renamed { container, to }) => format!(
            "{name} can't be held: its container was renamed to {container}; `docker rename {container} {to}` brings it back"
        ),
        Err(HoldBlock::Denied(denial)) => format!("{name} can't be {}: {denial}", past(word)),
    };
    Err(EarlyExit::refused(Code::Illegal, message))
}

/// `online → maintenance`, or `registered` where the state stays.
pub(crate) fn change(seen: &ObservedService, route: &[State]) -> String {
    match (&seen.unknown, route.last()) {
        (Some(why), _) => format!("its state is not known now ({why})"),
        (None, Some(to)) if *to != seen.state => format!("{} → {to}", seen.state),
        (None, Some(_) | None) => seen.state.to_string(),
    }
}

fn past(word: Hold) -> &'static str {
    match word {
        Hold::Maintain => "maintained",
        Hold::Suspend => "suspended",
        Hold::Terminate => "terminated",
    }
}
