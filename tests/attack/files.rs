//! Files, folders and links that another user planted.

use std::os::unix::fs::symlink;

use crate::support::{AS_ROOT, Attack, Canary, EVE, Host, ROOT, attacks};

pub(crate) fn trials() -> Vec<Attack> {
    attacks![
        AS_ROOT => a_lock_that_is_a_planted_link_is_refused;
    ]
}

fn a_lock_that_is_a_planted_link_is_refused() {
    let host = Host::new("files");
    let owner = host.user(ROOT);
    let canary = Canary::new(&host);
    let _eve = host.attacker(EVE);
    symlink(canary.file_of(ROOT), host.lock()).expect("a link");
    let manifest = owner.manifest("  api: { process: { command: [sleep, \"300\"] } }");
    owner.lcm(&["apply", "--yes", &manifest]).exits(1);
    canary.assert_untouched();
    std::fs::remove_file(host.lock()).expect("the link");
    owner.converges(&manifest);
    owner.goes_down(&manifest);
    canary.assert_untouched();
}
