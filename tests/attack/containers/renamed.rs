//! The service's own container under a name that lcm did not give it, or another container under its name.

use super::{Shop, service};
use crate::studio::docker;
use crate::support::{Attack, Host, WITH_ENGINE, attacks, shell};

pub(super) fn trials() -> Vec<Attack> {
    attacks![
        WITH_ENGINE =>
            a_renamed_container_is_neither_touched_nor_doubled,
            a_renamed_and_stopped_container_is_neither_removed_nor_doubled,
            a_renamed_container_with_another_under_its_name_is_left_alone,
            a_renamed_container_of_a_service_that_is_a_process_now_is_not_doubled,
            a_renamed_orphan_is_a_claim,
            a_container_replaced_after_the_plan_is_refused,
            a_container_renamed_to_the_put_aside_name_is_found_again;
    ]
}

fn a_renamed_container_is_neither_touched_nor_doubled() {
    let host = Host::new("renamed");
    let mut shop = Shop::open(&host);
    let (id, web, other) = (shop.web_id(), shop.web(), shop.name("foo"));
    docker(&["rename", &web, &other]);
    shop.canary.watch_container(&id);
    shop.blocked("renamed");
    shop.owner.lcm(&["plan", &shop.manifest]).exits(4).says(&format!("docker rename {other} {web}"));
    for words in [&["down"][..], &["stop", "web", "-m"], &["restart", "web", "-m"], &["apply", "--prune"]] {
        shop.owner.lcm(&[words, &[shop.manifest.as_str(), "--yes"]].concat());
        shop.canary.assert_untouched();
    }
    let all = docker(&["ps", "--all", "--quiet", "--filter", &format!("label=lcm.project={}", host.name)]);
    assert_eq!(all.lines().count(), 1, "no second one was made");
    docker(&["rename", &other, &web]);
    shop.owner.lcm(&["plan", "--detailed-exitcode", &shop.manifest]).exits(0);
    shop.owner.goes_down(&shop.manifest);
}

fn a_renamed_and_stopped_container_is_neither_removed_nor_doubled() {
    let host = Host::new("renamed-off");
    let mut shop = Shop::open(&host);
    let (id, other) = (shop.web_id(), shop.name("foo"));
    shop.owner.lcm(&["stop", "web", "--yes", "-m", &shop.manifest]).exits(0);
    docker(&["rename", &id, &other]);
    shop.canary.watch_container(&id);
    shop.blocked("renamed");
    shop.owner.lcm(&["down", "--yes", &shop.manifest]);
    shop.canary.assert_untouched();
    docker(&["rm", "--force", &id]);
}

fn a_renamed_container_with_another_under_its_name_is_left_alone() {
    let host = Host::new("renamed-taken");
    let mut shop = Shop::open(&host);
    let (id, web, other) = (shop.web_id(), shop.web(), shop.name("foo"));
    docker(&["rename", &web, &other]);
    shop.canary.watch_container(&id);
    shop.foreign(&["--name", &web, shell::image(), "-c", "sleep 600"]);
    shop.claims(&other);
    shop.blocked("not_ours");
    shop.owner.lcm(&["down", "--yes", &shop.manifest]);
    shop.canary.assert_untouched();
    docker(&["rm", "--force", &id]);
}

fn a_renamed_container_of_a_service_that_is_a_process_now_is_not_doubled() {
    let host = Host::new("renamed-process");
    let mut shop = Shop::open(&host);
    let (id, other) = (shop.web_id(), shop.name("foo"));
    docker(&["rename", &id, &other]);
    shop.canary.watch_container(&id);
    shop.owner.manifest("  web: { process: { command: [\"@SERVER@\", \"--port\", \"0\"] } }");
    shop.blocked("renamed");
    assert_eq!(host.servers(), [], "the process was not started beside it");
    docker(&["rm", "--force", &id]);
}

fn a_renamed_orphan_is_a_claim() {
    let host = Host::new("renamed-orphan");
    let mut shop = Shop::open(&host);
    let (id, other) = (shop.web_id(), shop.name("foo"));
    docker(&["rename", &id, &other]);
    shop.canary.watch_container(&id);
    shop.owner.manifest(&service("other", "sleep 600"));
    shop.claims(&other);
    shop.owner.converges(&shop.manifest);
    shop.owner.lcm(&["apply", "--yes", "--prune", &shop.manifest]).exits(0);
    shop.canary.assert_untouched();
    docker(&["rm", "--force", &id]);
    shop.owner.goes_down(&shop.manifest);
}

/// Between plan and execution, the container under the service's name is replaced by a foreign one.
fn a_container_replaced_after_the_plan_is_refused() {
    let host = Host::new("replaced");
    let mut shop = Shop::open(&host);
    shop.owner.manifest(&service("web", "sleep 601"));
    let saved = shop.owner.path("plan.json").display().to_string();
    shop.owner.lcm(&["plan", "--out", &saved, &shop.manifest]).exits(0);
    docker(&["rm", "--force", &shop.web()]);
    let web = shop.web();
    let id = shop.foreign(&["--name", &web, shell::image(), "-c", "sleep 600"]);
    shop.owner.lcm(&["apply", "--yes", "--plan", &saved, &shop.manifest]).exits(5);
    shop.canary.assert_untouched();
    docker(&["rm", "--force", &id]);
}

/// State after a crash between two renames, or a manual rename: the container is the service's by its labels.
fn a_container_renamed_to_the_put_aside_name_is_found_again() {
    let host = Host::new("renamed-aside");
    let shop = Shop::open(&host);
    let web = shop.web();
    docker(&["rename", &web, &format!("{web}.lcm-old")]);
    shop.goes_on();
}
