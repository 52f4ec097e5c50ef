//! Labels written by hand: copied from the service's container, or made up. A client of the engine is root anyway; these
//! trials assert that no foreign container is mistaken for ours, and that the effect of each text and number in a label
//! is bounded.

use super::Shop;
use crate::studio::docker;
use crate::support::{Attack, Host, WITH_ENGINE, attacks, shell};

pub(super) fn trials() -> Vec<Attack> {
    attacks![
        WITH_ENGINE =>
            made_up_labels_under_another_name_block_nothing,
            made_up_labels_with_every_field_under_another_name_block_nothing,
            all_labels_copied_to_another_name_are_a_claim,
            all_labels_copied_to_the_put_aside_name_are_a_claim,
            a_command_in_a_label_is_never_run,
            endless_numbers_in_labels_are_bounded,
            escape_sequences_in_labels_reach_no_output,
            another_users_label_on_a_claim_changes_nothing,
            labels_of_another_project_are_never_touched,
            a_label_set_without_a_service_is_a_claim;
    ]
}

/// Returns arguments for `docker run`: a label for each pair.
fn labels(pairs: &[(&str, &str)]) -> Vec<String> {
    pairs.iter().flat_map(|(name, value)| ["--label".to_owned(), format!("lcm.{name}={value}")]).collect()
}

/// Runs a sleeping shell with these labels.
fn labelled(shop: &mut Shop<'_>, name: &str, labels: &[String]) -> String {
    let words: Vec<&str> = labels.iter().map(String::as_str).collect();
    shop.foreign(&[&["--name", name][..], &words, &[shell::image(), "-c", "sleep 600"]].concat())
}

fn made_up_labels_under_another_name_block_nothing() {
    let host = Host::new("made-up");
    let mut shop = Shop::open(&host);
    let name = shop.name("experiment");
    labelled(&mut shop, &name, &labels(&[("project", &host.name), ("service", "web"), ("salt", "x")]));
    shop.claims(&name);
    shop.goes_on();
}

/// While the service's own container exists, no container under another name can be it.
fn made_up_labels_with_every_field_under_another_name_block_nothing() {
    let host = Host::new("made-up-full");
    let mut shop = Shop::open(&host);
    let (name, web) = (shop.name("experiment"), shop.web());
    let set = [
        ("project", host.name.as_str()),
        ("service", "web"),
        ("salt", "00112233445566778899aabbccddeeff"),
        ("spec", "v1:0123456789abcdef"),
        ("config", "{}"),
        ("name", &web),
    ];
    labelled(&mut shop, &name, &labels(&set));
    shop.claims(&name);
    shop.owner.converges(&shop.manifest);
    shop.canary.assert_untouched();
    without_the_original(&shop);
}

/// Once the service's own container is gone, a full copy can't be distinguished from a renamed container: it is not
/// touched, and no second one is created.
fn without_the_original(shop: &Shop<'_>) {
    shop.owner.lcm(&["down", "--yes", &shop.manifest]);
    let all = docker(&["ps", "--all", "--format", "{{.Names}}"]);
    assert!(!all.lines().any(|name| name == shop.web()), "the service's own container is removed: {all}");
    shop.blocked("renamed");
}

fn all_labels_copied_to_another_name_are_a_claim() {
    let host = Host::new("copied");
    let mut shop = Shop::open(&host);
    let (name, copied) = (shop.name("copy"), shop.labels());
    labelled(&mut shop, &name, &copied);
    shop.claims(&name);
    shop.owner.converges(&shop.manifest);
    shop.owner.lcm(&["apply", "--yes", "--prune", &shop.manifest]).exits(0);
    shop.canary.assert_untouched();
    without_the_original(&shop);
}

fn all_labels_copied_to_the_put_aside_name_are_a_claim() {
    let host = Host::new("copied-aside");
    let mut shop = Shop::open(&host);
    let (name, copied) = (format!("{}.lcm-old", shop.web()), shop.labels());
    labelled(&mut shop, &name, &copied);
    shop.claims(&name);
    shop.owner.converges(&shop.manifest);
    shop.owner.lcm(&["apply", "--yes", "--prune", &shop.manifest]).exits(0);
    shop.canary.assert_untouched();
}

