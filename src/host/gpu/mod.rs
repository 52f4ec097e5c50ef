//! Readings of GPUs: memory in use and the processes that hold it. A driver may hang and must not take a caller with
//! it: one dedicated thread calls drivers, and callers wait with a deadline.
//!
//! In: the NVIDIA driver, else AMD's, else the GPUs that the manifest declares.
//! Out: one `GpuFact` per GPU, and the variables that limit programs to their GPUs.
//! Not here: admission; `observe` and `plan` decide what fits.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tracing::{debug, warn};

use crate::host::elapsed::elapsed_ms;
use crate::model::desired::{DeclaredGpu, Desired};
use crate::model::facts::{GpuFact, Reading};

mod amd;
mod declared;
pub(crate) mod describe;
mod memory_v1;
mod nvml;
mod owner;
mod progress;
mod unified;
pub(crate) mod visible;
mod worker;

pub(crate) use owner::attribute;

use nvml::Library;
use unified::MEMORY_UNREPORTED;
use worker::{GpuSources, GpuWorker};

/// Variable that names another NVML library; empty: no driver is queried, not even AMD's.
pub const NVML_LIBRARY: &str = "LCM_NVML_LIB";

/// Deadline of one driver call: a healthy driver responds within milliseconds, and wakes a sleeping GPU in about 1 s.
const DEADLINE: Duration = Duration::from_secs(3);

/// Reader of this machine's GPUs. No driver is loaded before the first reading; its handle is kept afterwards.
pub struct Gpus {
    /// `None`: no driver is queried.
    worker: Option<GpuWorker>,
    deadline: Duration,
    /// True if GPUs are read even if no service of the manifest uses one.
    is_always_read: bool,
}

impl fmt::Debug for Gpus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Gpus").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

impl Gpus {
    /// Creates a reader. `environment` is lcm's own: see [`NVML_LIBRARY`].
    #[must_use]
    pub fn new(environment: &BTreeMap<String, String>) -> Self {
        let library = library(environment);
        let sources = |nvml| GpuSources { nvml, drm: "/sys/class/drm".into(), processes: "/proc".into() };
        Self {
            worker: library.map(|library| GpuWorker::new(sources(library))),
            deadline: DEADLINE,
            is_always_read: false,
        }
    }

    /// Reads GPUs even if no service of the manifest uses one.
    #[must_use]
    pub fn always_read(self) -> Self {
        Self { is_always_read: true, ..self }
    }

    /// Sets the time without progress after which a driver counts as stuck; 3 s by default.
    #[must_use]
    pub fn with_deadline(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// Reads all GPUs with their holders: containers by their control groups; all other processes as foreign, until
    /// `attribute` assigns them. `NotAsked` if the manifest has no use for a GPU.
    pub async fn read(&self, desired: &Desired) -> Reading<Vec<GpuFact>> {
        if !self.is_always_read && !has_use_for(desired) {
            return Reading::NotAsked;
        }
        let Some(worker) = &self.worker else { return declared::declared(desired) };
        let began = Instant::now();
        let result = worker.query(self.deadline, &desired.declared_gpus).await;
        let took_ms = elapsed_ms(began);
        match &result {
            Ok(gpus) => debug!(target: "host", gpus = gpus.as_ref().map(Vec::len), took_ms, "GPU driver read"),
            Err(error) => warn!(target: "host", took_ms, %error, "GPU driver not readable"),
        }
        match result {
            Ok(Some(mut gpus)) => {
                for gpu in &mut gpus {
                    complete(gpu, &desired.declared_gpus);
                }
                Reading::Known(gpus)
            }
            Ok(None) => declared::declared(desired),
            Err(reason) => Reading::Unknown(reason),
        }
    }
}

/// Returns the library to load; `None`: no driver is queried.
fn library(environment: &BTreeMap<String, String>) -> Option<Library> {
    match environment.get(NVML_LIBRARY).map(String::as_str) {
        None => Some(Library::Usual),
        Some("") => None,
        Some(path) => Some(Library::At(PathBuf::from(path))),
    }
}

/// Returns true if the manifest uses or declares a GPU: a plan for services without one must not wait for a driver.
fn has_use_for(desired: &Desired) -> bool {
    let uses = |service: &crate::model::desired::Service| service.needs_gpu_memory();
    !desired.declared_gpus.is_empty() || desired.services.values().any(uses)
}

/// Adds the manifest's capacity where the driver reports none. A GPU with unified memory has no more than the host.
fn complete(gpu: &mut GpuFact, declared: &[DeclaredGpu]) {
    let Some(one) = declared.iter().find(|one| one.is(&gpu.id, gpu.index)) else { return };
    if gpu.unreadable.as_deref() == Some(MEMORY_UNREPORTED) {
        (gpu.capacity, gpu.unreadable) = (one.capacity, None);
    }
    if one.unified && gpu.unreadable.is_none() {
        gpu.capacity = unified::capacity(one.capacity);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Gpus, MEMORY_UNREPORTED, NVML_LIBRARY, complete, declared, has_use_for};
    use crate::model::desired::{Desired, GpuRequest, Service};
    use crate::model::facts::Reading;
    use crate::model::names::{ProjectName, ServiceName};
    use crate::model::size::Mebibytes;
    use crate::runtime::docker::intent::ExistingContainer;

    fn desired() -> Desired {
        let runtime = ExistingContainer { container: "web".into(), accepts_auto_remove: false };
        Desired::plain(ProjectName::new("p"), [Service::plain(ServiceName::new("web"), runtime)])
    }

    #[tokio::test]
    async fn no_driver_is_queried_for_services_that_need_no_gpu() {
        let mut desired = desired();
        for service in desired.services.values_mut() {
            (service.vram, service.gpu) = (Mebibytes::ZERO, GpuRequest::None);
        }
        assert!(!has_use_for(&desired));
        assert_eq!(Gpus::new(&BTreeMap::new()).read(&desired).await, Reading::NotAsked);
        desired.services.values_mut().for_each(|service| service.gpu = GpuRequest::Auto);
        assert!(has_use_for(&desired));
    }

    #[test]
    fn a_declaration_replaces_memory_that_the_driver_does_not_report() {
        let mut desired = desired();
        desired.declared_gpus = vec![crate::model::desired::DeclaredGpu {
            index: 1,
            uuid: None,
            unified: false,
            capacity: Mebibytes(24_576),
        }];
        let Reading::Known(mut gpus) = declared::declared(&desired) else { panic!("it is declared") };
        (gpus[0].capacity, gpus[0].unreadable) = (Mebibytes::ZERO, Some(MEMORY_UNREPORTED.to_owned()));
        complete(&mut gpus[0], &desired.declared_gpus);
        assert_eq!((gpus[0].capacity, gpus[0].unreadable.as_deref(), gpus[0].used), (Mebibytes(24_576), None, None));
        gpus[0].lost = Some("it fell off the bus".to_owned());
        complete(&mut gpus[0], &desired.declared_gpus);
        assert!(gpus[0].lost.is_some(), "a lost GPU stays lost");
    }

    #[test]
    fn an_empty_library_name_means_that_no_driver_is_queried() {
        let worker = |value: &str| Gpus::new(&BTreeMap::from([(NVML_LIBRARY.to_owned(), value.to_owned())])).worker;
        assert!(worker("").is_none());
        assert!(worker("/usr/lib/libnvidia-ml.so.1").is_some());
        assert!(Gpus::new(&BTreeMap::new()).worker.is_some());
    }
}
