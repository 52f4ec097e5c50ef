//! Contract of a runtime's observer, which derives observed services from its facts. Pure, like its implementations.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::model::claim::ClaimFact;
use crate::model::desired::{Desired, Service};
use crate::model::endpoint::Endpoint;
use crate::model::facts::{Facts, Marks};
use crate::model::instance::Instance;
use crate::model::names::{GpuId, RuntimeName, ServiceName};
use crate::model::network::ObservedNetwork;
use crate::model::observed::{ObservedGpus, ObservedService, Orphan, PortHolder};

/// Facts, and the desired state that they are observed for.
#[derive(Clone, Copy, Debug)]
pub struct ObserverInput<'a> {
    pub facts: &'a Facts,
    pub desired: &'a Desired,
}

/// Instance that appears to run, and may be probed.
#[derive(Clone, Debug)]
pub struct RunningInstance {
    pub instance: Instance,
    pub started_at: Option<Timestamp>,
}

/// Instances of this project that another machine created at an endpoint that both use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherHost {
    /// Hostname of that machine.
    pub host: String,
    /// Instances by name, with their short ids.
    pub instances: Vec<String>,
}

/// Observer of one runtime.
pub trait Observer: Send + Sync {
    fn runtime(&self) -> RuntimeName;

    /// Observes a service that this runtime runs.
    fn service(&self, view: ObserverInput<'_>, service: &Service) -> ObservedService;

    /// Observes a running instance of a service that the manifest now declares for another runtime: it is still that
    /// service.
    fn stray(&self, view: ObserverInput<'_>, service: &Service) -> Option<ObservedService>;

    /// Observes an instance of a service under a name that lcm did not give: it is never touched, and no second one is
    /// created.
    fn renamed(&self, _: ObserverInput<'_>, _: &Service) -> Option<ObservedService> {
        None
    }

    /// Returns the instance of a service to probe, where one appears to run and is not foreign.
    fn running(&self, view: ObserverInput<'_>, service: &Service) -> Option<RunningInstance>;

    /// Marks a service that can't be started or fully observed from where lcm runs, with the reason.
    fn bar(&self, _: ObserverInput<'_>, _: &Service, _: &mut ObservedService) {}

    /// Sets the GPUs that an instance that lcm did not create may use. `holding`: GPUs on which it is measured.
    fn bind(&self, _: ObserverInput<'_>, _: &Service, _: &mut ObservedService, _: &ObservedGpus, _: &[GpuId]) {}

    /// Returns instances of this project without a service in the manifest, and surplus copies.
    fn orphans(&self, view: ObserverInput<'_>) -> Vec<Orphan>;

    /// Returns instances that name this project without proof.
    fn claims(&self, _: ObserverInput<'_>, _: &BTreeMap<ServiceName, ObservedService>) -> Vec<ClaimFact> {
        Vec::new()
    }

    /// Returns the marks of running instances of other lcm projects.
    fn other_projects<'a>(&self, view: ObserverInput<'a>) -> Vec<&'a Marks>;

    /// Returns the marks of instances that still carry a former name of this project.
    fn former_names<'a>(&self, view: ObserverInput<'a>) -> Vec<&'a Marks>;

    /// Returns the networks that this runtime makes for the project's services.
    fn networks(&self, _: ObserverInput<'_>) -> Vec<ObservedNetwork> {
        Vec::new()
    }

    /// Returns warnings for the operator.
    fn warnings(&self, _: ObserverInput<'_>) -> Vec<String> {
        Vec::new()
    }

    /// Returns the ports that running objects publish, with the id of each object.
    fn published<'a>(&self, _: ObserverInput<'a>) -> Vec<(Endpoint, &'a str)> {
        Vec::new()
    }

    /// Returns the owner of an object; `None`: the runtime has no object of this id.
    fn holder(&self, _: ObserverInput<'_>, _: &str) -> Option<PortHolder> {
        None
    }

    /// Returns the marks of an object of another lcm project.
    fn other_project<'a>(&self, _: ObserverInput<'a>, _: &str) -> Option<&'a Marks> {
        None
    }

    /// Returns the ids of the users whose lcm created this project's instances, as far as their marks name them.
    fn owner_uids(&self, _: ObserverInput<'_>) -> BTreeSet<u32> {
        BTreeSet::new()
    }

    /// Returns instances of this manifest's services that lcm on another machine created.
    fn on_other_host(&self, _: ObserverInput<'_>) -> Option<OtherHost> {
        None
    }
}

/// Observers of all runtimes.
pub type Observers<'a> = &'a [&'a dyn Observer];
