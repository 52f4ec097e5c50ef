//! GPU memory shared by users: a start's reservation counts for all users, a forged one for none.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::gpus::Gpus;
use crate::sandbox::{Ran, free_port, wait_until};
use crate::support::process::Identity;
use crate::support::{AS_ROOT, Attack, EVE, Host, KIM, LEE, MEMORY_MIB_MAX, User, attacks};

pub(crate) fn trials() -> Vec<Attack> {
    attacks![
        AS_ROOT =>
            two_users_never_overcommit_one_gpu_though_a_run_is_killed_while_it_loads,
            a_reservation_ends_with_its_service,
            forged_reservations_count_for_nothing,
            a_reservation_without_measure_counts_up_to_the_gpu_and_names_its_user,
            ten_thousand_files_hide_no_reservation,
            a_planted_reservations_folder_is_an_error_and_leads_nowhere,
            a_reservation_of_the_own_projects_name_is_another_users_all_the_same;
    ]
}

const CAPACITY_MIB: u64 = 24_564;

/// Creates one GPU for all users, with a UUID unique to this trial: a user's other projects count by it.
fn played(host: &Host) -> Gpus {
    let gpus = host.gpus(&[CAPACITY_MIB]);
    gpus.change(|world| world.gpus[0].uuid = gpu_of(host));
    for entry in fs::read_dir(gpus.folder()).expect("its files").flatten() {
        let mode = if entry.path().is_dir() { 0o777 } else { 0o666 };
        fs::set_permissions(entry.path(), fs::Permissions::from_mode(mode)).expect("a file for all");
    }
    gpus
}

fn gpu_of(host: &Host) -> String {
    format!("GPU-{}", host.name)
}

fn service(port: u16, load: &str) -> String {
    format!(
        "  model: {{ process: {{ command: [\"@SERVER@\", --port, \"{port}\", --vram, 16GiB, --load, {load}], \
         inherit: [LCM_SIMULATED_GPU] }}, vram: 16GiB, stop: {{ grace: 5s }}, \
         health: {{ http: \"http://127.0.0.1:{port}/health\", timeout: 2m }} }}"
    )
}

fn user<'h>(host: &'h Host, uid: u32, gpus: &Gpus) -> User<'h> {
    let mut user = host.user(uid);
    user.use_gpus(gpus);
    user
}

fn held_mib(gpus: &Gpus) -> u64 {
    gpus.world().holds.iter().map(|hold| hold.mib).sum()
}

fn folder(host: &Host) -> PathBuf {
    host.path("run-lock/lcm.reservations")
}

/// Asserts that another user's reservation blocks the start.
#[track_caller]
fn blocked(user: &User<'_>, manifest: &str, by: u32) -> Ran {
    user.lcm(&["plan", manifest]).exits(4).says(&format!("uid {by}: "))
}

fn two_users_never_overcommit_one_gpu_though_a_run_is_killed_while_it_loads() {
    let host = Host::new("reserved");
    let gpus = played(&host);
    let (kim, lee) = (user(&host, KIM, &gpus), user(&host, LEE, &gpus));
    let mine = kim.manifest(&service(free_port(), "6s"));
    let theirs = lee.manifest_at("lcm.yaml", &format!("{}-lee", host.name), &service(free_port(), "1s"));
    let mut run = kim.start(&["apply", "--yes", &mine]);
    wait_until("it loads", || host.servers().len() == 1);
    run.child.kill().expect("killed");
    drop(run);
    assert!(held_mib(&gpus) < 16 << 10, "it has not taken all yet");
    blocked(&lee, &theirs, KIM);
    lee.lcm(&["apply", "--yes", &theirs]).exits(4);
    let mut most = 0;
    wait_until("all is taken", || {
        most = most.max(held_mib(&gpus));
        held_mib(&gpus) >= 16 << 10
    });
    lee.lcm(&["apply", "--yes", &theirs]).exits(4);
    assert!(most <= CAPACITY_MIB && held_mib(&gpus) <= CAPACITY_MIB);
    assert_eq!(host.servers().len(), 1);
    kim.converges(&mine);
    kim.goes_down(&mine);
    lee.converges(&theirs);
    lee.lcm(&["down", "--yes", &theirs]).exits(0);
    assert_eq!(fs::read_dir(folder(&host)).expect("listed").count(), 0, "nothing is left of the reservations");
}

