//! GPU memory of one step: what it takes when it begins, and what it gives back when it ends.

use crate::model::copies::CopiesChange;
use crate::model::lifecycle::{Action, State};
use crate::model::names::GpuId;
use crate::model::plan::Step;
use crate::model::size::Mebibytes;

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

    /// Returns the memory that the step takes on one GPU when it begins.
    #[must_use]
    pub fn takes_on(&self, gpu: &GpuId) -> Mebibytes {
        if self.takes_memory() { self.vram_on(gpu) } else { Mebibytes::ZERO }
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

    /// Returns true if `vram_mib` is taken when the step begins.
    #[must_use]
    pub fn takes_memory(&self) -> bool {
        match self.action {
            Action::Start => !self.awaits_running_job(),
            Action::Wake | Action::Update => true,
            Action::Scale => !self.is_scale_down(),
            Action::Stop | Action::Evict | Action::Remove | Action::Pause | Action::Unpause => false,
        }
    }

    /// Returns the memory that the step gives back on one GPU when it ends.
    #[must_use]
    pub fn frees_on(&self, gpu: &GpuId) -> Mebibytes {
        match self.action {
            Action::Stop | Action::Evict => self.vram_on(gpu),
            Action::Start if self.job.is_some_and(|job| job.frees_memory) => self.vram_on(gpu),
            Action::Scale if self.is_scale_down() => self.vram_on(gpu),
            Action::Update if self.gpus.contains(gpu) => {
                self.copies.map_or(Mebibytes::ZERO, |copies| copies.returns_mib)
            }
            Action::Start
            | Action::Wake
            | Action::Scale
            | Action::Update
            | Action::Remove
            | Action::Pause
            | Action::Unpause => Mebibytes::ZERO,
        }
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
