//! Probes, hooks and notifiers that start what should outlive them.

use crate::support::{AS_ROOT, Attack, Host, ROOT, attacks};

pub(crate) fn trials() -> Vec<Attack> {
    attacks![
        AS_ROOT => a_probe_that_runs_out_of_time_is_ended;
    ]
}

fn a_probe_that_runs_out_of_time_is_ended() {
    let host = Host::new("guard");
    let owner = host.user(ROOT);
    let manifest = owner.manifest(
        "  api: { process: { command: [sleep, \"300\"] }, health: { exec: [\"@SERVER@\", --sleeper], probe_timeout: 1s, timeout: 2s } }",
    );
    drop(owner.lcm(&["plan", &manifest]));
    drop(owner.lcm(&["apply", "--yes", &manifest]));
    owner.goes_down(&manifest);
}
