//! A manifest, its world and its store, opened for one command.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::cli::args::{ChooseArgs, names};
use crate::cli::owner::Claim;
use crate::cli::stop::{Code, Stop};
use crate::cli::terminal::session::Session;
use crate::cli::wire::{self, Core, Simulated};
use crate::cli::{files, owner, wanted};
use crate::files::output;
use crate::manifest::Choice;
use crate::model::claim::bounded;
use crate::model::desired::{Desired, ModeSource};
use crate::model::facts::{self, Facts};
use crate::model::names::{ModeName, ProjectName};
use crate::model::ownership;
use crate::model::plan::{Plan, Purpose, Request};
use crate::model::snapshot::{Planner as _, Snapshot};
use crate::model::words::{Switched, Words};
use crate::report::json;
use crate::report::view::{Looked, Origin};
use crate::runtime::Driver;
use crate::shared::owner::Owner;
use crate::store::memory::Memory;
use crate::store::sqlite::Sqlite;
use crate::store::{Entry, PendingChange, Store, StoreError};
use crate::syntax::problem::{Problem, Problems, Severity};

/// More are not named in one refusal.
const OTHERS_NAMED_MAX: usize = 6;

/// What a command works with.
pub(super) struct Opened {
    pub(super) desired: Desired,
    /// The word that the mode follows, where it follows one.
    pub(super) switched: Option<Switched>,
    /// The manifest has outlived the mode override: its own mode is another one since.
    outlived: bool,
    world: World,
    store: StoreBackend,
    claim: Claim,
    owner: Option<Owner>,
}

enum World {
    Machine(Box<dyn Driver>),
    Simulated { simulated: Box<dyn Simulated>, path: PathBuf },
}

enum StoreBackend {
    Disk(Sqlite),
    /// For a simulated world.
    Memory(Box<Memory>),
}

/// Reads a manifest; what is wrong with it ends the command.
pub(super) fn load(session: &Session, manifest: &Path, choice: &Choice) -> Result<Desired, Stop> {
    wire::load(manifest, &session.environment, choice).map_err(|problems| refusal(session, &problems))
}

/// All that is wrong with a manifest, to be shown underlined in its file, or by its first error alone.
pub(super) fn refusal(session: &Session, problems: &Problems) -> Stop {
    let errors: Vec<&Problem> = problems.0.iter().filter(|problem| problem.severity == Severity::Error).collect();
    let first = errors.first().map_or_else(String::new, |first| {
        let place = first.place.as_ref().map(|place| format!("{place}: ")).unwrap_or_default();
        format!("{place}{}", first.message)
    });
    let more = if errors.len() > 1 { "; `lcm validate` shows what else is wrong" } else { "" };
    Stop::shown(wire::render(problems, session.stderr, session.width()), format!("{first}{more}"))
}

/// Reads the manifest and opens the world that it is about, in the mode that an operator switched to, where one did.
pub(super) fn open(session: &Session, manifest: &Path, choice: &Choice, world: Option<&Path>) -> Result<Opened, Stop> {
    open_to(session, manifest, choice, world, Claim::AsOwner)
}

/// The same for a command that may take the project over.
pub(super) fn open_to(
    session: &Session,
    manifest: &Path,
    choice: &Choice,
    world: Option<&Path>,
    claim: Claim,
) -> Result<Opened, Stop> {
    // Which mode counts stands in the store, and which store, in the manifest.
    let mut opened = open_for(session, manifest, &Choice { mode_optional: true, ..choice.clone() }, world, claim)?;
    opened.follow(session, manifest, choice)?;
    Ok(opened)
}

/// For whom it does not matter which mode is active.
pub(super) fn open_without_mode(session: &Session, manifest: &Path, world: Option<&Path>) -> Result<Opened, Stop> {
    open_for(session, manifest, &Choice { mode_optional: true, ..Choice::default() }, world, Claim::AsOwner)
}

