//! Engine behind a socket that a program of this machine forwards, as ssh and socat do.

use std::io;
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::thread;

use crate::image;
use crate::sandbox::Sandbox;

const ENGINE: &str = "/var/run/docker.sock";

/// Container that is removed at the end.
struct Beacon(String);

impl Drop for Beacon {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["rm", "--force", &self.0]).stdout(Stdio::null()).status();
    }
}

/// The forwarding program is no proof of a local engine; a container's own process on this machine is.
pub(crate) fn a_forwarded_engine_is_local_only_by_a_process_of_its_container() {
    let mut sandbox = Sandbox::new("forwarded");
    let socket = sandbox.path("forwarded.sock");
    let listener = UnixListener::bind(&socket).expect("a socket");
    // The thread ends with this program.
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            thread::spawn(move || relay(&client));
        }
    });
    sandbox.set("DOCKER_HOST", format!("unix://{}", socket.display()));
    let beacon = Beacon(format!("{}-beacon", sandbox.name));
    let run = ["run", "--detach", "--name", &beacon.0, image::model_server(), "--port", "8000"];
    assert!(Command::new("docker").args(run).stdout(Stdio::null()).status().expect("docker").success());
    let manifest = sandbox.write(
        "lcm.yaml",
        &format!("version: 1\nname: \"@NAME@\"\nservices: {{ one: {{ docker: {{ container: {} }} }} }}\n", beacon.0),
    );
    let manifest = manifest.to_str().expect("UTF-8");
    sandbox.lcm(&["plan", manifest]).exits(0).says("Nothing to do");
}

/// Copies both directions, and forwards the end of each.
fn relay(client: &UnixStream) {
    let Ok(engine) = UnixStream::connect(ENGINE) else { return };
    let copy = |from: &UnixStream, to: &UnixStream| {
        let _ = io::copy(&mut &*from, &mut &*to);
        let _ = to.shutdown(Shutdown::Write);
    };
    thread::scope(|scope| {
        scope.spawn(|| copy(client, &engine));
        copy(&engine, client);
        let _ = client.shutdown(Shutdown::Both);
        let _ = engine.shutdown(Shutdown::Both);
    });
}
