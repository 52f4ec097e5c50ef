//! Refusals of `lcm init`, which write nothing, and its results for unusual files.

use std::fs;

use tempfile::TempDir;

use crate::lcm::Lcm;

fn folder() -> TempDir {
    TempDir::with_prefix("lcm-init-").expect("a folder")
}

#[test]
fn an_existing_file_is_never_replaced_without_force() {
    let folder = folder();
    let path = folder.path().join("lcm.yaml");
    fs::write(&path, "mine").expect("written");
    fs::write(folder.path().join("c.yaml"), "services: { web: { image: web } }").expect("written");
    let init = |words: &[&str]| Lcm::new(folder.path()).args(&["init", "--from", "c.yaml"]).args(words).run();
    init(&[]).code(1).stderr_has("--force");
    assert_eq!(fs::read_to_string(&path).expect("there"), "mine");
    init(&["--force"]).code(0);
    assert!(fs::read_to_string(&path).expect("there").contains("image: web"));
    std::os::unix::fs::symlink("nowhere", folder.path().join("link")).expect("linked");
    init(&["link"]).code(1).stderr_has("exists already");
}

#[test]
fn files_without_services_write_nothing() {
    let folder = folder();
    for (text, reason) in [
        ("services: {}\n", "found nothing in the given files that could be a service"),
        ("hello: world\n", "found nothing in the given files that could be a service"),
        ("just a text\n", "found nothing in the given files that could be a service"),
        ("", "found nothing in the given files that could be a service"),
        ("models: { a: { proxy: x } }\n", "found nothing in the given files that could be a service"),
        ("services: { a: [\n", "is not valid YAML"),
        ("services: { a: { image: x }, a: { image: y } }\n", "duplicate key `a`"),
        ("a: &a [*b]\n", "no anchor"),
    ] {
        fs::write(folder.path().join("given.yaml"), text).expect("written");
        Lcm::new(folder.path()).args(&["init", "--from", "given.yaml"]).run().code(1).stderr_has(reason);
        assert!(!folder.path().join("lcm.yaml").exists(), "{text}");
    }
    Lcm::new(folder.path()).args(&["init", "--from", "none.yaml"]).run().code(1).stderr_has("can't read none.yaml");
    Lcm::new(folder.path()).args(&["init", "--from", "a", "--only", "b"]).run().code(64);
}

#[test]
fn several_files_are_laid_over_each_other_and_paths_stay_where_they_were() {
    let folder = folder();
    fs::create_dir(folder.path().join("deploy")).expect("a folder");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("written");
    write(
        "deploy/a.yaml",
        "services: { web: { image: one, volumes: [\"./data:/data\", \"v:/v\"], environment: { A: 1 } } }",
    );
    write("deploy/b.yaml", "services: { web: { image: two, environment: { B: 2 } } }");
    Lcm::new(folder.path())
        .args(&["init", "--from", "deploy/a.yaml", "--from", "deploy/b.yaml", "--name", "My Stack!"])
        .run()
        .code(0);
    let manifest = fs::read_to_string(folder.path().join("lcm.yaml")).expect("written");
    for wanted in ["name: My-Stack", "image: two", "A: \"1\"", "B: \"2\"", "./deploy/data:/data", "mystack_v:/v"] {
        assert!(manifest.contains(wanted), "{wanted}\n{manifest}");
    }
}

#[test]
fn unusual_files_are_translated_or_refused_without_a_panic() {
    let folder = folder();
    for text in [
        "services: { a: 1 }",
        "services: [a]",
        "services: { a: { image: [x] } }",
        "services: { a: { image: x, ports: 80, volumes: x, environment: 3, command: {}, deploy: x, gpus: {} } }",
        "services: { a: { image: x, ports: [{}], volumes: [{}], env_file: [{}], healthcheck: 1, depends_on: x } }",
        "services: { a: { image: x, extends: a }, b: { image: y, extends: { service: b } } }",
        "services: { a: { image: x, depends_on: [b] }, b: { image: y, depends_on: [a] } }",
        "services: { ä: { image: x }, 'a b': { image: y }, 'a-b': { image: z } }",
        "services: { a: { image: '${A' , command: \"'\", user: 1.5, labels: [x, 'lcm.x=1'] } }",
        "models: { a: { cmd: [x] }, b: { cmd: ' ' }, c: { cmd: '${c}', macros: { c: '${c}${c}' }, env: x } }\ngroups: { g: 1 }",
        "models: { a: { cmd: a, proxy: 3 } }\nstartPort: x\ngroups: { g: { members: [z] } }\nhooks: 1",
    ] {
        fs::write(folder.path().join("given.yaml"), text).expect("written");
        let ran = Lcm::new(folder.path()).args(&["init", "--from", "given.yaml", "--force"]).run();
        assert!(!ran.stderr.contains("panicked"), "{text}\n{ran}");
    }
}
