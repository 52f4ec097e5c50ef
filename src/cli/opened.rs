//! A manifest, its world and its store, opened for one command.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::cli::args::ChooseArgs;
use crate::cli::session::Session;
use crate::cli::stop::Stop;
use crate::cli::wire::{self, Simulated};
use crate::cli::{files, names, wanted};
use crate::driver::Driver;
use crate::manifest::Choice;
use crate::model::desired::Desired;
use crate::model::facts::{self, Facts};
use crate::model::observed::Observed;
use crate::model::plan::{Plan, Request};
use crate::model::room::Room;
use crate::report::style::Style;
use crate::report::{json, print};
use crate::store::Store;
use crate::store::memory::Memory;
use crate::store::sqlite::Sqlite;

/// What a command works with.
pub(super) struct Opened {
    pub(super) desired: Desired,
    world: World,
    store: Keeper,
}

enum World {
    Machine(Box<dyn Driver>),
    Simulated { simulated: Box<dyn Simulated>, path: PathBuf },
}

enum Keeper {
    Disk(Sqlite),
    /// For a simulated world.
    Memory(Memory),
}

/// Reads a manifest; what is wrong with it ends the command.
pub(super) fn load(session: &Session, manifest: &Path, choice: &Choice) -> Result<Desired, Stop> {
    wire::load(manifest, &session.environment, choice).map_err(|problems| {
        let render = |style| wire::render(&problems, style, session.width());
        Stop::shown(render(session.stderr), render(Style::PLAIN))
    })
}

/// Reads the manifest and opens the world that it is about.
pub(super) fn open(session: &Session, manifest: &Path, choice: &Choice, world: Option<&Path>) -> Result<Opened, Stop> {
    let desired = load(session, manifest, choice)?;
    names::check("goal", choice.goals.iter(), desired.goals.keys())?;
    let Some(path) = world else {
        let world = World::Machine(wire::machine(&desired, &session.environment));
        return Ok(Opened {
            desired,
            world,
            store: Keeper::Disk(Sqlite::at(&wire::state_folder(&session.environment))),
        });
    };
    print::note("SIMULATED: the world is a file, and the machine is neither asked nor touched");
    let simulated = wire::simulated(read_world(path)?);
    let world = World::Simulated { simulated, path: path.to_owned() };
    Ok(Opened { desired, world, store: Keeper::Memory(Memory::default()) })
}

/// For the commands that only look at what is there.
pub(super) fn open_to_look(session: &Session, manifest: &Path, choose: &ChooseArgs) -> Result<Opened, Stop> {
    open(session, manifest, &choose.choice_if_any(), choose.world.as_deref())
}

impl Opened {
    pub(super) fn driver(&self) -> &dyn Driver {
        match &self.world {
            World::Machine(machine) => machine.as_ref(),
            World::Simulated { simulated, .. } => simulated.as_ref(),
        }
    }

    pub(super) fn store(&self) -> &dyn Store {
        match &self.store {
            Keeper::Disk(disk) => disk,
            Keeper::Memory(memory) => memory,
        }
    }

    pub(super) fn is_simulated(&self) -> bool {
        matches!(self.world, World::Simulated { .. })
    }

    /// What is done must be written down: proved before anything is.
    pub(super) fn ensure_writable(&self) -> Result<(), Stop> {
        match &self.store {
            Keeper::Disk(disk) => disk.ensure_writable().map_err(|error| Stop::refused(error.to_string())),
            Keeper::Memory(_) => Ok(()),
        }
    }

    /// The world now, with what the store remembers. A store that can't be read is a warning: it changes no step.
    pub(super) async fn facts(&self, session: &Session) -> Facts {
        let mut facts = self.driver().observe(&self.desired).await;
        match self.store().last_known(&self.desired.project) {
            // A world file brings its own past.
            Ok(history) => facts.remember(history),
            Err(error) => session.warn(&format!("{error}; going on without history")),
        }
        match self.store().words(&self.desired.project) {
            Ok(words) => facts.heed(words.services),
            Err(error) => session.warn(&format!("{error}; what operators said is not known")),
        }
        facts
    }

    /// The plan for these facts, audited.
    pub(super) fn think(&self, facts: &Facts, request: &Request) -> Result<Plan, String> {
        wire::think(&self.desired, facts, request)
    }

    /// What each GPU has now.
    pub(super) fn room(&self, facts: &Facts, request: &Request) -> Room {
        wire::room(&self.desired, facts, request)
    }

    pub(super) fn observed(&self, facts: &Facts) -> Observed {
        wire::observe(facts, &self.desired)
    }

    /// Where nothing can be said of anything wanted, nothing should be.
    pub(super) fn refuse_if_all_unknown(&self, facts: &Facts, request: &Request) -> Result<(), Stop> {
        let observed = self.observed(facts);
        let wanted = wanted::wanted(&self.desired, request);
        let reasons = wanted.iter().map(|name| observed.services.get(name).and_then(|seen| seen.unknown.clone()));
        let reasons: Option<BTreeSet<String>> = reasons.collect();
        match reasons {
            Some(reasons) if !reasons.is_empty() => {
                let reasons: Vec<String> = reasons.into_iter().collect();
                Err(Stop::refused(format!("nothing is known of any wanted service: {}", reasons.join("; "))))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Writes a changed world back to its file, its past with it.
    pub(super) fn close(&self) -> Result<(), Stop> {
        let World::Simulated { simulated, path } = &self.world else { return Ok(()) };
        let mut facts = simulated.world();
        facts.remember(self.store().last_known(&self.desired.project).unwrap_or_default());
        files::replace(path, &json::document(&facts))
            .map_err(|error| Stop::refused(format!("can't write the world back to {}: {error}", path.display())))
    }
}

pub(super) fn read_world(path: &Path) -> Result<Facts, Stop> {
    let wrong = |reason: String| Stop::refused(format!("can't take {} for the world: {reason}", path.display()));
    let text = files::read(path).map_err(|error| wrong(error.to_string()))?;
    let facts: Facts = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    if facts.format != facts::FORMAT {
        return Err(wrong(format!("its format is {}, and this lcm reads {}", facts.format, facts::FORMAT)));
    }
    Ok(facts)
}
