//! Progress of the thread that calls GPU drivers, for the callers that wait for it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Value of `stuck_at` while no step was found stuck.
const NEVER: u64 = u64::MAX;

/// Count of steps: each returned driver call and each inspected process is one.
pub(super) struct DriverProgress {
    steps: AtomicU64,
    /// Step at which the thread was found stuck.
    stuck_at: AtomicU64,
    /// Vendor of the driver that is being queried.
    driver: Mutex<&'static str>,
}

impl DriverProgress {
    pub(super) fn new() -> Self {
        Self { steps: AtomicU64::new(0), stuck_at: AtomicU64::new(NEVER), driver: Mutex::new("GPU") }
    }

    pub(super) fn step(&self) {
        self.steps.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn begins(&self, driver: &'static str) {
        *self.driver.lock().unwrap_or_else(PoisonError::into_inner) = driver;
        self.step();
    }

    pub(super) fn steps(&self) -> u64 {
        self.steps.load(Ordering::SeqCst)
    }

    pub(super) fn found_stuck_at(&self, step: u64) {
        self.stuck_at.store(step, Ordering::SeqCst);
    }

    pub(super) fn is_stuck_at(&self, step: u64) -> bool {
        self.stuck_at.load(Ordering::SeqCst) == step
    }

    pub(super) fn timeout_message(&self, deadline: Duration) -> String {
        let driver = *self.driver.lock().unwrap_or_else(PoisonError::into_inner);
        format!("the {driver} driver did not answer within {} s", deadline.as_secs_f64())
    }
}
