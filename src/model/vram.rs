//! Amounts of GPU memory on the GPUs of one service: the order in which its program sees them, and the memory that it
//! declares on each.

use std::cmp::Reverse;

use crate::model::desired::{GpuRef, GpuRequest, Service, VramAmount};
use crate::model::names::GpuId;
use crate::model::observed::ObservedGpus;
use crate::model::size::Mebibytes;

/// Returns the memory of one copy on each of these GPUs, which are in the order in which the program sees them. A GPU
/// beyond the listed amounts counts with the largest one.
#[must_use]
pub fn vram_on_each(service: &Service, visible: &[GpuId], gpus: &ObservedGpus) -> Vec<Mebibytes> {
    match service.vram_by_gpu.as_deref() {
        None => vec![service.vram; visible.len()],
        Some(amounts) => on_each(amounts, visible, gpus),
    }
}

/// Returns a set of GPUs in the order in which the program should see them. That of an explicit list stays; else, where
/// the amounts differ, the largest one gets the GPU with the most memory, and the lower index goes first among equals.
#[must_use]
pub fn in_visible_order(service: &Service, request: &GpuRequest, set: Vec<GpuId>, gpus: &ObservedGpus) -> Vec<GpuId> {
    match service.vram_by_gpu.as_deref() {
        Some(amounts @ [_, _, ..]) => ordered(amounts, request, set, gpus),
        Some(_) | None => set,
    }
}

fn on_each(amounts: &[VramAmount], visible: &[GpuId], gpus: &ObservedGpus) -> Vec<Mebibytes> {
    let on = |(position, id): (usize, &GpuId)| {
        let capacity = gpus.get(id).map_or(Mebibytes::ZERO, |gpu| gpu.capacity);
        let most = || amounts.iter().map(|amount| amount.on(capacity)).max().unwrap_or_default();
        let own = if amounts.len() == 1 { amounts.first() } else { amounts.get(position) };
        own.map_or_else(most, |amount| amount.on(capacity))
    };
    visible.iter().enumerate().map(on).collect()
}

fn ordered(amounts: &[VramAmount], request: &GpuRequest, mut set: Vec<GpuId>, gpus: &ObservedGpus) -> Vec<GpuId> {
    if let GpuRequest::All(refs) = request {
        set.sort_by_key(|id| refs.iter().position(|one| is(one, id, gpus)).unwrap_or(refs.len()));
        return set;
    }
    set.sort_by_key(|id| (Reverse(gpus.get(id).map(|gpu| gpu.capacity)), gpus.get(id).map(|gpu| gpu.index)));
    let mut positions: Vec<usize> = (0..set.len()).collect();
    positions.sort_by_key(|position| (Reverse(amounts.get(*position).map(rank)), *position));
    let mut placed: Vec<(usize, GpuId)> = positions.into_iter().zip(set).collect();
    placed.sort_by_key(|(position, _)| *position);
    placed.into_iter().map(|(_, id)| id).collect()
}

/// Amounts of one list are all sizes or all shares.
fn rank(amount: &VramAmount) -> u64 {
    match amount {
        VramAmount::Fixed(amount) => amount.0,
        VramAmount::Share(share) => u64::from(share.0),
    }
}

fn is(one: &GpuRef, id: &GpuId, gpus: &ObservedGpus) -> bool {
    match one {
        GpuRef::Index(index) => gpus.get(id).is_some_and(|gpu| gpu.index == *index),
        GpuRef::Uuid(uuid) => id.as_str() == uuid,
    }
}

impl Service {
    /// Returns the host memory of this many copies.
    #[must_use]
    pub fn ram_of(&self, copies: u32) -> Mebibytes {
        Mebibytes(self.ram.0.saturating_mul(u64::from(copies)))
    }

    /// Returns true if the service declares GPU memory, as an amount or as a share.
    #[must_use]
    pub fn declares_vram(&self) -> bool {
        self.vram > Mebibytes::ZERO || self.vram_by_gpu.is_some()
    }

    /// Returns the service with fixed amounts of one copy, in the order in which the program sees its GPUs: for marks
    /// and reservations, which know no capacities.
    #[must_use]
    pub fn placed_with(&self, amounts: &[Mebibytes]) -> Self {
        let vram = amounts.iter().copied().max().unwrap_or(self.vram);
        let each = |amount: &Mebibytes| VramAmount::Fixed(*amount);
        Self { vram, vram_by_gpu: Some(amounts.iter().map(each).collect()), ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::{on_each, ordered};
    use crate::model::desired::{GpuRef, GpuRequest, VramAmount, VramShare};
    use crate::model::names::GpuId;
    use crate::model::observed::{ObservedGpu, ObservedGpus};
    use crate::model::size::Mebibytes;

    fn gpus(capacities: &[u64]) -> ObservedGpus {
        let gpu = |(index, capacity): (usize, &u64)| {
            let id = GpuId::new(format!("gpu-{index}"));
            (id, ObservedGpu::plain(u32::try_from(index).expect("few"), Mebibytes(*capacity)))
        };
        capacities.iter().enumerate().map(gpu).collect()
    }

    fn set(ids: &[usize]) -> Vec<GpuId> {
        ids.iter().map(|id| GpuId::new(format!("gpu-{id}"))).collect()
    }

    fn fixed(amounts: &[u64]) -> Vec<VramAmount> {
        amounts.iter().map(|amount| VramAmount::Fixed(Mebibytes(*amount))).collect()
    }

    #[test]
    fn the_largest_amount_goes_to_the_largest_gpu() {
        let gpus = gpus(&[12_000, 24_000, 24_000]);
        for (amounts, ids, expected) in [
            (&[18, 8][..], &[0, 1][..], &[1, 0][..]),
            // The program sees the GPU of the first amount first.
            (&[8, 18], &[0, 1], &[0, 1]),
            (&[8, 18], &[1, 2], &[2, 1]),
            (&[9, 9], &[0, 2], &[2, 0]),
            (&[1, 3, 2], &[0, 1, 2], &[0, 1, 2]),
        ] {
            let order = ordered(&fixed(amounts), &GpuRequest::Count(2), set(ids), &gpus);
            assert_eq!(order, set(expected), "{amounts:?} on {ids:?}");
        }
    }

    #[test]
    fn an_explicit_list_keeps_its_order() {
        let gpus = gpus(&[12_000, 24_000]);
        let all = GpuRequest::All(vec![GpuRef::Index(1), GpuRef::Uuid("gpu-0".to_owned())]);
        let order = ordered(&fixed(&[8, 18]), &all, set(&[0, 1]), &gpus);
        assert_eq!(order, set(&[1, 0]));
        assert_eq!(on_each(&fixed(&[8, 18]), &order, &gpus), [8, 18].map(Mebibytes));
    }

    #[test]
    fn an_amount_that_is_not_listed_is_the_largest() {
        let gpus = gpus(&[10_000, 20_000, 30_000]);
        let all = set(&[0, 1, 2]);
        assert_eq!(on_each(&fixed(&[3, 5]), &all, &gpus), [3, 5, 5].map(Mebibytes));
        let half = [VramAmount::Share(VramShare(5_000))];
        assert_eq!(on_each(&half, &all, &gpus), [5_000, 10_000, 15_000].map(Mebibytes));
    }
}
