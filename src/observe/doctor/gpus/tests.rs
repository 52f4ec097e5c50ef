//! Tests of the checks of GPUs.

use super::judge;
use crate::model::desired::DeclaredGpu;
use crate::model::doctor::CheckLevel::{Fail, Ok, Skip, Warn};
use crate::model::doctor::readings::{GpuBoard, GpuReadings, GpuVendor, NvidiaDriver};
use crate::model::doctor::{Demand, MachineCheck};
use crate::model::facts::{GpuFact, GpuHolder, ProcessOwner, Reading};
use crate::model::names::GpuId;
use crate::model::size::Mebibytes;

fn readings(gpus: Reading<Vec<GpuFact>>, demand: Demand) -> GpuReadings {
    GpuReadings { is_queried: true, gpus, driver: None, boards: Vec::new(), demand, declared: Vec::new() }
}

fn gpu(index: u32, holders: &[Option<u64>]) -> GpuFact {
    let holder = |memory: &Option<u64>| GpuHolder {
        pid: 7,
        program: "python3".to_owned(),
        memory: memory.map(Mebibytes),
        owner: ProcessOwner::Foreign,
    };
    GpuFact {
        id: GpuId::new(format!("GPU-{index}")),
        index,
        name: "RTX".to_owned(),
        capacity: Mebibytes(24_564),
        used: Some(Mebibytes(1_000)),
        reserved: Mebibytes::ZERO,
        lost: None,
        unreadable: None,
        holders: holders.iter().map(holder).collect(),
    }
}

fn declared() -> Vec<DeclaredGpu> {
    vec![DeclaredGpu { index: 0, uuid: None, unified: false, capacity: Mebibytes(24_576) }]
}

fn only(readings: &GpuReadings) -> MachineCheck {
    let mut checks = judge(readings);
    assert_eq!(checks.len(), 1, "{checks:?}");
    checks.remove(0)
}

#[test]
fn a_machine_without_a_gpu_fails_only_a_manifest_that_needs_one() {
    let none = |demand| readings(Reading::NotAsked, demand);
    assert_eq!(only(&none(Demand::Unknown)).level, Skip);
    assert_eq!(only(&none(Demand::Unneeded)).level, Skip);
    let needed = only(&none(Demand::Needed));
    assert_eq!(needed.level, Fail);
    assert!(needed.help[0].contains("gpus: { devices: [{ index: 0"), "{needed:?}");
    let with = only(&GpuReadings { declared: declared(), ..none(Demand::Needed) });
    assert_eq!(with.level, Warn);
    assert!(with.found.contains("declares 1 GPU, so memory is not measured"), "{with:?}");
    let off = only(&GpuReadings { is_queried: false, ..none(Demand::Needed) });
    assert_eq!(off.level, Skip);
    assert!(off.found.contains("LCM_NVML_LIB"), "{off:?}");
}

#[test]
fn a_board_without_a_driver_is_named_with_what_its_driver_needs() {
    let board = |vendor, driver: Option<&str>| GpuBoard {
        vendor,
        address: "0000:01:00.0".to_owned(),
        driver: driver.map(str::to_owned),
    };
    let check = |board, demand| only(&GpuReadings { boards: vec![board], ..readings(Reading::NotAsked, demand) });
    let absent = check(board(GpuVendor::Nvidia, None), Demand::Unknown);
    assert_eq!(absent.level, Warn);
    assert_eq!(absent.found, "an NVIDIA board is at 0000:01:00.0, and no driver reports it");
    assert!(absent.help[0].contains("modprobe nvidia"), "{absent:?}");
    assert_eq!(check(board(GpuVendor::Nvidia, None), Demand::Needed).level, Fail);
    assert!(check(board(GpuVendor::Nvidia, Some("nouveau")), Demand::Unknown).help[0].contains("nouveau"));
    assert!(check(board(GpuVendor::Nvidia, Some("nvidia")), Demand::Unknown).help[0].contains("libnvidia-ml.so.1"));
    assert!(check(board(GpuVendor::Amd, None), Demand::Unknown).help[0].contains("modprobe amdgpu"));
    assert_eq!(check(board(GpuVendor::Nvidia, Some("vfio-pci")), Demand::Unknown).level, Skip);
}

#[test]
fn a_driver_that_does_not_answer_fails_unless_the_manifest_has_no_use_for_it() {
    let check = |reason: &str, demand| only(&readings(Reading::Unknown(reason.to_owned()), demand));
    let hung = check("the NVIDIA driver did not answer within 3 s", Demand::Unknown);
    assert_eq!(hung.level, Fail);
    assert!(hung.help[0].contains("nvidia-smi"), "{hung:?}");
    assert_eq!(check("the NVIDIA driver did not answer within 3 s", Demand::Unneeded).level, Warn);
    let updated = check("can't query the NVIDIA driver: the driver library version mismatch", Demand::Needed);
    assert!(updated.help[0].contains("reboot"), "{updated:?}");
}

#[test]
fn each_gpu_has_a_line_with_its_memory() {
    let driver =
        NvidiaDriver { version: Some("550.54".to_owned()), cuda: Some("12.4".to_owned()), ..NvidiaDriver::default() };
    let readings = GpuReadings {
        driver: Some(driver),
        ..readings(Reading::Known(vec![gpu(0, &[Some(900)]), gpu(1, &[])]), Demand::Unknown)
    };
    let checks = judge(&readings);
    assert_eq!(checks[0].found, "NVIDIA driver 550.54 (CUDA 12.4) reports 2 GPUs");
    assert_eq!(checks[1].found, "GPU 0: RTX: 24 564 MiB, 1 000 MiB used by 1 process");
    assert!(checks.iter().all(|check| check.level == Ok), "{checks:?}");
}

#[test]
fn what_a_driver_does_not_report_is_a_warning_or_a_declaration() {
    let line = |gpu: GpuFact, driver: NvidiaDriver, declared: Vec<DeclaredGpu>| {
        let readings = readings(Reading::Known(vec![gpu]), Demand::Unknown);
        judge(&GpuReadings { driver: Some(driver), declared, ..readings }).remove(1)
    };
    let plain = NvidiaDriver::default;
    let untold = line(gpu(0, &[None, Some(4)]), plain(), Vec::new());
    assert_eq!(untold.level, Warn);
    assert!(untold.found.ends_with("does not report the memory of 1 of 2 processes"), "{untold:?}");
    let unified = GpuFact { unreadable: Some("its driver does not report".to_owned()), ..gpu(0, &[]) };
    let missing = line(unified.clone(), plain(), Vec::new());
    assert_eq!(missing.level, Fail);
    assert!(missing.help[0].contains("unified: true"), "{missing:?}");
    assert_eq!(line(unified, plain(), declared()).level, Ok);
    let lost = line(GpuFact { lost: Some("it fell off the bus".to_owned()), ..gpu(0, &[]) }, plain(), Vec::new());
    assert_eq!((lost.level, lost.found.as_str()), (Fail, "GPU 0: RTX: it fell off the bus"));
    let exclusive = line(gpu(0, &[]), NvidiaDriver { exclusive: vec![0], ..plain() }, Vec::new());
    assert_eq!((exclusive.level, exclusive.help[0].as_str()), (Warn, "sudo nvidia-smi -i 0 -c DEFAULT"));
    assert_eq!(line(gpu(0, &[]), NvidiaDriver { prohibited: vec![0], ..plain() }, Vec::new()).level, Fail);
    let instance = GpuFact { id: GpuId::new("MIG-1"), ..gpu(0, &[]) };
    assert!(line(instance, plain(), Vec::new()).found.contains("(MIG instance)"));
}
