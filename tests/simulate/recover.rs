//! A service that never stays up, and runs of lcm at any time: its starts are bounded, and the other services converge.

use std::time::Duration;

use lcm::model::desired::Recover;
use lcm::model::names::ServiceName;
use lcm::sim::{Behaviour, Deed};
use proptest::collection::vec;
use proptest::prelude::Strategy;
use proptest::prop_assert;
use proptest::test_runner::TestCaseError;

use crate::bench::Bench;
use crate::draft::{Draft, drafts};
use crate::manifest::name;
use crate::{cases, hold_over};

/// Failing service, with the pauses between runs.
#[derive(Clone, Debug)]
pub(crate) struct Loop {
    draft: Draft,
    index: usize,
    manner: Manner,
    pauses_ms: Vec<u64>,
}

#[derive(Clone, Copy, Debug)]
enum Manner {
    DiesAfter(u64),
    DiesLoading,
    NeverHealthy,
    NeverStarts,
}

fn loops() -> impl Strategy<Value = Loop> {
    let manner = proptest::prop_oneof![
        (0..60_000_u64).prop_map(Manner::DiesAfter),
        proptest::prelude::Just(Manner::DiesLoading),
        proptest::prelude::Just(Manner::NeverHealthy),
        proptest::prelude::Just(Manner::NeverStarts),
    ];
    // From immediate repetition to a cron interval and longer.
    let pause = proptest::prop_oneof![0..5_000_u64, 0..120_000_u64];
    (drafts(), 0..8_usize, manner, vec(pause, 12..=20)).prop_map(|(draft, index, manner, pauses_ms)| {
        let index = index % draft.services.len().max(1);
        Loop { draft, index, manner, pauses_ms }
    })
}

impl Manner {
    fn behaviour(self) -> Behaviour {
        let plain = Behaviour::default();
        match self {
            Self::DiesAfter(after) => Behaviour { dies_after: Some(Duration::from_millis(after)), ..plain },
            Self::DiesLoading => {
                Behaviour { dies_while_loading: true, loading: Duration::from_secs(2), never_healthy: true, ..plain }
            }
            Self::NeverHealthy => Behaviour { never_healthy: true, ..plain },
            Self::NeverStarts => Behaviour { start_error: Some("no such program".to_owned()), ..plain },
        }
    }
}

/// Number of starts of a service, without those that restore its previous revision.
fn starts(bench: &Bench, service: &ServiceName) -> usize {
    let log = bench.sim.log();
    let deeds: Vec<Deed> = log.iter().filter(|effect| effect.service == *service).map(|effect| effect.deed).collect();
    let is_new = |at: &usize| deeds[*at] == Deed::Start && (*at == 0 || deeds[*at - 1] != Deed::PutBack);
    (0..deeds.len()).filter(is_new).count()
}

/// The first start, the budget, and retries after 5, 10 and 20 minutes: these runs take less than 40 minutes, apart
/// from the timeouts of a few starts.
const STARTS_MAX: usize = 1 + 3 + 4;

#[test]
fn a_crash_loop_is_started_within_its_budget_and_other_services_converge() {
    hold_over(cases() / 5, loops(), |case| async move {
        if case.draft.services.is_empty() {
            return Ok(());
        }
        let looping = name(case.index);
        let mut bench = Bench::new(&case.draft);
        let service = bench.desired.services.get_mut(&looping).expect("it is drawn");
        service.recover = Recover { backoff: Duration::from_millis(1), ..Recover::default() };
        bench.sim.set_behaviour(looping.clone(), case.manner.behaviour());
        for pause in &case.pauses_ms {
            let ran = bench.apply().await?;
            prop_assert!(ran.outcome.refused.is_none(), "{:?}", ran.outcome.refused);
            tokio::time::sleep(Duration::from_millis(*pause)).await;
        }
        let count = starts(&bench, &looping);
        prop_assert!(count <= STARTS_MAX, "{looping} was started {count} times: {:?}", bench.deeds());
        rests(&bench, &looping).await
    });
}

/// Checks that with a spent budget two more runs at once change nothing.
async fn rests(bench: &Bench, looping: &ServiceName) -> Result<(), TestCaseError> {
    // One more attempt may have been due.
    bench.apply().await?;
    tokio::time::sleep(Duration::from_mins(2)).await;
    bench.apply().await?;
    // If so, the next run removes its remains.
    bench.apply().await?;
    let effects = bench.sim.effects();
    let before = bench.deeds();
    for _ in 0..2 {
        bench.apply().await?;
    }
    let after = bench.deeds();
    prop_assert!(bench.sim.effects() == effects, "moved beside {looping}: {:?}", &after[before.len()..]);
    Ok(())
}
