//! Merge of two files, rule by rule: in YAML, out YAML as JSON.

use crate::import::compose::merge::{canonical_file, files, stripped};
use crate::import::compose::plain::json;
use crate::syntax::source::{Source, Sources};
use crate::syntax::tree::Node;
use crate::syntax::yaml;

fn read(text: &str) -> Node {
    let (mut sources, mut problems) = (Sources::default(), Vec::new());
    let number = sources.add(Source::new("compose.yaml".into(), "/".into(), text.to_owned()));
    let root = yaml::parse(&sources, number, &mut yaml::SizeBudget::default(), &mut problems).expect("valid");
    assert!(problems.is_empty(), "{problems:?}");
    canonical_file(&root, &str::to_owned)
}

/// Merges `over` over `base`, both the inside of a service.
fn service(base: &str, over: &str) -> String {
    let wrap = |inside: &str| read(&format!("services: {{ a: {{ {inside} }} }}"));
    let merged = files(&stripped(wrap(base)), &wrap(over), &str::to_owned);
    json(merged.get("services").and_then(|all| all.get("a")).expect("a service"), &str::to_owned).to_string()
}

/// Base, override and result, each the inside of a service.
const RULES: &[(&str, &str, &str)] = &[
    ("image: x, user: a", "image: y", r#"{"image":"y","user":"a"}"#),
    (
        "environment: [A=1, B=2, C]",
        "environment: { B: 3, D: null }",
        r#"{"environment":{"A":"1","B":"3","C":null,"D":null}}"#,
    ),
    ("environment: { A: 1 }", "environment: [A]", r#"{"environment":{"A":null}}"#),
    ("labels: [a=1]", "labels: { a: 2, b: 1 }", r#"{"labels":{"a":"2","b":"1"}}"#),
    ("sysctls: [n=1]", "sysctls: { n: 2 }", r#"{"sysctls":{"n":"2"}}"#),
    (
        "extra_hosts: ['h:1.1.1.1', 'i=::1']",
        "extra_hosts: { h: 2.2.2.2 }",
        r#"{"extra_hosts":{"h":"2.2.2.2","i":"::1"}}"#,
    ),
    ("command: [a, b]", "command: c", r#"{"command":"c"}"#),
    ("entrypoint: [a]", "entrypoint: [b, c]", r#"{"entrypoint":["b","c"]}"#),
    ("command: a, image: x", "command: null, image: null", r#"{"command":null,"image":"x"}"#),
    (
        "healthcheck: { test: [CMD, a], interval: 1s }",
        "healthcheck: { test: [CMD, b] }",
        r#"{"healthcheck":{"test":["CMD","b"],"interval":"1s"}}"#,
    ),
    ("dns: 1.1.1.1", "dns: [8.8.8.8, 1.1.1.1]", r#"{"dns":["1.1.1.1","8.8.8.8"]}"#),
    ("env_file: a", "env_file: [b, a]", r#"{"env_file":["a","b","a"]}"#),
    ("cap_add: [A]", "cap_add: [A, B]", r#"{"cap_add":["A","B"]}"#),
    ("expose: [80]", "expose: ['80', 81]", r#"{"expose":["80","81"]}"#),
    ("volumes: ['a:/x', './y:/y']", "volumes: ['b:/x/:ro', /z]", r#"{"volumes":["b:/x/:ro","./y:/y","/z"]}"#),
    (
        "volumes: ['a:/x']",
        "volumes: [{ type: bind, source: ./b, target: /x }]",
        r#"{"volumes":[{"type":"bind","source":"./b","target":"/x"}]}"#,
    ),
    ("devices: ['/dev/a:/dev/b']", "devices: ['/dev/c:/dev/b', /dev/d]", r#"{"devices":["/dev/c:/dev/b","/dev/d"]}"#),
    ("secrets: [a]", "secrets: [{ source: a, mode: 0400 }, b]", r#"{"secrets":[{"source":"a","mode":"0400"},"b"]}"#),
    ("ports: ['80:80']", "ports: ['81:80', '80:80/tcp']", r#"{"ports":["81:80","80:80/tcp"]}"#),
    ("ports: ['80:80']", "ports: [{ target: 80, published: 80 }]", r#"{"ports":[{"target":"80","published":"80"}]}"#),
    (
        "ports: ['80-82:80-82']",
        "ports: ['127.0.0.1:81:81', '0.0.0.0:81:81']",
        r#"{"ports":["80:80","82:82","127.0.0.1:81:81","0.0.0.0:81:81"]}"#,
    ),
    (
        "depends_on: [b]",
        "depends_on: { b: { condition: service_healthy }, c: { condition: service_started } }",
        r#"{"depends_on":{"b":{"condition":"service_healthy"},"c":{"condition":"service_started"}}}"#,
    ),
    ("networks: [n]", "networks: { n: { aliases: [x] }, m: null }", r#"{"networks":{"n":{"aliases":["x"]},"m":null}}"#),
    (
        "networks: { n: { aliases: [x] } }",
        "networks: { n: { aliases: [y, x] } }",
        r#"{"networks":{"n":{"aliases":["x","y"]}}}"#,
    ),
    ("build: .", "build: { target: t }", r#"{"build":{"context":".","target":"t"}}"#),
    (
        "build: { context: ., args: [A=1] }",
        "build: { args: { B: 2 } }",
        r#"{"build":{"context":".","args":{"A":"1","B":"2"}}}"#,
    ),
    (
        "logging: { driver: x, options: { a: 1 } }",
        "logging: { options: { b: 2 } }",
        r#"{"logging":{"driver":"x","options":{"a":"1","b":"2"}}}"#,
    ),
    ("logging: { driver: x, options: { a: 1 } }", "logging: { driver: y }", r#"{"logging":{"driver":"y"}}"#),
    (
        "ulimits: { a: 1, b: { soft: 1, hard: 2 } }",
        "ulimits: { a: { soft: 1, hard: 2 }, b: 3 }",
        r#"{"ulimits":{"a":{"soft":"1","hard":"2"},"b":"3"}}"#,
    ),
    (
        "deploy: { resources: { limits: { cpus: 1 } } }",
        "deploy: { resources: { limits: { memory: 1g } } }",
        r#"{"deploy":{"resources":{"limits":{"cpus":"1","memory":"1g"}}}}"#,
    ),
    (
        "ports: ['80:80'], environment: { A: 1, B: 2 }",
        "ports: !reset [], environment: { A: !reset null }",
        r#"{"environment":{"B":"2"}}"#,
    ),
    ("ports: ['80:80'], image: x", "ports: !override ['8443:443'], image: !reset ''", r#"{"ports":["8443:443"]}"#),
    ("environment: { A: 1 }", "environment: !override { B: 2 }", r#"{"environment":{"B":"2"}}"#),
];

#[test]
fn each_attribute_merges_by_its_own_rule() {
    for (base, over, wanted) in RULES {
        assert_eq!(service(base, over), *wanted, "{base}\n{over}");
    }
}

#[test]
fn ranges_of_ports_are_compared_within_bounds() {
    let many: Vec<String> =
        (1..400).map(|address| format!("'10.0.{}.{}:1-60000:1-60000'", address / 200, address % 200)).collect();
    let merged = service(&format!("ports: [{}]", many.join(",")), "ports: ['1:1', '10.0.0.1:1-60000:1-60000']");
    assert_eq!(merged.matches("1-60000:1-60000").count(), 399, "an equal range is the same, however long");
}

#[test]
fn sections_merge_by_name_and_a_base_has_nothing_to_reset() {
    let base = read("name: a\nservices: { a: { image: x, ports: !reset [] } }\nvolumes: { v: {} }\nx-a: [1]");
    let over = read("name: b\nservices: { b: { image: y } }\nvolumes: { v: { external: true }, w: null }");
    let merged = json(&files(&stripped(base), &over, &str::to_owned), &str::to_owned).to_string();
    let wanted = r#"{"name":"b","services":{"a":{"image":"x"},"b":{"image":"y"}},"volumes":{"v":{"external":"true"},"w":null},"x-a":["1"]}"#;
    assert_eq!(merged, wanted);
}

#[test]
fn anchors_and_merge_keys_are_resolved() {
    let root = read(
        "x-common: &c { image: x, environment: &e { A: 1 } }\n\
         services:\n  a:\n    <<: *c\n    user: u\n  b:\n    <<: [*c, { user: v, image: z }]\n    environment: { <<: *e, B: 2 }\n",
    );
    let services = json(root.get("services").expect("services"), &str::to_owned).to_string();
    let wanted = r#"{"a":{"user":"u","image":"x","environment":{"A":"1"}},"b":{"environment":{"B":"2","A":"1"},"image":"x","user":"v"}}"#;
    assert_eq!(services, wanted);
}
