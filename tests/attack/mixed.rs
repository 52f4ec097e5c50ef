//! Attacks that cross areas: several tricks at once, or in the middle of a run.

use crate::sandbox::answers;
use crate::support::{AS_ROOT, Attack, Canary, EVE, Host, ROOT, attacks};

pub(crate) fn trials() -> Vec<Attack> {
    attacks![
        AS_ROOT => a_port_that_an_attacker_holds_is_not_freed;
    ]
}

fn a_port_that_an_attacker_holds_is_not_freed() {
    let host = Host::new("mixed");
    let owner = host.user(ROOT);
    let mut canary = Canary::new(&host);
    let port = crate::sandbox::free_port();
    let mut squatter = host.attacker(EVE).program(host.server().to_str().expect("UTF-8"));
    squatter.args(["--port", &port.to_string()]);
    let squatter = host.spawn(squatter);
    canary.watch_process(squatter);
    crate::sandbox::wait_until("the attacker listens", || answers(port));
    let manifest = owner.manifest(&format!(
        "  api: {{ process: {{ command: [\"@SERVER@\", --port, \"{port}\"] }}, health: {{ http: \"http://127.0.0.1:{port}/health\", timeout: 20s }} }}"
    ));
    drop(owner.lcm(&["apply", "--yes", &manifest]).says(&squatter.pid.to_string()));
    canary.assert_untouched();
    squatter.signal("KILL");
    crate::sandbox::wait_until("the port is free", || !answers(port));
    owner.converges(&manifest);
    owner.goes_down(&manifest);
}