fn open_for(
    session: &Session,
    manifest: &Path,
    choice: &Choice,
    world: Option<&Path>,
    claim: Claim,
) -> Result<Opened, Stop> {
    // A simulated world is a file of the caller's own.
    if world.is_none() {
        owner::go_on_as_owner(session, manifest, claim)?;
    }
    let desired = load(session, manifest, choice)?;
    let owner = match world {
        None => owner::admit(session, &desired.project, claim)?,
        Some(_) => None,
    };
    let desired = claimed(desired, claim, owner.as_ref());
    names::check("goal", choice.goals.iter(), desired.goals.keys())?;
    let (world, store) = match world {
        None => {
            let machine = World::Machine(wire::machine(&desired, &session.environment));
            (machine, StoreBackend::Disk(Sqlite::at(&wire::state_folder(&session.environment))))
        }
        Some(path) => simulated(session, path, &desired)?,
    };
    Ok(Opened { desired, switched: None, outlived: false, world, store, claim, owner })
}

/// The manifest, with what the claim on the project makes of other lcm's things.
fn claimed(desired: Desired, claim: Claim, owner: Option<&Owner>) -> Desired {
    let previous_owner = owner.and_then(owner::previous);
    Desired { take_over: claim == Claim::TakeOver, previous_owner, ..desired }
}

/// What a world file tells of words and attempts is this world's store, so that it can be taken back.
fn simulated(session: &Session, path: &Path, desired: &Desired) -> Result<(World, StoreBackend), Stop> {
    session.say("SIMULATED: the world is a file, and the machine is neither asked nor touched");
    let mut facts = read_world(path)?;
    let memory = Memory::default();
    let unusable = |error: crate::store::StoreError| Stop::refused(Code::Store, error.to_string());
    for (service, said) in std::mem::take(&mut facts.words) {
        memory.say(&desired.project, &service, Some(&said)).map_err(unusable)?;
    }
    // The newest: worlds of an earlier lcm have one for each entry file.
    let switched = std::mem::take(&mut facts.switches).into_iter().max_by_key(|switched| switched.since);
    memory.switch(&desired.project, switched.as_ref()).map_err(unusable)?;
    let pending = PendingChange { add: &std::mem::take(&mut facts.pending), ..PendingChange::default() };
    memory.write(&Entry { pending, ..Entry::of(&desired.project) }).map_err(unusable)?;
    for (service, past) in &mut facts.history {
        if let Some(attempts) = past.attempts.take() {
            memory.set_attempts(&desired.project, service, Some(&attempts)).map_err(unusable)?;
        }
        if let Some(report) = past.report.take() {
            memory.set_report(&desired.project, service, Some(&report)).map_err(unusable)?;
        }
    }
    let simulated = wire::simulated(facts, desired);
    Ok((World::Simulated { simulated, path: path.to_owned() }, StoreBackend::Memory(Box::new(memory))))
}

/// For the commands that only look at what is there.
pub(super) fn open_to_look(session: &Session, manifest: &Path, choose: &ChooseArgs) -> Result<Opened, Stop> {
    open(session, manifest, &choose.choice_if_any(), choose.world.as_deref())
}

impl Opened {
    /// Takes the mode from an operator's word, where nobody names one here.
    fn follow(&mut self, session: &Session, manifest: &Path, choice: &Choice) -> Result<(), Stop> {
        // A store that can't be read is told of when the facts are read.
        let mode = self.mode_kept().unwrap_or_default();
        match mode.filter(|_| !self.desired.entry_is_choice) {
            Some(switched) if switched.own_mode != self.desired.own_mode && self.is_set_by_this_file(&switched) => {
                session.say(&outlived(&switched, self.desired.own_mode.as_ref()));
                self.outlived = true;
            }
            Some(switched) if choice.mode.is_none() => self.switched = Some(switched),
            Some(_) | None => {}
        }
        let none_chosen = choice.mode.is_none() && self.desired.mode.is_none() && !choice.mode_optional;
        if self.switched.is_none() && !none_chosen {
            return Ok(());
        }
        let word = self.switched.as_ref().map(|switched| switched.mode.clone());
        match (load(session, manifest, &Choice { word, ..choice.clone() }), self.switched.take()) {
            (Ok(desired), switched) => {
                let desired = claimed(desired, self.claim, self.owner.as_ref());
                (self.desired, self.switched) = (desired, switched);
            }
            // Whoever only looks, or stops everything, can do so in any mode.
            (Err(_), Some(switched)) if choice.mode_optional => session.warn(&format!(
                "the switch to mode {} can't be followed: there is no such mode; `lcm switch --clear` forgets it",
                switched.mode
            )),
            (Err(stop), _) => return Err(stop),
        }
        Ok(())
    }

