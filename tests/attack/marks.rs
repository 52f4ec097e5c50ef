//! Marks that another user forged in the environment of a process.

use crate::support::{AS_ROOT, Attack, Canary, EVE, Host, ROOT, attacks};

pub(crate) fn trials() -> Vec<Attack> {
    attacks![
        AS_ROOT => marks_of_a_project_that_is_not_ours_are_left_alone;
    ]
}

fn marks_of_a_project_that_is_not_ours_are_left_alone() {
    let host = Host::new("marks");
    let owner = host.user(ROOT);
    let mut canary = Canary::new(&host);
    let config = format!(r#"{{"stop":{{"exec":["/bin/sh","-c","{}"]}}}}"#, host.payload("stop"));
    canary.watch_process(
        host.attacker(EVE).forge("ghost", &[("LCM_PROJECT", &format!("{}-other", host.name)), ("LCM_CONFIG", &config)]),
    );
    let manifest = owner.manifest("  api: { process: { command: [sleep, \"300\"] } }");
    owner.converges(&manifest);
    canary.assert_untouched();
    owner.goes_down(&manifest);
    canary.assert_untouched();
}
