//! Thread of a store. `SQLite` blocks, for up to its busy time-out; so each store has one thread of its own, which does
//! jobs in their order, and no thread of the runtime waits with it.
//!
//! Every job that was handed over is done, also where the future that waits for it is dropped. A store that is dropped
//! waits until all jobs are done and the file is closed.

use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use tokio::sync::oneshot;

use super::file::StoreFile;
use crate::store::error::StoreError;

type StoreJob = Box<dyn FnOnce(&mut StoreFile) + Send>;

/// Thread of a store, started when it is first needed.
#[derive(Debug)]
pub(super) struct StoreWorker {
    path: PathBuf,
    running: Mutex<Option<WorkerThread>>,
}

#[derive(Debug)]
struct WorkerThread {
    jobs: Sender<StoreJob>,
    thread: JoinHandle<()>,
}

impl StoreWorker {
    /// `path`: the file that the thread works on.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, running: Mutex::new(None) }
    }

    /// Runs a job on the thread, and returns its result. The job is handed over when this is first polled.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut StoreFile) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.hand_over(Box::new(move |file| {
            // The future that waits for the result may have been dropped.
            let _ = answer.send(job(file));
        }))?;
        answered.await.unwrap_or_else(|_| Err(self.unusable("its thread has ended")))
    }

    fn hand_over(&self, job: StoreJob) -> Result<(), StoreError> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.is_none() {
            *running = Some(self.start()?);
        }
        let sent = running.as_ref().is_some_and(|running| running.jobs.send(job).is_ok());
        if sent { Ok(()) } else { Err(self.unusable("its thread has ended")) }
    }

    fn start(&self) -> Result<WorkerThread, StoreError> {
        let (jobs, next) = mpsc::channel();
        let file = StoreFile::new(self.path.clone());
        let thread = Builder::new().name("lcm-store".to_owned()).spawn(move || work(file, &next));
        let thread = thread.map_err(|error| self.unusable(&format!("its thread can't be started: {error}")))?;
        Ok(WorkerThread { jobs, thread })
    }

    fn unusable(&self, reason: &str) -> StoreError {
        StoreFile::new(self.path.clone()).unusable("can't use", &reason)
    }
}

impl Drop for StoreWorker {
    fn drop(&mut self) {
        let running = self.running.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(WorkerThread { jobs, thread }) = running {
            drop(jobs);
            // A panic of the thread was reported where it occurred.
            let _ = thread.join();
        }
    }
}

fn work(mut file: StoreFile, jobs: &Receiver<StoreJob>) {
    while let Ok(job) = jobs.recv() {
        job(&mut file);
    }
}
