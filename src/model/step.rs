//! Memory of one step: what it takes when it begins, and what it gives back when it ends.

use crate::model::copies::CopiesChange;
use crate::model::lifecycle::{Action, State};
use crate::model::names::GpuId;
use crate::model::plan::Step;
use crate::model::size::Mebibytes;

/// Memory that steps take and give back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MemoryPool<'a> {
    Gpu(&'a GpuId),
    /// Memory of the host, with that of GPUs without memory of their own.
    Host,
}

impl Step {
    /// Returns the memory that the step takes or frees on one GPU.
    #[must_use]
    pub fn vram_on(&self, gpu: &GpuId) -> Mebibytes {
        if self.gpus.contains(gpu) {
            self.uneven_mib.get(gpu).copied().unwrap_or(self.vram_mib)
        } else {
            Mebibytes::ZERO
        }
    }

    fn amount_in(&self, pool: MemoryPool<'_>) -> Mebibytes {
        match pool {
            MemoryPool::Gpu(gpu) => self.vram_on(gpu),
            MemoryPool::Host => self.ram_mib,
        }
    }

    /// Returns the memory that the step takes from a pool when it begins.
    #[must_use]
    pub fn takes_from(&self, pool: MemoryPool<'_>) -> Mebibytes {
        if self.takes_memory() { self.amount_in(pool) } else { Mebibytes::ZERO }
    }

    /// Returns the memory that the step takes on one GPU when it begins.
    #[must_use]
    pub fn takes_on(&self, gpu: &GpuId) -> Mebibytes {
        self.takes_from(MemoryPool::Gpu(gpu))
    }

    /// Returns true for a start that is under way already: the step only waits for its end.
    #[must_use]
    pub fn is_await(&self) -> bool {
        let under_way = |state: &State| *state == State::Starting || state.is_operational();
        self.action == Action::Start && self.route.first().is_some_and(under_way)
    }

    /// Returns true for a job that runs already, and whose end the step waits for.
    #[must_use]
    pub fn awaits_running_job(&self) -> bool {
        self.job.is_some() && self.is_await()
    }

    /// Returns true if the step lasts until its job has ended.
    #[must_use]
    pub fn is_until_end(&self) -> bool {
        self.job.is_some_and(|job| job.until_end)
    }

    /// Returns true if its memory is taken when the step begins.
    #[must_use]
    pub fn takes_memory(&self) -> bool {
        match self.action {
            Action::Start => !self.awaits_running_job(),
            Action::Wake | Action::Update => true,
            Action::Scale => !self.is_scale_down(),
            Action::Stop | Action::Evict | Action::Remove | Action::Pause | Action::Unpause => false,
        }
    }

    /// Returns true if the step gives memory back, and takes none.
    #[must_use]
    pub fn frees_memory(&self) -> bool {
        matches!(self.action, Action::Stop | Action::Evict) || self.is_scale_down()
    }

    /// Returns the memory that the step gives back to a pool when it ends.
    #[must_use]
    pub fn frees_in(&self, pool: MemoryPool<'_>) -> Mebibytes {
        let returned = |copies: CopiesChange| match pool {
            MemoryPool::Gpu(gpu) if self.gpus.contains(gpu) => copies.returns_mib,
            MemoryPool::Gpu(_) => Mebibytes::ZERO,
            MemoryPool::Host => copies.returns_ram_mib,
        };
        match self.action {
            Action::Stop | Action::Evict => self.amount_in(pool),
            Action::Start if self.job.is_some_and(|job| job.frees_memory) => self.amount_in(pool),
            Action::Scale if self.is_scale_down() => self.amount_in(pool),
            Action::Update => self.copies.map_or(Mebibytes::ZERO, returned),
            Action::Start | Action::Wake | Action::Scale | Action::Remove | Action::Pause | Action::Unpause => {
                Mebibytes::ZERO
            }
        }
    }

    /// Returns the memory that the step gives back on one GPU when it ends.
    #[must_use]
    pub fn frees_on(&self, gpu: &GpuId) -> Mebibytes {
        self.frees_in(MemoryPool::Gpu(gpu))
    }

    /// Returns true if the step ends with fewer copies of its service, and adds none in between.
    #[must_use]
    pub fn is_scale_down(&self) -> bool {
        self.action == Action::Scale && self.copies.is_some_and(CopiesChange::is_scale_down)
    }

    /// Returns true if the step replaces the copies of a running service one by one; false for a change of settings in
    /// place.
    #[must_use]
    pub fn is_rolling(&self) -> bool {
        self.action == Action::Update && self.copies.is_some()
    }
}
