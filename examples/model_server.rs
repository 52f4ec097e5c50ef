//! Small HTTP server that simulates a model server, with faults on demand: for the examples and the tests.
//!
//! Depends only on std, so that one `rustc` call builds a static binary, which in a tar is a container image. Its jobs
//! only take time, and the GPU memory that it holds is simulated in a file that tests can read.

use std::collections::VecDeque;
use std::env;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{self, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

#[path = "model_server/memory.rs"]
mod memory;
#[path = "model_server/options.rs"]
mod options;
#[expect(dead_code, reason = "the simulated library reads what is written here")]
#[path = "simulated_gpu/world.rs"]
mod world;

use memory::Memory;
use options::{HELP, Options, duration};

/// Longest request that is read: head and body.
const REQUEST_BYTES_MAX: usize = 64 << 10;
/// Maximum number of concurrent connections; more are closed, so that a faulty client can't exhaust the machine.
const CONNECTIONS_MAX: usize = 256;
/// Deadline for a client that sends nothing.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum lifetime of a sleeper, which ends processes that a test leaked.
const SLEEPER_LIFE_MAX: Duration = Duration::from_hours(1);

const SIGINT: i32 = 2;
const SIGTERM: i32 = 15;
const SIG_IGN: usize = 1;

// std has no signals and no sessions, and this file must do without crates.
unsafe extern "C" {
    fn signal(number: i32, handler: usize) -> usize;
    fn setsid() -> i32;
    fn write(fd: i32, bytes: *const u8, count: usize) -> isize;
}

fn main() {
    let words: Vec<String> = env::args().skip(1).collect();
    let result = match words.first().map(String::as_str) {
        Some("--get") => get(words.get(1).map_or("", String::as_str)),
        Some("--sleeper") => sleeper(&words[1..]),
        Some("--daemonize") => daemonize(&words[1..]),
        Some("--hold") => hold(&words[1..]),
        Some("--hold-port") => hold_port(words.get(1).map_or("", String::as_str)),
        Some("--help" | "-h") => say(HELP.trim_end()),
        _ => Options::parse(&words).and_then(serve),
    };
    if let Err(message) = result {
        eprintln!("model_server: {message}");
        process::exit(1);
    }
}

type Outcome = Result<(), String>;

/// Model, loaded or not, and its jobs.
struct Model {
    options: Options,
    memory: Memory,
    /// True until the model is ready for the first time.
    first: AtomicBool,
    /// End of the loading; the model answers from then on.
    ready_at: Mutex<Instant>,
    unloaded: Mutex<bool>,
    /// End of each job, the next one first.
    jobs: Mutex<VecDeque<Instant>>,
    connections: AtomicUsize,
}

fn serve(options: Options) -> Outcome {
    let mut signals = watch_signals(options.ignore_term)?;
    let listener = TcpListener::bind((options.host.as_str(), options.port))
        .map_err(|error| format!("can't listen on {}:{}: {error}", options.host, options.port))?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    start_family(&options, &listener)?;
    say(&format!("loading for {:?}, listening on {address}", options.load))?;

    let model = Arc::new(Model {
        memory: Memory::new(&options)?,
        // Without memory to take, only `ready_at` counts.
        first: AtomicBool::new(options.vram_mib > 0),
        ready_at: Mutex::new(Instant::now() + options.load),
        unloaded: Mutex::new(false),
        jobs: Mutex::new(VecDeque::new()),
        connections: AtomicUsize::new(0),
        options,
    });
    let of = |run: fn(&Model)| {
        let model = Arc::clone(&model);
        thread::spawn(move || run(&model))
    };
    of(load);
    of(fill);
    of(die);
    of(flood);
    let accepting = Arc::clone(&model);
    thread::spawn(move || accept(&listener, &accepting));

    // `read_exact` retries if the signal itself interrupts it.
    let _ = signals.read_exact(&mut [0]);
    let _ = say("stopping");
    thread::sleep(model.options.stop_time);
    let _ = say("stopped");
    Ok(())
}

/// Starts the children, the daemons, and the process that keeps the port.
fn start_family(options: &Options, listener: &TcpListener) -> Outcome {
    let manners: &[&str] = if options.ignore_term { &["--ignore-term"] } else { &[] };
    for _ in 0..options.children {
        myself("--sleeper")?.args(manners).spawn().map_err(|error| format!("a child: {error}"))?;
    }
    for _ in 0..options.daemons {
        myself("--daemonize")?.args(manners).status().map_err(|error| format!("a daemon: {error}"))?;
    }
    if let Some(time) = options.keep_port {
        let socket: OwnedFd = listener.try_clone().map_err(|error| error.to_string())?.into();
        let holder = myself("--hold-port")?
            .arg(format!("{}ms", time.as_millis()))
            .stdin(Stdio::piped())
            .stdout(Stdio::from(socket))
            .spawn()
            .map_err(|error| format!("the port's holder: {error}"))?;
        // Its stdin stays open while this process lives: the holder detects the end of this process by its EOF.
        std::mem::forget(holder);
    }
    Ok(())
}

fn load(model: &Model) {
    let time = model.options.load;
    if model.options.die_while_loading {
        thread::sleep(time / 2);
        end(model, "dying while loading");
    }
    let late = model.options.vram_late;
    if late.is_some() {
        thread::sleep(time);
    } else {
        model.memory.take(time);
    }
    model.first.store(false, Ordering::Release);
    let _ = say("ready");
    if let Some(late) = late {
        thread::sleep(late);
        model.memory.take(Duration::ZERO);
    }
}

fn die(model: &Model) {
    if let Some(after) = model.options.die_after {
        thread::sleep(after);
        end(model, "dying");
    }
}

fn end(model: &Model, why: &str) {
    let _ = say(why);
    process::exit(model.options.exit_code);
}

/// Allocates main memory, and writes to it, so that the kernel really provides it.
fn fill(model: &Model) {
    let mut taken = Vec::new();
    for _ in 0..model.options.fill_mib {
        taken.push(vec![1_u8; 1 << 20]);
    }
    std::mem::forget(taken);
}

/// Writes to the log, ten times a second, a tenth each time.
fn flood(model: &Model) {
    if model.options.flood_log == 0 {
        return;
    }
    let line = [b"loading a shard of a model that has far too many of them\n".as_slice(); 64].concat();
    loop {
        let mut rest = model.options.flood_log / 10;
        let mut out = io::stdout().lock();
        while rest > 0 {
            let part = rest.min(line.len());
            if out.write_all(&line[..part]).is_err() {
                return;
            }
            rest -= part;
        }
        let _ = out.flush();
        drop(out);
        thread::sleep(Duration::from_millis(100));
    }
}

fn accept(listener: &TcpListener, model: &Arc<Model>) {
    for stream in listener.incoming() {
        let Ok(stream) = stream else { continue };
        if model.connections.fetch_add(1, Ordering::Relaxed) < CONNECTIONS_MAX {
            let model = Arc::clone(model);
            thread::spawn(move || {
                // A client that disconnected is no error.
                let _ = answer(stream, &model);
                model.connections.fetch_sub(1, Ordering::Relaxed);
            });
        } else {
            model.connections.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

fn answer(mut stream: TcpStream, model: &Model) -> io::Result<()> {
    stream.set_read_timeout(Some(READ_TIMEOUT))?;
    let request = read_request(&mut stream)?;
    let path = request.path.split('?').next().unwrap_or_default();
    if model.options.hang_health && path != "/live" {
        stream.set_read_timeout(None)?;
        // Returns when the client closes.
        io::copy(&mut stream, &mut io::sink())?;
        return Ok(());
    }
    let (status, body) = model.reply(&request.method, path, &request.body);
    let kind = if path == "/docs" { "text/html" } else { "application/json" };
    write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

struct Request {
    method: String,
    path: String,
    body: String,
}

fn read_request(stream: &mut TcpStream) -> io::Result<Request> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let head_end = bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4);
        if let Some(head_end) = head_end {
            let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
            if bytes.len() >= head_end + content_length(&head).min(REQUEST_BYTES_MAX) {
                let mut words = head.split_whitespace().map(str::to_owned);
                return Ok(Request {
                    method: words.next().unwrap_or_default(),
                    path: words.next().unwrap_or_default(),
                    body: String::from_utf8_lossy(&bytes[head_end..]).into_owned(),
                });
            }
        }
        let count = stream.read(&mut chunk)?;
        if count == 0 || bytes.len() > 2 * REQUEST_BYTES_MAX {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&chunk[..count]);
    }
}

fn content_length(head: &str) -> usize {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())
        .unwrap_or(0)
}

impl Model {
    fn reply(&self, method: &str, path: &str, body: &str) -> (&'static str, String) {
        if path == "/live" {
            return ("200 OK", "{\"status\":\"alive\"}".to_owned());
        }
        if self.first.load(Ordering::Acquire) || Instant::now() < *self.ready_at.lock().unwrap() {
            return ("503 Service Unavailable", "{\"status\":\"loading\"}".to_owned());
        }
        match (method, path) {
            ("GET", "/health" | "/system_stats") => ("200 OK", self.health()),
            ("GET", "/docs") => ("200 OK", "<!doctype html><title>model_server</title>".to_owned()),
            ("GET", "/api/tags") => ("200 OK", "{\"models\":[{\"name\":\"qwen2.5:32b\"}]}".to_owned()),
            ("GET", "/queue" | "/prompt") => {
                let queue = self.queue();
                ("200 OK", format!("{{\"exec_info\":{{\"queue_remaining\":{queue}}},\"queue\":{queue}}}"))
            }
            ("GET", path) if path.starts_with("/env/") => match env::var(&path["/env/".len()..]) {
                Ok(value) => ("200 OK", value),
                Err(_) => ("404 Not Found", String::new()),
            },
            ("POST", "/unload") => self.set_unloaded(true),
            ("POST", "/load") => self.set_unloaded(false),
            ("POST", "/api/generate") if requests_unload(body) => self.set_unloaded(true),
            ("POST", "/work" | "/api/generate") => self.work(),
            _ => ("404 Not Found", "{\"error\":\"no such path\"}".to_owned()),
        }
    }

    fn health(&self) -> String {
        let loaded = !*self.unloaded.lock().unwrap();
        let ready = SystemTime::now() - self.ready_at.lock().unwrap().elapsed();
        let ready_at = ready.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let queue = self.queue();
        format!("{{\"status\":\"ok\",\"loaded\":{loaded},\"queue\":{queue},\"ready_at_ms\":{ready_at}}}")
    }

    /// Returns the number of running and waiting jobs.
    fn queue(&self) -> usize {
        let mut jobs = self.jobs.lock().unwrap();
        while jobs.front().is_some_and(|end| *end <= Instant::now()) {
            jobs.pop_front();
        }
        jobs.len()
    }

    fn work(&self) -> (&'static str, String) {
        if self.options.fail_work {
            return ("500 Internal Server Error", "{\"error\":\"the model is broken\"}".to_owned());
        }
        let queue = self.queue() + 1;
        let mut jobs = self.jobs.lock().unwrap();
        let begin = jobs.back().copied().unwrap_or_else(Instant::now);
        jobs.push_back(begin + self.options.work);
        *self.unloaded.lock().unwrap() = false;
        drop(jobs);
        self.memory.take(Duration::ZERO);
        ("202 Accepted", format!("{{\"queue\":{queue}}}"))
    }

    /// Unloads the model, or loads it again: its memory is taken before the reply.
    fn set_unloaded(&self, unloaded: bool) -> (&'static str, String) {
        let was = std::mem::replace(&mut *self.unloaded.lock().unwrap(), unloaded);
        match (was, unloaded) {
            (true, false) => {
                let _ = say("loading again");
                *self.ready_at.lock().unwrap() = Instant::now() + self.options.load;
                self.memory.take(Duration::ZERO);
            }
            (false, true) => {
                self.memory.give_back();
                let _ = say("unloaded");
            }
            (true, true) | (false, false) => {}
        }
        ("200 OK", format!("{{\"loaded\":{}}}", !unloaded))
    }
}

/// Returns true if `keep_alive` is 0, as a number or as a duration.
fn requests_unload(body: &str) -> bool {
    let value = body.split("\"keep_alive\"").nth(1).unwrap_or_default();
    let value = value.trim_start_matches([':', ' ', '"', '\n', '\t']);
    let end = value.find(|letter: char| !letter.is_ascii_alphanumeric()).unwrap_or(value.len());
    matches!(&value[..end], "0" | "0s" | "0ms" | "0m")
}

/// Requests a URL once: the client for images that contain only this program.
fn get(url: &str) -> Outcome {
    let rest = url.strip_prefix("http://").ok_or("--get needs a URL that begins with http://")?;
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let address: SocketAddr =
        host.to_socket_addrs().ok().and_then(|mut all| all.next()).ok_or_else(|| format!("no address {host}"))?;
    let text = || -> io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&address, READ_TIMEOUT)?;
        stream.set_read_timeout(Some(READ_TIMEOUT))?;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    }()
    .map_err(|error| format!("{url}: {error}"))?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(|| format!("{url}: not an HTTP response"))?;
    let status = head.split_whitespace().nth(1).unwrap_or_default();
    if status.starts_with('2') { say(body) } else { Err(format!("{url}: {status}")) }
}

