//! Secrets: their sources, missing ones, and that none is shown.

use std::fs;
use std::path::Path;

use lcm::manifest::{ModeSelection, load};
use lcm::model::desired::{Desired, Service};
use lcm::model::environment::EnvValue;
use lcm::model::secret::Secret;
use lcm::syntax::Environment;
use serde_json::json;
use tempfile::TempDir;

fn loaded(files: &[(&str, &str)], environment: &[(&str, &str)]) -> Desired {
    let folder = TempDir::new().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let environment: Environment =
        environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    load(&folder.path().join("lcm.yaml"), &environment, &ModeSelection::default())
        .unwrap_or_else(|problems| panic!("{problems}"))
}

/// Name, value, and whether it is a secret.
type Variable<'a> = (&'a str, Option<&'a str>, bool);

fn environment_of<'a>(desired: &'a Desired, name: &str) -> (&'a Service, Vec<Variable<'a>>) {
    let service = &desired.services[&name.into()];
    let values = service.workload.spec.environment().expect("an environment");
    let values = values.iter().map(|(name, value)| match value {
        EnvValue::Plain(text) => (name.as_str(), Some(text.as_str()), false),
        EnvValue::Secret(secret) => (name.as_str(), secret.as_ref().map(Secret::reveal), true),
    });
    (service, values.collect())
}

