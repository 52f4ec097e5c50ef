//! States beyond running or not: containers that a stop would remove, crash loops, a log that its service reopens,
//! networks of other containers, ports on several addresses.

use crate::sandbox::{Sandbox, free_port, wait_until};
use crate::{Undo, docker, image, steps};

/// Writes a manifest of these services, which is taken down at the end.
fn yard(what: &str, services: &str) -> (Sandbox, String) {
    let mut sandbox = Sandbox::new(what);
    let manifest = sandbox.write("lcm.yaml", &format!("version: 1\nname: @NAME@\nservices:\n{services}"));
    sandbox.take_down(&manifest);
    let manifest = manifest.display().to_string();
    (sandbox, manifest)
}

fn own(name: &str, more: &str) -> String {
    format!(
        "  {name}: {{ docker: {{ image: \"{}\", pull_policy: never, gpu_access: none{more} }}, stop: {{ grace: 1s }} }}\n",
        image::model_server()
    )
}

pub(crate) fn a_container_that_a_stop_would_remove_is_not_stopped() {
    let (sandbox, manifest) = yard("rm", "  r2: { docker: { container: @NAME@-r2 } }\n");
    let name = format!("{}-r2", sandbox.name);
    let words = ["run", "--detach", "--rm", "--name", &name, "--volume", "/anonymous", image::model_server()];
    let id = docker(&words).expect("a container");
    let _undo = Undo::later(&["rm", "--force", "--volumes", &id]);
    let refused = sandbox.lcm(&["down", "--yes", &manifest]);
    assert_eq!(refused.code, 4, "{refused}");
    let refused = refused.says("--rm").says("auto_remove: accept");
    assert_eq!(docker(&["inspect", "--format", "{{.State.Running}}", &id]).as_deref(), Ok("true"), "{refused}");
    sandbox.lcm(&["stop", "r2", "--yes", "-m", &manifest]).says("--rm");
    assert_eq!(docker(&["inspect", "--format", "{{.State.Running}}", &id]).as_deref(), Ok("true"));
    sandbox.lcm(&["terminate", "r2", "-m", &manifest]).exits(1).says("--rm").says("auto_remove: accept");
    assert_eq!(docker(&["inspect", "--format", "{{.State.Running}}", &id]).as_deref(), Ok("true"));
    sandbox.write(
        "lcm.yaml",
        "version: 1\nname: @NAME@\nservices:\n  r2: { docker: { container: @NAME@-r2, auto_remove: accept } }\n",
    );
    // Nothing would start it again.
    sandbox.lcm(&["restart", "r2", "--yes", "-m", &manifest]).exits(4).says("it can't be restarted");
    assert_eq!(docker(&["inspect", "--format", "{{.State.Running}}", &id]).as_deref(), Ok("true"));
    sandbox.lcm(&["down", "--yes", &manifest]).exits(0);
    docker(&["inspect", &id]).expect_err("the engine has removed it");
}

pub(crate) fn a_crash_loop_under_the_engines_restart_policy_is_an_error() {
    let (sandbox, manifest) = yard("loop", "  looping: { docker: { container: @NAME@-looping } }\n");
    let name = format!("{}-looping", sandbox.name);
    let words =
        ["run", "--detach", "--restart", "always", "--name", &name, image::model_server(), "--die-after", "0ms"];
    let id = docker(&words).expect("a container");
    let _undo = Undo::later(&["rm", "--force", &id]);
    wait_until("the engine has brought it back three times", || {
        let count = docker(&["inspect", "--format", "{{.RestartCount}}", &id]).unwrap_or_default();
        count.parse::<u32>().is_ok_and(|count| count >= 3)
    });
    let status = sandbox.lcm(&["status", &manifest, "--format", "json"]).json();
    assert_eq!(status["services"][0]["state"], "error", "{status:#}");
    let reason = status["services"][0]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("restart policy (always) has restarted it"), "{reason}");
}

pub(crate) fn a_process_that_reopens_its_standard_error_keeps_its_log() {
    let line = "echo first; echo second > /dev/stderr; echo third >> /dev/stdout; exec \\\"$$0\\\" --port 0";
    let services = format!(
        "  talks: {{ process: {{ command: [sh, -c, \"{line}\", \"@SERVER@\"] }}, health: {{ log: listening }} }}\n"
    );
    let (sandbox, manifest) = yard("stderr", &services);
    sandbox.lcm(&["apply", "--yes", &manifest]).exits(0);
    sandbox.lcm(&["logs", "talks", "-m", &manifest]).exits(0).says("first").says("second").says("third");
}

