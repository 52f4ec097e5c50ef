//! Observer of process trees: derives the state of services from facts. No side effects.
//!
//! In: facts about process trees, and the manifest. Out: the observed state of each service, and drift.
//! Not here: decisions, which are `plan`'s.

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
        tree::observed(facts, desired, service)
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

    /// Bars starts from within a container: the process would end with the container.
    fn bar(&self, view: ObserverInput<'_>, _: &Service, seen: &mut ObservedService) {
        let Some(enclosure) = &view.facts.enclosure else { return };
        let mut message =
            "lcm runs in a container, and a process started here would end with it; start the service from the host"
                .to_owned();
        if !enclosure.lacks.is_empty() {
            message =
                format!("{message}; to see and stop it from here, `docker run` needs {}", enclosure.lacks.join(" "));
            // Another instance of the service may be visible.
            if seen.instance.is_none() && seen.unknown.is_none() {
                seen.unknown = Some(message.clone());
            }
        }
        seen.barred = Some(Box::new(Barred::InContainer(message)));
    }

    fn orphans(&self, ObserverInput { facts, desired }: ObserverInput<'_>) -> Vec<Orphan> {
        known_trees(facts).filter_map(|tree| orphan_of(tree, desired)).collect()
    }

    fn other_projects<'a>(&self, ObserverInput { facts, desired }: ObserverInput<'a>) -> Vec<&'a Marks> {
        let living = known_trees(facts).filter(|tree| !tree.members.is_empty());
        living.map(|tree| &tree.marks).filter(|marks| !desired.is_own_project(&marks.project)).collect()
    }

    fn former_names<'a>(&self, view: ObserverInput<'a>) -> Vec<&'a Marks> {
        let living = known_trees(view.facts).filter(|tree| !tree.members.is_empty());
        living.filter(|tree| tree.former_project.is_some()).map(|tree| &tree.marks).collect()
    }

    /// Warns of pid files that another user could have written.
    fn warnings(&self, ObserverInput { facts, desired }: ObserverInput<'_>) -> Vec<String> {
        let files = facts.processes().pid_files.iter().filter(|(name, _)| desired.services.contains_key(*name));
        let warning = |(name, why): (&ServiceName, &String)| {
            format!("{name}: its pid file is ignored, so no process is adopted: {why}")
        };
        files.map(warning).collect()
    }
}

fn orphan_of(found: &TreeFact, desired: &Desired) -> Option<Orphan> {
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
