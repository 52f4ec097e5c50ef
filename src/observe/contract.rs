//! Contract of a runtime's observer: what its facts mean for a manifest. Pure, like all that is built on it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::model::claim::ClaimFact;
use crate::model::desired::{Desired, Service};
use crate::model::endpoint::Endpoint;
use crate::model::facts::{Facts, Marks};
use crate::model::instance::Instance;
use crate::model::names::{GpuId, RuntimeName, ServiceName};
use crate::model::observed::{ObservedGpus, ObservedService, Orphan, PortHolder};

/// Facts, and the manifest that they are observed for.
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

/// Instances of this project that another machine made at an endpoint that both use.
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

    /// Observes a service that this runtime carries.
    fn service(&self, view: ObserverInput<'_>, service: &Service) -> ObservedService;

    /// Observes a running instance of a service that another runtime carries by now: it is still that service.
    fn stray(&self, view: ObserverInput<'_>, service: &Service) -> Option<ObservedService>;

    /// Observes an instance of a service under a name that lcm did not give: never touched, and not made a second time.
    fn renamed(&self, _: ObserverInput<'_>, _: &Service) -> Option<ObservedService> {
        None
    }

    /// Returns the instance of a service to probe, where one appears to run and is not another's.
    fn running(&self, view: ObserverInput<'_>, service: &Service) -> Option<RunningInstance>;

    /// Sets why a service can't be started from where lcm runs, and what can't be seen from there.
    fn bar(&self, _: ObserverInput<'_>, _: &Service, _: &mut ObservedService) {}

    /// Sets which GPUs an instance that lcm did not create may be on. `holding`: GPUs on which it is measured.
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

    /// Returns what an operator is to be told.
    fn warnings(&self, _: ObserverInput<'_>) -> Vec<String> {
        Vec::new()
    }

    /// Returns the ports that running objects publish, with the id of each object.
    fn published<'a>(&self, _: ObserverInput<'a>) -> Vec<(Endpoint, &'a str)> {
        Vec::new()
    }

    /// Returns whose an object is; `None`: the runtime knows no object of this id.
    fn holder(&self, _: ObserverInput<'_>, _: &str) -> Option<PortHolder> {
        None
    }

    /// Returns the marks of an object of another lcm project.
    fn other_project<'a>(&self, _: ObserverInput<'a>, _: &str) -> Option<&'a Marks> {
        None
    }

    /// Returns the users whose lcm made this project's instances, as far as their marks tell.
    fn owner_uids(&self, _: ObserverInput<'_>) -> BTreeSet<u32> {
        BTreeSet::new()
    }

    /// Returns instances of this manifest's services that another machine's lcm made.
    fn on_other_host(&self, _: ObserverInput<'_>) -> Option<OtherHost> {
        None
    }
}

/// Observers of all runtimes.
pub type Observers<'a> = &'a [&'a dyn Observer];
