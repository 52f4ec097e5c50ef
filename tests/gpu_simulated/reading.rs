//! What drivers tell of GPUs, old and new, well and not.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::gpus::Gpus;
use crate::world::{Gpu, Hold, Quirk, World};
use lcm::host::gpu::NVML_LIBRARY;
use lcm::model::desired::{DeclaredGpu, Desired, GpuRequest, Service};
use lcm::model::facts::{GpuFact, Reading};
use lcm::model::names::{ProjectName, ServiceName};
use lcm::model::size::Mebibytes;
use lcm::runtime::docker::intent::ExistingContainer;

/// Long enough for any machine that does its work at all; nothing passes by waiting it out.
const PATIENCE: Duration = Duration::from_mins(1);
const MIB: fn(u64) -> Mebibytes = Mebibytes;

/// No process has this pid: the kernel's largest is 2^22.
const NOBODY: u32 = 1 << 22 | 7;

/// A manifest with one service that wants a GPU.
fn desired() -> Desired {
    let runtime = ExistingContainer { container: "none".into(), accepts_auto_remove: false };
    let service = Service::plain(ServiceName::new("model"), runtime);
    Desired::plain(ProjectName::new("p"), [Service { gpu: GpuRequest::Auto, vram: MIB(1_000), ..service }])
}

fn declaring(capacity: u64) -> Desired {
    Desired {
        declared_gpus: vec![DeclaredGpu { index: 0, uuid: None, unified: false, capacity: MIB(capacity) }],
        ..desired()
    }
}

pub(crate) fn reader(gpus: &Gpus) -> lcm::host::gpu::Gpus {
    let library = gpus.library().display().to_string();
    lcm::host::gpu::Gpus::new(&BTreeMap::from([(NVML_LIBRARY.to_owned(), library)])).with_deadline(PATIENCE)
}

async fn read(reader: &lcm::host::gpu::Gpus) -> Vec<GpuFact> {
    match reader.read(&desired()).await {
        Reading::Known(gpus) => gpus,
        other => panic!("{other:?}"),
    }
}

fn held(gpu: &GpuFact) -> Vec<(i32, Option<Mebibytes>)> {
    gpu.holders.iter().map(|holder| (holder.pid, holder.memory)).collect()
}

pub(crate) async fn gpus_are_told_with_what_is_used_and_reserved() {
    let gpus = Gpus::new(&[24_564, 8_192]);
    gpus.hold("GPU-1", NOBODY, 3_000);
    let read = read(&reader(&gpus)).await;
    let told: Vec<_> =
        read.iter().map(|gpu| (gpu.id.as_str(), gpu.index, gpu.capacity, gpu.used, gpu.reserved)).collect();
    assert_eq!(
        told,
        [("GPU-0", 0, MIB(24_564), Some(MIB(0)), MIB(100)), ("GPU-1", 1, MIB(8_192), Some(MIB(3_000)), MIB(100)),]
    );
    assert_eq!(read[0].name, "Simulated GPU");
    assert_eq!(held(&read[1]), [(NOBODY.cast_signed(), Some(MIB(3_000)))]);
    assert!(read.iter().all(|gpu| gpu.lost.is_none()));
}

pub(crate) async fn a_process_in_both_lists_counts_once_with_the_larger() {
    let gpus = Gpus::new(&[24_564]);
    let hold = |pid, mib, draws_mib| Hold { gpu: "GPU-0".to_owned(), pid, mib, draws_mib, ..Hold::default() };
    gpus.change(|world| world.holds = vec![hold(NOBODY, 500, Some(700)), hold(NOBODY + 1, 900, Some(20))]);
    let read = read(&reader(&gpus)).await;
    let pid = NOBODY.cast_signed();
    assert_eq!(held(&read[0]), [(pid, Some(MIB(700))), (pid + 1, Some(MIB(900)))]);
}

