//! Description of NVIDIA's driver for people: its version, and modes of GPUs in which services can't share them.
//!
//! Read on a thread of its own with a deadline, since a driver may hang. Nothing depends on it but `lcm doctor`.

use std::collections::BTreeMap;
use std::mem::ManuallyDrop;
use std::thread;

use nvml_wrapper::enum_wrappers::device::ComputeMode;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::host::gpu::nvml::{self, Library};
use crate::host::gpu::{DEADLINE, library};
use crate::model::doctor::readings::NvidiaDriver;

/// Bound on a driver's count: no host has more GPUs.
const GPUS_MAX: u32 = 1024;

/// Returns true unless the environment forbids to query drivers; see [`super::NVML_LIBRARY`].
pub(crate) fn is_queried(environment: &BTreeMap<String, String>) -> bool {
    library(environment).is_some()
}

/// Returns the driver; `None`: there is none, or it does not answer in time.
pub(crate) async fn nvidia(environment: &BTreeMap<String, String>) -> Option<NvidiaDriver> {
    let library = library(environment)?;
    let (reply, answer) = oneshot::channel();
    // The caller may leave while the driver hangs; lcm exits without waiting for this thread.
    let work = move || drop(reply.send(read(&library)));
    thread::Builder::new().name("gpu-driver".to_owned()).spawn(work).ok()?;
    timeout(DEADLINE, answer).await.ok()?.ok()?
}

fn read(library: &Library) -> Option<NvidiaDriver> {
    // Left open: closing it could hang.
    let nvml = ManuallyDrop::new(nvml::load(library).ok()?);
    let cuda = nvml.sys_cuda_driver_version().ok();
    let mut driver = NvidiaDriver {
        version: nvml.sys_driver_version().ok(),
        cuda: cuda.map(|version| format!("{}.{}", version / 1000, version % 1000 / 10)),
        ..NvidiaDriver::default()
    };
    for index in 0..nvml.device_count().unwrap_or_default().min(GPUS_MAX) {
        // Drivers and boards without modes of computing return one of several errors.
        match nvml.device_by_index(index).and_then(|device| device.compute_mode()) {
            Ok(ComputeMode::ExclusiveProcess | ComputeMode::ExclusiveThread) => driver.exclusive.push(index),
            Ok(ComputeMode::Prohibited) => driver.prohibited.push(index),
            Ok(ComputeMode::Default) | Err(_) => {}
        }
    }
    Some(driver)
}