fn a_reservation_ends_with_its_service() {
    let host = Host::new("reserved");
    let gpus = played(&host);
    let (kim, lee) = (user(&host, KIM, &gpus), user(&host, LEE, &gpus));
    let mine = kim.manifest(&service(free_port(), "60s"));
    let theirs = lee.manifest_at("lcm.yaml", &format!("{}-lee", host.name), &service(free_port(), "0ms"));
    let mut run = kim.start(&["apply", "--yes", &mine]);
    wait_until("it loads", || host.servers().len() == 1);
    run.child.kill().expect("killed");
    drop(run);
    blocked(&lee, &theirs, KIM);
    for process in host.shims().into_iter().chain(host.servers()) {
        process.signal("KILL");
    }
    wait_until("it is gone", || host.servers().is_empty() && host.shims().is_empty());
    lee.converges(&theirs);
    lee.lcm(&["down", "--yes", &theirs]).exits(0);
    kim.lcm(&["down", "--yes", &mine]).exits(0);
}

/// Returns the content of a reservation file, as lcm would write it.
fn forged(host: &Host, process: Identity, project: &str, mib: u64) -> String {
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("read");
    json!({
        "format": "lcm.reservation/1", "pid": process.pid, "start_ticks": process.start_ticks, "boot_id": boot_id.trim(),
        "project": project, "service": "model", "gpus": [gpu_of(host)], "mib": mib,
        "loads_until": in_an_hour(),
    })
    .to_string()
}

fn in_an_hour() -> String {
    let hour = jiff::SignedDuration::from_hours(1);
    jiff::Timestamp::now().checked_add(hour).expect("a time").to_string()
}

/// Writes a file there as this user.
#[track_caller]
fn plant(host: &Host, uid: u32, name: &str, text: &str) {
    let attacker = host.attacker(uid);
    let written = attacker.write("text", text.as_bytes());
    let line = format!("cat {} >{}", written.display(), folder(host).join(name).display());
    assert!(attacker.sh(&line).status.success(), "{line}");
}

/// Applies once as both users, so that the folder exists.
fn shared<'h>(host: &'h Host, gpus: &Gpus) -> (User<'h>, String) {
    let kim = user(host, KIM, gpus);
    let mine = kim.manifest(&service(free_port(), "0ms"));
    kim.converges(&mine);
    kim.goes_down(&mine);
    assert!(folder(host).is_dir());
    (kim, mine)
}

fn forged_reservations_count_for_nothing() {
    let host = Host::new("reserved");
    let gpus = played(&host);
    let (kim, mine) = shared(&host, &gpus);
    let eve = host.attacker(EVE);
    let dead = Identity { pid: eve.sleeper(&[]).pid, start_ticks: 1 };
    let roots = Identity::of(i32::try_from(std::process::id()).expect("a pid")).expect("alive");
    let own = eve.sleeper(&[]);
    plant(&host, EVE, &format!("{EVE}-dead"), &forged(&host, dead, "x", 20_000));
    plant(&host, EVE, &format!("{EVE}-roots"), &forged(&host, roots, "x", 20_000));
    plant(&host, EVE, &format!("{KIM}-kims"), &forged(&host, own, "x", 20_000));
    plant(&host, EVE, &format!("{EVE}-long"), &"x".repeat(1 << 20));
    plant(&host, EVE, &format!("{EVE}-text"), "\u{1b}[2J");
    let real = eve.write("real", forged(&host, own, "x", 20_000).as_bytes());
    let linked = format!("ln -s {} {}", real.display(), folder(&host).join(format!("{EVE}-link")).display());
    let piped = format!("mkfifo {}", folder(&host).join(format!("{EVE}-pipe")).display());
    assert!(eve.sh(&linked).status.success() && eve.sh(&piped).status.success());
    let plan = kim.lcm(&["plan", &mine]).exits(0).hides("uid 61003");
    assert!(!plan.stdout.contains('\u{1b}'), "{plan}");
    kim.converges(&mine);
    kim.goes_down(&mine);
}

