//! Contract of a runtime in a simulation: its effects, in the small steps in which the real one changes a machine, so
//! that lcm can crash between any two of them.

use async_trait::async_trait;

use crate::model::desired::Service;
use crate::model::instance::Instance;
use crate::model::names::ProjectName;
use crate::runtime::{DriverError, Start};
use crate::sim::instances::SimulatedInstances;
use crate::sim::machine::SimulatedMachine;

/// Effects of one runtime on a simulated machine. A stop, a pause and a scale are the same for all runtimes.
#[async_trait]
pub(crate) trait SimulatedRuntime: SimulatedInstances {
    /// Starts a service, creating its instance first if needed.
    async fn start(&self, machine: &SimulatedMachine, start: &Start<'_>) -> Result<Instance, DriverError>;

    /// Removes the previous revision.
    async fn settle(&self, _: &SimulatedMachine, _: &ProjectName, _: &Service) -> Result<(), DriverError> {
        Ok(())
    }

    /// Starts the previous revision in place of the new one; returns false if there was none.
    async fn restore(&self, _: &SimulatedMachine, _: &ProjectName, _: &Service) -> Result<bool, DriverError> {
        Ok(false)
    }

    /// Changes settings of a running instance in place.
    async fn update(
        &self,
        _: &SimulatedMachine,
        _: &ProjectName,
        _: &Service,
        _: &Instance,
    ) -> Result<(), DriverError> {
        Err(DriverError::Refused(format!("the runtime `{}` can't update a service", self.name())))
    }

    /// Removes a network that lcm made and that no instance uses.
    async fn remove_network(&self, _: &SimulatedMachine, _: &ProjectName, _: &str) -> Result<(), DriverError> {
        Err(DriverError::Refused(format!("the runtime `{}` has no networks", self.name())))
    }

    /// Removes a stopped instance that lcm created.
    async fn remove(
        &self,
        machine: &SimulatedMachine,
        project: &ProjectName,
        instance: &Instance,
    ) -> Result<(), DriverError>;
}