/// Holds GPU memory until a signal, as a foreign program.
fn hold(words: &[String]) -> Outcome {
    let words: Vec<String> = ["--vram".to_owned()].into_iter().chain(words.iter().cloned()).collect();
    let options = Options::parse(&words)?;
    let mut signals = watch_signals(options.ignore_term)?;
    let memory = Memory::new(&options)?;
    memory.take(options.load);
    say("holding")?;
    let _ = signals.read_exact(&mut [0]);
    Ok(())
}

fn sleeper(words: &[String]) -> Outcome {
    if words.iter().any(|word| word == "--ignore-term") {
        watch_signals(true)?;
    }
    if words.iter().any(|word| word == "--new-session") {
        // SAFETY: takes no argument and touches no memory; it fails only if this process already leads a session.
        unsafe { setsid() };
    }
    thread::sleep(SLEEPER_LIFE_MAX);
    Ok(())
}

/// Starts a sleeper and exits, so that the sleeper loses its parent.
fn daemonize(words: &[String]) -> Outcome {
    myself("--sleeper")?.arg("--new-session").args(words).spawn().map_err(|error| format!("a daemon: {error}"))?;
    Ok(())
}

/// Keeps the listening socket, this process's stdout, open for `time` after its stdin ends with the server.
fn hold_port(time: &str) -> Outcome {
    let time = duration(time)?;
    // SAFETY: as in `sleeper`.
    unsafe { setsid() };
    io::copy(&mut io::stdin(), &mut io::sink()).map_err(|error| error.to_string())?;
    thread::sleep(time);
    Ok(())
}

