//! Host lock: removed, replaced and squatted while it is held.

use std::fs;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};

use sha2::{Digest as _, Sha256};

use crate::sandbox::{Running, wait_until};
use crate::support::{AS_ROOT, Attack, Canary, EVE, Host, KIM, LEE, User, attacks};

pub(crate) fn trials() -> Vec<Attack> {
    attacks![
        AS_ROOT =>
            a_lock_file_removed_while_it_is_held_lets_no_second_in,
            a_lock_file_replaced_while_it_is_held_ends_the_run_with_what_had_begun,
            a_planted_lock_file_is_an_error_and_leads_nowhere,
            a_squatted_socket_is_an_error_that_names_its_process,
            a_lock_held_by_a_foreign_process_is_an_error_in_time;
    ]
}

const SERVER: &str = "  api: { process: { command: [\"@SERVER@\", --port, \"0\"] }, stop: { grace: 2s } }";

/// Starts a run, and returns during its first step; the second one begins when the first is healthy.
fn under_way<'h>(host: &'h Host, kim: &User<'h>) -> (String, Running) {
    let go = kim.path("go");
    let services = format!(
        "  first: {{ process: {{ command: [\"@SERVER@\", --port, \"0\"] }}, stop: {{ grace: 2s }}, \
         health: {{ exec: [test, -e, {0}], timeout: 60s }} }}\n  \
         second: {{ process: {{ command: [\"@SERVER@\", --port, \"0\"] }}, stop: {{ grace: 2s }}, depends_on: [first] }}",
        go.display()
    );
    let manifest = kim.manifest(&services);
    let run = kim.start(&["apply", "--yes", &manifest]);
    wait_until("the first step begins", || host.servers().len() == 1);
    (manifest, run)
}

fn a_lock_file_removed_while_it_is_held_lets_no_second_in() {
    let host = Host::new("locks");
    let (kim, lee) = (host.user(KIM), host.user(LEE));
    let (manifest, run) = under_way(&host, &kim);
    fs::remove_file(host.lock()).expect("removed");
    let other = lee.manifest_at("lcm.yaml", &format!("{}-other", host.name), SERVER);
    let second = lee.lcm(&["apply", "--yes", &other]).exits(6);
    assert!(second.stderr.contains("uid 61001"), "{second}");
    fs::write(kim.path("go"), "").expect("written");
    run.end().exits(6).says("removed or replaced");
    assert_eq!(host.servers().len(), 1, "the second step did not begin");
    kim.converges(&manifest);
    lee.converges(&other);
    lee.lcm(&["down", "--yes", &other]).exits(0);
    kim.goes_down(&manifest);
}

fn a_lock_file_replaced_while_it_is_held_ends_the_run_with_what_had_begun() {
    let host = Host::new("locks");
    let (kim, canary) = (host.user(KIM), Canary::new(&host));
    let (manifest, run) = under_way(&host, &kim);
    fs::remove_file(host.lock()).expect("removed");
    fs::write(host.lock(), "").expect("another one");
    fs::write(kim.path("go"), "").expect("written");
    run.end().exits(6).says("removed or replaced");
    assert_eq!(host.servers().len(), 1, "what had begun was brought to its end");
    kim.converges(&manifest);
    kim.goes_down(&manifest);
    canary.assert_untouched();
}

fn a_planted_lock_file_is_an_error_and_leads_nowhere() {
    let host = Host::new("locks");
    let (kim, eve, canary) = (host.user(KIM), host.attacker(EVE), Canary::new(&host));
    let precious = eve.write("precious", b"data");
    let lock = host.lock();
    let manifest = kim.manifest(SERVER);
    for plant in ["ln -s {precious} {lock}", "mkfifo {lock}", "mkdir {lock}", "ln {precious} {lock}"] {
        let line =
            plant.replace("{precious}", &precious.display().to_string()).replace("{lock}", &lock.display().to_string());
        assert!(eve.sh(&line).status.success(), "{line}");
        if plant.starts_with("ln {") {
            // A second hard link locks no user out.
            kim.converges(&manifest);
            kim.goes_down(&manifest);
        } else {
            kim.lcm(&["apply", "--yes", &manifest]).exits(1).says("regular file");
            assert_eq!(host.servers(), []);
        }
        let cleared = if lock.is_dir() { fs::remove_dir(&lock) } else { fs::remove_file(&lock) };
        cleared.expect("cleared away");
    }
    assert_eq!(fs::read(&precious).expect("there"), b"data");
    kim.converges(&manifest);
    kim.goes_down(&manifest);
    canary.assert_untouched();
}

/// Binds the socket beside the lock.
fn socket_of(host: &Host) -> UnixListener {
    let path = fs::canonicalize(host.path("run-lock")).expect("there").join("lcm.lock");
    let digest = Sha256::digest(path.as_os_str().as_bytes());
    let digest = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    let address = SocketAddr::from_abstract_name(format!("lcm-lock-{digest}")).expect("a name");
    UnixListener::bind_addr(&address).expect("bound")
}

fn a_squatted_socket_is_an_error_that_names_its_process() {
    let host = Host::new("locks");
    let kim = host.user(KIM);
    let manifest = kim.manifest(SERVER);
    let squatted = socket_of(&host);
    let named = format!("pid {} of uid 0", std::process::id());
    kim.lcm(&["apply", "--yes", &manifest]).exits(6).says(&named);
    assert_eq!(host.servers(), []);
    kim.lcm(&["apply", "--yes", "--lock-timeout", "300ms", &manifest]).exits(6).says(&named);
    kim.lcm(&["plan", &manifest]).exits(0);
    drop(squatted);
    kim.converges(&manifest);
    kim.goes_down(&manifest);
}

fn a_lock_held_by_a_foreign_process_is_an_error_in_time() {
    let host = Host::new("locks");
    let (kim, eve) = (host.user(KIM), host.attacker(EVE));
    let manifest = kim.manifest(SERVER);
    kim.converges(&manifest);
    kim.goes_down(&manifest);
    let mut flock = eve.program("flock");
    flock.args(["--exclusive", &host.lock().display().to_string(), "sleep", "600"]);
    let holder = eve.spawn(flock);
    let held = || {
        let file = fs::File::open(host.lock()).expect("there");
        file.try_lock().is_err()
    };
    wait_until("the lock is held", held);
    kim.lcm(&["apply", "--yes", &manifest]).exits(6).says("another lcm holds the lock");
    holder.signal("KILL");
    // The child of flock holds the file as well, and ends with the trial: another lock is used until then.
    fs::remove_file(host.lock()).expect("cleared away");
    kim.converges(&manifest);
    kim.goes_down(&manifest);
}
