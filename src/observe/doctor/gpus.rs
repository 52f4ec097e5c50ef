//! Checks of GPUs: whether a driver reports them, and what it reports.

use crate::model::doctor::readings::{GpuBoard, GpuReadings, GpuVendor, NvidiaDriver};
use crate::model::doctor::{CheckLevel, Demand, MachineCheck};
use crate::model::facts::{GpuFact, Reading};
use crate::model::size::Mebibytes;

const CHECK: &str = "gpu_driver";

/// GPUs listed one by one: no host has more boards, and instances of MIG are at most seven a board.
const LISTED_MAX: usize = 64;

/// Example of a declaration, for machines whose GPUs no driver reports.
const DECLARE: &str = "declare what the host has in the manifest: `gpus: { devices: [{ index: 0, vram: 24GiB }] }`";

pub(super) fn judge(readings: &GpuReadings) -> Vec<MachineCheck> {
    if !readings.is_queried {
        let found = "no GPU driver is queried, since the variable LCM_NVML_LIB is empty";
        return vec![MachineCheck::skip(CHECK, found).help("unset LCM_NVML_LIB to have GPUs measured")];
    }
    match &readings.gpus {
        Reading::Unknown(reason) => vec![unreadable(readings, reason)],
        Reading::Known(gpus) if !gpus.is_empty() => found(readings, gpus),
        Reading::Known(_) | Reading::NotAsked => vec![none(readings)],
    }
}

/// Returns the check of a driver that is there and does not answer.
fn unreadable(readings: &GpuReadings, reason: &str) -> MachineCheck {
    let check = MachineCheck::new(CHECK, readings.demand.broken(), reason);
    let reason = reason.to_lowercase();
    if reason.contains("mismatch") {
        return check.help("the driver was updated while its old kernel module is loaded: reboot the host");
    }
    if reason.contains("did not answer") {
        return check
            .help("does `nvidia-smi` answer? If it hangs too, look into `sudo dmesg | grep -i -e nvrm -e amdgpu`");
    }
    check.help("does `nvidia-smi` work? Reinstall the driver of this host if it does not")
}

/// Returns the check of a machine on which no driver reports a GPU.
fn none(readings: &GpuReadings) -> MachineCheck {
    let GpuReadings { boards, demand, declared, .. } = readings;
    let unbound: Vec<&GpuBoard> = boards.iter().filter(|board| !is_passed_through(board)).collect();
    if let Some(first) = unbound.first() {
        let found = format!("{}, and no driver reports it", board_text(first, unbound.len()));
        let level = if *demand == Demand::Needed { CheckLevel::Fail } else { CheckLevel::Warn };
        return MachineCheck::new(CHECK, level, found).help(driver_help(first)).help(DECLARE);
    }
    match demand {
        Demand::Needed if declared.is_empty() => {
            MachineCheck::fail(CHECK, "no GPU found (no NVIDIA or AMD driver), and services of the manifest need one")
                .help(DECLARE)
        }
        Demand::Needed => {
            let found = format!(
                "no GPU found (no NVIDIA or AMD driver); the manifest declares {}, so memory is not measured",
                counted(declared.len())
            );
            MachineCheck::warn(CHECK, found).help("measured memory needs the vendor's driver on this host")
        }
        Demand::Unneeded => MachineCheck::skip(CHECK, "no GPU found, and no service of the manifest needs one"),
        Demand::Unknown => MachineCheck::skip(CHECK, "no GPU found (no NVIDIA or AMD driver)")
            .help(format!("if there is one, {DECLARE}")),
    }
}

/// Returns the lines of a machine with GPUs: the driver, then each GPU.
fn found(readings: &GpuReadings, gpus: &[GpuFact]) -> Vec<MachineCheck> {
    let is_amd = readings.driver.is_none() && readings.boards.iter().any(|board| board.vendor == GpuVendor::Amd);
    let driver = match &readings.driver {
        Some(NvidiaDriver { version, cuda, .. }) => {
            let version = version.as_deref().unwrap_or("of an unknown version");
            let cuda = cuda.as_ref().map(|cuda| format!(" (CUDA {cuda})")).unwrap_or_default();
            format!("NVIDIA driver {version}{cuda} reports {}", counted(gpus.len()))
        }
        None if is_amd => format!("the kernel's amdgpu driver reports {}", counted(gpus.len())),
        None => format!("the driver reports {}", counted(gpus.len())),
    };
    let mut checks = vec![MachineCheck::ok(CHECK, driver)];
    checks.extend(gpus.iter().take(LISTED_MAX).map(|gpu| judge_gpu(readings, gpu)));
    if gpus.len() > LISTED_MAX {
        checks.push(MachineCheck::skip("gpu", format!("{} more GPUs", gpus.len() - LISTED_MAX)));
    }
    checks
}

