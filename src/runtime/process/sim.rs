//! Simulated process trees: they start, freeze and end as under a real shim and kernel.

use async_trait::async_trait;
use jiff::Timestamp;

use crate::model::desired::Service;
use crate::model::facts::{ExitFact, Facts, ProcessFact, ProcessOwner, Reading};
use crate::model::instance::Instance;
use crate::model::names::{ProjectName, RuntimeName, ServiceName};
use crate::runtime::process::facts::{ProcessReading as _, TreeFact, known_trees};
use crate::runtime::process::{self, NAME};
use crate::runtime::{DriverError, Inspection, RunState, Start};
use crate::sim::contract::SimulatedRuntime;
use crate::sim::deed::Deed;
use crate::sim::instances::{LivingInstance, ProjectView, SimulatedHolder, SimulatedInstances};
use crate::sim::machine::SimulatedMachine;
use crate::sim::marks;
use crate::sim::world::World;

/// First pid of the simulated trees; each tree has two, its shim's and its program's.
const PIDS_FROM: i32 = 100_000;

/// Number of starts until pids repeat.
const STARTS_MAX: u64 = 1_000_000;

const TERM: i32 = 15;

/// Process trees of a simulation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SimulatedProcesses;

impl SimulatedInstances for SimulatedProcesses {
    fn name(&self) -> RuntimeName {
        NAME
    }

    fn fill(&self, facts: &mut Facts) {
        let trees = &mut facts.processes_mut().trees;
        if matches!(trees, Reading::NotAsked) {
            *trees = Reading::Known(Vec::new());
        }
    }

    fn living<'a>(&self, facts: &'a Facts) -> Vec<LivingInstance<'a>> {
        let instance = |tree: &'a TreeFact| LivingInstance { id: id_of(tree), name: None, marks: Some(&tree.marks) };
        living(facts).map(instance).collect()
    }

    fn has_id(&self, facts: &Facts, id: &str) -> bool {
        known_trees(facts).any(|tree| tree.marks.salt == id)
    }

    fn inspect(&self, view: ProjectView<'_>, service: &Service) -> Result<Inspection, DriverError> {
        if let Some(reason) = view.facts.processes().trees.unknown() {
            return Err(DriverError::Refused(reason.to_owned()));
        }
        let tree = tree_of(view.facts, view.project, &service.name);
        Ok(Inspection {
            instance: tree.map(TreeFact::instance),
            run_state: tree.map_or(RunState::Absent, life_of),
            previous: false,
            spec: tree.filter(|found| !found.adopted).map(|found| found.marks.spec.clone()),
            copies: None,
        })
    }

    fn stray(&self, view: ProjectView<'_>, service: &ServiceName) -> Option<Instance> {
        let tree = tree_of(view.facts, view.project, service)?;
        matches!(life_of(tree), RunState::Running).then(|| tree.instance())
    }

    fn foreign(&self, view: ProjectView<'_>, service: &ServiceName, id: &str) -> Option<String> {
        let tree = known_trees(view.facts).find(|tree| id_of(tree) == id)?;
        (!tree.marks.are_of(view.project, service)).then(|| format!("tree {id}"))
    }

    /// Several trees of one service are distinguished by their processes.
    fn holder(&self, facts: &Facts, id: &str) -> Option<SimulatedHolder> {
        let tree = living(facts).find(|tree| id_of(tree) == id)?;
        let is_same = |other: &&TreeFact| {
            (&other.marks.project, &other.marks.service) == (&tree.marks.project, &tree.marks.service)
        };
        let is_ambiguous = living(facts).filter(is_same).count() > 1;
        let pids = is_ambiguous.then(|| tree.members.iter().map(|member| member.pid).collect());
        Some(SimulatedHolder { owner: owner_of(tree), pid: tree.members.first().map(|first| first.pid), pids })
    }

    fn program(&self, service: &Service) -> String {
        let command = service.workload.spec.host_command().unwrap_or_default();
        command.into_iter().next().unwrap_or_default()
    }

    fn exit_of_stop(&self) -> ExitFact {
        ExitFact { code: None, signal: Some(TERM), at: None }
    }

    fn replace_spec(&self, facts: &mut Facts, id: &str, spec: &str) -> Option<String> {
        tree_mut(facts, id).map(|tree| std::mem::replace(&mut tree.marks.spec, spec.to_owned()))
    }

    fn set_paused(&self, facts: &mut Facts, id: &str, paused: bool) {
        if let Some(tree) = tree_mut(facts, id) {
            tree.suspended = paused;
        }
    }

    fn set_ended(&self, facts: &mut Facts, id: &str, exit: &ExitFact, leaves_children: bool) -> Option<ProcessOwner> {
        let tree = tree_mut(facts, id)?;
        tree.exit = Some(exit.clone());
        if leaves_children {
            return None;
        }
        tree.members.clear();
        tree.shim = None;
        tree.suspended = false;
        Some(owner_of(tree))
    }
}

