//! Two users and root on one machine, with access to one engine and one GPU.

use std::collections::BTreeSet;
use std::fs;

use crate::sandbox::{free_port, wait_until};
use crate::support::proxy::Proxy;
use crate::support::{AS_ROOT, Attack, Canary, Host, KIM, LEE, ROOT, User, WITH_ENGINE, attacks, shell};

pub(crate) fn trials() -> Vec<Attack> {
    attacks![
        AS_ROOT =>
            two_projects_of_two_users_live_side_by_side,
            refusals_name_the_owner_and_change_nothing,
            root_acts_as_the_owner,
            ten_rounds_of_three_users_change_nothing,
            two_projects_of_two_users_never_overcommit_a_gpu,
            a_reservation_of_a_killed_run_counts_while_its_service_loads,
            after_down_the_project_is_free_for_another_user;
        WITH_ENGINE =>
            ten_rounds_of_three_users_over_containers_change_nothing,
            root_takes_a_users_containers_over_only_when_told_to,
            containers_under_a_former_name_run_on_and_go_down;
    ]
}

const SERVICE: &str = "  api: { process: { command: [\"@SERVER@\", --port, \"0\"] }, stop: { grace: 2s } }";

fn two_projects_of_two_users_live_side_by_side() {
    let host = Host::new("users");
    let (kim, lee) = (host.user(KIM), host.user(LEE));
    let kims = kim.manifest(SERVICE);
    let lees = lee.manifest_at("lcm.yaml", "@NAME@-lee", SERVICE);
    kim.converges(&kims);
    lee.converges(&lees);
    assert_eq!(host.servers().len(), 2);
    kim.lcm(&["plan", "--detailed-exitcode", &kims]).exits(0);
    lee.lcm(&["down", "--yes", &lees]).exits(0);
    assert_eq!(host.servers().len(), 1, "hers runs on");
    kim.goes_down(&kims);
}

fn refusals_name_the_owner_and_change_nothing() {
    let host = Host::new("users");
    let (kim, lee) = (host.user(KIM), host.user(LEE));
    let canary = Canary::new(&host);
    let (kims, lees) = (kim.manifest(SERVICE), lee.manifest(SERVICE));
    kim.converges(&kims);
    let ours = host.servers();
    let changing: [&[&str]; 10] = [
        &["apply", "--yes"],
        &["apply", "--yes", "--force"],
        &["down", "--yes"],
        &["stop", "api", "--yes", "-m"],
        &["start", "api", "--yes", "-m"],
        &["restart", "api", "--yes", "-m"],
        &["suspend", "api", "-m"],
        &["terminate", "api", "--yes", "-m"],
        &["maintain", "api", "-m"],
        &["resume", "api", "-m"],
    ];
    for words in changing {
        lee.lcm(&[words, &[&lees]].concat()).exits(1).says("61001");
    }
    for words in [["plan"], ["status"]] {
        lee.lcm(&[&words[..], &[&lees]].concat()).exits(1).says("owned by").says("61001");
    }
    assert_eq!(host.servers(), ours, "a refused command changed something");
    kim.converges(&kims);
    assert_eq!(host.servers(), ours);
    kim.goes_down(&kims);
    canary.assert_untouched();
}

/// Returns a service whose stop command records the user that executes it.
fn tattling(proof: &str) -> String {
    format!(
        "  api: {{ process: {{ command: [\"@SERVER@\", --port, \"0\"] }}, stop: {{ exec: [sh, -c, \"{{ id -u; id -g; id -G; }} >{proof}; kill $$(cat {proof}.pid)\"], grace: 5s }}, hooks: {{ pre_stop: [{{ exec: [sh, -c, \"id -u >{proof}.hook\"], timeout: 10s }}] }} }}"
    )
}

fn root_acts_as_the_owner() {
    let host = Host::new("users");
    let (kim, root) = (host.user(KIM), host.user(ROOT));
    let canary = Canary::new(&host);
    let proof = kim.path("who").display().to_string();
    let manifest = kim.manifest(&tattling(&proof));
    kim.converges(&manifest);
    let ours = host.servers();
    kim.write("who.pid", &format!("{}\n", ours[0].pid));
    root.lcm(&["plan", "--detailed-exitcode", &manifest]).exits(0);
    root.lcm(&["apply", "--yes", "--detailed-exitcode", &manifest]).exits(0);
    assert_eq!(host.servers(), ours, "root's apply changed something");
    root.lcm(&["down", "--yes", &manifest]).exits(0);
    let who = fs::read_to_string(&proof).expect("what the stop command wrote");
    assert_eq!(who, "61001\n61001\n61001\n", "the stop command did not run as the owner");
    assert_eq!(fs::read_to_string(format!("{proof}.hook")).expect("what the hook wrote"), "61001\n");
    assert_eq!(host.leftovers(), [""; 0]);
    assert!(!root.state().join("projects").exists(), "root's own store took part");
    canary.assert_untouched();
}

