//! The NVIDIA driver, asked through its own library. It runs on the thread that may hang.
//!
//! A machine without library, driver or GPU has nothing to tell, and that is no failure. A GPU that does not answer
//! is lost only where the driver says so, else it can't be read; the others are read all the same.

use std::collections::BTreeMap;
use std::path::PathBuf;

use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::struct_wrappers::device::ProcessInfo;
use nvml_wrapper::{Device, Nvml};

use crate::host::gpu::progress::DriverProgress;
use crate::host::gpu::unified::MEMORY_UNTOLD;
use crate::host::gpu::{memory_v1, owner};
use crate::model::facts::{GpuFact, GpuHolder, ProcessOwner};
use crate::model::names::GpuId;
use crate::model::size::Mebibytes;

/// No host has more, and no GPU more instances; a driver that says so is not followed without end.
const GPUS_MAX: u32 = 1024;
const INSTANCES_MAX: u32 = 64;
/// Processes on one GPU: far more than a host runs there.
const PROCESSES_MAX: u32 = 100_000;
/// A list that outgrows its buffer is asked for again; one that does so each time is given up.
const LIST_TRIES_MAX: u32 = 3;

/// `NVML_ERROR_ARGUMENT_VERSION_MISMATCH`: it knows the call, and not the struct that goes with it.
const ARGUMENT_VERSION_MISMATCH: u32 = 25;

/// Where the library is.
#[derive(Clone, Debug)]
pub(super) enum Library {
    /// As the system's loader finds it.
    Usual,
    At(PathBuf),
}

/// What a reading comes to.
pub(super) enum GpuQueryResult {
    Gpus(Vec<GpuFact>),
    /// There is no such driver here, or it has no GPU.
    Nothing,
    Failure(String),
}

pub(super) struct Nvidia {
    library: Library,
    handle: Option<Nvml>,
    /// What was read of each GPU, by its index: of one that fails it tells not even the name.
    known: BTreeMap<u32, Vec<GpuFact>>,
}

impl Nvidia {
    pub(super) fn new(library: Library) -> Self {
        Self { library, handle: None, known: BTreeMap::new() }
    }

    pub(super) fn read(&mut self, progress: &DriverProgress) -> GpuQueryResult {
        let mut result = self.attempt(progress);
        if let Err(GpuQueryError::Driver(error)) = &result
            && wants_a_new_handle(error)
        {
            self.let_go();
            result = self.attempt(progress);
        }
        match result {
            Ok(gpus) if gpus.is_empty() && self.known.is_empty() => GpuQueryResult::Nothing,
            Ok(gpus) => GpuQueryResult::Gpus(gpus),
            Err(GpuQueryError::NotHere) if self.known.is_empty() => GpuQueryResult::Nothing,
            Err(GpuQueryError::NotHere) => {
                GpuQueryResult::Failure("the NVIDIA driver was there and is not any more".to_owned())
            }
            Err(GpuQueryError::Driver(error)) => {
                self.let_go();
                GpuQueryResult::Failure(format!("the NVIDIA driver can't be asked: {error}"))
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
                Err(error) if wants_a_new_handle(&error) => return Err(error.into()),
                Err(error) => gpus.extend(silent(self.known.get(&index), index, &error)),
            }
        }
        Ok(gpus)
    }

    /// A library that can't be shut down is left loaded: the wrapper would panic.
    fn let_go(&mut self) {
        if let Some(nvml) = self.handle.take()
            && nvml.lib().nvmlShutdown.is_err()
        {
            std::mem::forget(nvml);
        }
    }
}

