//! Options of containers on a real engine: each has its effect, reads back as it was given, and is compared; limits are
//! changed while the container runs.

use std::fs;
use std::path::Path;

use lcm::model::desired::Service;
use lcm::model::instance::Instance;
use lcm::runtime::docker::options::{ContainerOptions, Logging};
use lcm::runtime::docker::settings::Difference;

use crate::bench::{Bench, SERVE, docker, id, inspected, own};
use crate::settings::differences;

/// Change of one option, the field of an inspection that shows it, what is there, and the differences of a container
/// without it.
type Case = (fn(&mut ContainerOptions), &'static str, &'static str, &'static str);

const CASES: &[Case] = &[
    (|options| options.hostname = Some("web.lan".to_owned()), ".Config.Hostname", "\"web.lan\"", "+hostname: web.lan"),
    (
        |options| options.extra_hosts = words(&["db:10.0.0.7", "out:host-gateway", "v6:::1"]),
        ".HostConfig.ExtraHosts",
        r#"["db:10.0.0.7","out:host-gateway","v6:::1"]"#,
        "+extra_hosts: db:10.0.0.7, out:host-gateway, v6:::1",
    ),
    (
        |options| options.dns = words(&["10.0.0.2", "10.0.0.1"]),
        ".HostConfig.Dns",
        r#"["10.0.0.2","10.0.0.1"]"#,
        "+dns: 10.0.0.2, 10.0.0.1",
    ),
    (
        |options| options.working_dir = Some("/srv/app".to_owned()),
        ".Config.WorkingDir",
        "\"/srv/app\"",
        "+working_dir: /srv/app",
    ),
    (|options| options.init = Some(true), ".HostConfig.Init", "true", "+init: true"),
    (
        |options| {
            options.tmpfs = [("/run", ""), ("/tmp", "size=64k,mode=1777")]
                .map(|(path, options)| (path.to_owned(), options.to_owned()))
                .into();
        },
        ".HostConfig.Tmpfs",
        r#"{"/run":"","/tmp":"size=64k,mode=1777"}"#,
        "+tmpfs: /run, /tmp:size=64k,mode=1777",
    ),
    (
        |options| options.cap_add = words(&["NET_ADMIN", "SYS_NICE"]).into_iter().collect(),
        ".HostConfig.CapAdd",
        r#"["NET_ADMIN","SYS_NICE"]"#,
        "+cap_add: NET_ADMIN, SYS_NICE",
    ),
    (
        |options| options.cap_drop = words(&["ALL"]).into_iter().collect(),
        ".HostConfig.CapDrop",
        r#"["ALL"]"#,
        "+cap_drop: ALL",
    ),
    (
        |options| options.security_opt = words(&["no-new-privileges", "seccomp=unconfined"]),
        ".HostConfig.SecurityOpt",
        r#"["no-new-privileges","seccomp=unconfined"]"#,
        "+security_opt: no-new-privileges, seccomp=unconfined",
    ),
    (
        |options| options.group_add = words(&["44", "1000"]),
        ".HostConfig.GroupAdd",
        r#"["44","1000"]"#,
        "+group_add: 1000, 44",
    ),
    (|options| options.mem_limit_bytes = Some(64 << 20), ".HostConfig.Memory", "67108864", "+limit Memory: 67108864"),
    (
        |options| options.nano_cpus = Some(500_000_000),
        ".HostConfig.NanoCpus",
        "500000000",
        "+limit NanoCpus: 500000000",
    ),
    (
        |options| {
            options.logging = Logging {
                driver: Some("local".to_owned()),
                options: [("max-size".to_owned(), "1m".to_owned())].into(),
            };
        },
        ".HostConfig.LogConfig",
        r#"{"Type":"local","Config":{"max-size":"1m"}}"#,
        "-logging option max-size: differs from the manifest\n-logging driver: json-file\n+logging driver: local",
    ),
];

/// Options of a second container: one profile replaces another, and not every machine can start a privileged one.
const PRIVILEGES: &[Case] = &[
    (
        |options| options.security_opt = vec![format!("seccomp={PROFILE}")],
        ".HostConfig.SecurityOpt",
        "SCMP_ACT_ALLOW",
        "+security_opt: seccomp=profile ",
    ),
    (|options| options.privileged = Some(true), ".HostConfig.Privileged", "true", "+privileged: true"),
];

/// Profile that allows every call.
const PROFILE: &str = r#"{"defaultAction":"SCMP_ACT_ALLOW"}"#;

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn with(bench: &Bench, name: &str, options: ContainerOptions) -> Service {
    let mut container = bench.container(name, &[]);
    container.options = options;
    own(name, container)
}

async fn diff(bench: &Bench, service: &Service) -> String {
    let found = differences(bench, service).await;
    found.iter().flat_map(Difference::lines).collect::<Vec<_>>().join("\n")
}

/// Returns a line of the kernel's status of a container's first process.
fn status(instance: &Instance, field: &str) -> String {
    let pid = inspected(id(instance), ".State.Pid");
    let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("a running process");
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(":\t"));
    line.unwrap_or_else(|| panic!("no {field} in {text}")).trim().to_owned()
}