fn myself(role: &str) -> Result<Command, String> {
    let path = env::current_exe().map_err(|error| format!("can't find this program: {error}"))?;
    let mut command = Command::new(path);
    command.arg(role).stdin(Stdio::null());
    Ok(command)
}

/// Write end of the pipe that a signal handler writes to.
static SIGNAL_PIPE: AtomicI32 = AtomicI32::new(-1);

extern "C" fn on_signal(_number: i32) {
    // SAFETY: `write` may be called in a signal handler; the descriptor is open for as long as the process lives.
    unsafe { write(SIGNAL_PIPE.load(Ordering::Relaxed), [0_u8].as_ptr(), 1) };
}

fn watch_signals(ignore: bool) -> Result<UnixStream, String> {
    let (reader, writer) = UnixStream::pair().map_err(|error| error.to_string())?;
    SIGNAL_PIPE.store(writer.as_raw_fd(), Ordering::Relaxed);
    std::mem::forget(writer);
    let handler = if ignore { SIG_IGN } else { on_signal as extern "C" fn(i32) as usize };
    for number in [SIGINT, SIGTERM] {
        // SAFETY: the handler lives as long as the program, and is async-signal-safe.
        unsafe { signal(number, handler) };
    }
    Ok(reader)
}

/// Writes one line to the log, and flushes it.
pub(crate) fn say(line: &str) -> Outcome {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(|error| error.to_string())
}