/// Why there is no reading at all.
enum GpuQueryError {
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

fn load(library: &Library) -> Result<Nvml, GpuQueryError> {
    let (path, named) = match library {
        Library::Usual => (None, false),
        Library::At(path) => (Some(path.as_os_str()), true),
    };
    let mut builder = Nvml::builder();
    if let Some(path) = path {
        builder.lib_path(path);
    }
    match builder.init() {
        // One that somebody named on purpose should be one.
        Err(NvmlError::LibloadingError(_)) if !named => Err(GpuQueryError::NotHere),
        loaded => Ok(loaded?),
    }
}

/// Errors that no later call on the same handle gets rid of.
fn wants_a_new_handle(error: &NvmlError) -> bool {
    matches!(error, NvmlError::Uninitialized | NvmlError::DriverNotLoaded | NvmlError::LibRmVersionMismatch)
}

/// The device itself, or the instances that it is divided into: then nothing runs on the whole of it.
fn parts(nvml: &Nvml, device: &Device<'_>, index: u32) -> Result<Vec<GpuFact>, NvmlError> {
    // Drivers and boards that know nothing of this say so in several ways.
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
        Err(NvmlError::NotSupported) => gpu.unreadable = Some(MEMORY_UNTOLD.to_owned()),
        Err(error) if is_grave(&error) => return Err(error),
        // Its name is known by now, and tells what runs on it.
        Err(error) => return Ok(GpuFact { unreadable: Some(no_answer(&error)), ..gpu }),
    }
    gpu.holders = holders(device, gpu.used.unwrap_or_default())?;
    Ok(gpu)
}

/// In bytes. `used` is without `reserved`, but on drivers that don't tell these apart.
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

/// Each process once: one that computes and draws stands in both lists, in each with all that it holds.
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
        // Some boards have no graphics to list.
        (Ok(computing), drawing) => (computing, drawing.unwrap_or_default()),
        // Without the list that matters nobody can say who holds what is used.
        (Err(_), _) if used > Mebibytes::ZERO => return Ok(vec![owner::unnamed()]),
        (Err(_), _) => return Ok(Vec::new()),
    };
    let mut memory: BTreeMap<u32, Option<u64>> = BTreeMap::new();
    for process in computing.iter().chain(&drawing) {
        let told = match process.used_gpu_memory {
            UsedGpuMemory::Used(bytes) => Some(bytes),
            UsedGpuMemory::Unavailable => None,
        };
        let entry = memory.entry(process.pid).or_default();
        *entry = (*entry).max(told);
    }
    let holder = |(pid, bytes): (u32, Option<u64>)| GpuHolder {
        pid: i32::try_from(pid).unwrap_or_default(),
        program: String::new(),
        memory: bytes.map(Mebibytes::needed),
        owner: ProcessOwner::Foreign,
    };
    Ok(memory.into_iter().map(holder).collect())
}

/// The wrapper makes room for as many as the driver says: a list without a bound is taken for one that it can't tell.
fn bounded(count: Result<u32, NvmlError>) -> Result<(), NvmlError> {
    if count? > PROCESSES_MAX { Err(NvmlError::NotSupported) } else { Ok(()) }
}

fn listed(ask: impl Fn() -> Result<Vec<ProcessInfo>, NvmlError>) -> Result<Vec<ProcessInfo>, NvmlError> {
    let mut tries = 1;
    loop {
        match ask() {
            Err(NvmlError::InsufficientSize(_)) if tries < LIST_TRIES_MAX => tries += 1,
            listed => return listed,
        }
    }
}

/// The driver is too old to know this call.
fn is_missing(error: &NvmlError) -> bool {
    matches!(
        error,
        NvmlError::FailedToLoadSymbol(_)
            | NvmlError::FunctionNotFound
            | NvmlError::UnexpectedVariant(ARGUMENT_VERSION_MISMATCH)
    )
}

/// It says something about the GPU, not about the list.
fn is_grave(error: &NvmlError) -> bool {
    wants_a_new_handle(error) || loss(error).is_some()
}

/// What the driver calls lost. Any other error may be of this caller or of this moment alone: one whose control group
/// allows other GPUs, for example, is told that this one is there, and not which it is.
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

/// As it was when it was last seen; of one that never was, its place is all there is to call it by.
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
