//! Servers called by a hook, and a driver, that answer endlessly.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::support::{AS_ROOT, Attack, Host, KIM, MEMORY_MIB_MAX, attacks};
use crate::world::{After, Hold};

pub(crate) fn trials() -> Vec<Attack> {
    attacks![
        AS_ROOT =>
            a_hook_that_answers_without_end_is_cut,
            a_hook_with_endless_headers_is_an_error,
            a_hook_that_drips_ends_by_its_timeout,
            a_hook_that_sends_in_a_circle_is_an_error,
            a_driver_that_lists_thousands_of_processes_is_read_within_bounds;
    ]
}

/// Server at its own port that writes `head`, and then `chunk` until the client closes.
pub(super) struct Server {
    port: u16,
    ended: Arc<AtomicBool>,
}

impl Server {
    pub(super) fn new(head: impl Fn(u16) -> String, chunk: &'static [u8], pause: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (head, ended) = (head(port), Arc::new(AtomicBool::new(false)));
        let until = Arc::clone(&ended);
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                if until.load(Ordering::Acquire) {
                    return;
                }
                let _ = stream.read(&mut [0; 4096]);
                let mut sends = stream.write_all(head.as_bytes());
                while sends.is_ok() && !chunk.is_empty() && !until.load(Ordering::Acquire) {
                    sends = stream.write_all(chunk);
                    thread::sleep(pause);
                }
            }
        });
        Self { port, ended }
    }
}

impl Server {
    pub(super) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// Applies a service whose hook calls this server: whether the hook fails or not, the service runs, and the next plan is
/// empty.
#[track_caller]
fn called(server: &Server) -> String {
    let host = Host::new("hook");
    let owner = host.user(KIM);
    let manifest = owner.manifest(&format!(
        "  api: {{ process: {{ command: [sleep, \"300\"] }}, hooks: {{ post_start: [{{ http: {{ method: POST, url: \
         \"http://127.0.0.1:{}/\" }}, timeout: 2s }}] }} }}",
        server.port
    ));
    let ran = owner.bounded(MEMORY_MIB_MAX, &["apply", "--yes", &manifest]);
    owner.converges(&manifest);
    owner.goes_down(&manifest);
    format!("{}{}", ran.stdout, ran.stderr)
}

fn a_hook_that_answers_without_end_is_cut() {
    let head = |_| "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_owned();
    called(&Server::new(head, vec![b'x'; 65_536].leak(), Duration::ZERO));
}

fn a_hook_with_endless_headers_is_an_error() {
    let head = |_| "HTTP/1.1 200 OK\r\n".to_owned();
    called(&Server::new(head, b"x-more: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n", Duration::ZERO));
}

fn a_hook_that_drips_ends_by_its_timeout() {
    let head = |_| "HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n".to_owned();
    let said = called(&Server::new(head, b"x", Duration::from_millis(50)));
    assert!(said.contains("within 2s"), "{said}");
}

fn a_hook_that_sends_in_a_circle_is_an_error() {
    let head = |port| format!("HTTP/1.1 302 X\r\nlocation: http://127.0.0.1:{port}/\r\ncontent-length: 0\r\n\r\n");
    let said = called(&Server::new(head, b"", Duration::ZERO));
    assert!(said.contains("redirect"), "{said}");
}

fn a_driver_that_lists_thousands_of_processes_is_read_within_bounds() {
    let host = Host::new("driver");
    let mut owner = host.user(KIM);
    let (gpus, gpu) = (host.gpus(&[24_000]), host.gpu(0));
    gpus.change(|world| {
        world.holds = (0..20_000)
            .map(|number| Hold {
                gpu: gpu.clone(),
                pid: 4_000_000 + number,
                mib: u64::MAX >> 21,
                after: After::Never,
                ..Hold::default()
            })
            .collect();
    });
    owner.use_gpus(&gpus);
    let manifest = owner.manifest("  api: { process: { command: [sleep, \"300\"] }, vram: 1GiB }");
    let ran = owner.bounded(MEMORY_MIB_MAX, &["plan", &manifest]);
    assert!((0..=4).contains(&ran.code), "{ran}");
    gpus.change(|world| world.holds.clear());
    owner.converges(&manifest);
    owner.goes_down(&manifest);
}
