//! A project: its manifest, its machine or simulation, and its store, opened for one cycle.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use tracing::info;

use crate::host::elapsed::elapsed_ms;
use crate::manifest::ModeSelection;
use crate::model::desired::{Desired, ModeSource};
use crate::model::facts::Facts;
use crate::model::holds::{Holds, ModeOverride};
use crate::model::mode_set::ModeSet;
use crate::model::names::ProjectName;
use crate::model::plan::{Plan, Purpose, Request};
use crate::model::snapshot::{Planner as _, Snapshot};
use crate::observe::contract::ObserverInput;
use crate::reconcile::caller::Caller;
use crate::reconcile::error::{OpenError, ReconcileError};
use crate::reconcile::owner::OwnerAccess;
use crate::reconcile::planner::ManifestPlanner;
use crate::reconcile::wire::{self, Simulated};
use crate::reconcile::{files, owner, wanted};
use crate::runtime::Driver;
use crate::runtime::registry::OBSERVERS;
use crate::runtime::world;
use crate::shared::owner::ProjectOwner;
use crate::store::memory::MemoryStore;
use crate::store::sqlite::Sqlite;
use crate::store::{
    AttemptStore as _, HoldStore as _, Journal as _, JournalEntry, PendingChange, Recalled, Store, StoreError, recall,
};
use crate::syntax::problem::Severity;

/// Project that a cycle works on.
pub(crate) struct Project {
    pub(crate) desired: Desired,
    /// The mode override that the mode follows, if it follows one.
    pub(crate) switched: Option<ModeOverride>,
    /// True if the manifest has outlived the mode override: its own mode has changed since.
    outlived: bool,
    world: Environs,
    store: StoreBackend,
    claim: OwnerAccess,
    owner: Option<ProjectOwner>,
    /// True if this cycle sets the mode override that it follows.
    sets_mode: bool,
}

/// Machine or simulation that a cycle reads and changes.
enum Environs {
    Machine(Box<dyn Driver>),
    Simulated { simulated: Box<dyn Simulated>, path: PathBuf },
}

/// Store behind a cycle.
enum StoreBackend {
    Disk(Sqlite),
    /// For a simulation.
    Memory(Box<MemoryStore>),
}

/// Opens a project in its mode override, if an operator has set one.
pub(crate) async fn open(
    caller: &dyn Caller,
    manifest: &Path,
    choice: &ModeSelection,
    world: Option<&Path>,
    claim: OwnerAccess,
) -> Result<Project, OpenError> {
    // The store has the mode override, and the manifest names the store.
    let mut project =
        open_in_own_mode(caller, manifest, &ModeSelection { mode_optional: true, ..choice.clone() }, world, claim)
            .await?;
    project.follow(caller, manifest, choice).await?;
    Ok(project)
}

/// Opens a project in the mode of its manifest, if it has one.
pub(crate) async fn open_in_own_mode(
    caller: &dyn Caller,
    manifest: &Path,
    choice: &ModeSelection,
    world: Option<&Path>,
    claim: OwnerAccess,
) -> Result<Project, OpenError> {
    // A snapshot file is the caller's own.
    if world.is_none() {
        owner::continue_as_owner(caller, manifest, claim)?;
    }
    let desired = wire::load(manifest, caller.environment(), choice)?;
    caller.hide_secrets_of(&desired);
    let owner = match world {
        None => owner::admit(caller, &desired.project, claim)?,
        Some(_) => None,
    };
    let desired = claimed(desired, claim, owner.as_ref());
    if let Some(goal) = choice.goals.iter().find(|goal| !desired.goals.contains_key(*goal)) {
        let known = desired.goals.keys().cloned().collect();
        return Err(ReconcileError::UnknownGoal { goal: goal.clone(), known }.into());
    }
    let (world, store) = match world {
        None => {
            let machine = Environs::Machine(wire::machine(&desired, caller.environment()));
            (machine, StoreBackend::Disk(Sqlite::at(&wire::state_folder(caller.environment()))))
        }
        Some(path) => simulated(caller, path, &desired).await?,
    };
    Ok(Project { desired, switched: None, outlived: false, world, store, claim, owner, sets_mode: false })
}