pub(crate) async fn a_long_list_is_told_whole() {
    let gpus = Gpus::new(&[24_564]);
    let hold = |pid| Hold { gpu: "GPU-0".to_owned(), pid, mib: 10, ..Hold::default() };
    gpus.change(|world| world.holds = (NOBODY..NOBODY + 100).map(hold).collect());
    assert_eq!(read(&reader(&gpus)).await[0].holders.len(), 100);
}

pub(crate) async fn an_old_driver_tells_no_reserve() {
    let gpus = Gpus::new(&[24_564]);
    gpus.set(&[Quirk::Old]);
    gpus.hold("GPU-0", NOBODY, 3_000);
    let read = read(&reader(&gpus)).await;
    assert_eq!((read[0].used, read[0].reserved), (Some(MIB(3_100)), MIB(0)));
    assert_eq!((read[0].capacity, read[0].lost.as_deref()), (MIB(24_564), None));
}

pub(crate) async fn a_driver_that_does_not_know_the_calls_is_asked_the_old_ones() {
    let gpus = Gpus::new(&[24_564]);
    gpus.without(&[
        "nvmlDeviceGetMemoryInfo_v2",
        "nvmlDeviceGetComputeRunningProcesses_v3",
        "nvmlDeviceGetGraphicsRunningProcesses_v3",
        "nvmlDeviceGetMigMode",
    ]);
    gpus.hold("GPU-0", NOBODY, 3_000);
    let read = read(&reader(&gpus)).await;
    assert_eq!((read[0].used, read[0].reserved), (Some(MIB(3_100)), MIB(0)));
    assert_eq!(held(&read[0]), [(NOBODY.cast_signed(), Some(MIB(3_000)))]);
}

pub(crate) async fn instances_are_gpus_and_their_parent_is_none() {
    let gpus = Gpus::new(&[40_000, 24_564]);
    let instance = |number: u64| Gpu {
        uuid: format!("MIG-{number}"),
        parent: Some("GPU-0".to_owned()),
        total_mib: 10_000 * number,
        reserved_mib: 10,
        name: format!("Simulated GPU MIG {number}g"),
    };
    gpus.change(|world| world.gpus.extend([instance(1), instance(2)]));
    gpus.hold("MIG-2", NOBODY, 3_000);
    let read = read(&reader(&gpus)).await;
    let told: Vec<_> = read.iter().map(|gpu| (gpu.id.as_str(), gpu.index, gpu.capacity, gpu.used)).collect();
    assert_eq!(
        told,
        [
            ("MIG-1", 0, MIB(10_000), Some(MIB(0))),
            ("MIG-2", 0, MIB(20_000), Some(MIB(3_000))),
            ("GPU-1", 1, MIB(24_564), Some(MIB(0))),
        ]
    );
    assert_eq!(held(&read[1]), [(NOBODY.cast_signed(), Some(MIB(3_000)))]);
}

pub(crate) async fn figures_that_are_not_told_are_unknown_and_not_zero() {
    let gpus = Gpus::new(&[24_564]);
    gpus.set(&[Quirk::NoFigures]);
    gpus.hold("GPU-0", NOBODY, 3_000);
    let read = read(&reader(&gpus)).await;
    assert_eq!(held(&read[0]), [(NOBODY.cast_signed(), None)]);
    assert_eq!(read[0].used, Some(MIB(3_000)), "the sum is told all the same");
}

pub(crate) async fn a_missing_list_leaves_somebody_unnamed() {
    let gpus = Gpus::new(&[24_564, 8_192]);
    gpus.set(&[Quirk::NoList]);
    gpus.hold("GPU-0", NOBODY, 3_000);
    let read = read(&reader(&gpus)).await;
    assert_eq!(held(&read[0]), [(0, None)]);
    assert_eq!(read[0].holders[0].program, "processes that the driver does not name");
    assert_eq!(held(&read[1]), [], "where nothing is used nobody holds anything");
}