/// An orphan by all its labels, created by a client of the engine, is stopped, but by a signal.
fn a_command_in_a_label_is_never_run() {
    let host = Host::new("label-exec");
    let shop = Shop::open(&host);
    let name = shop.name("ghost");
    let config = r#"{"stop":{"exec":["/bin/sh","-c","id >/proofs/label"],"grace_ms":1000}}"#;
    let set = labels(&[
        ("project", &host.name),
        ("service", "ghost"),
        ("salt", "00112233445566778899aabbccddeeff"),
        ("spec", "v1:0123456789abcdef"),
        ("config", config),
        ("name", &name),
    ]);
    let proofs = format!("{}:/proofs", host.path("proofs").display());
    let words: Vec<&str> = set.iter().map(String::as_str).collect();
    let run = ["--volume", &proofs, shell::image(), "-c", "trap 'exit 0' TERM; sleep 600 & wait"];
    let id = host.run_container(&[&["--name", &name][..], &words, &run].concat());
    let plan = shop.plan();
    let orphan = plan.json()["orphans"][0].clone();
    assert_eq!(orphan["instance"]["id"], id.as_str(), "{plan}");
    assert_eq!(orphan["instance"]["name"], name.as_str(), "{plan}");
    shop.owner.goes_down(&shop.manifest);
    shop.canary.assert_untouched();
}

fn endless_numbers_in_labels_are_bounded() {
    let host = Host::new("label-numbers");
    let mut shop = Shop::open(&host);
    let name = shop.name("experiment");
    let config = r#"{"stop":{"grace_ms":18446744073709551615},"ports":[1,99999,18446744073709551615,-1,"x"]}"#;
    labelled(
        &mut shop,
        &name,
        &labels(&[
            ("project", &host.name),
            ("service", "web"),
            ("salt", "x"),
            ("vram_mib", "18446744073709551615"),
            ("uid", "99999999999999999999"),
            ("gpus", &"GPU-0,".repeat(10_000)),
            ("config", config),
        ]),
    );
    shop.claims(&name);
    shop.goes_on();
}

fn escape_sequences_in_labels_reach_no_output() {
    let host = Host::new("label-escape");
    let mut shop = Shop::open(&host);
    let name = shop.name("experiment");
    let hostile = "web\u{1b}]0;owned\u{7}\u{1b}[2J\n+ start forged";
    labelled(&mut shop, &name, &labels(&[("project", &host.name), ("service", hostile), ("name", hostile)]));
    for words in [
        &["plan"][..],
        &["plan", "--format", "markdown"],
        &["plan", "--format", "html"],
        &["status"],
        &["status", "--format", "prometheus"],
    ] {
        let ran = shop.owner.lcm(&[words, &[shop.manifest.as_str()]].concat());
        let text = format!("{ran}");
        assert!(!text.contains('\u{1b}') && !text.contains('\u{7}'), "{words:?}: {text:?}");
        assert!(!text.lines().any(|line| line.trim_start().starts_with("+ start forged")), "{text}");
    }
    shop.goes_on();
}

fn another_users_label_on_a_claim_changes_nothing() {
    let host = Host::new("label-uid");
    let mut shop = Shop::open(&host);
    let name = shop.name("experiment");
    labelled(
        &mut shop,
        &name,
        &labels(&[("project", &host.name), ("service", "web"), ("uid", "61002"), ("salt", "x")]),
    );
    shop.claims(&name);
    shop.goes_on();
}

fn labels_of_another_project_are_never_touched() {
    let host = Host::new("label-other");
    let mut shop = Shop::open(&host);
    let name = shop.name("web2");
    let project = format!("{}-elsewhere", host.name);
    labelled(&mut shop, &name, &labels(&[("project", &project), ("service", "web"), ("salt", "x"), ("name", &name)]));
    shop.goes_on();
}

fn a_label_set_without_a_service_is_a_claim() {
    let host = Host::new("label-bare");
    let mut shop = Shop::open(&host);
    let name = shop.name("bare");
    labelled(&mut shop, &name, &labels(&[("project", &host.name)]));
    shop.claims(&name);
    shop.goes_on();
}
