//! What each GPU holds and who holds it: asked of the NVIDIA driver, else of AMD's, else taken from the manifest.
//!
//! A driver may hang, and no caller may hang with it: one thread of its own asks, everybody else waits with a deadline.
//! What is not here: whether anything fits. `observe` and `plan` judge.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tracing::{debug, warn};

use crate::host::elapsed::elapsed_ms;
use crate::model::desired::{DeclaredGpu, Desired};
use crate::model::facts::{GpuFact, Reading};
use crate::model::size::Mebibytes;

mod amd;
mod declared;
mod memory_v1;
mod nvml;
mod owner;
mod progress;
mod unified;
pub(crate) mod visible;
mod worker;

pub(crate) use owner::attribute;

use nvml::Library;
use unified::MEMORY_UNTOLD;
use worker::{GpuSources, GpuWorker};

/// Names another NVML library; empty: no driver is asked, AMD's neither.
pub const NVML_LIBRARY: &str = "LCM_NVML_LIB";

/// A driver that is well answers each question within milliseconds, and wakes a sleeping GPU in about one second.
const DEADLINE: Duration = Duration::from_secs(3);

/// The GPUs of this machine. Nothing is loaded or asked before the first reading; the driver's handle is kept after it.
pub struct Gpus {
    /// `None`: no driver is asked.
    worker: Option<GpuWorker>,
    deadline: Duration,
    /// Read though no service of the manifest uses one.
    is_always_read: bool,
}

impl fmt::Debug for Gpus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Gpus").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

impl Gpus {
    /// `environment` is lcm's own: see [`NVML_LIBRARY`].
    #[must_use]
    pub fn new(environment: &BTreeMap<String, String>) -> Self {
        let library = match environment.get(NVML_LIBRARY).map(String::as_str) {
            None => Some(Library::Usual),
            Some("") => None,
            Some(path) => Some(Library::At(PathBuf::from(path))),
        };
        let sources = |nvml| GpuSources { nvml, drm: "/sys/class/drm".into(), processes: "/proc".into() };
        Self {
            worker: library.map(|library| GpuWorker::new(sources(library))),
            deadline: DEADLINE,
            is_always_read: false,
        }
    }

    /// Has GPUs read though no service of the manifest uses one.
    #[must_use]
    pub fn always_read(self) -> Self {
        Self { is_always_read: true, ..self }
    }

    /// For how long a driver may be silent before it counts as stuck; 3 s unless set.
    #[must_use]
    pub fn with_deadline(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// All GPUs with their holders: containers by their control groups, processes by the marks that they carry, the
    /// rest strangers. Not asked where the manifest has no use for one.
    pub async fn read(&self, desired: &Desired) -> Reading<Vec<GpuFact>> {
        if !self.is_always_read && !has_use_for(desired) {
            return Reading::NotAsked;
        }
        let Some(worker) = &self.worker else { return declared::declared(desired) };
        let began = Instant::now();
        let answer = worker.ask(self.deadline, &desired.declared_gpus).await;
        let took_ms = elapsed_ms(began);
        match &answer {
            Ok(gpus) => debug!(target: "host", gpus = gpus.as_ref().map(Vec::len), took_ms, "GPU driver read"),
            Err(error) => warn!(target: "host", took_ms, %error, "GPU driver not readable"),
        }
        match answer {
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

/// A plan for services that need no GPU should not wait for a driver to wake up.
fn has_use_for(desired: &Desired) -> bool {
    let uses = |service: &crate::model::desired::Service| service.wants_gpu() || service.vram > Mebibytes::ZERO;
    !desired.declared_gpus.is_empty() || desired.services.values().any(uses)
}

/// What the driver could not tell, and the manifest can. A GPU without memory of its own has no more than the host.
fn complete(gpu: &mut GpuFact, declared: &[DeclaredGpu]) {
    let Some(one) = declared.iter().find(|one| one.is(&gpu.id, gpu.index)) else { return };
    if gpu.unreadable.as_deref() == Some(MEMORY_UNTOLD) {
        (gpu.capacity, gpu.unreadable) = (one.capacity, None);
    }
    if one.unified && gpu.unreadable.is_none() {
        gpu.capacity = unified::capacity(one.capacity);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Gpus, MEMORY_UNTOLD, NVML_LIBRARY, complete, declared, has_use_for};
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
    async fn nobody_is_asked_for_services_that_need_no_gpu() {
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
    fn a_declaration_stands_in_for_what_the_driver_does_not_tell() {
        let mut desired = desired();
        desired.declared_gpus = vec![crate::model::desired::DeclaredGpu {
            index: 1,
            uuid: None,
            unified: false,
            capacity: Mebibytes(24_576),
        }];
        let Reading::Known(mut gpus) = declared::declared(&desired) else { panic!("it is declared") };
        (gpus[0].capacity, gpus[0].unreadable) = (Mebibytes::ZERO, Some(MEMORY_UNTOLD.to_owned()));
        complete(&mut gpus[0], &desired.declared_gpus);
        assert_eq!((gpus[0].capacity, gpus[0].unreadable.as_deref(), gpus[0].used), (Mebibytes(24_576), None, None));
        gpus[0].lost = Some("it fell off the bus".to_owned());
        complete(&mut gpus[0], &desired.declared_gpus);
        assert!(gpus[0].lost.is_some(), "nothing brings back what is lost");
    }

    #[test]
    fn an_empty_name_means_that_no_driver_is_asked() {
        let asks = |value: &str| Gpus::new(&BTreeMap::from([(NVML_LIBRARY.to_owned(), value.to_owned())])).worker;
        assert!(asks("").is_none());
        assert!(asks("/usr/lib/libnvidia-ml.so.1").is_some());
        assert!(Gpus::new(&BTreeMap::new()).worker.is_some());
    }
}
