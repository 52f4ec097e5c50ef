//! Options of containers from the manifest to the engine: applied once, then nothing is left to do; limits follow the
//! manifest while the container runs, and any other difference recreates it.

use crate::sandbox::Sandbox;
use crate::{docker, image, steps};

const OPTIONS: &str = r#"      hostname: web.lan
      extra_hosts: { db: 10.0.0.7, out: host-gateway }
      dns: [10.0.0.2, 10.0.0.1]
      working_dir: /srv/app
      init: true
      tmpfs: [/run, "/tmp:size=64k,mode=1777"]
      cap_add: [SYS_NICE, cap_net_admin]
      cap_drop: [ALL]
      security_opt: ["no-new-privileges:true", "seccomp:unconfined"]
      group_add: [44]
      mem_limit: 64MiB
      cpus: 0.5
      logging: { driver: local, options: { max-size: 1m } }
      x-note: skipped
"#;

fn write(sandbox: &Sandbox, options: &str) -> String {
    let text = format!(
        "version: 1\nname: @NAME@\nx-note: skipped\nservices:\n  web:\n    docker:\n      image: \"{}\"\n      pull_policy: \
         never\n      gpu_access: none\n{options}    stop: {{ grace: 1s }}\n",
        image::model_server()
    );
    sandbox.write("lcm.yaml", &text).display().to_string()
}

pub(crate) fn options_are_applied_once_and_limits_follow_while_it_runs() {
    let mut sandbox = Sandbox::new("options");
    let manifest = write(&sandbox, OPTIONS);
    sandbox.take_down(&manifest);
    let plan = || sandbox.lcm(&["plan", &manifest, "--format", "json"]).json();
    let apply = || drop(sandbox.lcm(&["apply", "--yes", &manifest]).exits(0));
    let name = format!("{}-web", sandbox.name);
    let inspected =
        |field: &str| docker(&["inspect", "--format", &format!("{{{{{field}}}}}"), &name]).expect("a container");
    apply();
    assert_eq!(steps(&plan()), [""; 0]);
    assert_eq!(inspected(".Config.Hostname"), "web.lan");
    assert_eq!(inspected("index .Config.Labels \"lcm.compared\""), "1", "each option is compared");
    let id = inspected(".Id");
    apply();
    assert_eq!(inspected(".Id"), id, "a second apply changes nothing");

    write(&sandbox, &OPTIONS.replace("64MiB", "128MiB").replace("cpus: 0.5", "cpus: 0.25"));
    let changed = plan();
    assert_eq!(steps(&changed), ["update:web"], "{changed:#}");
    sandbox.lcm(&["plan", &manifest]).says("+limit Memory: 134217728");
    apply();
    assert_eq!((inspected(".Id"), inspected(".HostConfig.Memory")), (id.clone(), (128 << 20).to_string()));
    docker(&["update", "--cpus", "0.1", &name]).expect("changed by hand");
    assert_eq!(steps(&plan()), ["update:web"]);
    apply();
    assert_eq!((inspected(".Id"), inspected(".HostConfig.NanoCpus")), (id.clone(), "250000000".to_owned()));
    assert_eq!(steps(&plan()), [""; 0]);

    // Without the limits, and with more rights.
    let without = OPTIONS.replace("      mem_limit: 64MiB\n", "").replace("cpus: 0.5", "privileged: false");
    write(&sandbox, &without.replace("[SYS_NICE, cap_net_admin]", "[SYS_NICE, NET_ADMIN, NET_RAW]"));
    let changed = plan();
    assert_eq!(steps(&changed), ["stop:web", "start:web"], "{changed:#}");
    sandbox.lcm(&["plan", &manifest]).says("NET_RAW");
    apply();
    assert_ne!(inspected(".Id"), id);
    assert_eq!(inspected(".HostConfig.Memory"), "0");
    assert_eq!(steps(&plan()), [""; 0]);
}
