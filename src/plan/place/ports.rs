//! Ports as positions in one list: two services conflict where they share a position.

use super::problem::Few;
use crate::model::endpoint::Endpoint;
use crate::plan::input::PlanInput;
use crate::plan::numbers::Number;

/// Positions of a service's ports in the sorted list of all ports. A port on every address takes the positions of all
/// endpoints with its number, so that two services conflict exactly where they share a position.
pub(super) fn positions_of(own: &[Endpoint], all: &[Endpoint]) -> Few<usize> {
    let mut positions: Few<usize> = Few::new();
    for port in own {
        let from = all.partition_point(|other| other.port < port.port);
        let same_number = all[from..].iter().take_while(|other| other.port == port.port).enumerate();
        let shared = same_number.filter(|(_, other)| match port.address {
            None => other.clashes(port),
            Some(_) => *other == port,
        });
        positions.extend(shared.map(|(at, _)| from + at));
    }
    positions.sort_unstable();
    positions.dedup();
    positions
}

/// Clause such as `port 8188 belongs to comfyui (priority 100)`.
pub(super) fn port_taken_message(input: &PlanInput<'_>, port: &Endpoint, claimant: Number) -> String {
    format!("port {port} belongs to {} (priority {})", input.name(claimant), input.priority(claimant))
}
