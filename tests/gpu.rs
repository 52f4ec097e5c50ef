//! Tests on a real NVIDIA GPU; on other machines each test is reported as `ignored`, with the reason. `nvidia-smi` is
//! the reference, and a small Python program allocates memory through the driver, since a toolkit may be missing.

#[path = "support/require.rs"]
mod require;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lcm::model::desired::{Desired, GpuRequest, Service};
use lcm::model::facts::{GpuFact, ProcessOwner, Reading};
use lcm::model::names::{ProjectName, ServiceName};
use lcm::runtime::Driver as _;
use lcm::runtime::docker::intent::ExistingContainer;
use lcm::runtime::machine::Machine;
use libtest_mimic::{Arguments, Failed, Trial};

/// Longer than any driver call takes; only a failing test waits this long.
const PATIENCE: Duration = Duration::from_mins(1);

/// Memory that the holder allocates.
const HELD_MIB: u64 = 2_048;

/// Bound on a process's context beside that memory: code and stacks of the driver, a few hundred MiB.
const CONTEXT_MIB_MAX: u64 = 1_024;

/// Program that allocates memory through the driver's own library, prints `holding`, and keeps the memory until its
/// input ends.
const HOLDER: &str = "\
import ctypes, sys
cuda = ctypes.CDLL('libcuda.so.1')
def call(name, *words):
    code = getattr(cuda, name)(*words)
    if code != 0:
        sys.exit(f'{name} answers {code}')
device, context, memory = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_uint64()
call('cuInit', 0)
call('cuDeviceGet', ctypes.byref(device), 0)
call('cuCtxCreate_v2', ctypes.byref(context), 0, device)
call('cuMemAlloc_v2', ctypes.byref(memory), ctypes.c_size_t(int(sys.argv[1]) << 20))
print('holding', flush=True)
sys.stdin.read()
";