fn judge_gpu(readings: &GpuReadings, gpu: &GpuFact) -> MachineCheck {
    const CHECK: &str = "gpu";
    let kind = if gpu.id.is_instance() { " (MIG instance)" } else { "" };
    let name = if gpu.name.is_empty() { gpu.id.as_str() } else { &gpu.name };
    let title = format!("GPU {}: {name}{kind}", gpu.index);
    let level = readings.demand.broken();
    if let Some(reason) = &gpu.lost {
        return MachineCheck::new(CHECK, level, format!("{title}: {reason}"))
            .help(format!("sudo nvidia-smi --gpu-reset -i {}; reboot the host if that fails", gpu.index));
    }
    let is_declared = readings.declared.iter().any(|one| one.is(&gpu.id, gpu.index));
    if let Some(reason) = gpu.unreadable.as_ref().filter(|_| !is_declared) {
        return MachineCheck::new(CHECK, level, format!("{title}: {reason}")).help(format!(
            "`gpus: {{ devices: [{{ index: {}, vram: 64GiB, unified: true }}] }}` where it shares the host's memory, with \
             the size that services may use",
            gpu.index
        ));
    }
    if let Some(driver) = &readings.driver {
        let reset = format!("sudo nvidia-smi -i {} -c DEFAULT", gpu.index);
        if driver.prohibited.contains(&gpu.index) {
            return MachineCheck::new(CHECK, level, format!("{title}: its compute mode allows no process")).help(reset);
        }
        if driver.exclusive.contains(&gpu.index) {
            let found = format!("{title}: its compute mode allows a single process, so services can't share it");
            return MachineCheck::warn(CHECK, found).help(reset);
        }
    }
    let memory = memory_text(gpu, is_declared);
    let untold = gpu.holders.iter().filter(|holder| holder.memory.is_none()).count();
    if untold > 0 {
        let found = format!(
            "{title}: {memory}; the driver does not report the memory of {untold} of {} processes",
            gpu.holders.len()
        );
        return MachineCheck::warn(CHECK, found)
            .help("services count with the `vram` of the manifest there: declare it generously")
            .help("under WSL, vGPU and without root that is all that a driver reports; on a host, run lcm as root");
    }
    MachineCheck::ok(CHECK, format!("{title}: {memory}"))
}

fn memory_text(gpu: &GpuFact, is_declared: bool) -> String {
    if gpu.unreadable.is_some() && is_declared {
        return "its memory is not reported; the manifest's declaration is used".to_owned();
    }
    let used = match gpu.used {
        None => "use unknown".to_owned(),
        Some(Mebibytes::ZERO) => "unused".to_owned(),
        Some(used) => match gpu.holders.len() {
            1 => format!("{used} used by 1 process"),
            count => format!("{used} used by {count} processes"),
        },
    };
    format!("{}, {used}", gpu.capacity)
}

fn board_text(first: &GpuBoard, count: usize) -> String {
    let vendor = vendor_text(first.vendor);
    match count {
        1 => format!("an {vendor} board is at {}", first.address),
        count => format!("{count} boards are present, such as an {vendor} one at {}", first.address),
    }
}

fn driver_help(board: &GpuBoard) -> String {
    match (board.vendor, board.driver.as_deref()) {
        (GpuVendor::Nvidia, Some("nouveau")) => {
            "the board runs on nouveau, which reports no memory: install NVIDIA's driver".to_owned()
        }
        (GpuVendor::Nvidia, Some(_)) => {
            "the kernel module is loaded, but its library (libnvidia-ml.so.1) is missing: install the driver's user-space \
             packages; in a container, start it with `--gpus all`"
                .to_owned()
        }
        (GpuVendor::Nvidia, None) => {
            "install NVIDIA's driver, or load it: `sudo modprobe nvidia`; in a container, start it with `--gpus all`".to_owned()
        }
        (GpuVendor::Amd, _) => "load the kernel's driver: `sudo modprobe amdgpu`".to_owned(),
    }
}

/// Returns true if the board belongs to a virtual machine.
fn is_passed_through(board: &GpuBoard) -> bool {
    board.driver.as_deref() == Some("vfio-pci")
}

fn vendor_text(vendor: GpuVendor) -> &'static str {
    match vendor {
        GpuVendor::Nvidia => "NVIDIA",
        GpuVendor::Amd => "AMD",
    }
}

fn counted(count: usize) -> String {
    if count == 1 { "1 GPU".to_owned() } else { format!("{count} GPUs") }
}

#[cfg(test)]
mod tests;