const MANIFEST: &str = "
version: 1
name: studio
services:
  a:
    process:
      command: [./a]
      env_file: [first.env, second.env]
      environment: { PLAIN: 1.10, FLAG: true, OVER: plain, FILLED: \"x-${VAR}\", TOKEN: { env: TOKEN }, DOLLAR: 5$$ }
";

#[test]
fn environments_are_laid_over_each_other_and_masked() {
    let desired = loaded(
        &[
            ("lcm.yaml", MANIFEST),
            ("first.env", "ONE=first-1\nTWO=first-2\nOVER=first-over\n"),
            ("second.env", "TWO=second-2\n"),
        ],
        &[("VAR", "variable"), ("TOKEN", "hf_token")],
    );
    let (service, values) = environment_of(&desired, "a");
    let wanted = [
        ("DOLLAR", Some("5$"), false),
        ("FILLED", Some("x-variable"), true),
        ("FLAG", Some("true"), false),
        ("ONE", Some("first-1"), true),
        ("OVER", Some("plain"), false),
        ("PLAIN", Some("1.10"), false),
        ("TOKEN", Some("hf_token"), true),
        ("TWO", Some("second-2"), true),
    ];
    assert_eq!(values, wanted);
    assert!(service.missing_secrets.is_empty());
    let masked = json!({
        "DOLLAR": "5$", "FILLED": "***", "FLAG": "true", "ONE": "***", "OVER": "plain", "PLAIN": "1.10",
        "TOKEN": "***", "TWO": "***"
    });
    assert_eq!(service.spec.config()["environment"], masked);
    let names: Vec<&str> = service.spec.secrets.keys().map(String::as_str).collect();
    assert_eq!(names, ["FILLED", "ONE", "TOKEN", "TWO"]);
    // Nothing that can be printed shows one.
    let shown = format!("{desired:?}");
    for secret in ["x-variable", "hf_token", "first-1", "second-2"] {
        assert!(!shown.contains(secret), "{secret}");
    }
}

#[test]
fn a_missing_secret_blocks_only_its_service() {
    let desired = loaded(&[("lcm.yaml", MANIFEST), ("first.env", "ONE=1\n")], &[("VAR", "variable")]);
    let (service, values) = environment_of(&desired, "a");
    assert_eq!(
        service.missing_secrets,
        ["the env file second.env, which does not exist", "the environment variable TOKEN, which is not set"]
    );
    assert!(values.contains(&("TOKEN", None, true)));
    assert!(!service.spec.secrets.contains_key("TOKEN"));
    assert_eq!(service.spec.config()["environment"]["TOKEN"], "***");
}

#[test]
fn a_secret_changes_the_digest_and_not_the_hash() {
    let with = |token| loaded(&[("lcm.yaml", MANIFEST)], &[("VAR", "v"), ("TOKEN", token)]);
    let (one, other) = (with("token-one"), with("token-two"));
    let (one, other) = (&one.services[&"a".into()].spec, &other.services[&"a".into()].spec);
    assert_eq!(one.hash(), other.hash());
    assert_ne!(one.secret_digest("salt"), other.secret_digest("salt"));
}

#[test]
fn a_broken_env_file_shows_no_value() {
    let path = Path::new("tests/manifest/invalid/env-file.yaml");
    let problems = load(path, &Environment::new(), &ModeSelection::default()).unwrap_err();
    assert!(problems.to_string().contains("broken.env: line 2: a quote is not closed"), "{problems}");
    assert!(!problems.render(false, 100).contains("hunter2"), "the file itself is not shown");
}

/// Returns the texts that are masked, of a manifest with these services and values.
fn masked(services: &str, environment: &[(&str, &str)]) -> Vec<String> {
    let desired =
        loaded(&[("lcm.yaml", &format!("version: 1\nname: studio\n{services}")), ("a.env", A_ENV)], environment);
    desired.secrets.iter().map(|secret| secret.reveal().to_owned()).collect()
}

const A_ENV: &str =
    "FILE_TOKEN=filed-s3cret\nFILE_MODE=fast\nFILE_PATH=/srv/models/llama\nDB=postgres://kim:hunter22@db/x\n";

#[test]
fn values_that_may_be_secrets_are_masked() {
    let environment = [
        ("TOKEN", "hf_0123456789"),
        ("PORT", "18188"),
        ("URL", "http://gpu-host:18188/v1"),
        ("MODEL", "Qwen/Qwen2.5-32B-Instruct"),
        ("WHISPER", "transcriber"),
        ("SHORT", "pw123"),
    ];
    let services = |keys: &str| {
        format!(
            "services:\n  transcriber:\n    process:\n      command: [serve, \"${{TOKEN}}\"]\n      env_file: a.env\n      environment: {{ A: \"Bearer ${{TOKEN}}\", \
             B: \"${{PORT}}\", C: \"${{URL}}\", D: \"${{MODEL}}\", E: \"${{WHISPER}}\", F: {{ env: SHORT }}, G: \"${{SHORT}}\", H: \"${{NONE:-a-default-value}}\", \
             I: literal-value, J: {{ env: PORT }} }}\n{keys}"
        )
    };
    let always = ["filed-s3cret", "hf_0123456789", "hunter22", "postgres://kim:hunter22@db/x", "pw123"];
    let with = |more: &[&str], without: &[&str]| -> Vec<String> {
        let all = always.iter().chain(more).filter(|text| !without.contains(text));
        let mut all: Vec<String> = all.map(|text| (*text).to_owned()).collect();
        all.sort_unstable();
        all
    };
    // A declared value is kept; whether a port is masked is decided by the masker.
    assert_eq!(masked(&services(""), &environment), with(&["18188"], &[]));
    for (keys, more, without) in [
        (
            "      secret: [I, D, FILE_PATH]\n",
            &["literal-value", "Qwen/Qwen2.5-32B-Instruct", "/srv/models/llama"][..],
            &[][..],
        ),
        ("    secret: [MODEL]\n", &["Qwen/Qwen2.5-32B-Instruct"], &[]),
        ("secret: [C]\n", &["http://gpu-host:18188/v1"], &[]),
        ("      plain: [A, FILE_TOKEN, F]\n", &[], &["hf_0123456789", "filed-s3cret", "pw123"]),
        ("    plain: [TOKEN]\n", &[], &["hf_0123456789"]),
        ("plain: [DB, J]\n", &[], &["hunter22", "postgres://kim:hunter22@db/x", "18188"]),
        ("    plain: [I]\nsecret: [I]\n", &[], &[]),
    ] {
        let more: Vec<&str> = more.iter().copied().chain(["18188"]).collect();
        assert_eq!(masked(&services(keys), &environment), with(&more, without), "{keys}");
    }
}

#[test]
fn an_overruled_variable_is_shown_or_hidden_in_the_spec() {
    let manifest = "version: 1\nname: studio\nservices:\n  a:\n    process:\n      command: [./a]\n      \
                    environment: { SEEN: \"${MODEL}\", HIDDEN: literal }\n      plain: [SEEN]\n      secret: [HIDDEN]\n";
    let desired = loaded(&[("lcm.yaml", manifest)], &[("MODEL", "Qwen/Qwen3")]);
    let spec = &desired.services[&"a".into()].spec;
    assert_eq!(spec.config()["environment"], json!({ "SEEN": "Qwen/Qwen3", "HIDDEN": "***" }));
    assert_eq!(spec.secrets.keys().collect::<Vec<_>>(), ["HIDDEN"]);
    assert!(!format!("{desired:?}").contains("literal"));
}

#[test]
fn a_name_under_both_keys_is_a_fault() {
    let folder = TempDir::new().unwrap();
    let manifest = folder.path().join("lcm.yaml");
    let text = "version: 1\nname: x\nservices: { a: { process: { command: [a], environment: { A: b } }, plain: [A], secret: [A] } }\n";
    fs::write(&manifest, text).unwrap();
    let problems = load(&manifest, &Environment::new(), &ModeSelection::default()).unwrap_err().to_string();
    assert!(problems.contains("`A` is named under `plain` and under `secret`"), "{problems}");
}

#[test]
fn a_secret_comes_from_a_file() {
    let manifest = "version: 1\nname: studio\nservices:\n  a:\n    process:\n      command: [./a]\n      environment:\n        \
                    IT: { file: token.txt }\n        NONE: { file: nowhere.txt }\n        EMPTY: { file: empty.txt }\n        FOLDER: { file: . }\n";
    let desired = loaded(&[("lcm.yaml", manifest), ("token.txt", "hf_0123\r\n"), ("empty.txt", "\n")], &[]);
    let (service, values) = environment_of(&desired, "a");
    assert!(values.contains(&("IT", Some("hf_0123"), true)) && values.contains(&("NONE", None, true)));
    assert_eq!(service.missing_secrets.len(), 3, "{:?}", service.missing_secrets);
    for (missing, why) in
        service.missing_secrets.iter().zip([". ", "empty.txt, which can't be read: it is empty", "nowhere.txt"])
    {
        assert!(missing.starts_with("the secret file") && missing.contains(why.trim()), "{missing}");
    }
    assert_eq!(desired.secrets, [Secret::new("hf_0123")]);
}

#[test]
fn a_secret_file_is_bounded_and_never_waited_for() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    fs::write(at("full"), format!("{}\r\n", "x".repeat(64 << 10))).unwrap();
    fs::write(at("large"), "x".repeat((64 << 10) + 1)).unwrap();
    fs::write(at("huge"), "x".repeat(3 << 20)).unwrap();
    fs::write(at("bytes"), b"hf_\xff0123").unwrap();
    fs::write(at("lines"), "one\ntwo\n\n").unwrap();
    let sources = ["pipe", "full", "large", "huge", "bytes", "lines"].map(|name| format!("{name}: {{ file: {name} }}"));
    let manifest = format!(
        "version: 1\nname: studio\nservices: {{ a: {{ docker: {{ image: i, environment: {{ {} }}, plain: [lines] }} }} }}\n",
        sources.join(", ")
    );
    fs::write(at("lcm.yaml"), manifest).unwrap();
    let desired = load(&at("lcm.yaml"), &Environment::new(), &ModeSelection::default()).unwrap();
    let (service, values) = environment_of(&desired, "a");
    assert_eq!(
        service.missing_secrets,
        [
            "the secret file bytes, which can't be read: it is not text in UTF-8",
            "the secret file huge, which can't be read: it is larger than 64 KiB",
            "the secret file large, which can't be read: it is larger than 64 KiB",
            "the secret file pipe, which can't be read: it is a named pipe, not a regular file",
        ]
    );
    let value = |name: &str| values.iter().find(|(other, ..)| *other == name).copied().unwrap();
    assert_eq!(value("lines"), ("lines", Some("one\ntwo\n"), false), "one line end closes it, and it is plain");
    assert!(value("full").1.is_some_and(|text| text.len() == 64 << 10) && value("full").2);
}

