//! Engine shared by several machines: another machine's containers of a project with the same name are not ours.

use super::{Shop, on_another_machine, service};
use crate::studio::docker;
use crate::support::{Attack, Canary, Host, ROOT, WITH_ENGINE, attacks, shell};

pub(super) fn trials() -> Vec<Attack> {
    attacks![
        WITH_ENGINE =>
            another_machines_container_at_a_shared_engine_is_not_touched,
            a_forged_host_label_at_the_machines_own_engine_changes_nothing,
            an_adopted_container_of_another_machine_is_not_started;
    ]
}

/// The manifest names the engine, so other machines may use it too.
const SHARED: &str = "docker: { host: \"unix:///var/run/docker.sock\" }\n";

fn another_machines_container_at_a_shared_engine_is_not_touched() {
    let host = Host::new("shared");
    let owner = host.user(ROOT);
    let mut canary = Canary::new(&host);
    let text = format!("version: 1\nname: \"@NAME@\"\n{SHARED}services:\n{}\n", service("web", "sleep 600"));
    let manifest = owner.write("lcm.yaml", &text).display().to_string();
    on_another_machine(&owner, &["apply", "--yes", &manifest]).exits(0);
    let id = docker(&["inspect", "--format", "{{.Id}}", &format!("{}-web", host.name)]);
    canary.watch_container(&id);
    let plan = owner.lcm(&["plan", "--format", "json", &manifest]);
    assert!(plan.code != 0 && format!("{plan}").contains(&format!("{}-web", host.name)), "{plan}");
    for words in [&["apply"][..], &["apply", "--prune"], &["down"], &["restart", "web", "-m"], &["stop", "web", "-m"]] {
        let ran = owner.lcm(&[words, &[manifest.as_str(), "--yes"]].concat());
        assert_ne!(ran.code, 0, "{ran}");
        canary.assert_untouched();
    }
    on_another_machine(&owner, &["plan", "--detailed-exitcode", &manifest]).exits(0);
    on_another_machine(&owner, &["down", "--yes", &manifest]).exits(0);
    owner.converges(&manifest);
    owner.goes_down(&manifest);
}

/// A machine id may change, and a job's container has another one: with the local engine no decision depends on it.
fn a_forged_host_label_at_the_machines_own_engine_changes_nothing() {
    let host = Host::new("own-engine");
    let shop = Shop::open(&host);
    on_another_machine(&shop.owner, &["plan", "--detailed-exitcode", &shop.manifest]).exits(0);
    on_another_machine(&shop.owner, &["down", "--yes", &shop.manifest]).exits(0);
    shop.owner.goes_down(&shop.manifest);
    shop.canary.assert_untouched();
}

fn an_adopted_container_of_another_machine_is_not_started() {
    let host = Host::new("shared-adopted");
    let owner = host.user(ROOT);
    let mut canary = Canary::new(&host);
    let name = format!("{}-theirs", host.name);
    let project = format!("lcm.project={}", host.name);
    let labels =
        ["--label", &project, "--label", "lcm.service=theirs", "--label", "lcm.host=elsewhere/0011223344556677"];
    let named = format!("lcm.name={name}");
    let words = [&["--name", &name, "--label", &named][..], &labels, &[shell::image(), "-c", "sleep 600"]].concat();
    canary.watch_container(&host.create_container(&words));
    let text =
        format!("version: 1\nname: \"@NAME@\"\n{SHARED}services:\n  theirs: {{ docker: {{ container: {name} }} }}\n");
    let manifest = owner.write("lcm.yaml", &text).display().to_string();
    let ran = owner.lcm(&["apply", "--yes", &manifest]);
    assert!(ran.code != 0 && format!("{ran}").contains("elsewhere"), "{ran}");
    canary.assert_untouched();
}
