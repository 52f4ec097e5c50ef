//! Secrets: where they come from, what is missing, and that they show nowhere.

use std::fs;
use std::path::Path;

use lcm::manifest::{Choice, Environment, load};
use lcm::model::desired::{Desired, EnvValue, Runtime, Service};
use lcm::model::secret::Secret;
use serde_json::json;
use tempfile::TempDir;

fn loaded(files: &[(&str, &str)], environment: &[(&str, &str)]) -> Desired {
    let folder = TempDir::new().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let environment: Environment =
        environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    load(&folder.path().join("lcm.yaml"), &environment, &Choice::default())
        .unwrap_or_else(|problems| panic!("{problems}"))
}

/// Name, value, and whether it is a secret.
type Variable<'a> = (&'a str, Option<&'a str>, bool);

fn environment_of<'a>(desired: &'a Desired, name: &str) -> (&'a Service, Vec<Variable<'a>>) {
    let service = &desired.services[&name.into()];
    let values = match &service.runtime {
        Runtime::Process(process) => &process.environment,
        Runtime::Container(container) => &container.environment,
        Runtime::Existing(_) => panic!("it has no environment"),
    };
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
fn what_is_missing_blocks_only_its_service() {
    let desired = loaded(&[("lcm.yaml", MANIFEST), ("first.env", "ONE=1\n")], &[("VAR", "variable")]);
    let (service, values) = environment_of(&desired, "a");
    assert_eq!(
        service.missing_secrets,
        ["the env file second.env, which is not there", "the environment variable TOKEN, which is not set"]
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
    let problems = load(path, &Environment::new(), &Choice::default()).unwrap_err();
    assert!(problems.to_string().contains("broken.env: line 2: a quote is never closed"), "{problems}");
    assert!(!problems.render(false, 100).contains("hunter2"), "the file itself is not shown");
}