#[test]
fn a_variable_that_is_not_set_is_missing_for_its_service_alone() {
    let manifest = "version: 1\nname: studio\nservices:\n  a:\n    process: { command: [./a], environment: { A: \"x-${NO}\", B: \"${NO2:?say why}\" } }\n  \
                    b: { docker: { image: i, environment: [\"C=${NO}\", \"D=d\"] } }\n  c: { process: { command: [./c] } }\n";
    let desired = loaded(&[("lcm.yaml", manifest)], &[]);
    let missing = |name: &str| desired.services[&name.into()].missing_secrets.clone();
    assert_eq!(
        missing("a"),
        ["a value for A: the variable `NO` is not set", "a value for B: the variable `NO2` is required: say why"]
    );
    assert_eq!(missing("b"), ["a value for C: the variable `NO` is not set"]);
    assert_eq!(missing("c"), [""; 0]);
    let (_, values) = environment_of(&desired, "b");
    assert_eq!(values, [("C", None, true), ("D", Some("d"), false)]);
    // The hash is that of a value that is set.
    let set = loaded(&[("lcm.yaml", manifest)], &[("NO", "yes"), ("NO2", "yes")]);
    assert_eq!(desired.services[&"a".into()].spec.hash(), set.services[&"a".into()].spec.hash());
}