/// Returns the manifest with the effects of the claim on services of another lcm.
fn claimed(desired: Desired, claim: OwnerAccess, owner: Option<&ProjectOwner>) -> Desired {
    let previous_owner = owner.and_then(owner::previous);
    Desired { take_over: claim == OwnerAccess::TakeOver, previous_owner, ..desired }
}

/// Opens a snapshot file. Its holds and attempts become the store of the simulation, so that commands can change them.
async fn simulated(
    caller: &dyn Caller,
    path: &Path,
    desired: &Desired,
) -> Result<(Environs, StoreBackend), ReconcileError> {
    caller.report("simulated: reading a snapshot file; this machine is neither read nor changed");
    let mut facts = read_world(path)?;
    let memory = MemoryStore::default();
    let unusable = |error: StoreError| ReconcileError::Store(error.to_string());
    for (service, hold) in std::mem::take(&mut facts.holds) {
        memory.set_hold(&desired.project, &service, Some(&hold)).await.map_err(unusable)?;
    }
    // The newest: snapshots of an earlier lcm have one for each entry file.
    let switched = std::mem::take(&mut facts.switches).into_iter().max_by_key(|switched| switched.since);
    memory.set_mode_override(&desired.project, switched.as_ref()).await.map_err(unusable)?;
    let pending = PendingChange { add: &std::mem::take(&mut facts.pending), ..PendingChange::default() };
    memory.write(&JournalEntry { pending, ..JournalEntry::of(&desired.project) }).await.map_err(unusable)?;
    for (service, past) in &mut facts.history {
        if let Some(attempts) = past.attempts.take() {
            memory.set_attempts(&desired.project, service, Some(&attempts)).await.map_err(unusable)?;
        }
        if let Some(end) = past.job.take() {
            memory.record_job_end(&desired.project, service, &end).await.map_err(unusable)?;
        }
        if let Some(report) = past.report.take() {
            memory.set_report(&desired.project, service, Some(&report)).await.map_err(unusable)?;
        }
    }
    let simulated = wire::simulated(facts, desired);
    Ok((Environs::Simulated { simulated, path: path.to_owned() }, StoreBackend::Memory(Box::new(memory))))
}

impl Project {
    /// Takes the mode from the mode override, unless the caller names one.
    async fn follow(&mut self, caller: &dyn Caller, manifest: &Path, choice: &ModeSelection) -> Result<(), OpenError> {
        // A store that can't be read is reported when the facts are read.
        let mode = self.mode_kept().await.unwrap_or_default();
        match mode.filter(|_| !self.desired.entry_is_choice) {
            Some(switched) if switched.own_mode != self.desired.own_mode && self.is_set_by_this_file(&switched) => {
                caller.report(&outlived(&switched, self.desired.own_mode.as_ref()));
                self.outlived = true;
            }
            Some(switched) if choice.mode.is_none() => self.switched = Some(switched),
            Some(_) | None => {}
        }
        let none_chosen = choice.mode.is_none() && self.desired.mode.is_none() && !choice.mode_optional;
        if self.switched.is_none() && !none_chosen {
            return Ok(());
        }
        let mode = self.switched.as_ref().map(|switched| switched.mode.clone());
        let loaded =
            wire::load(manifest, caller.environment(), &ModeSelection { mode_override: mode, ..choice.clone() });
        match (loaded, self.switched.take()) {
            (Ok(desired), switched) => {
                caller.hide_secrets_of(&desired);
                let desired = claimed(desired, self.claim, self.owner.as_ref());
                (self.desired, self.switched) = (desired, switched);
            }
            // Reads and a stop of everything work in any mode.
            (Err(problems), Some(switched)) if choice.mode_optional => {
                let first = problems.0.iter().find(|problem| problem.severity == Severity::Error);
                let why = first.map_or_else(String::new, |problem| format!(": {}", problem.message));
                caller.warn(&format!(
                    "the mode override {} is ignored{why}; clear it with `lcm switch --clear`",
                    switched.mode
                ));
            }
            (Err(problems), _) => return Err(problems.into()),
        }
        Ok(())
    }