fn a_reservation_without_measure_counts_up_to_the_gpu_and_names_its_user() {
    let host = Host::new("reserved");
    let gpus = played(&host);
    let (kim, mine) = shared(&host, &gpus);
    let own = host.attacker(EVE).sleeper(&[]);
    plant(&host, EVE, &format!("{EVE}-huge"), &forged(&host, own, "x\u{1b}[2J", u64::MAX));
    let plan = blocked(&kim, &mine, EVE);
    assert!(!plan.stdout.contains('\u{1b}') && !plan.stderr.contains('\u{1b}'), "{plan}");
    let shown = kim.lcm(&["plan", "--format", "json", &mine]).exits(4).json();
    let foreign = shown["gpus"][0]["foreign_mib"].as_u64().expect("a figure");
    assert!(foreign <= CAPACITY_MIB + 100, "{foreign} MiB are counted of {CAPACITY_MIB}");
    own.signal("KILL");
    wait_until("it is gone", || !own.is_alive());
    kim.converges(&mine);
    kim.goes_down(&mine);
}

fn ten_thousand_files_hide_no_reservation() {
    let host = Host::new("reserved");
    let gpus = played(&host);
    let (kim, mine) = shared(&host, &gpus);
    let eve = host.attacker(EVE);
    let fill = format!("cd {} && seq 10000 | sed s/^/{EVE}-/ | xargs touch", folder(&host).display());
    assert!(eve.sh(&fill).status.success());
    let lees = host.attacker(LEE).sleeper(&[]);
    plant(&host, LEE, &format!("{LEE}-real"), &forged(&host, lees, "real", 20_000));
    kim.bounded(MEMORY_MIB_MAX, &["plan", &mine]).exits(4).says("uid 61002: real/model");
    lees.signal("KILL");
    wait_until("it is gone", || !lees.is_alive());
    kim.converges(&mine);
    kim.goes_down(&mine);
}

fn a_planted_reservations_folder_is_an_error_and_leads_nowhere() {
    let host = Host::new("reserved");
    let gpus = played(&host);
    let (kim, eve) = (user(&host, KIM, &gpus), host.attacker(EVE));
    let mine = kim.manifest(&service(free_port(), "0ms"));
    let trap: &Path = &eve.path("trap");
    let line = format!("mkdir -m 777 {0} && ln -s {0} {1}", trap.display(), folder(&host).display());
    assert!(eve.sh(&line).status.success());
    let ran = kim.lcm(&["apply", "--yes", &mine]);
    assert_ne!(ran.code, 0, "{ran}");
    assert_eq!((host.servers(), fs::read_dir(trap).expect("listed").count()), (Vec::new(), 0));
    fs::remove_file(folder(&host)).expect("cleared away");
    kim.converges(&mine);
    kim.goes_down(&mine);
}

fn a_reservation_of_the_own_projects_name_is_another_users_all_the_same() {
    let host = Host::new("reserved");
    let gpus = played(&host);
    let (kim, mine) = shared(&host, &gpus);
    let own = host.attacker(EVE).sleeper(&[]);
    plant(&host, EVE, &format!("{EVE}-same"), &forged(&host, own, &host.name, 20_000));
    blocked(&kim, &mine, EVE);
    own.signal("KILL");
    wait_until("it is gone", || !own.is_alive());
    kim.converges(&mine);
    kim.goes_down(&mine);
}