pub(crate) async fn each_option_has_its_effect_and_is_compared() {
    let bench = Bench::new();
    let plain = bench.serving("plain", &[]);
    bench.start(&plain).await.expect("started");
    for (name, cases) in [("web", CASES), ("privileged", PRIVILEGES)] {
        let mut options = ContainerOptions::default();
        for (set, ..) in cases {
            set(&mut options);
        }
        let service = with(&bench, name, options);
        bench.engine.prepare(&bench.project, &service).await.expect("prepared");
        let started = bench.start(&service).await;
        let container = service.object().expect("a container").to_string();
        assert_eq!(diff(&bench, &service).await, "", "{name}");
        let labels = inspected(&container, ".Config.Labels");
        assert!(labels.contains("\"lcm.compared\":\"1\""), "the engine writes an option in another way: {labels}");
        match &started {
            Ok(_) => assert_eq!(bench.start(&service).await, started, "a second start changes nothing"),
            // On a machine that has not all capabilities itself, such a container is only created.
            Err(error) => assert!(error.contains("unable to apply caps") && name == "privileged", "{error}"),
        }
        for (set, field, shown, missing) in cases {
            let real = inspected(&container, field);
            assert!(real.contains(shown), "{field}: {real}");
            // The manifest has the option, and the container does not.
            let mut options = ContainerOptions::default();
            set(&mut options);
            let found = diff(&bench, &with(&bench, "plain", options)).await;
            assert!(found.contains(missing), "{field}: {found}");
        }
    }
}

pub(crate) async fn options_are_effective_inside() {
    let bench = Bench::new();
    let options = ContainerOptions {
        hostname: Some("web.lan".to_owned()),
        extra_hosts: words(&["db:10.0.0.7"]),
        dns: words(&["10.0.0.2"]),
        working_dir: Some("/srv/app".to_owned()),
        init: Some(true),
        tmpfs: [("/scratch".to_owned(), "size=64k".to_owned())].into(),
        cap_add: words(&["SYS_NICE"]).into_iter().collect(),
        cap_drop: words(&["ALL"]).into_iter().collect(),
        security_opt: words(&["no-new-privileges"]),
        group_add: words(&["4242"]),
        ..ContainerOptions::default()
    };
    let service = with(&bench, "web", options);
    let instance = bench.start(&service).await.expect("started");
    assert_eq!(status(&instance, "Name"), "docker-init");
    // Bit 23, and no other.
    assert_eq!(status(&instance, "CapEff"), format!("{:016x}", 1_u64 << 23));
    assert_eq!(status(&instance, "NoNewPrivs"), "1");
    assert!(status(&instance, "Groups").split(' ').any(|group| group == "4242"));
    let pid = inspected(id(&instance), ".State.Pid");
    let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).expect("its mounts");
    let scratch = mounts.lines().find(|line| line.contains(" /scratch ")).expect("a folder in memory");
    assert!(scratch.contains("tmpfs") && scratch.contains("size=64k"), "{scratch}");
    let root = Path::new("/proc").join(&pid).join("root");
    // Only root may look into it.
    if let Ok(hosts) = fs::read_to_string(root.join("etc/hosts")) {
        assert!(hosts.contains("10.0.0.7\tdb") && hosts.contains("web.lan"), "{hosts}");
        assert!(fs::read_to_string(root.join("etc/resolv.conf")).expect("servers").contains("nameserver 10.0.0.2"));
        let cwd = fs::read_link(Path::new("/proc").join(&pid).join("cwd")).expect("a folder");
        assert!(cwd.ends_with("srv/app"), "{}", cwd.display());
    }
}