    /// Whether this entry file is the one that the mode override was set with, or that one is gone: another checkout's own
    /// mode says nothing of it.
    fn is_set_by_this_file(&self, switched: &Switched) -> bool {
        switched.entry == self.entry() || !Path::new(&switched.entry).is_file()
    }

    /// From now on the mode is an operator's, for this command at least.
    pub(super) fn switch(&mut self, switched: Switched) {
        self.desired.mode_source = ModeSource::Word;
        self.switched = Some(switched);
    }

    /// Keeps the switch that this command made.
    pub(super) fn keep_switch(&self) -> Result<(), Stop> {
        let Some(switched) = &self.switched else { return Ok(()) };
        let kept = self.store().switch(&self.desired.project, Some(switched));
        kept.map_err(|error| Stop::refused(Code::Store, error.to_string()))
    }

    /// The entry file, as switches know it.
    pub(super) fn entry(&self) -> String {
        files::plain(&self.desired.entry).display().to_string()
    }

    /// What the manifest has outlived must not come to life again when the manifest goes back to what it was.
    pub(super) fn forget_outlived(&self) -> Result<(), Stop> {
        if !self.outlived {
            return Ok(());
        }
        let forgotten = self.store().switch(&self.desired.project, None);
        forgotten.map_err(|error| Stop::refused(Code::Store, error.to_string()))
    }

    pub(super) fn driver(&self) -> &dyn Driver {
        match &self.world {
            World::Machine(machine) => machine.as_ref(),
            World::Simulated { simulated, .. } => simulated.as_ref(),
        }
    }

    pub(super) fn store(&self) -> &dyn Store {
        match &self.store {
            StoreBackend::Disk(disk) => disk,
            StoreBackend::Memory(memory) => memory.as_ref(),
        }
    }

    /// Makes the caller the project's owner, before the first change.
    pub(super) fn own(&self, session: &Session) -> Result<(), Stop> {
        match self.world {
            World::Machine(_) => {
                let now = self.driver().now();
                owner::claim(session, &self.desired, (self.claim, self.owner.as_ref()), now)
            }
            World::Simulated { .. } => Ok(()),
        }
    }

    /// Reason for which running services are left as they are: another checkout manages them.
    pub(super) fn other_checkout(&self) -> Option<String> {
        match self.claim {
            Claim::AsOwner => owner::other_checkout(self.owner.as_ref(), &self.desired),
            Claim::TakeOver => None,
        }
    }

    /// Takes note that nothing of the previous owner's is left.
    pub(super) fn forget_previous(&self, session: &Session) -> Result<(), Stop> {
        match (&self.world, self.desired.previous_owner) {
            (World::Machine(_), Some(_)) => owner::forget_previous(session, &self.desired.project),
            (World::Machine(_), None) | (World::Simulated { .. }, _) => Ok(()),
        }
    }

    /// Without an owner's file, the labels of its containers show whose the project is.
    fn admit_by_labels(&self, session: &Session, facts: &Facts) -> Result<(), Stop> {
        match (&self.world, &self.owner) {
            (World::Machine(_), None) => {
                let uids = ownership::owner_uids(facts, &self.desired);
                owner::admit_by_labels(session, &self.desired, &uids, self.claim)
            }
            (World::Machine(_), Some(_)) | (World::Simulated { .. }, _) => Ok(()),
        }
    }

    /// Leaves the project without an owner, once nothing of it is left.
    pub(super) fn disown(&self, session: &Session) -> Result<(), Stop> {
        match self.world {
            World::Machine(_) => owner::release(session, &self.desired.project),
            World::Simulated { .. } => Ok(()),
        }
    }

    pub(super) fn is_simulated(&self) -> bool {
        matches!(self.world, World::Simulated { .. })
    }