/// Runs ten rounds of all three users on the same project; after the first refusals nothing changes any more.
#[track_caller]
fn ten_rounds(host: &Host, users: [&User<'_>; 3], services: &str, state: impl Fn() -> BTreeSet<String>) {
    let manifests = users.map(|user| user.manifest(services));
    users[0].converges(&manifests[0]);
    let before = state();
    assert!(!before.is_empty());
    for round in 0..10 {
        for (user, manifest) in users.iter().zip(&manifests) {
            // Root, who becomes the owner, runs her manifest; the other user is refused.
            let own = if user.uid == ROOT { &manifests[0] } else { manifest };
            let code = i32::from(user.uid == LEE);
            user.lcm(&["apply", "--yes", "--detailed-exitcode", own]).exits(code);
            assert_eq!(state(), before, "round {round}, uid {}", user.uid);
        }
    }
    users[0].goes_down(&manifests[0]);
    assert_eq!(host.leftovers(), [""; 0]);
}

fn ten_rounds_of_three_users_change_nothing() {
    let host = Host::new("users");
    let (kim, lee, root) = (host.user(KIM), host.user(LEE), host.user(ROOT));
    ten_rounds(&host, [&kim, &lee, &root], SERVICE, || host.servers().iter().map(|one| format!("{one:?}")).collect());
}

fn ten_rounds_of_three_users_over_containers_change_nothing() {
    let host = Host::new("users");
    let proxy = Proxy::new(&host);
    let (mut kim, mut lee, mut root) = (host.user(KIM), host.user(LEE), host.user(ROOT));
    for user in [&mut kim, &mut lee, &mut root] {
        user.use_engine(proxy.path());
    }
    let (services, _) = boxed(&host);
    let label = format!("label=lcm.project={}", host.name);
    ten_rounds(&host, [&kim, &lee, &root], &services, || {
        let listed = crate::studio::docker(&[
            "ps",
            "--all",
            "--no-trunc",
            "--filter",
            &label,
            "--format",
            "{{.ID}} {{.Names}} {{.State}}",
        ]);
        listed.lines().map(str::to_owned).collect()
    });
}

/// Applies a service in a container, and returns the id of the running one.
fn boxed(host: &Host) -> (String, impl Fn() -> Vec<String> + use<>) {
    let services = format!(
        "  web: {{ docker: {{ image: \"{}\", pull_policy: never, gpu_access: none, command: [-c, \"sleep 600\"] }}, stop: {{ grace: 1s }} }}",
        shell::image()
    );
    let label = "label=lcm.service=web".to_owned();
    let names = host.name.clone();
    let running = move || {
        let words = ["ps", "--no-trunc", "--filter", &label, "--format", "{{.ID}} {{.Names}}"];
        let listed = crate::studio::docker(&words);
        listed.lines().filter(|line| line.contains(&names)).map(str::to_owned).collect()
    };
    (services, running)
}

fn root_takes_a_users_containers_over_only_when_told_to() {
    let host = Host::new("users");
    let proxy = Proxy::new(&host);
    let (mut kim, mut root) = (host.user(KIM), host.user(ROOT));
    for user in [&mut kim, &mut root] {
        user.use_engine(proxy.path());
    }
    let (services, running) = boxed(&host);
    let manifest = kim.manifest(&services);
    kim.converges(&manifest);
    let before = running();
    assert_eq!(before.len(), 1, "{before:?}");
    root.lcm(&["apply", "--yes", &manifest]).exits(0);
    assert_eq!(running(), before, "as the owner there is nothing to do");
    root.lcm(&["apply", "--yes", "--take-over", &manifest]).exits(0);
    kim.lcm(&["apply", "--yes", &manifest]).exits(1).says("owned by");
    assert_eq!(running().len(), 1, "{:?}", running());
    root.converges(&manifest);
    root.goes_down(&manifest);
    assert_eq!(running(), Vec::<String>::new());
}

fn containers_under_a_former_name_run_on_and_go_down() {
    let host = Host::new("users");
    let root = host.user(ROOT);
    let (services, running) = boxed(&host);
    let manifest = root.manifest(&services);
    root.converges(&manifest);
    let before = running();
    let renamed = root.write(
        "renamed.yaml",
        &format!("version: 1\nname: \"@NAME@-new\"\nrenamed_from: \"@NAME@\"\nservices:\n{services}\n"),
    );
    let renamed = renamed.to_str().expect("UTF-8");
    root.lcm(&["plan", "--detailed-exitcode", renamed]).exits(0).says("still under a former name");
    root.lcm(&["apply", "--yes", renamed]).exits(0);
    assert_eq!(running(), before, "it was made anew");
    root.lcm(&["restart", "web", "--yes", "-m", renamed]).exits(0);
    assert_eq!(running().len(), 1, "{:?}", running());
    root.lcm(&["down", "--yes", renamed]).exits(0);
    assert_eq!(running(), Vec::<String>::new());
}

fn loader(port: u16, load: &str, vram: &str) -> String {
    format!(
        "  model: {{ process: {{ command: [\"@SERVER@\", --port, \"{port}\", --load, {load}, --vram, {vram}, --vram-late, 0ms], inherit: [LCM_SIMULATED_GPU] }}, vram: {vram}, health: {{ http: \"http://127.0.0.1:{port}/health\", timeout: 60s }}, stop: {{ grace: 2s }} }}"
    )
}

fn two_projects_of_two_users_never_overcommit_a_gpu() {
    let host = Host::new("users");
    let (mut kim, mut lee) = (host.user(KIM), host.user(LEE));
    let gpus = host.gpus(&[24_564]);
    kim.use_gpus(&gpus);
    lee.use_gpus(&gpus);
    let kims = kim.manifest(&loader(free_port(), "1s", "18GiB"));
    let lees = lee.manifest_at("lcm.yaml", "@NAME@-lee", &loader(free_port(), "1s", "16GiB"));
    for _ in 0..3 {
        let first = kim.start(&["apply", "--yes", "--lock-timeout", "60s", &kims]);
        let second = lee.start(&["apply", "--yes", "--lock-timeout", "60s", &lees]);
        let codes = [first.end().code, second.end().code];
        assert!(codes.contains(&0) && codes.contains(&4), "one runs and one is blocked: {codes:?}");
        assert_eq!(gpus.world().overcommitted, [""; 0]);
        assert_eq!(host.servers().len(), 1);
        kim.lcm(&["down", "--yes", &kims]).exits(0);
        lee.lcm(&["down", "--yes", &lees]).exits(0);
        assert_eq!(host.servers(), []);
    }
    assert_eq!(host.leftovers(), [""; 0]);
}

fn a_reservation_of_a_killed_run_counts_while_its_service_loads() {
    let host = Host::new("users");
    let (mut kim, mut lee) = (host.user(KIM), host.user(LEE));
    let gpus = host.gpus(&[24_564]);
    kim.use_gpus(&gpus);
    lee.use_gpus(&gpus);
    let port = free_port();
    // It takes its memory only at the end of a long load: until then the driver reports none of it.
    let kims = kim.manifest(&loader(port, "6s", "18GiB"));
    let lees = lee.manifest_at("lcm.yaml", "@NAME@-lee", &loader(free_port(), "10ms", "16GiB"));
    let mut running = kim.start(&["apply", "--yes", &kims]);
    wait_until("the service loads", || !host.servers().is_empty());
    running.child.kill().expect("a run to kill");
    running.child.wait().expect("its end");
    drop(running);
    let plan = lee.lcm(&["plan", &lees]);
    assert_eq!(plan.code, 4, "the reservation does not count\n{plan}");
    plan.says("61001");
    lee.lcm(&["apply", "--yes", &lees]).exits(4);
    kim.converges(&kims);
    assert_eq!(gpus.world().overcommitted, [""; 0]);
    kim.goes_down(&kims);
    lee.converges(&lees);
    assert_eq!(gpus.world().overcommitted, [""; 0]);
    lee.goes_down(&lees);
}

fn after_down_the_project_is_free_for_another_user() {
    let host = Host::new("users");
    let (kim, lee) = (host.user(KIM), host.user(LEE));
    let (kims, lees) = (kim.manifest(SERVICE), lee.manifest(SERVICE));
    kim.converges(&kims);
    lee.lcm(&["apply", "--yes", &lees]).exits(1);
    kim.goes_down(&kims);
    lee.converges(&lees);
    kim.lcm(&["apply", "--yes", &kims]).exits(1).says("61002");
    lee.goes_down(&lees);
}
