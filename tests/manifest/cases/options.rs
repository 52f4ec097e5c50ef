//! Options of containers: both notations, their place in the spec, and keys of the user's own.

use std::fs;
use std::path::Path;

use lcm::manifest::{ModeSelection, load};
use lcm::model::desired::{Desired, Service};
use lcm::runtime::docker::intent::DockerSpec;
use lcm::runtime::docker::options::{ContainerOptions, Logging};
use lcm::syntax::Environment;
use serde_json::json;
use tempfile::TempDir;

fn written(text: &str) -> Result<Desired, String> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("lcm.yaml");
    fs::write(&path, format!("version: 1\nname: studio\n{text}")).unwrap();
    load(&path, &Environment::new(), &ModeSelection::default()).map_err(|problems| problems.to_string())
}

fn service(keys: &str) -> Service {
    let text = format!("services: {{ a: {{ docker: {{ image: a, {keys} }} }} }}\n");
    let desired = written(&text).unwrap_or_else(|problems| panic!("{keys}: {problems}"));
    desired.services[&"a".into()].clone()
}

fn options(service: &Service) -> &ContainerOptions {
    match service.workload.spec::<DockerSpec>() {
        Some(DockerSpec::Created(container)) => &container.options,
        other => panic!("{other:?}"),
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn every_option_is_resolved() {
    let environment = [("TOKEN".to_owned(), "of-the-test".to_owned())].into();
    let path = Path::new("tests/manifest/valid/container-options.yaml");
    let desired = load(path, &environment, &ModeSelection::default()).unwrap_or_else(|problems| panic!("{problems}"));
    let big = &desired.services[&"big".into()];
    let expected = ContainerOptions {
        hostname: Some("big.studio".to_owned()),
        extra_hosts: words(&["host.docker.internal:host-gateway", "models.lan:10.0.0.7", "v6:::1"]),
        dns: words(&["10.0.0.1", "2606:4700::1111"]),
        working_dir: Some("/app".to_owned()),
        init: Some(true),
        tmpfs: [("/run".to_owned(), String::new()), ("/tmp".to_owned(), "size=64m,mode=1777,noexec".to_owned())].into(),
        cap_add: words(&["IPC_LOCK", "SYS_NICE"]).into_iter().collect(),
        cap_drop: words(&["ALL"]).into_iter().collect(),
        security_opt: words(&["no-new-privileges", "seccomp=unconfined", "apparmor=docker-default"]),
        privileged: Some(false),
        group_add: words(&["video", "44"]),
        mem_limit_bytes: Some(24 << 30),
        nano_cpus: Some(1_500_000_000),
        logging: Logging {
            driver: Some("json-file".to_owned()),
            options: [("max-file".to_owned(), "3".to_owned()), ("max-size".to_owned(), "20m".to_owned())].into(),
        },
    };
    assert_eq!(*options(big), expected);
    let config = big.spec.config();
    assert_eq!(config["extra_hosts"], json!(expected.extra_hosts));
    assert_eq!(config["logging"], json!({ "driver": "json-file", "options": { "max-file": "3", "max-size": "20m" } }));
    assert_eq!((&config["mem_limit"], &config["cpus"]), (&json!(null), &json!(null)), "changed in place");
    assert_eq!(config["labels"], json!({ "x-kept": "1" }), "a label of the user's own is no key of the manifest");

    let small = options(&desired.services[&"small".into()]);
    assert_eq!(small.extra_hosts, words(&["db:10.0.0.9", "models.lan:10.0.0.7", "models.lan:10.0.0.8"]));
    assert_eq!((small.dns.len(), small.tmpfs.len(), small.nano_cpus), (1, 1, Some(2_000_000_000)));
    assert!(desired.services.contains_key(&"x-service".into()), "a name of the user's own is no key of the manifest");
}

#[test]
fn both_notations_give_one_spec() {
    let same = |one: &str, other: &str| assert_eq!(service(one).spec.hash(), service(other).spec.hash(), "{one}");
    same("extra_hosts: ['b:10.0.0.2', 'a:10.0.0.1']", "extra_hosts: { a: 10.0.0.1, b: [10.0.0.2] }");
    same("dns: 10.0.0.1", "dns: [10.0.0.1]");
    same("tmpfs: /run", "tmpfs: [/run/]");
    same("cap_add: [SYS_NICE, IPC_LOCK]", "cap_add: [cap_ipc_lock, CAP_SYS_NICE]");
    same("security_opt: ['seccomp:unconfined']", "security_opt: [seccomp=unconfined]");
    same("x-note: 1", "x-other: { a: 2 }");
}

#[test]
fn each_option_but_a_limit_is_in_the_spec() {
    let plain = service("").spec.hash().to_owned();
    for keys in [
        "hostname: a",
        "extra_hosts: ['a:10.0.0.1']",
        "dns: 10.0.0.1",
        "working_dir: /app",
        "init: false",
        "tmpfs: /run",
        "cap_add: [SYS_NICE]",
        "cap_drop: [SYS_NICE]",
        "security_opt: [no-new-privileges]",
        "privileged: true",
        "group_add: [44]",
        "logging: { driver: local }",
        "logging: { options: { max-size: 1m } }",
    ] {
        assert_ne!(service(keys).spec.hash(), plain, "{keys}");
    }
    for keys in ["mem_limit: 1GiB", "cpus: 0.5", "x-note: 1", "logging: {}"] {
        assert_eq!(service(keys).spec.hash(), plain, "{keys}");
    }
}

#[test]
fn faults_of_options_name_the_way_out() {
    for (keys, message, help) in [
        ("hostname: -a", "invalid host name `-a`", "letters, digits"),
        ("extra_hosts: { db: here }", "invalid host `db` with address `here`", "host-gateway"),
        ("dns: one.one", "invalid DNS server `one.one`", "IP address"),
        ("working_dir: app", "the working folder `app` is not an absolute path", "beginning with `/`"),
        ("tmpfs: run", "the folder `run` is not an absolute path", "PATH:OPTIONS"),
        ("tmpfs: '/tmp:size=64x'", "invalid mount option `size=64x`", "`size=64m`"),
        ("tmpfs: '/tmp:noexe'", "invalid mount option `noexe`", "did you mean `noexec`?"),
        ("tmpfs: [/tmp, /tmp/]", "`/tmp` is mounted twice", ""),
        ("cap_add: [SYS_NICER]", "unknown capability `SYS_NICER`", "did you mean `SYS_NICE`?"),
        ("cap_drop: [everything]", "unknown capability `everything`", "man 7 capabilities"),
        ("security_opt: [seccomp=./p.json]", "invalid security option `seccomp=./p.json`", "lcm reads no profile"),
        ("security_opt: [no-new-privilege]", "invalid security option", "did you mean `no-new-privileges`?"),
        ("group_add: ['']", "invalid group ``", "or a number"),
        ("mem_limit: 1MiB", "no container starts with so little memory", "6MiB"),
        ("mem_limit: 512m", "invalid size `512m`", "`512MB` (powers of 1000) or `512MiB`"),
        ("cpus: -1", "invalid number of CPUs `-1`", "`0.5`"),
        ("cpus: 0", "invalid number of CPUs `0`", "0.01"),
        ("logging: { driver: 'a b' }", "invalid log driver `a b`", "json-file"),
        ("ipc: hots", "invalid IPC namespace `hots`", "`shareable`"),
        ("ipc: 'service:b'", "invalid IPC namespace `service:b`", "`container:` and the name"),
        (
            "ports: [80], dns: 10.0.0.1, networks: ['container:b']",
            "has that one's dns, ports too",
            "that owns the network",
        ),
        ("restart: always", "`restart` is not supported", "`recover:`"),
        ("ipc: private, hostnam: a", "unknown key `hostnam`", "did you mean `hostname`?"),
    ] {
        let text = format!("services: {{ a: {{ docker: {{ image: a, {keys} }} }} }}\n");
        let problems = written(&text).expect_err(keys);
        assert!(problems.contains(message) && problems.contains(help), "{keys}: {problems}");
    }
    let text = "services: { a: { docker: { container: a, privileged: true, cpus: 1 } } }\n";
    let problems = written(text).expect_err("an existing container");
    assert!(problems.contains("an existing container takes no other keys, found: privileged, cpus"), "{problems}");
}

/// Every key of the block, by its example in the schema.
#[test]
fn an_existing_container_takes_no_other_key() {
    let schema = lcm::manifest::schema();
    let keys = schema.pointer("/definitions/Docker/properties").and_then(|keys| keys.as_object()).expect("keys");
    for (key, described) in keys.iter().filter(|(key, _)| !["container", "auto_remove"].contains(&key.as_str())) {
        let example = &described["examples"][0];
        let text = format!("services: {{ a: {{ docker: {{ container: a, {key}: {example} }} }} }}\n");
        let problems = written(&text).expect_err(key);
        assert!(problems.contains(&format!("an existing container takes no other keys, found: {key};")), "{problems}");
    }
    assert!(keys.len() > 30, "{}", keys.len());
}

/// More of them than the reader removes one by one.
#[test]
fn any_number_of_keys_of_the_users_own_is_skipped() {
    let notes =
        |indent: &str| (0..500).map(|number| format!("{indent}x-{number}: [{number}]\n")).collect::<Vec<_>>().concat();
    let text =
        format!("services:\n  a:\n    process:\n      command: ./a\n{}{}{}", notes("      "), notes("    "), notes(""));
    assert_eq!(written(&text).expect("a manifest").services.len(), 1);
    let problems = written("services: { a: { process: { command: ./a }, x_note: 1 } }\n").expect_err("unknown");
    assert!(problems.contains("unknown key `x_note`"), "{problems}");
}