pub(crate) fn a_pattern_that_never_matched_fails_even_if_the_log_has_lost_its_beginning() {
    let flood = "--flood-log, \"2000000\"";
    let health = "health: { log: \"server is ready\", timeout: 2s, warm_time: 0s }";
    let services = format!(
        "  bare: {{ process: {{ command: [\"@SERVER@\", --port, \"0\", {flood}], log: {{ max_size: 64KiB, files: 1 }} }}, \
         {health} }}\n  boxed: {{ docker: {{ image: \"{}\", pull_policy: never, gpu_access: none, command: [--host, \
         0.0.0.0, {flood}] }}, stop: {{ grace: 1s }}, {health} }}\n",
        image::model_server()
    );
    let (sandbox, manifest) = yard("flood", &services);
    let failed = sandbox.lcm(&["apply", "--yes", &manifest]).exits(3);
    let failed = failed.says("bare failed").says("boxed failed");
    assert!(failed.stdout.contains("server is ready"), "{failed}");
}

pub(crate) fn a_service_in_the_network_of_another_is_recreated_with_it() {
    let guest = ", networks: [\"container:@NAME@-base\"], command: [--host, 0.0.0.0, --port, \"8001\"]";
    let services = format!("{}{}", own("base", ", command: [--host, 0.0.0.0]"), own("guest", guest));
    let (sandbox, manifest) = yard("guest", &services);
    sandbox.lcm(&["apply", "--yes", &manifest]).exits(0);
    let id = |service: &str| docker(&["inspect", "--format", "{{.Id}}", &format!("{}-{service}", sandbox.name)]);
    let before = id("guest").expect("a container");
    docker(&["rm", "--force", &id("base").expect("a container")]).expect("removed");
    sandbox.lcm(&["apply", "--yes", &manifest]).exits(0);
    let plan = sandbox.lcm(&["plan", &manifest, "--format", "json"]).json();
    assert_eq!(steps(&plan), [""; 0], "{plan:#}");
    assert_ne!(id("guest").expect("a container"), before, "its network is the new one's");
    let shares = docker(&["inspect", "--format", "{{.HostConfig.NetworkMode}}", &id("guest").expect("a container")]);
    assert_eq!(shares.as_deref(), Ok(&*format!("container:{}", id("base").expect("a container"))));
}

pub(crate) fn containers_on_two_addresses_share_a_port_number() {
    let port = free_port();
    let on = |address: &str| format!(", ports: [\"{address}:{port}:8000\"], command: [--host, 0.0.0.0]");
    let services = format!("{}{}", own("one", &on("127.0.0.1")), own("two", &on("127.0.0.9")));
    let (sandbox, manifest) = yard("addresses", &services);
    sandbox.lcm(&["apply", "--yes", &manifest]).exits(0);
    let plan = sandbox.lcm(&["plan", &manifest, "--format", "json"]).json();
    assert_eq!(steps(&plan), [""; 0]);
}

pub(crate) fn networks_of_the_manifest_come_and_go_with_its_services() {
    let services = own("web", ", networks: { front: { aliases: [api] } }");
    let (sandbox, manifest) = yard("nets", &format!("{services}networks:\n  front: {{ internal: true }}\n"));
    let network = format!("{}_front", sandbox.name);
    let _undo = Undo::later(&["network", "rm", &network]);
    sandbox.lcm(&["plan", &manifest]).exits(0).says(&format!("network {network}")).says("1 network to create");
    sandbox.lcm(&["apply", "--yes", &manifest]).exits(0);
    let internal = docker(&["network", "inspect", "--format", "{{.Internal}}", &network]);
    assert_eq!(internal.as_deref(), Ok("true"));
    sandbox.lcm(&["plan", "--detailed-exitcode", &manifest]).exits(0).says("Nothing to do");

    // Further names change the running container.
    let container = docker(&["inspect", "--format", "{{.Id}}", &format!("{}-web", sandbox.name)]);
    sandbox.write(
        "lcm.yaml",
        &format!(
            "version: 1\nname: @NAME@\nservices:\n{}networks:\n  front: {{ internal: true }}\n",
            own("web", ", networks: { front: { aliases: [api, edge] } }")
        ),
    );
    sandbox.lcm(&["apply", "--yes", &manifest]).exits(0);
    assert_eq!(docker(&["inspect", "--format", "{{.Id}}", &format!("{}-web", sandbox.name)]), container);
    let joined =
        docker(&["inspect", "--format", "{{json .NetworkSettings.Networks}}", &format!("{}-web", sandbox.name)]);
    assert!(joined.as_ref().is_ok_and(|joined| joined.contains("\"edge\"")), "{joined:?}");
    sandbox.lcm(&["plan", "--detailed-exitcode", &manifest]).exits(0);

    // Another client's container keeps the network in use.
    let guest = docker(&["create", "--network", &network, image::model_server()]).expect("a guest");
    let undo = Undo::later(&["rm", "--force", &guest]);
    sandbox.lcm(&["down", "--yes", &manifest]).exits(0).says("it stays");
    assert!(docker(&["network", "inspect", &network]).is_ok());
    drop(undo);
    sandbox.lcm(&["down", "--yes", &manifest]).exits(0).says("1 network to remove");
    docker(&["network", "inspect", &network]).expect_err("it is removed");
    sandbox.lcm(&["down", "--yes", &manifest]).exits(0).says("Nothing to do");
}