pub(crate) async fn limits_follow_the_manifest_while_it_runs() {
    let bench = Bench::new();
    let limited = |memory_mib: u64, nano_cpus: u64| {
        let limits = ContainerOptions {
            mem_limit_bytes: Some(memory_mib << 20),
            nano_cpus: Some(nano_cpus),
            ..ContainerOptions::default()
        };
        with(&bench, "web", limits)
    };
    let service = limited(64, 500_000_000);
    let instance = bench.start(&service).await.expect("started");
    // Up and down: an engine refuses a limit of memory above that of memory and swap.
    for (memory_mib, nano_cpus) in [(256, 1_000_000_000), (48, 250_000_000)] {
        let service = limited(memory_mib, nano_cpus);
        let found = differences(&bench, &service).await;
        assert!(found.len() == 2 && found.iter().all(Difference::can_update_in_place), "{found:?}");
        bench.engine.update(&bench.project, &service, &instance).await.expect("updated");
        assert_eq!(inspected(id(&instance), ".HostConfig.Memory"), (memory_mib << 20).to_string());
        assert_eq!(inspected(id(&instance), ".HostConfig.NanoCpus"), nano_cpus.to_string());
        assert_eq!(diff(&bench, &service).await, "");
    }
    let service = limited(48, 250_000_000);
    docker(&["update", "--memory", "100m", "--memory-swap", "200m", "--cpus", "0.1", id(&instance)]).expect("changed");
    assert_eq!(
        diff(&bench, &service).await,
        "-limit Memory: 104857600\n+limit Memory: 50331648\n-limit NanoCpus: 100000000\n+limit NanoCpus: 250000000"
    );
    // A stopped one gets its limits as it starts.
    bench.stop(&service, &instance).await.expect("stopped");
    assert_eq!(bench.start(&service).await.as_ref(), Ok(&instance));
    assert_eq!(diff(&bench, &service).await, "");
    // Without the limits in the manifest they are a difference that only a new container ends.
    let without = with(&bench, "web", ContainerOptions::default());
    let found = differences(&bench, &without).await;
    assert!(!found.is_empty() && !found.iter().any(Difference::can_update_in_place), "{found:?}");
    bench.stop(&without, &instance).await.expect("stopped");
    assert_ne!(bench.start(&without).await.expect("started"), instance);
    assert_eq!(diff(&bench, &without).await, "");
}

pub(crate) async fn limits_of_a_container_that_is_not_compared_are_changed_too() {
    let bench = Bench::new();
    let with_limit = |memory_mib: u64| {
        let mut container = bench.container("web", &[]);
        // The engine keeps the plain path, so nothing else is compared.
        container.volumes = vec![format!("{}-data:/one/../data", bench.project)];
        container.options.mem_limit_bytes = Some(memory_mib << 20);
        own("web", container)
    };
    bench.at_the_end(&["volume", "rm", &format!("{}-data", bench.project)]);
    let instance = bench.start(&with_limit(64)).await.expect("started");
    assert!(inspected(id(&instance), ".Config.Labels").contains("\"lcm.compared\":\"0\""));
    bench.engine.update(&bench.project, &with_limit(128), &instance).await.expect("updated");
    assert_eq!(inspected(id(&instance), ".HostConfig.Memory"), (128_u64 << 20).to_string());
}

pub(crate) async fn limits_that_the_machine_is_too_small_for_are_refused_before_anything_starts() {
    let bench = Bench::new();
    let many = ContainerOptions { nano_cpus: Some(8192 * 1_000_000_000), ..ContainerOptions::default() };
    let service = with(&bench, "web", many);
    let refused = bench.engine.prepare(&bench.project, &service).await.expect_err("too many").to_string();
    assert!(refused.contains("service web sets `cpus` to more than the "), "{refused}");
}

/// A container of another client under the service's name and with its labels, but with more rights.
pub(crate) async fn rights_beyond_the_manifest_are_a_difference() {
    let bench = Bench::new();
    let service = bench.serving("web", &[]);
    let old = bench.start(&service).await.expect("started");
    let labels = docker(&["inspect", "--format", "{{range $k, $v := .Config.Labels}}{{$k}}={{$v}}\n{{end}}", id(&old)]);
    let name = service.object().expect("a container").to_string();
    docker(&["rm", "--force", id(&old)]).expect("removed");
    let labels = labels.expect("labels");
    let rights = ["--privileged", "--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined"];
    let mut words = vec!["create", "--name", &name, "--hostname", "other"];
    words.extend(rights);
    words.extend(labels.lines().filter(|line| !line.is_empty()).flat_map(|line| ["--label", line]));
    words.push(crate::image::model_server());
    words.extend(SERVE);
    let made = docker(&words).expect("a copy");
    bench.at_the_end(&["rm", "--force", &made]);
    assert_eq!(
        diff(&bench, &service).await,
        "-cap_add: SYS_ADMIN\n-privileged: true\n-security_opt: seccomp=unconfined"
    );
}
