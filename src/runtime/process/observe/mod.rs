//! Process trees as services: the observer of this runtime. Pure.
//!
//! In: facts of process trees, and the manifest. Out: the observed state of each service, and drift. Not here:
//! decisions.

mod drift;
pub(crate) mod tree;

use crate::model::claim::Claimant;
use crate::model::desired::{Desired, Service};
use crate::model::facts::Marks;
use crate::model::lifecycle::State;
use crate::model::names::{RuntimeName, ServiceName};
use crate::model::observed::{Barred, ObservedService, Orphan};
use crate::observe::contract::{Observer, ObserverInput, RunningInstance};
use crate::observe::orphan::orphan;
use crate::runtime::process;
use crate::runtime::process::facts::{ProcessReading as _, TreeFact, known_trees};

/// Observer of process trees.
#[derive(Clone, Copy, Debug)]
pub struct ProcessObserver;

impl Observer for ProcessObserver {
    fn runtime(&self) -> RuntimeName {
        process::NAME
    }

    fn service(&self, ObserverInput { facts, desired }: ObserverInput<'_>, service: &Service) -> ObservedService {
        tree::picture(facts, desired, service)
    }

    fn stray(&self, ObserverInput { facts, desired }: ObserverInput<'_>, service: &Service) -> Option<ObservedService> {
        tree::living(facts, desired, service)
    }

    fn running(
        &self,
        ObserverInput { facts, desired }: ObserverInput<'_>,
        service: &Service,
    ) -> Option<RunningInstance> {
        let tree = known_trees(facts).find(|tree| tree.marks.are_of(&desired.project, &service.name))?;
        let instance = process::instance(tree.marks.salt.clone());
        let runs = !tree.members.is_empty() && !tree.suspended;
        runs.then_some(RunningInstance { instance, started_at: tree.started_at })
    }

    /// A process that is started in a container ends with it.
    fn bar(&self, view: ObserverInput<'_>, _: &Service, seen: &mut ObservedService) {
        let Some(enclosure) = &view.facts.enclosure else { return };
        let mut message =
            "it is a process, and lcm runs in a container, with which it would end: start it by lcm on the \
                           host"
                .to_owned();
        if !enclosure.lacks.is_empty() {
            message =
                format!("{message}; to see and stop it from here, `docker run` needs {}", enclosure.lacks.join(" "));
            // Something else may stand in its place, which is seen.
            if seen.instance.is_none() && seen.unknown.is_none() {
                seen.unknown = Some(message.clone());
            }
        }
        seen.barred = Some(Box::new(Barred::InContainer(message)));
    }

    fn orphans(&self, ObserverInput { facts, desired }: ObserverInput<'_>) -> Vec<Orphan> {
        known_trees(facts).filter_map(|tree| of_tree(tree, desired)).collect()
    }

    fn other_projects<'a>(&self, ObserverInput { facts, desired }: ObserverInput<'a>) -> Vec<&'a Marks> {
        let living = known_trees(facts).filter(|tree| !tree.members.is_empty());
        living.map(|tree| &tree.marks).filter(|marks| !desired.is_own_project(&marks.project)).collect()
    }

    fn former_names<'a>(&self, view: ObserverInput<'a>) -> Vec<&'a Marks> {
        let living = known_trees(view.facts).filter(|tree| !tree.members.is_empty());
        living.filter(|tree| tree.former_project.is_some()).map(|tree| &tree.marks).collect()
    }

    /// Pid files that another user could have written.
    fn warnings(&self, ObserverInput { facts, desired }: ObserverInput<'_>) -> Vec<String> {
        let files = facts.processes().pid_files.iter().filter(|(name, _)| desired.services.contains_key(*name));
        let told = |(name, why): (&ServiceName, &String)| {
            format!("{name}: its pid file is not believed, and no process is taken over by it: {why}")
        };
        files.map(told).collect()
    }
}

fn of_tree(found: &TreeFact, desired: &Desired) -> Option<Orphan> {
    let name = ServiceName::from(found.marks.service.as_str());
    let ours = found.marks.project == desired.project.as_str();
    if !ours || found.members.is_empty() || desired.services.contains_key(&name) {
        return None;
    }
    let state = if found.suspended { State::Suspended } else { State::Online };
    let first = found.members.first();
    let carrier = first.map(|first| Claimant::Process {
        pid: first.pid,
        uid: found.uid.unwrap_or_default(),
        program: first.program.clone(),
    });
    Some(orphan((name, found.instance(), state), carrier, &found.marks))
}
