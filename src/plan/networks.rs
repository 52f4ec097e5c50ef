//! Networks in a plan: those that are created before the services that need them, and those that are removed once no
//! container uses them.

use std::collections::BTreeMap;

use crate::model::desired::OrphanPolicy;
use crate::model::lifecycle::Action;
use crate::model::names::StepId;
use crate::model::network::{NetworkChange, NetworkCondition, NetworkLine, ObservedNetwork};
use crate::model::plan::{Purpose, Step};
use crate::plan::input::PlanInput;

/// Services and containers that a message names at most.
const NAMED_MAX: usize = 4;

/// Returns the networks that these steps change, or that stay though no service needs them.
pub(super) fn lines(input: &PlanInput<'_>, steps: &[Step]) -> Vec<NetworkLine> {
    input.observed.networks.iter().filter_map(|network| line(input, steps, network)).collect()
}

fn line(input: &PlanInput<'_>, steps: &[Step], network: &ObservedNetwork) -> Option<NetworkLine> {
    match &network.condition {
        NetworkCondition::Missing => created(steps, network, |services| format!("needed by {services}")),
        NetworkCondition::Changed(settings) if network.users.is_empty() && !is_down(input) => {
            let settings = settings.join(", ");
            created(steps, network, |_| format!("made anew: it differs from the manifest in {settings}"))
        }
        NetworkCondition::Made | NetworkCondition::Changed(_) if is_down(input) => {
            Some(removed(steps, network, "requested by `lcm down`"))
        }
        NetworkCondition::Made | NetworkCondition::Changed(_) => None,
        NetworkCondition::Unneeded if is_down(input) => Some(removed(steps, network, "requested by `lcm down`")),
        NetworkCondition::Unneeded => match input.request.purpose {
            Purpose::Apply if is_pruned(input) => Some(removed(steps, network, "no service joins it")),
            Purpose::Apply => {
                let message = "no service joins it; `lcm apply --prune` removes it".to_owned();
                Some(NetworkLine { change: NetworkChange::Keep, message, ..plain(network) })
            }
            Purpose::Down | Purpose::Start | Purpose::Stop | Purpose::Restart => None,
        },
    }
}

fn is_down(input: &PlanInput<'_>) -> bool {
    input.request.purpose == Purpose::Down
}

/// Returns true if this run removes what the manifest does not name.
fn is_pruned(input: &PlanInput<'_>) -> bool {
    let is_wanted = input.request.prune || input.desired.orphans == OrphanPolicy::Stop;
    is_wanted && input.request.keeps_running().is_none()
}

/// Returns a line for a network that the started services of this plan need.
fn created(steps: &[Step], network: &ObservedNetwork, message: impl Fn(&str) -> String) -> Option<NetworkLine> {
    let joins = |step: &&Step| {
        matches!(step.action, Action::Start | Action::Update) && network.needed_by.contains(&step.service)
    };
    let services: Vec<&str> = steps.iter().filter(joins).map(|step| step.service.as_str()).collect();
    let named = named(&services)?;
    Some(NetworkLine { change: NetworkChange::Create, message: message(&named), ..plain(network) })
}

/// Returns a line for a network that is removed after the containers that use it, or stays with those that this plan
/// does not remove.
fn removed(steps: &[Step], network: &ObservedNetwork, why: &str) -> NetworkLine {
    let removals: BTreeMap<&str, &StepId> = steps
        .iter()
        .filter(|step| step.action == Action::Remove)
        .filter_map(|step| Some((step.expect.instance.as_ref()?.id.as_str(), &step.id)))
        .collect();
    let others = network.users.iter().filter(|(id, _)| !removals.contains_key(id.as_str()));
    let others: Vec<&str> = others.map(|(_, name)| name.as_str()).collect();
    if let Some(named) = named(&others) {
        let message = format!("it stays: this plan does not remove all containers that use it ({named})");
        return NetworkLine { change: NetworkChange::Keep, message, ..plain(network) };
    }
    let needs = network.users.keys().filter_map(|id| removals.get(id.as_str()).map(|step| (*step).clone()));
    let needs = needs.collect();
    NetworkLine { change: NetworkChange::Remove, needs, message: why.to_owned(), ..plain(network) }
}

fn plain(network: &ObservedNetwork) -> NetworkLine {
    NetworkLine {
        runtime: network.runtime.clone(),
        network: network.name.clone(),
        change: NetworkChange::Keep,
        needs: Vec::new(),
        message: String::new(),
    }
}

/// Returns `api, web and 3 more`; `None`: no name.
fn named(names: &[&str]) -> Option<String> {
    let mut names = names.to_vec();
    names.sort_unstable();
    names.dedup();
    let more = names.len().saturating_sub(NAMED_MAX);
    names.truncate(NAMED_MAX);
    let shown = names.join(", ");
    (!names.is_empty()).then(|| if more == 0 { shown.clone() } else { format!("{shown} and {more} more") })
}
