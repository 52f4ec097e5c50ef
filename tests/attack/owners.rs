//! Projects, locks and reservations that another user claims.

use crate::support::{AS_ROOT, Attack, Canary, EVE, Host, KIM, attacks};

pub(crate) fn trials() -> Vec<Attack> {
    attacks![
        AS_ROOT => a_user_without_rights_cannot_end_another_users_service;
    ]
}

fn a_user_without_rights_cannot_end_another_users_service() {
    let host = Host::new("owners");
    let (kim, eve) = (host.user(KIM), host.user(EVE));
    let canary = Canary::new(&host);
    let services = "  api: { process: { command: [\"@SERVER@\", --port, \"0\"] }, stop: { grace: 2s } }";
    let manifest = kim.manifest(services);
    kim.converges(&manifest);
    let before = host.servers();
    let theirs = eve.manifest(services);
    drop(eve.lcm(&["down", "--yes", &theirs]));
    assert_eq!(host.servers(), before, "the service is not hers");
    kim.goes_down(&manifest);
    canary.assert_untouched();
}
