//! Manifests and scripts that another user can write: the search in parent folders skips them, and root is warned.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown, lchown, symlink};
use std::path::Path;

use crate::sandbox::{Ran, run};
use crate::support::{AS_ROOT, Attack, Canary, EVE, Host, KIM, ROOT, User, attacks};

pub(crate) fn trials() -> Vec<Attack> {
    attacks![
        AS_ROOT =>
            the_search_upward_takes_no_other_users_file,
            the_search_upward_takes_no_file_from_a_folder_that_all_can_write,
            the_search_upward_takes_the_callers_own,
            root_is_warned_of_what_another_user_can_write;
    ]
}

fn planned_in(owner: &User<'_>, folder: &Path) -> Ran {
    let mut command = owner.command(&["plan"]);
    command.current_dir(folder);
    run(command, "lcm plan in a folder below")
}

fn manifest(host: &Host, text: &str) -> String {
    format!("version: 1\nname: {}\nservices:\n  api: {{ process: {{ command: [sh, -c, {text:?}] }} }}\n", host.name)
}

fn the_search_upward_takes_no_other_users_file() {
    for uid in [ROOT, KIM] {
        let host = Host::new("upward");
        let owner = host.user(uid);
        let canary = Canary::new(&host);
        let top = host.folder_of(EVE, "top", 0o755);
        let deep = host.folder_of(uid, "top/deep", 0o755);
        fs::write(top.join("lcm.yaml"), manifest(&host, &host.payload("upward"))).expect("a file");
        chown(top.join("lcm.yaml"), Some(EVE), Some(EVE)).expect("its owner");
        let ran = planned_in(&owner, &deep);
        assert_eq!(ran.code, 1, "{ran}");
        let said = format!("{}{}", ran.stdout, ran.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains("is skipped"), "{ran}");
        canary.assert_untouched();
    }
}

fn the_search_upward_takes_no_file_from_a_folder_that_all_can_write() {
    let host = Host::new("upward");
    let owner = host.user(KIM);
    let canary = Canary::new(&host);
    let top = host.folder_of(ROOT, "top", 0o1777);
    let deep = host.folder_of(KIM, "top/deep", 0o755);
    fs::write(host.path("evil.yaml"), manifest(&host, &host.payload("upward"))).expect("a file");
    for plant in [0, 1] {
        let file = top.join("lcm.yaml");
        if plant == 0 {
            symlink(host.path("evil.yaml"), &file).expect("a link");
            lchown(&file, Some(EVE), Some(EVE)).expect("its owner");
        } else {
            fs::write(&file, manifest(&host, &host.payload("upward"))).expect("a file");
            chown(&file, Some(EVE), Some(EVE)).expect("its owner");
        }
        assert_eq!(planned_in(&owner, &deep).code, 1);
        fs::remove_file(&file).expect("it");
    }
    canary.assert_untouched();
}

fn the_search_upward_takes_the_callers_own() {
    let host = Host::new("upward");
    let owner = host.user(KIM);
    let text = manifest(&host, "sleep 300");
    owner.write("checkout/lcm.yaml", &text);
    let deep = host.folder_of(KIM, &format!("home/{KIM}/checkout/a/b"), 0o755);
    let ran = planned_in(&owner, &deep).exits(0);
    assert!(ran.stdout.contains("api"), "{ran}");
}

fn root_is_warned_of_what_another_user_can_write() {
    let host = Host::new("writable");
    let root = host.user(ROOT);
    let kim = host.user(KIM);
    let script = root.write("run.sh", "#!/bin/sh\nexec sleep 300\n");
    fs::set_permissions(&script, Permissions::from_mode(0o777)).expect("its mode");
    root.write("all.env", "A=1\n");
    chown(root.path("all.env"), Some(KIM), Some(KIM)).expect("its owner");
    let part = kim.write("part.yaml", "services: {}\n");
    let manifest = root.manifest("  api: { process: { command: [./run.sh], env_file: all.env } }");
    let text = fs::read_to_string(&manifest).expect("it");
    fs::write(&manifest, format!("include: {}\n{text}", part.display())).expect("it");
    let ran = root.lcm(&["apply", "--yes", &manifest]).exits(0);
    let said = ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    for path in ["run.sh", "all.env", "home/61001"] {
        assert!(said.contains(path), "no warning of {path}\n{ran}");
    }
    assert!(said.contains("mode 0777") && said.contains("uid 61001"), "{ran}");
    root.goes_down(&manifest);
}
