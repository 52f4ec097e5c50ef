//! Library with NVML's symbols for simulated GPUs, so that tests use the real wrapper. Each call reads the file of the
//! simulation again: the one that `LCM_SIMULATED_GPU` names, else the one beside the library with its name and
//! `.world` appended (so that each copy of the library is a separate machine).
//!
//! Names, numbers and layouts are those of `nvml.h`. Symbols that lcm does not use are missing. No symbol calls another
//! one, so that a test can remove any of them.
#![expect(clippy::not_unsafe_ptr_arg_deref, reason = "the contracts are those of nvml.h, and the wrapper keeps them")]

use std::ffi::{CStr, OsStr, c_char, c_int, c_uint, c_ulonglong, c_void};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;
use std::{env, thread};

mod pids;
#[expect(dead_code, reason = "the model server writes what this library reads")]
mod world;

use world::{Gpu, Hold, Quirk, World};

const SUCCESS: c_int = 0;
const UNINITIALIZED: c_int = 1;
const INVALID_ARGUMENT: c_int = 2;
const NOT_SUPPORTED: c_int = 3;
const NO_PERMISSION: c_int = 4;
const NOT_FOUND: c_int = 6;
const INSUFFICIENT_SIZE: c_int = 7;
const DRIVER_NOT_LOADED: c_int = 9;
const FUNCTION_NOT_FOUND: c_int = 13;
const GPU_IS_LOST: c_int = 15;
const LIB_RM_VERSION_MISMATCH: c_int = 18;
const ARGUMENT_VERSION_MISMATCH: c_int = 25;
const UNKNOWN: c_int = 999;

const NOT_AVAILABLE: c_ulonglong = c_ulonglong::MAX;
const NO_INSTANCE: c_uint = c_uint::MAX;
const MIB: u64 = 1 << 20;
const HANG_PAUSE: Duration = Duration::from_millis(5);

/// Version of the driver when this process loaded the library.
static LOADED: Mutex<Option<String>> = Mutex::new(None);

type Device = *mut c_void;
type Answer<T> = Result<T, c_int>;

#[repr(C)]
#[derive(Debug)]
pub struct Memory {
    total: c_ulonglong,
    free: c_ulonglong,
    used: c_ulonglong,
}

#[repr(C)]
#[derive(Debug)]
pub struct MemoryV2 {
    version: c_uint,
    total: c_ulonglong,
    reserved: c_ulonglong,
    free: c_ulonglong,
    used: c_ulonglong,
}

#[repr(C)]
#[derive(Debug)]
pub struct ProcessInfo {
    pid: c_uint,
    used: c_ulonglong,
    gpu_instance: c_uint,
    compute_instance: c_uint,
}

#[repr(C)]
struct DlInfo {
    file: *const c_char,
    base: *mut c_void,
    symbol: *const c_char,
    address: *mut c_void,
}

unsafe extern "C" {
    fn dladdr(address: *const c_void, info: *mut DlInfo) -> c_int;
}

fn path() -> PathBuf {
    if let Some(path) = env::var_os(world::VARIABLE) {
        return path.into();
    }
    let mut info = DlInfo {
        file: std::ptr::null(),
        base: std::ptr::null_mut(),
        symbol: std::ptr::null(),
        address: std::ptr::null_mut(),
    };
    // SAFETY: the address belongs to this library, and the name lives as long as that is loaded.
    let name = unsafe {
        dladdr(path as *const c_void, &raw mut info);
        if info.file.is_null() { c"" } else { CStr::from_ptr(info.file) }
    };
    let mut name = OsStr::from_bytes(name.to_bytes()).to_owned();
    name.push(".world");
    name.into()
}

/// Returns the simulated GPUs, for a call that needs a loaded driver; blocks while the driver hangs.
fn now() -> Answer<World> {
    let path = path();
    loop {
        let world = World::now(&path).map_err(|_| UNKNOWN)?;
        if world.has(&Quirk::Hang) {
            thread::sleep(HANG_PAUSE);
            continue;
        }
        return match LOADED.lock().unwrap().as_ref() {
            _ if world.has(&Quirk::NotLoaded) => Err(UNINITIALIZED),
            None => Err(UNINITIALIZED),
            Some(version) if *version != world.driver => Err(LIB_RM_VERSION_MISMATCH),
            Some(_) => Ok(world),
        };
    }
}

