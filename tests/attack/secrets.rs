//! Secrets that services, probes, engines and hooks try to carry into what lcm shows or writes.

use crate::support::{AS_ROOT, Attack, Host, ROOT, attacks};

pub(crate) fn trials() -> Vec<Attack> {
    attacks![
        AS_ROOT => a_secret_of_the_environment_is_in_no_plan;
    ]
}

fn a_secret_of_the_environment_is_in_no_plan() {
    let host = Host::new("secrets");
    let mut owner = host.user(ROOT);
    owner.set("TOK", "s3cr3t-of-the-owner");
    let manifest =
        owner.manifest("  api: { process: { command: [sleep, \"300\"], environment: { TOK: { env: TOK } } } }");
    for format in ["text", "json", "markdown"] {
        owner.lcm(&["plan", "--format", format, &manifest]).exits(0).hides("s3cr3t-of-the-owner");
    }
    owner.converges(&manifest);
    owner.goes_down(&manifest);
}