    /// What is done must be written down: proved before anything is. On a full disk it can't be, and is done all the
    /// same: the service matters more than its record, and stopping it may be what makes room. `down` always may.
    pub(super) fn ensure_writable(&self, purpose: Purpose, tell: impl Fn(&StoreError)) -> Result<(), Stop> {
        let StoreBackend::Disk(disk) = &self.store else { return Ok(()) };
        match disk.ensure_writable() {
            Ok(()) => Ok(()),
            Err(error @ StoreError::Full { .. }) => {
                tell(&error);
                Ok(())
            }
            Err(error) if purpose == Purpose::Down => {
                tell(&error);
                Ok(())
            }
            Err(error @ (StoreError::Unusable { .. } | StoreError::Newer { .. })) => {
                Err(Stop::refused(Code::Store, error.to_string()))
            }
        }
    }

    /// Nothing but `down` changes anything while holds are not known.
    pub(super) fn hear(&self) -> Result<(), Stop> {
        self.mode_override().map(|_| ())
    }

    /// The mode that an operator has switched to.
    pub(super) fn mode_override(&self) -> Result<Option<Switched>, Stop> {
        let deaf = |error: StoreError| {
            format!("what operators hold can't be read, so nothing is done (`lcm down` may all the same): {error}")
        };
        self.mode_kept().map_err(|error| Stop::refused(Code::Store, deaf(error)))
    }

    /// As the store has it, under the present name or a former one.
    fn mode_kept(&self) -> Result<Option<Switched>, StoreError> {
        let mut kept = None;
        for project in self.names() {
            kept = self.store().words(project)?.mode.or(kept);
        }
        Ok(kept)
    }

    /// The world now, with what the store remembers. Where that can't be read, holds are not known.
    pub(super) async fn facts(&self, session: &Session) -> Result<Facts, Stop> {
        // Root may have to go on as another user, and before anything is probed.
        let surveyed = self.driver().survey(&self.desired).await;
        self.admit_by_labels(session, &surveyed)?;
        let mut facts = self.driver().complete(&self.desired, surveyed).await;
        if let Err(error) = self.recall(&mut facts) {
            session.warn(&format!(
                "{error}; holds, the mode override, restart budgets, pending calls and the history are not known"
            ));
            facts.holds_unknown = Some(error.to_string());
        }
        // A project that has an owner was managed with the host's store.
        let own_store = facts.enclosure.as_ref().and_then(|enclosure| enclosure.own_store.as_ref());
        if let Some(option) = own_store.filter(|_| self.owner.is_some()) {
            let reason = format!("the host's store is not in this container: mount it with `docker run {option}`");
            facts.holds_unknown = Some(reason);
        }
        Ok(facts)
    }

    /// Adds what the store keeps of this project, under its present name and under those that it had.
    fn recall(&self, facts: &mut Facts) -> Result<(), StoreError> {
        let store = self.store();
        for project in self.names() {
            let Words { services, mode } = store.words(project)?;
            // A world file brings its own past.
            facts.remember(store.last_known(project)?);
            facts.pending.extend(store.pending(project)?);
            facts.heed(services);
            facts.switches = mode.into_iter().chain(std::mem::take(&mut facts.switches)).take(1).collect();
        }
        Ok(())
    }

    /// The project's names, the present one last: what it says counts most.
    fn names(&self) -> impl Iterator<Item = &ProjectName> {
        // A simulated store knows one project alone.
        let former = self.desired.aliases.iter().filter(|_| !self.is_simulated());
        former.chain([&self.desired.project])
    }

    /// Brings what the store keeps under former names of the project under its present one.
    pub(super) fn rename_former(&self) -> Result<(), StoreError> {
        let to = &self.desired.project;
        self.desired.aliases.iter().try_for_each(|from| self.store().rename_project(from, to))
    }

    /// One look: the world now, and what it means for the manifest.
    pub(super) async fn snapshot(&self, session: &Session) -> Result<Snapshot, Stop> {
        Ok(self.planner().observe(self.facts(session).await?))
    }

