//! Reads NVIDIA GPUs through the driver's own library (NVML), on the thread that may hang.
//!
//! A machine without library, driver or GPU has no reading, which is no failure. A GPU that does not respond is lost
//! only if the driver reports it lost, else unreadable; the others are read all the same.

use std::collections::BTreeMap;
use std::path::PathBuf;

use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::struct_wrappers::device::ProcessInfo;
use nvml_wrapper::{Device, Nvml};

use crate::host::gpu::progress::DriverProgress;
use crate::host::gpu::unified::MEMORY_UNREPORTED;
use crate::host::gpu::{memory_v1, owner};
use crate::model::facts::{GpuFact, GpuHolder, ProcessOwner};
use crate::model::names::GpuId;
use crate::model::size::Mebibytes;

/// Bounds on a driver's counts: no host has more GPUs, and no GPU more instances.
const GPUS_MAX: u32 = 1024;
const INSTANCES_MAX: u32 = 64;
/// Processes on one GPU: far more than any host runs.
const PROCESSES_MAX: u32 = 100_000;
/// Attempts to read a list that outgrows its buffer.
const LIST_TRIES_MAX: u32 = 3;

/// `NVML_ERROR_ARGUMENT_VERSION_MISMATCH`: the driver knows the call, but not this version of its struct.
const ARGUMENT_VERSION_MISMATCH: u32 = 25;

/// Location of the library.
#[derive(Clone, Debug)]
pub(super) enum Library {
    /// Found by the system's loader.
    Usual,
    At(PathBuf),
}

/// Outcome of a reading.
pub(super) enum GpuQueryResult {
    Gpus(Vec<GpuFact>),
    /// No such driver here, or no GPU.
    Nothing,
    Failure(String),
}

pub(super) struct Nvidia {
    library: Library,
    handle: Option<Nvml>,
    /// Last reading of each GPU, by index: the driver does not even name one that fails.
    known: BTreeMap<u32, Vec<GpuFact>>,
}

impl Nvidia {
    pub(super) fn new(library: Library) -> Self {
        Self { library, handle: None, known: BTreeMap::new() }
    }

    pub(super) fn read(&mut self, progress: &DriverProgress) -> GpuQueryResult {
        let mut result = self.attempt(progress);
        if let Err(GpuQueryError::Driver(error)) = &result
            && needs_a_new_handle(error)
        {
            self.release_handle();
            result = self.attempt(progress);
        }
        match result {
            Ok(gpus) if gpus.is_empty() && self.known.is_empty() => GpuQueryResult::Nothing,
            Ok(gpus) => GpuQueryResult::Gpus(gpus),
            Err(GpuQueryError::NotHere) if self.known.is_empty() => GpuQueryResult::Nothing,
            Err(GpuQueryError::NotHere) => {
                GpuQueryResult::Failure("the NVIDIA driver has disappeared since the last reading".to_owned())
            }
            Err(GpuQueryError::Driver(error)) => {
                self.release_handle();
                GpuQueryResult::Failure(format!("can't query the NVIDIA driver: {error}"))
            }
        }
    }

    fn attempt(&mut self, progress: &DriverProgress) -> Result<Vec<GpuFact>, GpuQueryError> {
        let nvml = match self.handle.take() {
            Some(nvml) => nvml,
            None => load(&self.library)?,
        };
        progress.step();
        let nvml = self.handle.insert(nvml);
        let mut gpus = Vec::new();
        for index in 0..nvml.device_count()?.min(GPUS_MAX) {
            progress.step();
            match nvml.device_by_index(index).and_then(|device| parts(nvml, &device, index)) {
                Ok(found) => {
                    self.known.insert(index, found.clone());
                    gpus.extend(found);
                }
                Err(error) if needs_a_new_handle(&error) => return Err(error.into()),
                Err(error) => gpus.extend(silent(self.known.get(&index), index, &error)),
            }
        }
        Ok(gpus)
    }

    /// Drops the handle. A library that can't be shut down is left loaded: the wrapper would panic.
    fn release_handle(&mut self) {
        if let Some(nvml) = self.handle.take()
            && nvml.lib().nvmlShutdown.is_err()
        {
            std::mem::forget(nvml);
        }
    }
}

