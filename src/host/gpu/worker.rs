//! The one thread that calls GPU drivers. It owns their handles, and it alone may hang in them: lcm exits without
//! waiting for it, and while it hangs no second one is started.

use std::mem::ManuallyDrop;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;
use std::{io, thread};

use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::host::gpu::nvml::{GpuQueryResult, Library, Nvidia};
use crate::host::gpu::progress::DriverProgress;
use crate::host::gpu::{amd, owner};
use crate::model::desired::DeclaredGpu;
use crate::model::facts::GpuFact;

/// Outcome of one reading. `None`: no driver on this machine has a GPU. `Err`: reason why a driver can't be read.
pub(super) type GpuReadResult = Result<Option<Vec<GpuFact>>, String>;

/// Deadlines that may pass, each with some progress, before a reading is abandoned: 16 GPUs may need to be woken.
const DEADLINES_MAX: u32 = 20;

/// Request for one reading.
struct ReadRequest {
    /// GPUs that the manifest declares.
    declared: Vec<DeclaredGpu>,
    reply: oneshot::Sender<GpuReadResult>,
}

pub(super) struct GpuWorker {
    sources: GpuSources,
    requests: Mutex<Option<mpsc::Sender<ReadRequest>>>,
    progress: Arc<DriverProgress>,
}

impl GpuWorker {
    pub(super) fn new(sources: GpuSources) -> Self {
        Self { sources, requests: Mutex::default(), progress: Arc::new(DriverProgress::new()) }
    }

    /// Takes one reading. `deadline` applies to each driver call; a driver known to hang is not waited for again.
    pub(super) async fn query(&self, deadline: Duration, declared: &[DeclaredGpu]) -> GpuReadResult {
        let progress = &self.progress;
        let mut seen = progress.steps();
        if progress.is_stuck_at(seen) {
            return Err(progress.timeout_message(deadline));
        }
        let mut answer = self.send(declared).map_err(|error| format!("can't query the GPU drivers: {error}"))?;
        for _ in 0..DEADLINES_MAX {
            match timeout(deadline, &mut answer).await {
                Ok(Ok(answer)) => return answer,
                Ok(Err(_)) => return Err("the query of the GPU drivers ended without a result".to_owned()),
                Err(_) => {}
            }
            let now = progress.steps();
            if now == seen {
                progress.found_stuck_at(seen);
                break;
            }
            seen = now;
        }
        Err(progress.timeout_message(deadline))
    }

    /// Sends the request to the thread, and starts one if there is none or it has ended.
    fn send(&self, declared: &[DeclaredGpu]) -> io::Result<oneshot::Receiver<GpuReadResult>> {
        let (reply, receiver) = oneshot::channel();
        let request = ReadRequest { declared: declared.to_vec(), reply };
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = match requests.as_ref() {
            Some(requests) => requests.send(request).err().map(|refused| refused.0),
            None => Some(request),
        };
        if let Some(request) = refused {
            let (fresh, inbox) = mpsc::channel();
            let (sources, progress) = (self.sources.clone(), Arc::clone(&self.progress));
            thread::Builder::new().name("gpus".to_owned()).spawn(move || work(&sources, &progress, &inbox))?;
            // Its inbox lives at least as long as it waits for a first request.
            let _ = fresh.send(request);
            *requests = Some(fresh);
        }
        Ok(receiver)
    }
}

/// Serves requests until the [`GpuWorker`] is dropped. The driver's handle is left open: lcm ends then, and closing it
/// could hang.
fn work(sources: &GpuSources, progress: &DriverProgress, inbox: &mpsc::Receiver<ReadRequest>) {
    let mut nvidia = ManuallyDrop::new(Nvidia::new(sources.nvml.clone()));
    while let Ok(ReadRequest { declared, reply }) = inbox.recv() {
        // A caller whose deadline passed while the thread hung has left.
        if reply.is_closed() {
            continue;
        }
        let result = read(&mut nvidia, sources, &declared, progress);
        progress.step();
        // The caller may leave at any moment.
        let _ = reply.send(result);
    }
}

fn read(
    nvidia: &mut Nvidia,
    sources: &GpuSources,
    declared: &[DeclaredGpu],
    progress: &DriverProgress,
) -> GpuReadResult {
    progress.begins("NVIDIA");
    let gpus = match nvidia.read(progress) {
        GpuQueryResult::Gpus(gpus) => Some(gpus),
        GpuQueryResult::Nothing => {
            progress.begins("AMD");
            amd::read((&sources.drm, &sources.processes), declared, progress)
        }
        GpuQueryResult::Failure(reason) => return Err(reason),
    };
    Ok(gpus.map(|gpus| owner::name(gpus, &sources.processes)))
}

/// Paths and library to read.
#[derive(Clone, Debug)]
pub(super) struct GpuSources {
    pub(super) nvml: Library,
    /// `/sys/class/drm`, except in tests.
    pub(super) drm: PathBuf,
    /// `/proc`, except in tests.
    pub(super) processes: PathBuf,
}
