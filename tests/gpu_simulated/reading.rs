//! Readings of GPUs by old and new drivers, healthy and failing.

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

/// Long enough for any working machine; no test passes by waiting this long.
const PATIENCE: Duration = Duration::from_mins(1);
const MIB: fn(u64) -> Mebibytes = Mebibytes;

/// No process has this pid: the kernel's largest is 2^22.
const UNUSED_PID: u32 = 1 << 22 | 7;

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

pub(crate) async fn gpus_are_read_with_used_and_reserved_memory() {
    let gpus = Gpus::new(&[24_564, 8_192]);
    gpus.hold("GPU-1", UNUSED_PID, 3_000);
    let read = read(&reader(&gpus)).await;
    let reported: Vec<_> =
        read.iter().map(|gpu| (gpu.id.as_str(), gpu.index, gpu.capacity, gpu.used, gpu.reserved)).collect();
    assert_eq!(
        reported,
        [("GPU-0", 0, MIB(24_564), Some(MIB(0)), MIB(100)), ("GPU-1", 1, MIB(8_192), Some(MIB(3_000)), MIB(100)),]
    );
    assert_eq!(read[0].name, "Simulated GPU");
    assert_eq!(held(&read[1]), [(UNUSED_PID.cast_signed(), Some(MIB(3_000)))]);
    assert!(read.iter().all(|gpu| gpu.lost.is_none()));
}

pub(crate) async fn a_process_in_both_lists_counts_once_with_the_larger() {
    let gpus = Gpus::new(&[24_564]);
    let hold = |pid, mib, draws_mib| Hold { gpu: "GPU-0".to_owned(), pid, mib, draws_mib, ..Hold::default() };
    gpus.change(|world| world.holds = vec![hold(UNUSED_PID, 500, Some(700)), hold(UNUSED_PID + 1, 900, Some(20))]);
    let read = read(&reader(&gpus)).await;
    let pid = UNUSED_PID.cast_signed();
    assert_eq!(held(&read[0]), [(pid, Some(MIB(700))), (pid + 1, Some(MIB(900)))]);
}

pub(crate) async fn a_long_list_is_read_whole() {
    let gpus = Gpus::new(&[24_564]);
    let hold = |pid| Hold { gpu: "GPU-0".to_owned(), pid, mib: 10, ..Hold::default() };
    gpus.change(|world| world.holds = (UNUSED_PID..UNUSED_PID + 100).map(hold).collect());
    assert_eq!(read(&reader(&gpus)).await[0].holders.len(), 100);
}

pub(crate) async fn an_old_driver_reports_no_reserve() {
    let gpus = Gpus::new(&[24_564]);
    gpus.set(&[Quirk::Old]);
    gpus.hold("GPU-0", UNUSED_PID, 3_000);
    let read = read(&reader(&gpus)).await;
    assert_eq!((read[0].used, read[0].reserved), (Some(MIB(3_100)), MIB(0)));
    assert_eq!((read[0].capacity, read[0].lost.as_deref()), (MIB(24_564), None));
}

pub(crate) async fn a_driver_without_the_new_calls_is_read_by_the_old_ones() {
    let gpus = Gpus::new(&[24_564]);
    gpus.without(&[
        "nvmlDeviceGetMemoryInfo_v2",
        "nvmlDeviceGetComputeRunningProcesses_v3",
        "nvmlDeviceGetGraphicsRunningProcesses_v3",
        "nvmlDeviceGetMigMode",
    ]);
    gpus.hold("GPU-0", UNUSED_PID, 3_000);
    let read = read(&reader(&gpus)).await;
    assert_eq!((read[0].used, read[0].reserved), (Some(MIB(3_100)), MIB(0)));
    assert_eq!(held(&read[0]), [(UNUSED_PID.cast_signed(), Some(MIB(3_000)))]);
}

pub(crate) async fn mig_instances_are_gpus_and_their_parent_is_not() {
    let gpus = Gpus::new(&[40_000, 24_564]);
    let instance = |number: u64| Gpu {
        uuid: format!("MIG-{number}"),
        parent: Some("GPU-0".to_owned()),
        total_mib: 10_000 * number,
        reserved_mib: 10,
        name: format!("Simulated GPU MIG {number}g"),
    };
    gpus.change(|world| world.gpus.extend([instance(1), instance(2)]));
    gpus.hold("MIG-2", UNUSED_PID, 3_000);
    let read = read(&reader(&gpus)).await;
    let reported: Vec<_> = read.iter().map(|gpu| (gpu.id.as_str(), gpu.index, gpu.capacity, gpu.used)).collect();
    assert_eq!(
        reported,
        [
            ("MIG-1", 0, MIB(10_000), Some(MIB(0))),
            ("MIG-2", 0, MIB(20_000), Some(MIB(3_000))),
            ("GPU-1", 1, MIB(24_564), Some(MIB(0))),
        ]
    );
    assert_eq!(held(&read[1]), [(UNUSED_PID.cast_signed(), Some(MIB(3_000)))]);
}

pub(crate) async fn unreported_sizes_are_unknown_and_not_zero() {
    let gpus = Gpus::new(&[24_564]);
    gpus.set(&[Quirk::NoFigures]);
    gpus.hold("GPU-0", UNUSED_PID, 3_000);
    let read = read(&reader(&gpus)).await;
    assert_eq!(held(&read[0]), [(UNUSED_PID.cast_signed(), None)]);
    assert_eq!(read[0].used, Some(MIB(3_000)), "the total is reported all the same");
}