#[async_trait]
impl SimulatedRuntime for SimulatedProcesses {
    async fn start(&self, machine: &SimulatedMachine, start: &Start<'_>) -> Result<Instance, DriverError> {
        let name = &start.service.name;
        machine
            .effect(Deed::Start, name, |world, at| {
                if tree_of(&world.facts, start.project, name).is_some_and(|tree| !tree.members.is_empty()) {
                    return Err(world.violate(format!("started {name} though it runs")));
                }
                world.may_start(start)?;
                let salt = self.spawn(world, start, at);
                world.begin(&salt, start, at);
                Ok(process::instance(salt))
            })
            .await
    }

    async fn remove(&self, machine: &SimulatedMachine, _: &ProjectName, _: &Instance) -> Result<(), DriverError> {
        Err(machine.lock().violate("removed a process tree".to_owned()))
    }
}

impl SimulatedProcesses {
    /// Adds a running tree, and removes earlier trees of the same service.
    fn spawn(self, world: &mut World, start: &Start<'_>, at: Timestamp) -> String {
        let (count, salt) = world.new_salt();
        let (program, marks) = (self.program(start.service), marks::marks(start, &salt));
        let pid = PIDS_FROM + i32::try_from(count % STARTS_MAX).unwrap_or(0) * 2;
        let process = |pid, program: &str| ProcessFact { pid, start_ticks: count, program: program.to_owned() };
        let tree = TreeFact {
            marks,
            adopted: false,
            shim: Some(process(pid, "lcm")),
            members: vec![process(pid + 1, &program)],
            started_at: Some(at),
            exit: None,
            suspended: false,
            uid: None,
            lost_shim: None,
            held: None,
            former_project: None,
        };
        if let Some(trees) = world.facts.processes_mut().trees.known_mut() {
            trees.retain(|other| !other.marks.are_of(start.project, &start.service.name));
            trees.push(tree);
        }
        salt
    }
}

fn living(facts: &Facts) -> impl Iterator<Item = &TreeFact> {
    known_trees(facts).filter(|tree| !tree.members.is_empty())
}

/// Returns the tree of a service; a living one has precedence.
fn tree_of<'a>(facts: &'a Facts, project: &ProjectName, service: &ServiceName) -> Option<&'a TreeFact> {
    let trees = || {
        let all = facts.processes().trees.known().into_iter().flatten();
        all.filter(|tree| tree.marks.are_of(project, service))
    };
    trees().find(|tree| !tree.members.is_empty()).or_else(|| trees().next_back())
}

fn tree_mut<'a>(facts: &'a mut Facts, id: &str) -> Option<&'a mut TreeFact> {
    facts.processes_mut().trees.known_mut()?.iter_mut().find(|tree| id_of(tree) == id)
}

/// Returns the id of a tree's instance.
fn id_of(tree: &TreeFact) -> String {
    tree.instance().id
}

fn owner_of(tree: &TreeFact) -> ProcessOwner {
    ProcessOwner::Service {
        project: ProjectName::new(&*tree.marks.project),
        service: ServiceName::new(&*tree.marks.service),
    }
}

fn life_of(tree: &TreeFact) -> RunState {
    match (&tree.exit, tree.members.is_empty()) {
        (exit, true) => RunState::Ended(exit.clone()),
        (None, false) if tree.suspended => RunState::Suspended,
        (None, false) => RunState::Running,
        (Some(exit), false) if exit.code == Some(0) => RunState::Running,
        (Some(exit), false) => RunState::Degraded(exit.clone()),
    }
}
