//! Two users and root on one machine, with access to one engine and one GPU.

use crate::support::{AS_ROOT, Attack, Host, KIM, LEE, attacks};

pub(crate) fn trials() -> Vec<Attack> {
    attacks![
        AS_ROOT => two_projects_of_two_users_live_side_by_side;
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
