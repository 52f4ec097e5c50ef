//! Ports as places in one list: two services clash where they share a place.

use super::problem::Few;
use crate::model::endpoint::Endpoint;
use crate::plan::input::PlanInput;
use crate::plan::numbers::Number;

/// Where a service's ports stand in the list of all, which is sorted. One on every address takes the places of all of
/// its number; so two clash where they share a place.
pub(super) fn places_of(own: &[Endpoint], all: &[Endpoint]) -> Few<usize> {
    let mut places: Few<usize> = Few::new();
    for port in own {
        let from = all.partition_point(|other| other.port < port.port);
        let same_number = all[from..].iter().take_while(|other| other.port == port.port).enumerate();
        let shared = same_number.filter(|(_, other)| match port.address {
            None => other.clashes(port),
            Some(_) => *other == port,
        });
        places.extend(shared.map(|(at, _)| from + at));
    }
    places.sort_unstable();
    places.dedup();
    places
}

/// `port 8188 is comfyui's (priority 100)`.
pub(super) fn port_of(input: &PlanInput<'_>, port: &Endpoint, claimant: Number) -> String {
    format!("port {port} is {}'s (priority {})", input.name(claimant), input.priority(claimant))
}
