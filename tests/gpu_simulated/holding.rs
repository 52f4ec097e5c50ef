//! Holders of GPU memory: real processes and a real container that take memory of simulated GPUs, and its release.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::bench::{self, Bench};
use crate::gpus::Gpus;
use crate::reading::reader;
use crate::server::static_server;
use crate::world::VARIABLE;
use lcm::model::desired::{Desired, GpuRequest, Service, StopPolicy};
use lcm::model::environment::EnvValue;
use lcm::model::facts::{Facts, GpuFact, GpuHolder, ProcessOwner, Reading};
use lcm::model::instance::Instance;
use lcm::model::names::{GpuId, ProjectName, ServiceName};
use lcm::model::size::Mebibytes;
use lcm::runtime::machine::Machine;
use lcm::runtime::process::intent::{CommandSpec, LogPolicy, ProcessLimits, ProcessSpec};
use lcm::runtime::{Driver as _, Start, StopRequest};

/// Longer than any step takes on a loaded machine; only a failing test waits this long.
const PATIENCE: Duration = Duration::from_mins(1);

/// Model server that the test itself runs; dropping it ends the process.
struct Server {
    child: Child,
    log: BufReader<std::process::ChildStdout>,
}

impl Server {
    fn start(gpus: &Gpus, words: &[&str]) -> Self {
        let mut command = Command::new(static_server());
        command.args(words).env(VARIABLE, gpus.path()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("it starts");
        let log = BufReader::new(child.stdout.take().expect("its output"));
        Self { child, log }
    }

    /// Reads the output up to a line with these words, and returns that line.
    fn wait_for(&mut self, words: &str) -> String {
        loop {
            let mut line = String::new();
            let count = self.log.read_line(&mut line).expect("its output");
            assert!(count > 0, "it ended without printing `{words}`");
            if line.contains(words) {
                return line;
            }
        }
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a pid")
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends a request to a server, and returns the first line of the response.
fn request(address: &str, method: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    write!(stream, "{method} {path} HTTP/1.1\r\ncontent-length: 0\r\n\r\n").expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("a response");
    answer.lines().next().unwrap_or_default().to_owned()
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Reads the only GPU.
async fn first(reader: &lcm::host::gpu::Gpus) -> GpuFact {
    match reader.read(&desired(&[service("x", Vec::new())])).await {
        Reading::Known(mut gpus) => gpus.remove(0),
        other => panic!("{other:?}"),
    }
}

fn first_of(facts: &Facts) -> &GpuFact {
    match &facts.gpus {
        Reading::Known(gpus) => &gpus[0],
        other => panic!("{other:?}"),
    }
}

fn desired(services: &[Service]) -> Desired {
    let name = format!("gpu-test-{}", std::process::id());
    Desired::plain(ProjectName::new(name), services.iter().cloned())
}

fn service(name: &str, words: Vec<String>) -> Service {
    let argv = [static_server().display().to_string()].into_iter().chain(words).collect();
    let runtime = ProcessSpec {
        command: CommandSpec::Exec(argv),
        cwd: PathBuf::from("/"),
        environment: BTreeMap::new(),
        inherit: BTreeSet::from([VARIABLE.to_owned()]),
        log: LogPolicy { max_size_bytes: 1 << 20, files: 1 },
        pid_file: None,
        writes_pid: None,
        limits: ProcessLimits::default(),
    };
    let service = Service::plain(ServiceName::new(name), runtime);
    Service { gpu: GpuRequest::Auto, stop: StopPolicy { grace: PATIENCE, ..StopPolicy::default() }, ..service }
}

fn machine(gpus: &Gpus, desired: &Desired) -> Machine {
    let path = |path: PathBuf| path.display().to_string();
    let environment = [
        ("LCM_STATE_DIR", path(gpus.folder().join("state"))),
        ("LCM_NVML_LIB", path(gpus.library())),
        (VARIABLE, path(gpus.path())),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value)).into();
    Machine::new(desired, &environment, Path::new(env!("CARGO_BIN_EXE_lcm")))
}

pub(crate) async fn a_process_tree_holds_beside_a_foreign_process() {
    let gpus = Gpus::new(&[8_192, 24_564]);
    let words = ["--port", "0", "--vram", "2GiB"].map(str::to_owned).to_vec();
    let model = service("model", words);
    let desired = desired(std::slice::from_ref(&model));
    let machine = machine(&gpus, &desired);
    let mut other = Server::start(&gpus, &["--hold", "1GiB"]);
    other.wait_for("holding");
    let placed = [GpuId::new("GPU-1")];
    let start = Start { project: &desired.project, service: &model, gpus: &placed, indices: &[] };
    let instance = machine.start(&start).await.expect("it starts");
    until("it holds its memory", || gpus.world().used_mib("GPU-1") == 2_048);

    // Both readings attribute the memory.
    for facts in [machine.observe(&desired).await, machine.survey(&desired).await] {
        let Reading::Known(read) = &facts.gpus else { panic!("{:?}", facts.gpus) };
        let [ref foreign] = read[0].holders[..] else { panic!("{read:?}") };
        assert_eq!((foreign.pid, foreign.memory), (other.pid(), Some(Mebibytes(1_024))));
        assert_eq!((foreign.program.as_str(), &foreign.owner), ("model_server", &ProcessOwner::Foreign));
        let [ref ours] = read[1].holders[..] else { panic!("{read:?}") };
        let owner = ProcessOwner::Service { project: desired.project.clone(), service: model.name.clone() };
        assert_eq!((ours.memory, &ours.owner), (Some(Mebibytes(2_048)), &owner), "on the GPU that it was placed on");
    }

    let stop = StopRequest {
        project: &desired.project,
        service: &model.name,
        instance: &instance,
        policy: &model.stop,
        definition: None,
    };
    machine.stop(&stop).await.expect("it stops");
    let facts = machine.survey(&desired).await;
    let Reading::Known(read) = &facts.gpus else { panic!("{:?}", facts.gpus) };
    assert_eq!((read[1].used, read[1].holders.len()), (Some(Mebibytes(0)), 0));
}

pub(crate) async fn an_ended_process_is_listed_until_its_memory_is_free() {
    let gpus = Gpus::new(&[24_564]);
    let reader = reader(&gpus);
    let mut server = Server::start(&gpus, &["--hold", "3GiB", "--release-lag", "60m"]);
    server.wait_for("holding");
    let pid = server.pid();
    server.kill();
    let ended = |gpu: &GpuFact| gpu.holders.iter().map(|one| (one.pid, one.program.clone())).collect::<Vec<_>>();
    let gpu = first(&reader).await;
    assert_eq!(ended(&gpu), [(pid, "a process that has ended".to_owned())]);
    assert_eq!(gpu.used, Some(Mebibytes(3_072)));
    // An hour passes.
    gpus.change(|world| world.holds[0].died_ms = Some(0));
    let gpu = first(&reader).await;
    assert_eq!((ended(&gpu), gpu.used), (Vec::new(), Some(Mebibytes(0))));
}

pub(crate) async fn leaked_memory_is_never_freed() {
    let gpus = Gpus::new(&[24_564]);
    let mut server = Server::start(&gpus, &["--hold", "3GiB", "--leak"]);
    server.wait_for("holding");
    server.kill();
    let reader = reader(&gpus);
    assert_eq!(first(&reader).await.used, Some(Mebibytes(3_072)));
    gpus.change(|world| world.holds[0].died_ms = Some(0));
    assert_eq!(first(&reader).await.used, Some(Mebibytes(3_072)));
}

pub(crate) async fn a_model_unloads_and_loads_again() {
    let gpus = Gpus::new(&[24_564]);
    let mut server = Server::start(&gpus, &["--port", "0", "--vram", "10GiB", "--resident", "1GiB"]);
    let line = server.wait_for("listening on");
    let address = line.trim().rsplit(' ').next().expect("an address").to_owned();
    server.wait_for("ready");
    let reader = reader(&gpus);
    let mut seen = Vec::new();
    seen.push(first(&reader).await.used);
    for path in ["/unload", "/load", "/unload", "/work"] {
        let answer = request(&address, "POST", path);
        assert!(answer.contains(" 20"), "{path}: {answer}");
        seen.push(first(&reader).await.used);
    }
    let mib = |mib| Some(Mebibytes(mib));
    assert_eq!(seen, [mib(10_240), mib(1_024), mib(10_240), mib(1_024), mib(10_240)]);
}

pub(crate) async fn memory_is_taken_while_loading_or_late() {
    let gpus = Gpus::new(&[24_564]);
    let mut slow = Server::start(&gpus, &["--port", "0", "--vram", "8GiB", "--load", "4s"]);
    slow.wait_for("listening on");
    until("a part of it is taken", || (1..8_192).contains(&gpus.world().used_mib("GPU-0")));
    slow.kill();
    until("its memory is free", || gpus.world().holds.is_empty());
    let mut late = Server::start(&gpus, &["--port", "0", "--vram", "8GiB", "--vram-late", "60m"]);
    late.wait_for("ready");
    assert_eq!(gpus.world().used_mib("GPU-0"), 0);
}

pub(crate) async fn an_overcommit_is_refused_and_recorded() {
    let gpus = Gpus::new(&[8_192]);
    let mut first = Server::start(&gpus, &["--hold", "6GiB"]);
    first.wait_for("holding");
    assert_eq!(gpus.world().overcommitted, Vec::<String>::new());
    let mut second = Server::start(&gpus, &["--port", "0", "--vram", "3GiB"]);
    second.wait_for("out of memory");
    assert_eq!(second.child.wait().expect("it ends").code(), Some(1));
    let world = gpus.world();
    assert_eq!(world.used_mib("GPU-0"), 6_144);
    // 8 192 less 100 reserved by the driver less 6 144 is 1 948.
    let recorded = format!("GPU-0 by pid {}: 1124 MiB more than there is", second.child.id());
    assert_eq!(world.overcommitted, [recorded]);
}

pub(crate) async fn a_container_holds() {
    let gpus = Gpus::new(&[24_564]);
    let bench = Bench::new();
    let mut container = bench.container("model", &["--vram", "2GiB"]);
    let folder = gpus.folder().display();
    container.volumes = vec![format!("{folder}:{folder}")];
    container.environment = BTreeMap::from([
        (VARIABLE.to_owned(), EnvValue::Plain(gpus.path().display().to_string())),
        ("NVIDIA_VISIBLE_DEVICES".to_owned(), EnvValue::Plain("GPU-0".to_owned())),
    ]);
    let model = Service { gpu: GpuRequest::Auto, ..bench::own("model", container) };
    let desired = Desired::plain(bench.project.clone(), [model.clone()]);
    let machine = machine(&gpus, &desired);
    let instance = bench.start(&model).await.expect("it starts");
    until("it holds its memory", || gpus.world().used_mib("GPU-0") == 2_048);
    let facts = machine.survey(&desired).await;
    let [ref holder] = first_of(&facts).holders[..] else { panic!("{:?}", facts.gpus) };
    assert_eq!(holder.owner, ProcessOwner::Container(bench::id(&instance).to_owned()));
    assert_eq!((holder.program.as_str(), holder.memory), ("model_server", Some(Mebibytes(2_048))));
    assert!(holder.pid > 1, "its pid on the host, not the one inside");
    let GpuHolder { pid, .. } = holder;

    // The container ends, and its memory is not free yet: its holder is known by pid alone.
    gpus.change(|world| world.holds[0].after = crate::world::After::Never);
    let Instance { id, name: Some(_), .. } = &instance else { panic!("it is a container") };
    bench::docker(&["kill", id]).expect("it is killed");
    until("its end is seen", || gpus.world().holds[0].died_ms.is_some());
    let facts = machine.survey(&desired).await;
    let [ref ended] = first_of(&facts).holders[..] else { panic!("{:?}", facts.gpus) };
    assert_eq!((ended.pid, ended.program.as_str()), (*pid, "a process that has ended"));
}