    /// Returns true if the mode override was set with this entry file, or with one that is gone: the own mode of
    /// another checkout does not affect it.
    fn is_set_by_this_file(&self, switched: &ModeOverride) -> bool {
        switched.entry == self.entry() || !Path::new(&switched.entry).is_file()
    }

    /// Puts the project in a mode override, for this command at least.
    pub(crate) fn switch(&mut self, switched: ModeOverride) {
        self.desired.mode_source = ModeSource::Override;
        self.switched = Some(switched);
        self.sets_mode = true;
    }

    /// Keeps the mode override that this cycle sets; an apply drops one that the manifest has outlived.
    pub(crate) async fn keep_mode(&self, purpose: Purpose) -> Result<(), ReconcileError> {
        let kept = match (&self.switched, purpose) {
            (Some(switched), _) if self.sets_mode => Some(switched),
            // An outlived override must not return when the manifest goes back to its earlier mode.
            (_, Purpose::Apply) if self.outlived && !self.sets_mode => None,
            (_, Purpose::Apply | Purpose::Down | Purpose::Start | Purpose::Stop | Purpose::Restart) => return Ok(()),
        };
        let kept = self.store().set_mode_override(&self.desired.project, kept).await;
        kept.map_err(|error| ReconcileError::Store(error.to_string()))
    }

    /// Returns the path of the entry file, as mode overrides record it.
    pub(crate) fn entry(&self) -> String {
        files::plain(&self.desired.entry).display().to_string()
    }

    pub(crate) fn driver(&self) -> &dyn Driver {
        match &self.world {
            Environs::Machine(machine) => machine.as_ref(),
            Environs::Simulated { simulated, .. } => simulated.as_ref(),
        }
    }

    pub(crate) fn store(&self) -> &dyn Store {
        match &self.store {
            StoreBackend::Disk(disk) => disk,
            StoreBackend::Memory(memory) => memory.as_ref(),
        }
    }

    /// Makes the caller the project's owner, before the first change.
    pub(crate) fn own(&self, caller: &dyn Caller) -> Result<(), ReconcileError> {
        match self.world {
            Environs::Machine(_) => {
                let now = self.driver().now();
                owner::claim(caller, &self.desired, (self.claim, self.owner.as_ref()), now)
            }
            Environs::Simulated { .. } => Ok(()),
        }
    }

    /// Returns the reason to leave running services as they are: another checkout manages them.
    pub(crate) fn other_checkout(&self) -> Option<String> {
        match self.claim {
            OwnerAccess::AsOwner => owner::other_checkout(self.owner.as_ref(), &self.desired),
            OwnerAccess::TakeOver => None,
        }
    }

    /// Records that nothing of the previous owner is left.
    pub(crate) fn forget_previous(&self, caller: &dyn Caller) -> Result<(), ReconcileError> {
        match (&self.world, self.desired.previous_owner) {
            (Environs::Machine(_), Some(_)) => owner::forget_previous(caller, &self.desired.project),
            (Environs::Machine(_), None) | (Environs::Simulated { .. }, _) => Ok(()),
        }
    }

    /// Admits the command by the labels of containers, where no file names the project's owner.
    fn admit_by_labels(&self, caller: &dyn Caller, facts: &Facts) -> Result<(), ReconcileError> {
        match (&self.world, &self.owner) {
            (Environs::Machine(_), None) => {
                let view = ObserverInput { facts, desired: &self.desired };
                let uids = OBSERVERS.iter().flat_map(|observer| observer.owner_uids(view)).collect();
                owner::admit_by_labels(caller, &self.desired, &uids, self.claim)
            }
            (Environs::Machine(_), Some(_)) | (Environs::Simulated { .. }, _) => Ok(()),
        }
    }