/// Returns the GPU of a handle: handles are positions in the list of GPUs, from 1.
fn find(world: &World, device: Device) -> Answer<Gpu> {
    let gpu = world.gpus.get((device as usize).wrapping_sub(1)).ok_or(INVALID_ARGUMENT)?;
    let whole = gpu.parent.clone().unwrap_or_else(|| gpu.uuid.clone());
    if world.has(&Quirk::Forbidden(whole.clone())) {
        return Err(NO_PERMISSION);
    }
    if world.has(&Quirk::Lost(whole)) { Err(GPU_IS_LOST) } else { Ok(gpu.clone()) }
}

fn handle(world: &World, is_it: impl Fn(&Gpu) -> bool) -> Option<Device> {
    world.gpus.iter().position(is_it).map(|place| (place + 1) as Device)
}

fn code(answer: Answer<()>) -> c_int {
    answer.err().unwrap_or(SUCCESS)
}

/// Converts a count, which is always small here.
fn number(count: usize) -> c_uint {
    c_uint::try_from(count).unwrap_or(c_uint::MAX)
}

fn put<T>(place: *mut T, value: T) {
    // SAFETY: the caller passed a pointer to write to, or null.
    unsafe {
        if !place.is_null() {
            place.write(value);
        }
    }
}

fn put_text(place: *mut c_char, length: c_uint, text: &str) -> Answer<()> {
    if text.len() >= length as usize {
        return Err(INSUFFICIENT_SIZE);
    }
    // SAFETY: the caller's buffer has the given length, and the text with its terminator fits.
    unsafe {
        place.copy_from_nonoverlapping(text.as_ptr().cast(), text.len());
        place.add(text.len()).write(0);
    }
    Ok(())
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlInit_v2() -> c_int {
    init()
}

fn init() -> c_int {
    let Ok(world) = World::read(&path()) else { return UNKNOWN };
    if world.has(&Quirk::NotLoaded) {
        return DRIVER_NOT_LOADED;
    }
    *LOADED.lock().unwrap() = Some(world.driver);
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlInitWithFlags(_flags: c_uint) -> c_int {
    init()
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlShutdown() -> c_int {
    *LOADED.lock().unwrap() = None;
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlErrorString(_code: c_int) -> *const c_char {
    c"an error of the simulated driver".as_ptr()
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlSystemGetDriverVersion(place: *mut c_char, length: c_uint) -> c_int {
    code(now().and_then(|world| put_text(place, length, &world.driver)))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetCount_v2(count: *mut c_uint) -> c_int {
    code(now().map(|world| put(count, number(whole(&world).count()))))
}

fn whole(world: &World) -> impl Iterator<Item = &Gpu> {
    world.gpus.iter().filter(|gpu| gpu.parent.is_none())
}

fn instances<'a>(world: &'a World, parent: &Gpu) -> Vec<&'a Gpu> {
    world.gpus.iter().filter(|gpu| gpu.parent.as_ref() == Some(&parent.uuid)).collect()
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetHandleByIndex_v2(index: c_uint, place: *mut Device) -> c_int {
    let found = |world: World| {
        let gpu = whole(&world).nth(index as usize).ok_or(INVALID_ARGUMENT)?;
        let device = handle(&world, |one| one == gpu).ok_or(NOT_FOUND)?;
        find(&world, device).map(|_| put(place, device))
    };
    code(now().and_then(found))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetHandleByUUID(uuid: *const c_char, place: *mut Device) -> c_int {
    // SAFETY: the caller passed a C string.
    let uuid = unsafe { CStr::from_ptr(uuid) }.to_string_lossy();
    let found = |world: World| handle(&world, |gpu| gpu.uuid == uuid).ok_or(NOT_FOUND).map(|found| put(place, found));
    code(now().and_then(found))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetName(device: Device, place: *mut c_char, length: c_uint) -> c_int {
    code(now().and_then(|world| put_text(place, length, &find(&world, device)?.name)))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetUUID(device: Device, place: *mut c_char, length: c_uint) -> c_int {
    code(now().and_then(|world| put_text(place, length, &find(&world, device)?.uuid)))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetIndex(device: Device, place: *mut c_uint) -> c_int {
    let found = |world: World| {
        let gpu = find(&world, device)?;
        let among = whole(&world).position(|one| *one == gpu).ok_or(NOT_SUPPORTED)?;
        put(place, number(among));
        Ok(())
    };
    code(now().and_then(found))
}

/// Returns the total memory, the reserved part and that used by processes, in bytes.
fn memory(device: Device) -> Answer<(u64, u64, u64)> {
    let world = now()?;
    let gpu = find(&world, device)?;
    if world.has(&Quirk::NoMemory) {
        return Err(NOT_SUPPORTED);
    }
    let bytes = |mib: u64| mib.saturating_mul(MIB);
    Ok((bytes(gpu.total_mib), bytes(gpu.reserved_mib), bytes(world.used_mib(&gpu.uuid))))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetMemoryInfo(device: Device, place: *mut Memory) -> c_int {
    code(memory(device).map(|(total, reserved, used)| {
        let used = used + reserved;
        put(place, Memory { total, free: total.saturating_sub(used), used });
    }))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetMemoryInfo_v2(device: Device, place: *mut MemoryV2) -> c_int {
    let told = || {
        if now()?.has(&Quirk::Old) {
            return Err(FUNCTION_NOT_FOUND);
        }
        // SAFETY: the caller's struct begins with the version of its layout.
        let version = unsafe { (*place).version };
        if version as usize != size_of::<MemoryV2>() | (2 << 24) {
            return Err(ARGUMENT_VERSION_MISMATCH);
        }
        let (total, reserved, used) = memory(device)?;
        put(
            place,
            MemoryV2 { version, total, reserved, free: total.saturating_sub(used.saturating_add(reserved)), used },
        );
        Ok(())
    };
    code(told())
}

/// Fills the caller's list, or returns the length that it needs.
fn list(device: Device, count: *mut c_uint, place: *mut ProcessInfo, mib: fn(&Hold) -> Option<u64>) -> Answer<()> {
    let world = now()?;
    let gpu = find(&world, device)?;
    if world.has(&Quirk::NoList) {
        return Err(NOT_SUPPORTED);
    }
    let bytes = |mib: u64| if world.has(&Quirk::NoFigures) { NOT_AVAILABLE } else { mib.saturating_mul(MIB) };
    let mine = world.holds.iter().filter(|hold| hold.gpu == gpu.uuid);
    let listed: Vec<(u32, u64)> =
        mine.filter_map(|hold| Some((pids::on_host(hold, &path()), bytes(mib(hold)?)))).collect();
    // SAFETY: the caller passed the length of its list.
    let length = unsafe { count.read() } as usize;
    put(count, number(listed.len()));
    if listed.len() > length {
        return Err(INSUFFICIENT_SIZE);
    }
    for (at, (pid, used)) in listed.into_iter().enumerate() {
        let info = ProcessInfo { pid, used, gpu_instance: NO_INSTANCE, compute_instance: NO_INSTANCE };
        // SAFETY: the position is within the caller's list, by the length just read.
        unsafe { place.add(at).write(info) };
    }
    Ok(())
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetComputeRunningProcesses_v3(
    device: Device,
    count: *mut c_uint,
    place: *mut ProcessInfo,
) -> c_int {
    code(list(device, count, place, |hold| Some(hold.mib)))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetComputeRunningProcesses_v2(
    device: Device,
    count: *mut c_uint,
    place: *mut ProcessInfo,
) -> c_int {
    code(list(device, count, place, |hold| Some(hold.mib)))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetGraphicsRunningProcesses_v3(
    device: Device,
    count: *mut c_uint,
    place: *mut ProcessInfo,
) -> c_int {
    code(list(device, count, place, |hold| hold.draws_mib))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetGraphicsRunningProcesses_v2(
    device: Device,
    count: *mut c_uint,
    place: *mut ProcessInfo,
) -> c_int {
    code(list(device, count, place, |hold| hold.draws_mib))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetMigMode(device: Device, current: *mut c_uint, pending: *mut c_uint) -> c_int {
    code(now().and_then(|world| {
        let gpu = find(&world, device)?;
        if gpu.parent.is_some() {
            return Err(INVALID_ARGUMENT);
        }
        let on = c_uint::from(!instances(&world, &gpu).is_empty());
        put(current, on);
        put(pending, on);
        Ok(())
    }))
}

/// Returns the maximum number of instances, as real boards do, not the current one.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetMaxMigDeviceCount(device: Device, count: *mut c_uint) -> c_int {
    code(now().and_then(|world| find(&world, device)).map(|_| put(count, 7)))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetMigDeviceHandleByIndex(device: Device, index: c_uint, place: *mut Device) -> c_int {
    code(now().and_then(|world| {
        let parent = find(&world, device)?;
        let instance = instances(&world, &parent).get(index as usize).copied().ok_or(NOT_FOUND)?;
        put(place, handle(&world, |one| one == instance).ok_or(NOT_FOUND)?);
        Ok(())
    }))
}