pub(crate) async fn a_board_that_tells_no_memory_is_what_the_manifest_says() {
    let gpus = Gpus::new(&[1]);
    gpus.set(&[Quirk::NoMemory]);
    let reader = reader(&gpus);
    let reason = read(&reader).await[0].unreadable.clone().expect("nothing fits on it");
    assert!(reason.contains("declare it under `gpus.devices`"), "{reason}");
    let Reading::Known(read) = reader.read(&declaring(120_000)).await else { panic!("it is there") };
    assert_eq!((read[0].id.as_str(), read[0].capacity), ("GPU-0", MIB(120_000)));
    assert_eq!((read[0].used, read[0].unreadable.as_deref()), (None, None));
}

pub(crate) async fn without_a_driver_or_a_gpu_the_manifest_speaks() {
    let gpus = Gpus::new(&[24_564]);
    gpus.set(&[Quirk::NotLoaded]);
    let not_loaded = reader(&gpus);
    let none = Gpus::new(&[]);
    let none = reader(&none);
    for reader in [&not_loaded, &none] {
        assert_eq!(reader.read(&desired()).await, Reading::NotAsked, "no GPU is known");
        let Reading::Known(read) = reader.read(&declaring(10_000)).await else { panic!("it is declared") };
        assert_eq!((read[0].id.as_str(), read[0].capacity, read[0].used), ("gpu-0", MIB(10_000), None));
    }
    // A driver that is loaded later is found.
    gpus.set(&[]);
    assert_eq!(read(&not_loaded).await[0].id.as_str(), "GPU-0");
}

pub(crate) async fn a_library_that_is_none_is_an_error_where_it_was_named() {
    let gpus = Gpus::new(&[24_564]);
    fs::write(gpus.library(), "not a library").expect("written");
    let Reading::Unknown(reason) = reader(&gpus).read(&declaring(10_000)).await else { panic!("it is no library") };
    assert!(reason.contains("the NVIDIA driver can't be asked"), "{reason}");
    fs::remove_file(gpus.library()).expect("it was there");
    let Reading::Unknown(reason) = reader(&gpus).read(&declaring(10_000)).await else { panic!("it is not there") };
    assert!(reason.contains(&gpus.library().display().to_string()), "{reason}");
}

pub(crate) async fn a_lost_gpu_is_named_and_the_others_are_read() {
    let gpus = Gpus::new(&[24_564, 8_192]);
    gpus.hold("GPU-0", NOBODY, 1_000);
    let reader = reader(&gpus);
    assert!(read(&reader).await.iter().all(|gpu| gpu.lost.is_none()));
    gpus.set(&[Quirk::Lost("GPU-0".to_owned())]);
    let while_lost = read(&reader).await;
    assert_eq!(while_lost[0].lost.as_deref(), Some("it fell off the bus"));
    assert_eq!((while_lost[0].id.as_str(), while_lost[0].capacity), ("GPU-0", MIB(24_564)), "as it was");
    assert_eq!((while_lost[0].used, while_lost[0].holders.len()), (None, 0));
    assert_eq!((while_lost[1].used, while_lost[1].lost.as_deref()), (Some(MIB(0)), None));
    gpus.set(&[]);
    assert_eq!(read(&reader).await[0].lost, None);
}

pub(crate) async fn a_gpu_that_was_lost_from_the_beginning_has_its_place() {
    let gpus = Gpus::new(&[24_564, 8_192]);
    gpus.set(&[Quirk::Lost("GPU-0".to_owned())]);
    let read = read(&reader(&gpus)).await;
    let told: Vec<_> = read.iter().map(|gpu| (gpu.id.as_str(), gpu.index, gpu.lost.is_some())).collect();
    assert_eq!(told, [("gpu-0", 0, true), ("GPU-1", 1, false)]);
}

