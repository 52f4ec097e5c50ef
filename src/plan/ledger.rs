//! Ledger of the memory of GPUs and host: each MiB is reserved once. Starts, in plan order, draw on free memory and then
//! on stops; a start needs every stop that it draws on.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::size::Mebibytes;
use crate::plan::input::SlotIndex;
use crate::plan::steps::Position;

/// Available memory of each GPU, and of the host.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    accounts: BTreeMap<SlotIndex, MemoryAccount>,
}

#[derive(Debug, Default)]
struct MemoryAccount {
    free: Mebibytes,
    /// In plan order.
    stops: Vec<(Position, Mebibytes)>,
    /// First stop with memory left.
    first: usize,
    /// Jobs that give their memory back when they end.
    ends: Vec<(Position, Mebibytes)>,
    /// Stops whose memory only ends an overcommitment: every start waits for them.
    makes_up: Vec<Position>,
}

impl Ledger {
    /// Opens an account with its usable and taken memory; `stops` free theirs, in plan order.
    pub(super) fn open(
        &mut self,
        slot: SlotIndex,
        usable: Mebibytes,
        taken: Mebibytes,
        stops: Vec<(Position, Mebibytes)>,
    ) {
        let mut account =
            MemoryAccount { free: usable - taken, stops, first: 0, ends: Vec::new(), makes_up: Vec::new() };
        let mut deficit = taken - usable;
        for (step, left) in &mut account.stops {
            if deficit == Mebibytes::ZERO {
                break;
            }
            let used = deficit.min(*left);
            *left = *left - used;
            deficit = deficit - used;
            account.makes_up.push(*step);
        }
        self.accounts.insert(slot, account);
    }

    /// Adds the memory that a job gives back at the end of its step.
    pub(super) fn returns(&mut self, slot: SlotIndex, job: Position, amount: Mebibytes) {
        if let Some(account) = self.accounts.get_mut(&slot).filter(|_| amount > Mebibytes::ZERO) {
            account.ends.push((job, amount));
        }
    }

    /// Reserves `amount` and returns the stops and jobs drawn on, some perhaps twice. `own`, the service's own stop, is
    /// drawn on first: a recreated service takes its own memory again. The next are the jobs in `ended`, after which the
    /// service starts in any case.
    pub(super) fn draw_after(
        &mut self,
        ended: &BTreeSet<Position>,
        slot: SlotIndex,
        amount: Mebibytes,
        own: Option<Position>,
    ) -> Vec<Position> {
        let Some(account) = self.accounts.get_mut(&slot).filter(|_| amount > Mebibytes::ZERO) else {
            return Vec::new();
        };
        let mut needs = account.makes_up.clone();
        let mut open = amount;
        let own = own.and_then(|own| account.stops.binary_search_by_key(&own, |(step, _)| *step).ok());
        if let Some(at) = own {
            draw_on(&mut account.stops[at], &mut open, &mut needs);
        }
        for end in account.ends.iter_mut().filter(|(job, _)| ended.contains(job)) {
            draw_on(end, &mut open, &mut needs);
        }
        let from_free = open.min(account.free);
        account.free = account.free - from_free;
        open = open - from_free;
        while let Some(stop) = account.stops.get_mut(account.first).filter(|_| open > Mebibytes::ZERO) {
            draw_on(stop, &mut open, &mut needs);
            account.first += usize::from(stop.1 == Mebibytes::ZERO);
        }
        needs
    }
}

fn draw_on(stop: &mut (Position, Mebibytes), open: &mut Mebibytes, needs: &mut Vec<Position>) {
    let used = stop.1.min(*open);
    if used > Mebibytes::ZERO {
        stop.1 = stop.1 - used;
        *open = *open - used;
        needs.push(stop.0);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Ledger;
    use crate::model::size::Mebibytes;

    impl Ledger {
        fn draw(&mut self, slot: usize, amount: Mebibytes, own: Option<usize>) -> Vec<usize> {
            self.draw_after(&BTreeSet::new(), slot, amount, own)
        }
    }

    const A: usize = 3;
    const B: usize = 7;
    const NOTHING: [usize; 0] = [];

    #[test]
    fn free_memory_goes_first_then_stops_in_order() {
        let gpu = 0;
        let mut ledger = Ledger::default();
        let stops = vec![(A, Mebibytes(4)), (B, Mebibytes(4))];
        ledger.open(gpu, Mebibytes(10), Mebibytes(8), stops);
        assert_eq!(ledger.draw(gpu, Mebibytes(2), None), NOTHING);
        assert_eq!(ledger.draw(gpu, Mebibytes(3), None), [A]);
        assert_eq!(ledger.draw(gpu, Mebibytes(3), None), [A, B]);
    }

    #[test]
    fn a_recreated_service_takes_its_own_memory_again() {
        let gpu = 0;
        let mut ledger = Ledger::default();
        ledger.open(gpu, Mebibytes(10), Mebibytes(8), vec![(A, Mebibytes(4)), (B, Mebibytes(4))]);
        assert_eq!(ledger.draw(gpu, Mebibytes(4), Some(B)), [B]);
        assert_eq!(ledger.draw(gpu, Mebibytes(2), None), NOTHING);
    }

    #[test]
    fn an_overcommitment_ends_before_any_start() {
        let gpu = 0;
        let mut ledger = Ledger::default();
        ledger.open(gpu, Mebibytes(10), Mebibytes(12), vec![(A, Mebibytes(2)), (B, Mebibytes(4))]);
        assert_eq!(ledger.draw(gpu, Mebibytes(3), None), [A, B]);
    }
}
