//! Labels inherited from an image: `docker commit` copies all labels of a container into the image.

use super::{Shop, service};
use crate::studio::docker;
use crate::support::{Attack, Host, WITH_ENGINE, attacks, shell};

pub(super) fn trials() -> Vec<Attack> {
    attacks![
        WITH_ENGINE =>
            a_commit_that_runs_under_another_name_is_left_alone,
            a_commit_that_was_never_run_is_left_alone,
            a_commit_with_other_labels_is_left_alone,
            a_commit_for_an_orphan_of_its_own_name_is_left_alone,
            a_commit_under_the_services_name_blocks_the_service,
            a_commit_whose_image_is_gone_blocks_the_service,
            a_commit_under_the_put_aside_name_is_not_removed,
            a_commit_of_a_commit_is_left_alone,
            an_adopted_commit_is_started_and_stopped_and_never_removed,
            a_service_whose_own_image_carries_marks_is_still_ours,
            a_commit_in_a_compose_project_is_left_alone;
    ]
}

fn a_commit_that_runs_under_another_name_is_left_alone() {
    let host = Host::new("commit");
    let mut shop = Shop::open(&host);
    let snap = shop.commit(&[]);
    let name = shop.name("experiment");
    shop.owner.goes_down(&shop.manifest);
    shop.foreign(&["--name", &name, &snap]);
    shop.owner.converges(&shop.manifest);
    shop.claims(&name);
    shop.goes_on();
}

fn a_commit_that_was_never_run_is_left_alone() {
    let host = Host::new("commit-created");
    let mut shop = Shop::open(&host);
    let snap = shop.commit(&[]);
    let name = shop.name("created");
    let id = host.create_container(&["--name", &name, &snap]);
    shop.canary.watch_container(&id);
    shop.claims(&name);
    shop.goes_on();
}

/// Labels that name the copy itself: only the salt reveals that they came with the image.
fn a_commit_with_other_labels_is_left_alone() {
    let host = Host::new("commit-labels");
    let mut shop = Shop::open(&host);
    let name = shop.name("experiment");
    let snap =
        shop.commit(&[&format!("LABEL lcm.name={name}"), "LABEL lcm.spec=v1:dead", "LABEL lcm.vram_mib=99999999"]);
    shop.foreign(&["--name", &name, &snap]);
    shop.claims(&name);
    shop.goes_on();
}

fn a_commit_for_an_orphan_of_its_own_name_is_left_alone() {
    let host = Host::new("commit-orphan");
    let mut shop = Shop::open(&host);
    let name = shop.name("ghost");
    let snap = shop.commit(&[&format!("LABEL lcm.name={name}"), "LABEL lcm.service=ghost"]);
    shop.foreign(&["--name", &name, &snap]);
    shop.claims(&name);
    shop.goes_on();
}

fn a_commit_under_the_services_name_blocks_the_service() {
    let host = Host::new("commit-name");
    let mut shop = Shop::open(&host);
    let snap = shop.commit(&[]);
    shop.owner.goes_down(&shop.manifest);
    let name = shop.web();
    let id = host.run_container(&["--name", &name, &snap]);
    shop.canary.watch_container(&id);
    shop.blocked("not_ours");
    shop.owner.lcm(&["down", "--yes", &shop.manifest]);
    shop.canary.assert_untouched();
    docker(&["rename", &id, &shop.name("elsewhere")]);
    shop.owner.converges(&shop.manifest);
    shop.owner.goes_down(&shop.manifest);
    shop.canary.assert_not_executed();
}

/// A deleted image can't be read; the container still has the name that it was created with.
fn a_commit_whose_image_is_gone_blocks_the_service() {
    let host = Host::new("commit-gone");
    let mut shop = Shop::open(&host);
    let snap = shop.commit(&[]);
    shop.owner.goes_down(&shop.manifest);
    let id = host.create_container(&["--name", &shop.web(), &snap]);
    docker(&["rmi", "--force", &docker(&["inspect", "--format", "{{.Image}}", &id])]);
    shop.canary.watch_container(&id);
    shop.blocked("not_ours");
    docker(&["rm", &id]);
}

/// The name is needed to set the old container aside: an existing container of that name is not removed for it.
fn a_commit_under_the_put_aside_name_is_not_removed() {
    let host = Host::new("commit-aside");
    let mut shop = Shop::open(&host);
    let snap = shop.commit(&[]);
    let id = host.create_container(&["--name", &format!("{}.lcm-old", shop.web()), &snap]);
    shop.canary.watch_container(&id);
    shop.owner.converges(&shop.manifest);
    shop.canary.assert_untouched();
    let before = shop.web_id();
    shop.owner.manifest(&service("web", "sleep 601"));
    shop.owner.lcm(&["apply", "--yes", &shop.manifest]).exits(3).says(".lcm-old");
    assert_eq!(shop.web_id(), before, "the old one stays where the new one can't come up");
    shop.canary.assert_untouched();
    docker(&["rename", &id, &shop.name("elsewhere")]);
    shop.owner.converges(&shop.manifest);
    assert_ne!(shop.web_id(), before);
    shop.owner.goes_down(&shop.manifest);
}

fn a_commit_of_a_commit_is_left_alone() {
    let host = Host::new("commit-twice");
    let mut shop = Shop::open(&host);
    let snap = shop.commit(&[]);
    let first = shop.name("first");
    let id = shop.foreign(&["--name", &first, &snap]);
    let again = format!("{}:again", host.name);
    docker(&["commit", &id, &again]);
    shop.images.insert(0, again.clone());
    let second = shop.name("second");
    shop.foreign(&["--name", &second, &again]);
    shop.claims(&first);
    shop.claims(&second);
    shop.goes_on();
}

fn an_adopted_commit_is_started_and_stopped_and_never_removed() {
    let host = Host::new("commit-adopted");
    let mut shop = Shop::open(&host);
    let snap = shop.commit(&["LABEL lcm.project=elsewhere"]);
    shop.owner.goes_down(&shop.manifest);
    let name = shop.name("theirs");
    let id = host.create_container(&["--name", &name, &snap]);
    shop.owner.manifest(&format!("  theirs: {{ docker: {{ container: {name} }}, stop: {{ grace: 1s }} }}"));
    shop.owner.converges(&shop.manifest);
    assert_eq!(docker(&["inspect", "--format", "{{.State.Status}}", &id]), "running");
    shop.owner.lcm(&["down", "--yes", &shop.manifest]).exits(0);
    assert_eq!(docker(&["inspect", "--format", "{{.State.Status}}", &id]), "exited");
    shop.canary.assert_untouched();
}

/// A service may run from an image committed from itself: the image's labels prove nothing, the container's own do.
fn a_service_whose_own_image_carries_marks_is_still_ours() {
    let host = Host::new("commit-image");
    let mut shop = Shop::open(&host);
    let snap = shop.commit(&[]);
    let services = service("web", "sleep 600").replace(shell::image(), &snap);
    shop.owner.manifest(&services);
    shop.owner.converges(&shop.manifest);
    assert_eq!(docker(&["inspect", "--format", "{{.Config.Image}}", &shop.web()]), snap);
    shop.goes_on();
}

fn a_commit_in_a_compose_project_is_left_alone() {
    let host = Host::new("commit-compose");
    let mut shop = Shop::open(&host);
    let snap = shop.commit(&[]);
    let name = shop.name("stack-web-1");
    let labels = ["--label", "com.docker.compose.project=stack", "--label", "com.docker.compose.service=web"];
    shop.foreign(&[&["--name", &name][..], &labels, &[&snap]].concat());
    shop.claims(&name);
    shop.goes_on();
}
