//! When `lcm init` writes nothing, and what it says then; and what it makes of odd files.

use std::fs;

use tempfile::TempDir;

use crate::lcm::Lcm;

fn folder() -> TempDir {
    TempDir::with_prefix("lcm-init-").expect("a folder")
}

#[test]
fn a_file_that_is_there_is_never_replaced_unless_told() {
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
    init(&["link"]).code(1).stderr_has("is there already");
}

#[test]
fn what_gives_no_service_writes_nothing() {
    let folder = folder();
    for (text, says) in [
        ("services: {}\n", "nothing in it that could be a service"),
        ("hello: world\n", "nothing in it that could be a service"),
        ("just a text\n", "nothing in it that could be a service"),
        ("", "nothing in it that could be a service"),
        ("models: { a: { proxy: x } }\n", "nothing in it that could be a service"),
        ("services: { a: [\n", "is not valid YAML"),
        ("services: { a: { image: x }, a: { image: y } }\n", "stands twice"),
        ("a: &a [*b]\n", "no anchor"),
    ] {
        fs::write(folder.path().join("given.yaml"), text).expect("written");
        Lcm::new(folder.path()).args(&["init", "--from", "given.yaml"]).run().code(1).stderr_has(says);
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
fn odd_files_come_through_or_are_refused_but_nothing_breaks() {
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