#[test]
fn a_token_on_a_command_line_is_in_no_hash_and_no_label() {
    let manifest = "version: 1\nname: studio\nservices:\n  a:\n    process: { command: [./a, \"--key=${TOKEN}\"], environment: { T: \"${TOKEN}\" } }\n  \
                    b: { process: { command: [./b, \"hf_0123456789\"] } }\n";
    let with = |token| loaded(&[("lcm.yaml", manifest)], &[("TOKEN", token)]);
    let (one, other) = (with("hf_0123456789"), with("hf_abcdefghij"));
    let spec = |desired: &Desired, name: &str| desired.services[&name.into()].spec.clone();
    assert_eq!(spec(&one, "a").config()["command"], json!(["./a", "--key=***"]));
    assert_eq!(spec(&one, "a").hash(), spec(&other, "a").hash());
    assert_ne!(spec(&one, "a").secret_digest("s"), spec(&other, "a").secret_digest("s"));
    assert_eq!(spec(&one, "b").config()["command"], json!(["./b", "***"]));
    assert_eq!(spec(&one, "b").hash(), spec(&other, "b").hash(), "another service's token is none of its own");
}

#[test]
fn faults_show_no_secret_and_no_half_of_one() {
    let folder = TempDir::new().unwrap();
    let manifest = folder.path().join("lcm.yaml");
    for fault in [
        "vram: \"${TOKEN}\"",
        "vram: \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx${TOKEN}\"",
        "priority: \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx${TOKEN}\"",
        "gpu: \"${TOKEN}\"",
    ] {
        let text = format!(
            "version: 1\nname: x\nservices:\n  a:\n    process: {{ command: [a], environment: {{ T: {{ env: TOKEN }}, W: written-s3cret }}, secret: [W] }}\n    {fault}\n"
        );
        fs::write(&manifest, text).unwrap();
        let environment = Environment::from([("TOKEN".to_owned(), "hf_0123456789abcdef".to_owned())]);
        let problems = load(&manifest, &environment, &ModeSelection::default()).unwrap_err();
        for text in [problems.to_string(), problems.render(false, 100), problems.render(true, 60)] {
            assert!(!text.contains("hf_0123") && !text.contains("written-s3cret"), "{text}");
        }
    }
}