    /// Leaves the project without an owner, once nothing of it is left.
    pub(crate) fn disown(&self, caller: &dyn Caller) -> Result<(), ReconcileError> {
        match self.world {
            Environs::Machine(_) => owner::release(caller, &self.desired.project),
            Environs::Simulated { .. } => Ok(()),
        }
    }

    pub(crate) fn is_simulated(&self) -> bool {
        matches!(self.world, Environs::Simulated { .. })
    }

    /// Proves that changes can be recorded, before there are any. On a full disk they can't be, and are made all the
    /// same: a running service is worth more than its record, and stopping one may free disk space. `down` is never
    /// refused.
    pub(crate) async fn ensure_writable(
        &self,
        purpose: Purpose,
        report: impl Fn(&StoreError),
    ) -> Result<(), ReconcileError> {
        let StoreBackend::Disk(disk) = &self.store else { return Ok(()) };
        match disk.ensure_writable().await {
            Ok(()) => Ok(()),
            Err(error @ StoreError::Full { .. }) => {
                report(&error);
                Ok(())
            }
            Err(error) if purpose == Purpose::Down => {
                report(&error);
                Ok(())
            }
            Err(error @ (StoreError::Unusable { .. } | StoreError::Newer { .. } | StoreError::Fenced { .. })) => {
                Err(ReconcileError::Store(error.to_string()))
            }
        }
    }

    /// Refuses to continue while holds can't be read.
    pub(crate) async fn require_holds(&self) -> Result<(), ReconcileError> {
        self.mode_override().await.map(|_| ())
    }

    /// Returns the mode override that an operator has set.
    pub(crate) async fn mode_override(&self) -> Result<Option<ModeOverride>, ReconcileError> {
        let unreadable = |error: StoreError| {
            format!("can't read operator holds, so nothing is changed (only `lcm down` works without them): {error}")
        };
        self.mode_kept().await.map_err(|error| ReconcileError::Store(unreadable(error)))
    }

    /// Returns the mode override in the store, under the present name or a former one.
    async fn mode_kept(&self) -> Result<Option<ModeOverride>, StoreError> {
        let mut kept = None;
        for project in self.names() {
            kept = self.store().holds(project).await?.mode.or(kept);
        }
        Ok(kept)
    }

    /// Reads the machine now, and adds the store's records. Where the store can't be read, holds are unknown.
    pub(crate) async fn facts(&self, caller: &dyn Caller) -> Result<Facts, ReconcileError> {
        // Root may have to continue as another user, before anything is probed.
        let began = Instant::now();
        let surveyed = self.driver().survey(&self.desired).await;
        self.admit_by_labels(caller, &surveyed)?;
        let mut facts = self.driver().complete(&self.desired, surveyed).await;
        let Recalled { holds, journal } = recall(self.store(), self.names(), &mut facts).await;
        if let Err(error) = holds.and(journal) {
            caller.warn(&format!(
                "{error}; holds, the mode override, restart budgets, pending calls and the history are unknown"
            ));
            facts.holds_unknown = Some(error.to_string());
        }
        // A project that has an owner was managed with the host's store.
        let own_store = facts.enclosure.as_ref().and_then(|enclosure| enclosure.own_store.as_ref());
        if let Some(option) = own_store.filter(|_| self.owner.is_some()) {
            let reason = format!("the host's store is not in this container: mount it with `docker run {option}`");
            facts.holds_unknown = Some(reason);
        }
        let project = self.desired.project.as_str();
        info!(target: "reconcile", project, took_ms = elapsed_ms(began), "facts read");
        Ok(facts)
    }

    /// Returns the project's names, the present one last: its records take precedence.
    fn names(&self) -> impl Iterator<Item = &ProjectName> {
        // A simulated store has one project alone.
        let former = self.desired.aliases.iter().filter(|_| !self.is_simulated());
        former.chain([&self.desired.project])
    }

    /// Moves the store's records under former names of the project to its present one.
    pub(crate) async fn rename_former(&self) -> Result<(), StoreError> {
        for from in &self.desired.aliases {
            self.store().rename_project(from, &self.desired.project).await?;
        }
        Ok(())
    }