pub(crate) async fn a_gpu_that_may_not_be_asked_is_unreadable_and_not_lost() {
    let gpus = Gpus::new(&[24_564, 8_192]);
    let forbidden = [Quirk::Forbidden("GPU-0".to_owned())];
    let seen_before = reader(&gpus);
    assert!(read(&seen_before).await.iter().all(|gpu| gpu.unreadable.is_none()));
    gpus.set(&forbidden);
    let why = "it does not answer: the current user does not have permission to perform this operation";
    for (reader, id) in [(&seen_before, "GPU-0"), (&reader(&gpus), "gpu-0")] {
        let read = read(reader).await;
        assert_eq!((read[0].id.as_str(), read[0].index, read[0].used), (id, 0, None));
        assert_eq!((read[0].unreadable.as_deref(), read[0].lost.as_deref()), (Some(why), None));
        assert_eq!((read[1].used, read[1].unreadable.as_deref()), (Some(MIB(0)), None));
    }
    gpus.set(&[]);
    assert_eq!(read(&seen_before).await[0].unreadable, None);
}

pub(crate) async fn a_driver_that_was_replaced_is_loaded_anew() {
    let gpus = Gpus::new(&[24_564]);
    let reader = reader(&gpus);
    read(&reader).await;
    gpus.change(|world| "580.82.07".clone_into(&mut world.driver));
    assert_eq!(read(&reader).await[0].lost, None);
}

pub(crate) async fn a_library_that_cannot_be_shut_down_is_no_panic() {
    let gpus = Gpus::new(&[24_564]);
    gpus.without(&["nvmlShutdown"]);
    let reader = reader(&gpus);
    read(&reader).await;
    gpus.change(|world| "580.82.07".clone_into(&mut world.driver));
    assert_eq!(read(&reader).await[0].lost, None);
}

pub(crate) async fn a_driver_that_leaves_is_unknown() {
    let gpus = Gpus::new(&[24_564]);
    let reader = reader(&gpus);
    read(&reader).await;
    gpus.set(&[Quirk::NotLoaded]);
    let Reading::Unknown(reason) = reader.read(&declaring(10_000)).await else { panic!("it is gone") };
    assert!(reason.contains("is not any more"), "{reason}");
    gpus.set(&[]);
    assert_eq!(read(&reader).await.len(), 1);
}

pub(crate) async fn a_call_that_hangs_costs_its_deadline_once() {
    let gpus = Gpus::new(&[24_564]);
    let hasty = reader(&gpus).with_deadline(Duration::from_millis(20));
    gpus.set(&[Quirk::Hang]);
    let Reading::Unknown(reason) = hasty.read(&desired()).await else { panic!("it hangs") };
    assert_eq!(reason, "the NVIDIA driver did not answer within 0.02 s");
    // From here on nobody waits, however patient: the thread that hangs is known to. Whoever waited would be answered.
    let patient = hasty.with_deadline(PATIENCE);
    let wanted = desired();
    let go = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        gpus.set(&[]);
    };
    let (answer, ()) = tokio::join!(patient.read(&wanted), go);
    assert!(matches!(answer, Reading::Unknown(_)), "{answer:?}");
    let mut tries = 0;
    while patient.read(&desired()).await.known().is_none() {
        tries += 1;
        assert!(tries < 6_000, "it never came back");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) async fn lcm_ends_while_a_call_hangs() {
    let gpus = Gpus::of(&World {
        driver: "1".to_owned(),
        gpus: vec![Gpu { uuid: "GPU-0".to_owned(), total_mib: 10, name: "x".to_owned(), ..Gpu::default() }],
        quirks: vec![Quirk::Hang],
        ..World::default()
    });
    let manifest = "version: 1\nname: hangs\nservices:\n  model: { process: { command: [sleep, '1'] }, vram: 1GiB }\n";
    fs::write(gpus.folder().join("lcm.yaml"), manifest).expect("a manifest");
    let at = |name: &str| gpus.folder().join(name);
    let mut lcm = Command::new(env!("CARGO_BIN_EXE_lcm"));
    lcm.arg("observe").current_dir(gpus.folder()).env_clear().stdin(Stdio::null());
    lcm.env(NVML_LIBRARY, gpus.library()).env("LCM_STATE_DIR", at("state")).env("LCM_LOCK", at("lock"));
    let output = lcm.output().expect("lcm runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("the NVIDIA driver did not answer within 3 s"), "{text}\n{output:?}");
}