    /// The planner of the manifest.
    pub(super) fn planner(&self) -> Core<'_> {
        Core { desired: &self.desired }
    }

    /// The audited plan for a snapshot.
    pub(super) fn plan(&self, snapshot: &Snapshot, request: &Request) -> Result<Plan, Stop> {
        let plan = self.planner().plan(snapshot, request);
        plan.map_err(|error| Stop::refused(Code::Audit, error.to_string()))
    }

    /// Where a plan of these facts comes from.
    pub(super) fn origin<'a>(&'a self, looked: &'a Looked) -> Origin<'a> {
        Origin::Now { mode_source: self.desired.mode_source, switched: self.switched.as_ref(), looked }
    }

    /// Where nothing can be said of anything wanted, nothing should be.
    pub(super) fn refuse_if_all_unknown(&self, snapshot: &Snapshot, request: &Request) -> Result<(), Stop> {
        let wanted = wanted::wanted(&self.desired, request);
        // Why a service can't be looked at from here, the plan says of each.
        let seen =
            wanted.iter().filter_map(|name| snapshot.observed.services.get(name)).filter(|seen| seen.barred.is_none());
        let reasons = seen.map(|seen| seen.unknown.clone());
        let reasons: Option<BTreeSet<String>> = reasons.collect();
        match reasons {
            Some(reasons) if !reasons.is_empty() => {
                let reasons: Vec<String> = reasons.into_iter().collect();
                Err(Stop::refused(
                    Code::AllUnknown,
                    format!("nothing is known of any wanted service: {}", reasons.join("; ")),
                ))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Two machines that change one project would undo each other's work.
    pub(super) fn refuse_other_hosts(&self, facts: &Facts) -> Result<(), Stop> {
        let found = ownership::on_other_hosts(facts, &self.desired);
        let Some(first) = found.first() else { return Ok(()) };
        let host = first.marks.as_ref().map(|marks| ownership::hostname(&marks.host_id)).unwrap_or_default();
        let containers: Vec<String> = found
            .iter()
            .take(OTHERS_NAMED_MAX)
            .map(|found| format!("{} ({})", found.name, found.id.get(..12).unwrap_or(&found.id)))
            .collect();
        Err(Stop::refused(
            Code::OtherHost,
            format!(
                "project {} at this shared engine is managed by lcm on host {}, which made container {}; nothing was \
                 changed: run lcm there, or take the project over with `lcm apply --take-over`",
                self.desired.project,
                bounded(host),
                containers.join(", ")
            ),
        ))
    }

    /// Writes a changed world back to its file, its past with it.
    pub(super) fn close(&self) -> Result<(), Stop> {
        let World::Simulated { simulated, path } = &self.world else { return Ok(()) };
        let mut facts = simulated.world();
        facts.remember(self.store().last_known(&self.desired.project).unwrap_or_default());
        let Words { services, mode } = self.store().words(&self.desired.project).unwrap_or_default();
        (facts.words, facts.switches) = (services, mode.into_iter().collect());
        facts.pending = self.store().pending(&self.desired.project).unwrap_or_default();
        output::replace(path, &json::document(&facts)).map_err(|error| {
            Stop::refused(Code::File, format!("can't write the world back to {}: {error}", path.display()))
        })
    }
}

/// What a reader is told of a mode override that no longer holds.
fn outlived(switched: &Switched, own_mode: Option<&ModeName>) -> String {
    let named = |mode: Option<&ModeName>| mode.map_or_else(|| "none".to_owned(), |mode| format!("`mode: {mode}`"));
    format!(
        "the switch to mode {} ({}) no longer holds: the manifest had {} then, and has {} now; the next apply drops it",
        switched.mode,
        switched.by_whom(),
        named(switched.own_mode.as_ref()),
        named(own_mode)
    )
}

pub(super) fn read_world(path: &Path) -> Result<Facts, Stop> {
    let wrong =
        |reason: String| Stop::refused(Code::World, format!("can't take {} for the world: {reason}", path.display()));
    let text = files::read(path).map_err(|error| wrong(error.to_string()))?;
    let facts: Facts = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    if facts.format != facts::FORMAT {
        return Err(wrong(format!("its format is {}, and this lcm reads {}", facts.format, facts::FORMAT)));
    }
    Ok(facts)
}