    /// Takes one snapshot: the machine now, and its meaning for the manifest.
    pub(crate) async fn snapshot(&self, caller: &dyn Caller) -> Result<Snapshot, ReconcileError> {
        Ok(self.planner().observe(self.facts(caller).await?))
    }

    /// Returns the planner of the manifest.
    pub(crate) fn planner(&self) -> ManifestPlanner<'_> {
        ManifestPlanner { desired: &self.desired }
    }

    /// Returns the audited plan for a snapshot.
    pub(crate) fn plan(&self, snapshot: &Snapshot, request: &Request) -> Result<Plan, ReconcileError> {
        let plan = self.planner().plan(snapshot, request);
        plan.map_err(|error| ReconcileError::Audit(error.to_string()))
    }

    /// Refuses to plan if no wanted service could be observed.
    pub(crate) fn refuse_if_all_unknown(&self, snapshot: &Snapshot, request: &Request) -> Result<(), ReconcileError> {
        let wanted = wanted::wanted(&self.desired, request);
        // A service that can't be observed from here is reported by the plan.
        let seen =
            wanted.iter().filter_map(|name| snapshot.observed.services.get(name)).filter(|seen| seen.barred.is_none());
        let reasons = seen.map(|seen| seen.unknown.clone());
        let reasons: Option<BTreeSet<String>> = reasons.collect();
        match reasons {
            Some(reasons) if !reasons.is_empty() => {
                let reasons: Vec<String> = reasons.into_iter().collect();
                Err(ReconcileError::AllUnknown(format!("can't observe any wanted service: {}", reasons.join("; "))))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Refuses to work beside another host: two machines that change one project would undo each other's work.
    pub(crate) fn refuse_other_hosts(&self, facts: &Facts) -> Result<(), ReconcileError> {
        let view = ObserverInput { facts, desired: &self.desired };
        let Some(other) = OBSERVERS.iter().find_map(|observer| observer.on_other_host(view)) else { return Ok(()) };
        Err(ReconcileError::OtherHost(format!(
            "project {} at this shared engine is managed by lcm on host {}, which created container {}; nothing was \
                 changed: run lcm there, or take the project over with `lcm apply --take-over`",
            self.desired.project,
            other.host,
            other.instances.join(", ")
        )))
    }

    /// Writes a changed snapshot back to its file, with its history.
    pub(crate) async fn close(&self, caller: &dyn Caller) -> Result<(), ReconcileError> {
        let Environs::Simulated { simulated, path } = &self.world else { return Ok(()) };
        let mut facts = simulated.world();
        facts.remember(self.store().last_known(&self.desired.project).await.unwrap_or_default());
        let Holds { services, mode } = self.store().holds(&self.desired.project).await.unwrap_or_default();
        (facts.holds, facts.switches) = (services, mode.into_iter().collect());
        facts.pending = self.store().pending(&self.desired.project).await.unwrap_or_default();
        caller.write_world(path, &facts).map_err(|error| {
            ReconcileError::File(format!("can't write the snapshot back to {}: {error}", path.display()))
        })
    }
}

/// Returns the note on a mode override that no longer applies.
fn outlived(switched: &ModeOverride, own_mode: Option<&ModeSet>) -> String {
    let named =
        |mode: Option<&ModeSet>| mode.map_or_else(|| "none".to_owned(), |mode| format!("`mode: {}`", mode.yaml()));
    format!(
        "the mode override {} ({}) no longer applies: the manifest had {} then, and has {} now; \
         the next apply clears it",
        switched.mode,
        switched.attribution(),
        named(switched.own_mode.as_ref()),
        named(own_mode)
    )
}

pub(crate) fn read_world(path: &Path) -> Result<Facts, ReconcileError> {
    let wrong =
        |reason: String| ReconcileError::World(format!("can't use the snapshot file {}: {reason}", path.display()));
    let text = files::read(path).map_err(|error| wrong(error.to_string()))?;
    world::read(&text).map_err(wrong)
}