/// Failure of a whole reading.
pub(super) enum GpuQueryError {
    NotHere,
    Driver(NvmlError),
}

impl From<NvmlError> for GpuQueryError {
    fn from(error: NvmlError) -> Self {
        match error {
            NvmlError::DriverNotLoaded | NvmlError::LibraryNotFound => Self::NotHere,
            error => Self::Driver(error),
        }
    }
}

pub(super) fn load(library: &Library) -> Result<Nvml, GpuQueryError> {
    let (path, named) = match library {
        Library::Usual => (None, false),
        Library::At(path) => (Some(path.as_os_str()), true),
    };
    let mut builder = Nvml::builder();
    if let Some(path) = path {
        builder.lib_path(path);
    }
    match builder.init() {
        // A library that the environment names must load.
        Err(NvmlError::LibloadingError(_)) if !named => Err(GpuQueryError::NotHere),
        loaded => Ok(loaded?),
    }
}

/// Returns true for errors that persist on the same handle.
fn needs_a_new_handle(error: &NvmlError) -> bool {
    matches!(error, NvmlError::Uninitialized | NvmlError::DriverNotLoaded | NvmlError::LibRmVersionMismatch)
}

/// Returns the device itself, or its MIG instances: then no process runs on the whole device.
fn parts(nvml: &Nvml, device: &Device<'_>, index: u32) -> Result<Vec<GpuFact>, NvmlError> {
    // Drivers and boards without MIG return one of several errors.
    if !device.mig_mode().is_ok_and(|mode| mode.current != 0) {
        return Ok(vec![fact(nvml, device, index)?]);
    }
    let mut found = Vec::new();
    for place in 0..device.mig_device_count()?.min(INSTANCES_MAX) {
        match device.mig_device_by_index(place) {
            Ok(instance) => found.push(fact(nvml, &instance, index)?),
            Err(NvmlError::NotFound | NvmlError::InvalidArg) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

fn fact(nvml: &Nvml, device: &Device<'_>, index: u32) -> Result<GpuFact, NvmlError> {
    let mut gpu = GpuFact {
        id: GpuId::new(device.uuid()?),
        index,
        name: device.name().unwrap_or_default(),
        capacity: Mebibytes::ZERO,
        used: None,
        reserved: Mebibytes::ZERO,
        lost: None,
        unreadable: None,
        holders: Vec::new(),
    };
    match memory(nvml, device) {
        Ok(memory) => {
            gpu.capacity = Mebibytes::available(memory.total);
            gpu.used = Some(Mebibytes::needed(memory.used));
            gpu.reserved = Mebibytes::needed(memory.reserved);
        }
        Err(NvmlError::NotSupported) => gpu.unreadable = Some(MEMORY_UNREPORTED.to_owned()),
        Err(error) if is_grave(&error) => return Err(error),
        // Its UUID is known by now, and with it the services placed on it.
        Err(error) => return Ok(GpuFact { unreadable: Some(no_answer(&error)), ..gpu }),
    }
    gpu.holders = holders(device, gpu.used.unwrap_or_default())?;
    Ok(gpu)
}

/// Memory in bytes. `used` excludes `reserved`, except on drivers that don't distinguish them.
struct NvmlMemory {
    total: u64,
    used: u64,
    reserved: u64,
}

fn memory(nvml: &Nvml, device: &Device<'_>) -> Result<NvmlMemory, NvmlError> {
    match device.memory_info() {
        Ok(memory) => Ok(NvmlMemory { total: memory.total, used: memory.used, reserved: memory.reserved }),
        Err(error) if is_missing(&error) => {
            let (total, used) = memory_v1::memory(nvml, device)?;
            Ok(NvmlMemory { total, used, reserved: 0 })
        }
        Err(error) => Err(error),
    }
}

/// Returns the holders, each process once: one that computes and draws is in both lists, in each with its total.
fn holders(device: &Device<'_>, used: Mebibytes) -> Result<Vec<GpuHolder>, NvmlError> {
    let computing = listed(|| match bounded(device.running_compute_processes_count()) {
        Ok(()) => device.running_compute_processes(),
        Err(error) if is_missing(&error) => {
            bounded(device.running_compute_processes_count_v2())?;
            device.running_compute_processes_v2()
        }
        Err(error) => Err(error),
    });
    let drawing = listed(|| match bounded(device.running_graphics_processes_count()) {
        Ok(()) => device.running_graphics_processes(),
        Err(error) if is_missing(&error) => {
            bounded(device.running_graphics_processes_count_v2())?;
            device.running_graphics_processes_v2()
        }
        Err(error) => Err(error),
    });
    let (computing, drawing) = match (computing, drawing) {
        (Err(error), _) | (_, Err(error)) if is_grave(&error) => return Err(error),
        // Some boards have no graphics processes to list.
        (Ok(computing), drawing) => (computing, drawing.unwrap_or_default()),
        // Without the list of computing processes the memory in use can't be attributed.
        (Err(_), _) if used > Mebibytes::ZERO => return Ok(vec![owner::unnamed()]),
        (Err(_), _) => return Ok(Vec::new()),
    };
    let mut memory: BTreeMap<u32, Option<u64>> = BTreeMap::new();
    for process in computing.iter().chain(&drawing) {
        let reported = match process.used_gpu_memory {
            UsedGpuMemory::Used(bytes) => Some(bytes),
            UsedGpuMemory::Unavailable => None,
        };
        let entry = memory.entry(process.pid).or_default();
        *entry = (*entry).max(reported);
    }
    let holder = |(pid, bytes): (u32, Option<u64>)| GpuHolder {
        pid: i32::try_from(pid).unwrap_or_default(),
        program: String::new(),
        memory: bytes.map(Mebibytes::needed),
        owner: ProcessOwner::Foreign,
    };
    Ok(memory.into_iter().map(holder).collect())
}

/// Checks the count that the driver reports, for which the wrapper allocates: a list beyond the bound counts as
/// unsupported.
fn bounded(count: Result<u32, NvmlError>) -> Result<(), NvmlError> {
    if count? > PROCESSES_MAX { Err(NvmlError::NotSupported) } else { Ok(()) }
}

fn listed(query: impl Fn() -> Result<Vec<ProcessInfo>, NvmlError>) -> Result<Vec<ProcessInfo>, NvmlError> {
    let mut tries = 1;
    loop {
        match query() {
            Err(NvmlError::InsufficientSize(_)) if tries < LIST_TRIES_MAX => tries += 1,
            listed => return listed,
        }
    }
}

/// Returns true if the driver is too old for this call.
fn is_missing(error: &NvmlError) -> bool {
    matches!(
        error,
        NvmlError::FailedToLoadSymbol(_)
            | NvmlError::FunctionNotFound
            | NvmlError::UnexpectedVariant(ARGUMENT_VERSION_MISMATCH)
    )
}

/// Returns true if the error concerns the GPU, not only the list.
fn is_grave(error: &NvmlError) -> bool {
    needs_a_new_handle(error) || loss(error).is_some()
}

/// Returns the reason if the driver reports the GPU lost. Any other error may concern this caller or this moment alone:
/// a process whose control group excludes a GPU, for example, sees that it exists, but not its identity.
fn loss(error: &NvmlError) -> Option<&'static str> {
    match error {
        NvmlError::GpuLost => Some("it fell off the bus"),
        NvmlError::ResetRequired => Some("it has to be reset"),
        _ => None,
    }
}

fn no_answer(error: &NvmlError) -> String {
    format!("it does not answer: {error}")
}

/// Returns a GPU that does not respond as it was last read; one that never was is named by its index.
fn silent(known: Option<&Vec<GpuFact>>, index: u32, error: &NvmlError) -> Vec<GpuFact> {
    let lost = loss(error).map(str::to_owned);
    let unreadable = lost.is_none().then(|| no_answer(error));
    let never_seen = || GpuFact {
        id: GpuId::new(format!("gpu-{index}")),
        index,
        name: String::new(),
        capacity: Mebibytes::ZERO,
        used: None,
        reserved: Mebibytes::ZERO,
        lost: None,
        unreadable: None,
        holders: Vec::new(),
    };
    let mut gpus = known.cloned().unwrap_or_else(|| vec![never_seen()]);
    for gpu in &mut gpus {
        (gpu.used, gpu.holders) = (None, Vec::new());
        (gpu.lost, gpu.unreadable) = (lost.clone(), unreadable.clone());
    }
    gpus
}
