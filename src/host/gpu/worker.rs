//! The one thread that talks to GPU drivers. It owns their handles, and it alone may hang in them: the end of lcm does
//! not wait for it, and while it hangs no second one is started.

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

/// `None`: this machine has no GPU that could be asked. `Err`: why a driver that is there does not tell.
pub(super) type GpuReadResult = Result<Option<Vec<GpuFact>>, String>;

/// Deadlines that may pass, each with some progress, before a reading is given up: 16 GPUs that have to be woken.
const DEADLINES_MAX: u32 = 20;

/// One reading, for whom, and what the manifest declares of the GPUs.
struct Question {
    declared: Vec<DeclaredGpu>,
    asker: oneshot::Sender<GpuReadResult>,
}

pub(super) struct GpuWorker {
    sources: GpuSources,
    asks: Mutex<Option<mpsc::Sender<Question>>>,
    progress: Arc<DriverProgress>,
}

impl GpuWorker {
    pub(super) fn new(sources: GpuSources) -> Self {
        Self { sources, asks: Mutex::default(), progress: Arc::new(DriverProgress::new()) }
    }

    /// One reading. `deadline` is for each call into a driver; of one that is known to hang nobody waits for it again.
    pub(super) async fn ask(&self, deadline: Duration, declared: &[DeclaredGpu]) -> GpuReadResult {
        let progress = &self.progress;
        let mut seen = progress.steps();
        if progress.is_stuck_at(seen) {
            return Err(progress.silence(deadline));
        }
        let mut answer = self.send(declared).map_err(|error| format!("can't ask the GPU drivers: {error}"))?;
        for _ in 0..DEADLINES_MAX {
            match timeout(deadline, &mut answer).await {
                Ok(Ok(answer)) => return answer,
                Ok(Err(_)) => return Err("asking the GPU drivers ended without an answer".to_owned()),
                Err(_) => {}
            }
            let now = progress.steps();
            if now == seen {
                progress.found_stuck_at(seen);
                break;
            }
            seen = now;
        }
        Err(progress.silence(deadline))
    }

    /// Hands the question to the thread, which is started where there is none, or none any more.
    fn send(&self, declared: &[DeclaredGpu]) -> io::Result<oneshot::Receiver<GpuReadResult>> {
        let (asker, receiver) = oneshot::channel();
        let question = Question { declared: declared.to_vec(), asker };
        let mut asks = self.asks.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = match asks.as_ref() {
            Some(asks) => asks.send(question).err().map(|refused| refused.0),
            None => Some(question),
        };
        if let Some(question) = refused {
            let (fresh, inbox) = mpsc::channel();
            let (sources, progress) = (self.sources.clone(), Arc::clone(&self.progress));
            thread::Builder::new().name("gpus".to_owned()).spawn(move || work(&sources, &progress, &inbox))?;
            // Its inbox lives at least as long as it waits for a first question.
            let _ = fresh.send(question);
            *asks = Some(fresh);
        }
        Ok(receiver)
    }
}

/// Ends with the [`GpuWorker`], but leaves the driver's handle open: lcm ends then, and giving it back could hang.
fn work(sources: &GpuSources, progress: &DriverProgress, inbox: &mpsc::Receiver<Question>) {
    let mut nvidia = ManuallyDrop::new(Nvidia::new(sources.nvml.clone()));
    while let Ok(Question { declared, asker }) = inbox.recv() {
        // Whoever asked while it hung has left.
        if asker.is_closed() {
            continue;
        }
        let answer = read(&mut nvidia, sources, &declared, progress);
        progress.step();
        // Or leaves now.
        let _ = asker.send(answer);
    }
}

fn read(
    nvidia: &mut Nvidia,
    sources: &GpuSources,
    declared: &[DeclaredGpu],
    progress: &DriverProgress,
) -> GpuReadResult {
    progress.asks("NVIDIA");
    let gpus = match nvidia.read(progress) {
        GpuQueryResult::Gpus(gpus) => Some(gpus),
        GpuQueryResult::Nothing => {
            progress.asks("AMD");
            amd::read((&sources.drm, &sources.processes), declared, progress)
        }
        GpuQueryResult::Failure(reason) => return Err(reason),
    };
    Ok(gpus.map(|gpus| owner::name(gpus, &sources.processes)))
}

/// Where to look.
#[derive(Clone, Debug)]
pub(super) struct GpuSources {
    pub(super) nvml: Library,
    /// `/sys/class/drm`, but for tests.
    pub(super) drm: PathBuf,
    /// `/proc`, but for tests.
    pub(super) processes: PathBuf,
}
