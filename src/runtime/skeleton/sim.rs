//! Objects in a simulation: how they start and end.

use async_trait::async_trait;

use crate::model::desired::Service;
use crate::model::facts::{ExitFact, Facts, ProcessOwner, Reading};
use crate::model::instance::Instance;
use crate::model::names::{ObjectName, ProjectName, RuntimeName, ServiceName};
use crate::runtime::skeleton::NAME;
use crate::runtime::skeleton::facts::{SkeletonFact, SkeletonFacts, known_objects};
use crate::runtime::{DriverError, Inspection, RunState, Start};
use crate::sim::contract::SimulatedRuntime;
use crate::sim::deed::Deed;
use crate::sim::instances::{LivingInstance, ProjectView, SimulatedHolder, SimulatedInstances};
use crate::sim::machine::SimulatedMachine;
use crate::sim::marks;

/// Objects of a simulation.
#[derive(Clone, Copy, Debug)]
pub(super) struct SimulatedObjects;

impl SimulatedInstances for SimulatedObjects {
    fn name(&self) -> RuntimeName {
        NAME
    }

    fn fill(&self, facts: &mut Facts) {
        let objects = &mut facts.instances.get_mut::<SkeletonFacts>().objects;
        if matches!(objects, Reading::NotAsked) {
            *objects = Reading::Known(Vec::new());
        }
    }

    fn living<'a>(&self, facts: &'a Facts) -> Vec<LivingInstance<'a>> {
        let instance = |object: &'a SkeletonFact| LivingInstance {
            id: object.id.clone(),
            name: Some(&object.name),
            marks: object.marks.as_ref(),
        };
        known_objects(facts).filter(|object| object.runs).map(instance).collect()
    }

    fn has_id(&self, facts: &Facts, id: &str) -> bool {
        known_objects(facts).any(|object| object.id == id)
    }

    fn inspect(&self, view: ProjectView<'_>, service: &Service) -> Result<Inspection, DriverError> {
        let object = of_service(view.facts, view.project, &service.name);
        let run_state = object
            .map_or(RunState::Absent, |object| if object.runs { RunState::Running } else { RunState::Ended(None) });
        let spec = object.and_then(|object| object.marks.as_ref()).map(|marks| marks.spec.clone());
        Ok(Inspection { instance: object.map(SkeletonFact::instance), run_state, previous: false, spec, copies: None })
    }

    fn stray(&self, view: ProjectView<'_>, service: &ServiceName) -> Option<Instance> {
        let object = of_service(view.facts, view.project, service)?;
        object.runs.then(|| object.instance())
    }

    fn foreign(&self, view: ProjectView<'_>, service: &ServiceName, id: &str) -> Option<String> {
        let object = known_objects(view.facts).find(|object| object.id == id)?;
        let is_own = object.marks.as_ref().is_some_and(|marks| marks.are_of(view.project, service));
        (!is_own).then(|| format!("object {}", object.name))
    }

    fn holder(&self, facts: &Facts, id: &str) -> Option<SimulatedHolder> {
        let object = known_objects(facts).find(|object| object.id == id && object.runs)?;
        Some(SimulatedHolder { owner: ProcessOwner::Container(object.id.clone()), pid: None, pids: None })
    }

    fn program(&self, service: &Service) -> String {
        service.object().map(ObjectName::to_string).unwrap_or_default()
    }

    fn exit_of_stop(&self) -> ExitFact {
        ExitFact { code: Some(0), signal: None, at: None }
    }

    fn replace_spec(&self, facts: &mut Facts, id: &str, spec: &str) -> Option<String> {
        let marks = object_mut(facts, id)?.marks.as_mut()?;
        Some(std::mem::replace(&mut marks.spec, spec.to_owned()))
    }

    fn set_paused(&self, _: &mut Facts, _: &str, _: bool) {}

    fn set_ended(&self, facts: &mut Facts, id: &str, _: &ExitFact, _: bool) -> Option<ProcessOwner> {
        let object = object_mut(facts, id)?;
        object.runs = false;
        Some(ProcessOwner::Container(object.id.clone()))
    }
}

#[async_trait]
impl SimulatedRuntime for SimulatedObjects {
    async fn start(&self, machine: &SimulatedMachine, start: &Start<'_>) -> Result<Instance, DriverError> {
        let name = &start.service.name;
        machine
            .effect(Deed::Start, name, |world, at| {
                world.may_start(start)?;
                let (_, salt) = world.new_salt();
                let object = SkeletonFact {
                    id: salt.clone(),
                    name: self.program(start.service),
                    runs: true,
                    marks: Some(marks::marks(start, &salt)),
                };
                let instance = object.instance();
                if let Some(objects) = world.facts.instances.get_mut::<SkeletonFacts>().objects.known_mut() {
                    objects.retain(|other| other.name != object.name);
                    objects.push(object);
                }
                world.begin(&salt, start, at);
                Ok(instance)
            })
            .await
    }

    async fn remove(
        &self,
        machine: &SimulatedMachine,
        _: &ProjectName,
        instance: &Instance,
    ) -> Result<(), DriverError> {
        let name = ServiceName::new(instance.object());
        machine
            .effect(Deed::Remove, &name, |world, _| {
                if let Some(objects) = world.facts.instances.get_mut::<SkeletonFacts>().objects.known_mut() {
                    objects.retain(|object| object.id != instance.id);
                }
                Ok(())
            })
            .await
    }
}

fn of_service<'a>(facts: &'a Facts, project: &ProjectName, service: &ServiceName) -> Option<&'a SkeletonFact> {
    known_objects(facts).find(|object| object.marks.as_ref().is_some_and(|marks| marks.are_of(project, service)))
}

fn object_mut<'a>(facts: &'a mut Facts, id: &str) -> Option<&'a mut SkeletonFact> {
    let objects = &mut facts.instances.get_mut::<SkeletonFacts>().objects;
    objects.known_mut()?.iter_mut().find(|object| object.id == id)
}
