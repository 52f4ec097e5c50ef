//! Host memory of the simulated machine, where its facts hold a reading: a service takes all of it when it starts, and
//! gives it back when it ends.

use super::world::World;
use crate::model::desired::Service;
use crate::model::facts::{HostMemoryHolder, ProcessOwner};
use crate::model::size::Mebibytes;

/// Violation: a start without enough free host memory.
pub const HOST_OVERCOMMITTED: &str = "host memory overcommitted by a start";

impl World {
    /// Takes the host memory of a service that starts. More than is available is a violation.
    pub(super) fn take_ram(&mut self, service: &Service, owner: &ProcessOwner) {
        let takes = self.behaviour(&service.name).takes_ram.unwrap_or(service.ram);
        let Some(memory) = self.facts.memory.known_mut().filter(|_| service.ram > Mebibytes::ZERO) else { return };
        let Some(available) = memory.available else { return };
        if service.ram > available {
            let (name, ram) = (&service.name, service.ram);
            self.violations.push(format!("{HOST_OVERCOMMITTED}: {name} needs {ram}; {available} are available"));
        }
        let takes = takes.min(available);
        memory.available = Some(available - takes);
        memory.holders.push(HostMemoryHolder { owner: owner.clone(), memory: takes });
    }

    /// Returns the host memory of an instance that ends. Must be called while its processes are known.
    pub(super) fn return_ram(&mut self, key: &str) {
        let Some(owner) = self.holder(key).map(|holder| holder.owner) else { return };
        let Some(memory) = self.facts.memory.known_mut() else { return };
        let freed: Mebibytes =
            memory.holders.extract_if(.., |holder| holder.owner == owner).map(|holder| holder.memory).sum();
        memory.available = memory.available.map(|available| available + freed);
    }
}
