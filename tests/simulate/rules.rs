//! Random rules over random snapshots: denied changes are not made, and the rest still converges.

use std::collections::BTreeSet;

use lcm::model::lifecycle::{ROWS, State};
use lcm::model::rules::{Case, Legality, Rule, Rules};
use proptest::collection::vec;
use proptest::prelude::{Strategy, any};

use crate::bench::Bench;
use crate::draft::{Draft, drafts};
use crate::manifest::name;

/// Denied row of the transition table, or all changes from its first state, or to its second.
#[derive(Clone, Debug)]
pub(crate) struct RuleDraft {
    row: usize,
    any_from: bool,
    any_to: bool,
    /// One bit per service; none: all services.
    services: u8,
}

pub(crate) type Ruled = (Draft, Vec<RuleDraft>);

pub(crate) fn ruled() -> impl Strategy<Value = Ruled> {
    let rule = (0..ROWS.len(), any::<bool>(), any::<bool>(), any::<u8>());
    let rule = rule.prop_map(|(row, any_from, any_to, services)| RuleDraft {
        row,
        any_from,
        any_to: any_to && !any_from,
        services,
    });
    (drafts(), vec(rule, 1..=3))
}

pub(crate) fn rules((draft, rules): &Ruled) -> Rules {
    let deny = rules.iter().enumerate().map(|(index, rule)| {
        let only = |state: State, any: bool| if any { BTreeSet::new() } else { BTreeSet::from([state]) };
        let (from, to) = ROWS[rule.row];
        let services = (0..draft.services.len()).filter(|service| rule.services & (1 << service) != 0).map(name);
        Rule {
            from: only(from, rule.any_from),
            to: only(to, rule.any_to),
            services: services.collect(),
            modes: BTreeSet::new(),
            hours: None,
            reason: None,
            source: format!("lcm.yaml:{index}"),
        }
    });
    Rules { deny: deny.collect(), allow: Vec::new() }
}

/// Returns the recorded changes that a rule denies.
pub(crate) fn broken(bench: &Bench) -> Vec<String> {
    let made = bench.store.transitions().into_iter().filter(|transition| transition.made);
    let denied = made.filter(|transition| {
        let case = Case { service: &transition.service, mode: bench.desired.mode.as_ref(), at: transition.at };
        bench.desired.rules.judge(&case, transition.from, transition.to) != Legality::Legal
    });
    denied.map(|transition| format!("{}: {} to {}", transition.service, transition.from, transition.to)).collect()
}