fn main() -> std::process::ExitCode {
    let arguments = Arguments::from_args();
    let no_gpu = smi(&["--query-gpu=uuid", "--format=csv,noheader"]).err();
    let no_holder = no_gpu.clone().or_else(|| Holder::start(1).err());
    let trials = vec![
        trial("memory_matches_nvidia_smi", no_gpu.as_deref(), memory_matches_nvidia_smi),
        trial("a_process_holds_its_memory_and_frees_it", no_holder.as_deref(), a_process_holds_its_memory_and_frees_it),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(name: &str, absent: Option<&str>, test: fn()) -> Trial {
    let required = require::required("gpu");
    let reason = absent.map(str::to_owned);
    let run = move || {
        if let Some(reason) = reason {
            return Err(Failed::from(reason));
        }
        test();
        Ok(())
    };
    let kind = absent.map(|reason| format!("needs an NVIDIA GPU: {reason}")).unwrap_or_default();
    Trial::test(name, run).with_kind(kind).with_ignored_flag(absent.is_some() && !required)
}

/// Runs `nvidia-smi`; returns one line per GPU (or process).
fn smi(words: &[&str]) -> Result<Vec<String>, String> {
    let output = Command::new("nvidia-smi").args(words).output().map_err(|error| format!("nvidia-smi: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() || text.trim().is_empty() {
        return Err(text.lines().next().unwrap_or("nvidia-smi names no GPU").to_owned());
    }
    Ok(text.lines().map(|line| line.trim().to_owned()).collect())
}

struct Holder {
    child: Child,
    _folder: tempfile::TempDir,
}

impl Holder {
    fn start(mib: u64) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let program = folder.path().join("holder.py");
        fs::write(&program, HOLDER).map_err(|error| error.to_string())?;
        let mut command = Command::new("python3");
        command.arg(program).arg(mib.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().map_err(|error| format!("python3: {error}"))?;
        let mut holder = Self { child, _folder: folder };
        let mut line = String::new();
        if let Some(out) = holder.child.stdout.take() {
            BufReader::new(out).read_line(&mut line).map_err(|error| error.to_string())?;
        }
        if line.trim() == "holding" {
            return Ok(holder);
        }
        let complaint = holder.child.stderr.take().and_then(|pipe| std::io::read_to_string(pipe).ok());
        let last = complaint.as_deref().and_then(|text| text.lines().last()).unwrap_or("no message on stderr");
        Err(format!("a process can't take GPU memory: {last}"))
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a pid")
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads the GPUs through lcm.
fn read() -> Vec<GpuFact> {
    let runtime = ExistingContainer { container: "none".into(), accepts_auto_remove: false };
    let service = Service { gpu: GpuRequest::Auto, ..Service::plain(ServiceName::new("model"), runtime) };
    let desired = Desired::plain(ProjectName::new("gpu-test"), [service]);
    let environment: BTreeMap<String, String> =
        std::env::vars().filter(|(name, _)| matches!(name.as_str(), "LCM_NVML_LIB" | "LD_LIBRARY_PATH")).collect();
    let machine = Machine::new(&desired, &environment, Path::new(env!("CARGO_BIN_EXE_lcm")));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    match runtime.block_on(machine.survey(&desired)).gpus {
        Reading::Known(gpus) => gpus,
        other => panic!("{other:?}"),
    }
}

/// Asserts that two sizes agree within 2 %, or within rounding.
#[track_caller]
fn close(what: &str, ours: u64, theirs: u64) {
    println!("{what}: lcm reads {ours} MiB, nvidia-smi {theirs} MiB");
    assert!(ours.abs_diff(theirs) <= (theirs / 50).max(2), "{what}: lcm reads {ours} MiB, nvidia-smi {theirs} MiB");
}

/// Queries one number of a GPU, in MiB.
fn queried(query: &str, uuid: &str) -> u64 {
    let lines = smi(&[&format!("--query-gpu={query}"), "--format=csv,noheader,nounits", &format!("--id={uuid}")]);
    lines.expect("nvidia-smi answers")[0].parse().expect("a number")
}

fn memory_matches_nvidia_smi() {
    let _held = Holder::start(HELD_MIB);
    let gpus = read();
    let uuids = smi(&["--query-gpu=uuid", "--format=csv,noheader"]).expect("nvidia-smi answers");
    for gpu in gpus.iter().filter(|gpu| gpu.id.as_str().starts_with("GPU-")) {
        let uuid = gpu.id.as_str();
        assert!(uuids.iter().any(|other| other == uuid), "{uuid} is none of {uuids:?}");
        close("total", gpu.capacity.0, queried("memory.total", uuid));
        close("used", gpu.used.expect("a reported size").0, queried("memory.used", uuid));
        close("reserved", gpu.reserved.0, queried("memory.reserved", uuid));
    }
    assert!(!gpus.is_empty());
}

fn a_process_holds_its_memory_and_frees_it() {
    let free: Vec<u64> = read().iter().map(|gpu| gpu.used.expect("a reported size").0).collect();
    let holder = Holder::start(HELD_MIB).expect("memory as before");
    let gpus = read();
    let found = gpus.iter().flat_map(|gpu| gpu.holders.iter().map(move |one| (gpu, one)));
    let Some((gpu, mine)) = found.into_iter().find(|(_, one)| one.pid == holder.pid()) else {
        // In a container with its own pid namespace the driver lists a process by another pid, or not at all.
        let used: u64 = gpus.iter().map(|gpu| gpu.used.expect("a reported size").0).sum();
        assert!(used >= free.iter().sum::<u64>() + HELD_MIB, "{HELD_MIB} MiB are held by no process: {gpus:?}");
        println!("the driver does not list process {} by that pid: {gpus:?}", holder.pid());
        return;
    };
    assert!(mine.program.starts_with("python3"), "{mine:?}");
    assert!(matches!(mine.owner, ProcessOwner::Foreign | ProcessOwner::Container(_)), "{mine:?}");
    let memory = mine.memory.expect("a reported size").0;
    println!("allocated {HELD_MIB} MiB, holds {memory} MiB on {}", gpu.id);
    assert!((HELD_MIB..=HELD_MIB + CONTEXT_MIB_MAX).contains(&memory), "{memory} MiB");
    let apps = smi(&["--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits"]).expect("an answer");
    let theirs = apps.iter().find_map(|line| line.strip_prefix(&format!("{}, ", holder.pid()))?.parse().ok());
    close("held by the process", memory, theirs.expect("nvidia-smi lists it"));

    let (id, pid) = (gpu.id.clone(), holder.pid());
    drop(holder);
    let begin = Instant::now();
    loop {
        let gpus = read();
        let gpu = gpus.iter().find(|gpu| gpu.id == id).expect("it is still there");
        let used = gpu.used.expect("a reported size").0;
        if gpu.holders.iter().all(|one| one.pid != pid) && used <= queried("memory.used", id.as_str()) + 2 {
            println!("freed after {} ms: {used} MiB used", begin.elapsed().as_millis());
            return;
        }
        assert!(begin.elapsed() < PATIENCE, "still held: {gpu:?}");
    }
}
