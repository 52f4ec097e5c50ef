//! Containers whose labels, names or images another client of the engine forged.

use crate::support::{Attack, Canary, Host, ROOT, WITH_ENGINE, attacks, shell};

pub(crate) fn trials() -> Vec<Attack> {
    attacks![
        WITH_ENGINE => a_container_without_any_label_is_left_alone;
    ]
}

fn a_container_without_any_label_is_left_alone() {
    let host = Host::new("containers");
    let owner = host.user(ROOT);
    let mut canary = Canary::new(&host);
    let name = format!("{}-bystander", host.name);
    canary.watch_container(&host.run_container(&["--name", &name, shell::image(), "-c", "sleep 600"]));
    let services = format!(
        "  web: {{ docker: {{ image: \"{}\", pull_policy: never, gpu_access: none, command: [-c, \"sleep 600\"] }}, stop: {{ grace: 1s }} }}",
        shell::image()
    );
    let manifest = owner.manifest(&services);
    owner.converges(&manifest);
    owner.goes_down(&manifest);
    canary.assert_untouched();
}
