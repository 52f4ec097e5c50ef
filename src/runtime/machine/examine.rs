//! Checks of this machine for `lcm doctor`, with or without a manifest.

use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::timeout;

use crate::host::examine;
use crate::model::desired::{Desired, Service};
use crate::model::doctor::readings::GpuReadings;
use crate::model::doctor::{Demand, MachineCheck, RuntimeDemand};
use crate::model::enclosure::EnclosureFact;
use crate::model::facts::Reading;
use crate::model::names::{ProjectName, RuntimeName};
use crate::runtime::machine::Machine;
use crate::runtime::registration::DriverContext;
use crate::syntax::Environment;

/// Deadline of the readings of lcm's own container: an engine may hang.
const ENCLOSURE_DEADLINE: Duration = Duration::from_secs(5);

/// Readings that the machine and its runtimes take.
#[derive(Debug)]
pub struct MachineExamination {
    pub gpus: GpuReadings,
    /// Container that lcm runs in.
    pub enclosure: Option<EnclosureFact>,
    /// Checks of the runtimes, in the order of their list.
    pub checks: Vec<MachineCheck>,
}

impl Machine {
    /// Examines this machine for a manifest, or for any where there is none. Changes and starts nothing.
    pub async fn examine(
        desired: Option<&Desired>,
        environment: &Environment,
        shim_program: &Path,
    ) -> MachineExamination {
        let nothing = Desired::plain(ProjectName::new("none"), []);
        let context = DriverContext {
            desired: desired.unwrap_or(&nothing),
            environment,
            shim_program,
            discovers: desired.is_none(),
        };
        let machine = Self::connected(&context);
        let (gpus, enclosure) =
            tokio::join!(examine::gpus(environment, desired), timeout(ENCLOSURE_DEADLINE, machine.enclosure_fact()));
        let demands = machine.runtimes.iter().map(|runtime| demand(desired, &runtime.name(), &gpus));
        let checks = machine.runtimes.iter().zip(demands).map(|(runtime, demand)| runtime.examine(demand));
        let checks = join_all(checks).await.into_iter().flatten().collect();
        MachineExamination { gpus, enclosure: enclosure.unwrap_or_default(), checks }
    }
}

/// Returns the demand of a manifest for a runtime and for GPUs of its services.
fn demand(desired: Option<&Desired>, runtime: &RuntimeName, gpus: &GpuReadings) -> RuntimeDemand {
    let Some(desired) = desired else {
        let has_gpu = !gpus.boards.is_empty() || matches!(&gpus.gpus, Reading::Known(found) if !found.is_empty());
        let gpus = if has_gpu { Demand::Needed } else { Demand::Unknown };
        return RuntimeDemand { runtime: Demand::Unknown, gpus };
    };
    let mut services = desired.services.values().filter(|service| service.workload.is_of(runtime)).peekable();
    let is_used = services.peek().is_some();
    RuntimeDemand { runtime: Demand::of(is_used), gpus: Demand::of(services.any(Service::wants_gpu)) }
}
