//! Paths that are mounted from the host into a job container, and paths that only the container has.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::job;
use crate::runner::{Given, Runner};
use crate::sandbox::{free_port, run, wait_until};

const RECIPES: &str = include_str!("../../src/cli/topics/recipes.md");

/// A server with a folder of the checkout.
const SERVED: &str = "\
version: 1
name: \"@NAME@\"
services:
  web:
    docker:
      image: \"@IMAGE@\"
      command: [--port, \"8000\"]
      pull_policy: never
      volumes: [\"./conf:/conf:ro\"]
";

pub(crate) fn a_folder_of_the_checkout_is_mounted_from_the_host() {
    let runner = Runner::new(SERVED);
    runner.write("conf/settings", "one");
    runner.lcm(Given::StoreAndLock, &["apply", "--yes"]).exits(0);
    let source = runner.inspect("web", "{{range .Mounts}}{{.Source}}{{end}}");
    assert_eq!(Path::new(&source), runner.sandbox.path("checkout/conf"));
    assert!(!runner.inside().exists(), "the engine made a folder on the host");
    // The host's own lcm sees the same service in the same place.
    runner.on_host(&["plan"]).exits(0).says("Nothing to do");
    runner.lcm(Given::StoreAndLock, &["apply", "--yes"]).exits(0).says("Nothing to do");
}

pub(crate) fn a_folder_of_the_container_is_refused_and_not_made_on_the_host() {
    let runner = Runner::new(&SERVED.replace("./conf", "/builds-of-@NAME@/conf"));
    let own = format!("/builds-of-{}", runner.sandbox.name);
    // The folder exists in the container, like one that a job has created or unpacked.
    let ran = runner.lcm(Given::Options(&["--tmpfs", &format!("{own}/conf")]), &["apply", "--yes"]);
    ran.exits(3).says(&format!("{own}/conf is inside the container that lcm runs in, not on the host"));
    assert!(!Path::new(&own).exists(), "a folder was made on the host");
    assert_eq!(runner.inspect("web", "{{.Id}}"), "", "nothing was created");
}

pub(crate) fn a_lock_of_the_container_is_refused_by_commands_that_change_something() {
    let runner = Runner::new(SERVED);
    runner.write("conf/settings", "one");
    let lock = runner.sandbox.path("lock");
    let option = format!("docker run -v {0}:{0}", lock.display());
    runner.lcm(Given::Checkout, &["apply", "--yes"]).exits(1).says(&option).says("lcm::command::lock");
    runner.lcm(Given::Checkout, &["down", "--yes"]).exits(1).says(&option);
    // Reading needs no lock; lcm warns that the store is not the host's.
    runner.lcm(Given::Checkout, &["plan"]).exits(0).says("1 to start").says("lcm's store is inside the container");
    runner.lcm(Given::Checkout, &["status"]).exits(0);
    assert_eq!(runner.inspect("web", "{{.Id}}"), "");
}

pub(crate) fn two_job_containers_exclude_each_other() {
    let runner = Runner::new(&format!(
        "{SERVED}    hooks: {{ pre_start: {{ exec: \"until test -e go; do sleep 0.05; done\", timeout: 1m }} }}\n"
    ));
    runner.write("conf/settings", "one");
    let first = runner.start(Given::StoreAndLock, &["apply", "--yes"]);
    let lock = runner.sandbox.path("lock/lcm.lock");
    wait_until("the first has the lock", || fs::read_to_string(&lock).is_ok_and(|holder| holder.ends_with('\n')));
    runner.lcm(Given::StoreAndLock, &["apply", "--yes"]).exits(6).says("`lcm apply`").says(&runner.sandbox.name);
    // The host's own lcm finds the same lock held.
    runner.on_host(&["apply", "--yes"]).exits(6).says("`lcm apply`");
    runner.write("go", "");
    first.end().exits(0);
    runner.lcm(Given::StoreAndLock, &["apply", "--yes"]).exits(0).says("Nothing to do");
}

pub(crate) fn a_plan_of_one_container_is_applied_in_another() {
    let runner = Runner::new(SERVED);
    runner.write("conf/settings", "one");
    runner.lcm(Given::StoreAndLock, &["plan", "--out", "plan.json"]).exits(0);
    runner.lcm(Given::StoreAndLock, &["show", "plan.json"]).exits(0);
    runner.lcm(Given::StoreAndLock, &["apply", "--plan", "plan.json"]).exits(0);
    runner.lcm(Given::StoreAndLock, &["apply", "--plan", "plan.json"]).exits(5).says("start:web");

    // And on the host itself: it is one host, independent of the container's name.
    runner.lcm(Given::StoreAndLock, &["down", "--yes"]).exits(0);
    runner.lcm(Given::StoreAndLock, &["plan", "--out", "plan.json"]).exits(0);
    runner.on_host(&["apply", "--plan", "plan.json"]).exits(0);
}

/// Runs the README's lines, with another image and other folders than those that other runs on this machine share.
pub(crate) fn the_recipe_of_the_readme_plans_in_one_container_and_applies_in_another() {
    let port = free_port().to_string();
    let probed = "    health: { http: \"http://localhost:PORT/health\" }\n";
    let served = SERVED.replace("[--port, \"8000\"]", "[--host, 0.0.0.0, --port, \"8000\"]");
    let served = served.replace("      volumes", &format!("      ports: [\"{port}:8000\"]\n      volumes"));
    let runner = Runner::new(&format!("{served}{}", probed.replace("PORT", &port)));
    runner.write("conf/settings", "one");
    let recipe = RECIPES.split("```sh\n").find(|block| block.contains("registry.example/lcm")).expect("a recipe");
    let recipe = recipe.split("```").next().expect("its end");
    let at = |name: &str| runner.sandbox.path(name).display().to_string();
    let own = format!(
        "docker run --rm {} -e LCM_LOCK={}/lcm.lock -e LCM_STATE_DIR={} -e LCM_NVML_LIB=",
        job::mount_lcm().join(" "),
        at("lock"),
        at("state")
    );
    let mut script = format!("set -e\n{recipe}");
    for (written, meant) in [
        ("docker run --rm", own),
        ("/run/lock:/run/lock", format!("{0}:{0}", at("lock"))),
        ("/var/lib/lcm:/var/lib/lcm", format!("{0}:{0}", at("state"))),
        ("/builds/p", runner.inside().display().to_string()),
        ("registry.example/lcm", job::image().to_owned()),
    ] {
        assert!(script.contains(written), "{script}");
        script = script.replace(written, &meant);
    }
    let recipe = || {
        let mut shell = Command::new("bash");
        shell.args(["-c", &script]).current_dir(runner.sandbox.path("checkout")).stdin(Stdio::null());
        run(shell, &script)
    };
    recipe().exits(0).says("1 to start").says("1 started");
    let source = runner.inspect("web", "{{range .Mounts}}{{.Source}}{{end}}");
    assert_eq!(Path::new(&source), runner.sandbox.path("checkout/conf"));
    recipe().exits(0).says("Nothing to do").hides("1 started");
}
