//! Readings for `lcm doctor` that no other command takes: boards, folders, clock and limits. Nothing is changed.
//!
//! In: /proc, /sys, and folders. Out: [`readings`](crate::model::doctor::readings). Not here: the judgement.

mod boards;
mod clock;
mod folders;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::host::gpu::{Gpus, describe};
use crate::host::state;
use crate::model::desired::{Desired, Service};
use crate::model::doctor::Demand;
use crate::model::doctor::readings::{FolderReading, GpuReadings, Overdue, SystemReading};
use crate::model::facts::Reading;
use crate::model::names::ProjectName;

/// Deadline of a reading: files and folders answer within milliseconds unless their file system hangs.
const DEADLINE: Duration = Duration::from_secs(5);
/// Deadline of a reading of all GPUs: a host with many sleeping ones needs some seconds.
const GPUS_DEADLINE: Duration = Duration::from_secs(12);

/// Folder for temporary files of the processes that lcm starts: none of them gets another `TMPDIR` from lcm.
const TEMP: &str = "/tmp";

/// Takes a blocking reading within the deadline. A reading that hangs is left behind.
pub(crate) async fn within<T: Send + 'static>(read: impl FnOnce() -> T + Send + 'static) -> Result<T, Overdue> {
    let overdue = Overdue { deadline_s: DEADLINE.as_secs() };
    timeout(DEADLINE, spawn_blocking(read)).await.map_err(|_elapsed| overdue)?.map_err(|_panic| overdue)
}

/// Reads the state folder that this environment names.
pub(crate) fn state_folder(environment: &BTreeMap<String, String>) -> (PathBuf, FolderReading) {
    let path = state::state_dir(environment);
    let reading = folders::own(&path);
    (path, reading)
}

/// Reads clock, limits and the folder for temporary files.
pub(crate) fn system(environment: &BTreeMap<String, String>) -> SystemReading {
    let limit = getrlimit(Resource::Nofile);
    SystemReading {
        clock: clock::read(environment),
        open_files: (limit.current, limit.maximum),
        temp: folders::temp(Path::new(TEMP)),
    }
}

/// Reads GPUs and drivers, no matter what the manifest declares.
pub(crate) async fn gpus(environment: &BTreeMap<String, String>, desired: Option<&Desired>) -> GpuReadings {
    let nothing = Desired::plain(ProjectName::new("none"), []);
    let gpus = Gpus::new(environment).always_read();
    let read = async {
        let late = || Reading::Unknown(format!("the GPU driver did not answer within {} s", GPUS_DEADLINE.as_secs()));
        timeout(GPUS_DEADLINE, gpus.read(&nothing)).await.unwrap_or_else(|_elapsed| late())
    };
    let (gpus, driver, boards) = tokio::join!(read, describe::nvidia(environment), within(boards::read));
    GpuReadings {
        is_queried: describe::is_queried(environment),
        gpus,
        driver,
        boards: boards.unwrap_or_default(),
        demand: desired
            .map_or(Demand::Unknown, |desired| Demand::of(desired.services.values().any(Service::wants_gpu))),
        declared: desired.map(|desired| desired.declared_gpus.clone()).unwrap_or_default(),
    }
}