pub(crate) async fn a_missing_list_leaves_holders_unnamed() {
    let gpus = Gpus::new(&[24_564, 8_192]);
    gpus.set(&[Quirk::NoList]);
    gpus.hold("GPU-0", UNUSED_PID, 3_000);
    let read = read(&reader(&gpus)).await;
    assert_eq!(held(&read[0]), [(0, None)]);
    assert_eq!(read[0].holders[0].program, "processes that the driver does not name");
    assert_eq!(held(&read[1]), [], "a GPU without memory in use has no holders");
}

pub(crate) async fn a_board_that_reports_no_memory_has_the_capacity_of_the_manifest() {
    let gpus = Gpus::new(&[1]);
    gpus.set(&[Quirk::NoMemory]);
    let reader = reader(&gpus);
    let reason = read(&reader).await[0].unreadable.clone().expect("nothing fits on it");
    assert!(reason.contains("declare it under `gpus.devices`"), "{reason}");
    let Reading::Known(read) = reader.read(&declaring(120_000)).await else { panic!("it is there") };
    assert_eq!((read[0].id.as_str(), read[0].capacity), ("GPU-0", MIB(120_000)));
    assert_eq!((read[0].used, read[0].unreadable.as_deref()), (None, None));
}

pub(crate) async fn without_a_driver_or_a_gpu_the_declared_gpus_count() {
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

pub(crate) async fn an_invalid_library_is_an_error_if_it_was_named() {
    let gpus = Gpus::new(&[24_564]);
    fs::write(gpus.library(), "not a library").expect("written");
    let Reading::Unknown(reason) = reader(&gpus).read(&declaring(10_000)).await else { panic!("it is no library") };
    assert!(reason.contains("can't query the NVIDIA driver"), "{reason}");
    fs::remove_file(gpus.library()).expect("it was there");
    let Reading::Unknown(reason) = reader(&gpus).read(&declaring(10_000)).await else { panic!("it is not there") };
    assert!(reason.contains(&gpus.library().display().to_string()), "{reason}");
}

pub(crate) async fn a_lost_gpu_is_named_and_the_others_are_read() {
    let gpus = Gpus::new(&[24_564, 8_192]);
    gpus.hold("GPU-0", UNUSED_PID, 1_000);
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

pub(crate) async fn a_gpu_that_was_never_read_is_named_by_its_index() {
    let gpus = Gpus::new(&[24_564, 8_192]);
    gpus.set(&[Quirk::Lost("GPU-0".to_owned())]);
    let read = read(&reader(&gpus)).await;
    let reported: Vec<_> = read.iter().map(|gpu| (gpu.id.as_str(), gpu.index, gpu.lost.is_some())).collect();
    assert_eq!(reported, [("gpu-0", 0, true), ("GPU-1", 1, false)]);
}

pub(crate) async fn a_gpu_without_permission_is_unreadable_and_not_lost() {
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

pub(crate) async fn a_replaced_driver_is_loaded_again() {
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

pub(crate) async fn an_unloaded_driver_is_unknown() {
    let gpus = Gpus::new(&[24_564]);
    let reader = reader(&gpus);
    read(&reader).await;
    gpus.set(&[Quirk::NotLoaded]);
    let Reading::Unknown(reason) = reader.read(&declaring(10_000)).await else { panic!("it is gone") };
    assert!(reason.contains("has disappeared"), "{reason}");
    gpus.set(&[]);
    assert_eq!(read(&reader).await.len(), 1);
}

pub(crate) async fn a_call_that_hangs_costs_its_deadline_once() {
    let gpus = Gpus::new(&[24_564]);
    let hasty = reader(&gpus).with_deadline(Duration::from_millis(20));
    gpus.set(&[Quirk::Hang]);
    let Reading::Unknown(reason) = hasty.read(&desired()).await else { panic!("it hangs") };
    assert_eq!(reason, "the NVIDIA driver did not answer within 0.02 s");
    // From here on no reading waits, regardless of its deadline: the thread is known to hang. A reading that waited
    // would succeed.
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
        assert!(tries < 6_000, "the thread never recovered");
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

/// Returns the output of `lcm doctor` beside these GPUs, with no engine.
fn doctor(gpus: &Gpus) -> String {
    let at = |name: &str| gpus.folder().join(name);
    let mut lcm = Command::new(env!("CARGO_BIN_EXE_lcm"));
    lcm.arg("doctor").current_dir(gpus.folder()).env_clear().stdin(Stdio::null());
    lcm.env(NVML_LIBRARY, gpus.library()).env("LCM_STATE_DIR", at("state")).env("LCM_LOCK", at("lock"));
    lcm.env("DOCKER_HOST", format!("unix://{}", at("no-engine.sock").display()));
    let output = lcm.output().expect("lcm runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) async fn doctor_names_the_driver_and_each_gpu() {
    let gpus = Gpus::new(&[24_564, 8_192]);
    let text = doctor(&gpus);
    assert!(text.contains("NVIDIA driver 550.54.14 reports 2 GPUs"), "{text}");
    assert!(text.contains("GPU 0: Simulated GPU: 24 564 MiB, "), "{text}");
    gpus.change(|world| world.quirks.push(Quirk::Lost("GPU-1".to_owned())));
    let text = doctor(&gpus);
    assert!(text.contains("nvidia-smi --gpu-reset -i 1"), "{text}");
    gpus.change(|world| world.quirks = vec![Quirk::Hang]);
    let text = doctor(&gpus);
    assert!(text.contains("the NVIDIA driver did not answer within 3 s") && text.contains("Not ready"), "{text}");
}
