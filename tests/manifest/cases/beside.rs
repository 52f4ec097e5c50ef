//! Keys beside a service's own spec: hooks, notifiers, attempts and rules. None of them is part of the spec.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::civil::Weekday;
use lcm::manifest::{ModeSelection, load};
use lcm::model::call::Call;
use lcm::model::desired::Desired;
use lcm::model::hooks::{Hook, When};
use lcm::model::lifecycle::{Class, State};
use lcm::model::rules::Day;
use lcm::syntax::Environment;
use lcm::syntax::problem::Problems;
use tempfile::TempDir;

fn corpus(name: &str) -> Desired {
    let path = format!("tests/manifest/valid/{name}.yaml");
    load(Path::new(&path), &Environment::new(), &ModeSelection::default())
        .unwrap_or_else(|problems| panic!("{problems}"))
}

fn written(text: &str) -> Result<Desired, Problems> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("lcm.yaml");
    fs::write(&path, format!("version: 1\nname: studio\n{text}")).unwrap();
    load(&path, &Environment::new(), &ModeSelection::default())
}

/// A folder of the corpus, absolute.
fn folder(name: &str) -> PathBuf {
    std::env::current_dir().unwrap().join("tests/manifest").join(name)
}

fn words(words: &[&str]) -> Call {
    Call::Exec(words.iter().map(|word| (*word).to_owned()).collect())
}

#[test]
fn attempts_and_their_waits() {
    let desired = corpus("recover");
    let recover = |name: &str| {
        let recover = &desired.services[&name.into()].recover;
        (recover.attempts, recover.backoff.as_secs(), recover.max_backoff.as_secs())
    };
    assert_eq!(recover("a"), (0, 1, 3600));
    assert_eq!(recover("b"), (10, 10, 10));
    assert_eq!(recover("c"), (3, 1, 3600));
}

#[test]
fn hooks_are_run_in_the_folder_of_the_file_that_defines_them() {
    let desired = corpus("hooks");
    let hooks = &desired.services[&"a".into()].hooks;
    let fetch = Hook {
        call: words(&["sh", "-c", "./fetch.sh --model large"]),
        cwd: folder("valid"),
        timeout: Duration::from_mins(2),
        required: true,
    };
    assert_eq!(hooks.pre_start, [fetch]);
    let warm =
        Hook { call: words(&["./warm.sh"]), cwd: folder("parts"), timeout: Duration::from_secs(30), required: false };
    assert_eq!(hooks.post_start, [warm]);
    let [save, other] = &hooks.pre_stop[..] else { panic!("{hooks:?}") };
    let json = Some(serde_json::json!({ "all": true }));
    assert_eq!(save.call, Call::Http { method: "PUT".to_owned(), url: "http://localhost:1/save".to_owned(), json });
    assert_eq!(other.call, words(&["./save.sh", "1"]));
    assert_eq!(*desired.services[&"b".into()].hooks, lcm::model::hooks::Hooks::default());
}

#[test]
fn notifiers_of_all_files_add_up() {
    let desired = corpus("notify");
    let [tell, before, parts] = &desired.notify[..] else { panic!("{:?}", desired.notify) };
    assert_eq!(tell.states, BTreeSet::from([State::Failed, State::Timeout]));
    assert_eq!((tell.classes.clone(), tell.when), (BTreeSet::from([Class::InError]), When::After));
    assert_eq!(tell.services.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!((tell.timeout, &tell.cwd), (Duration::from_secs(10), &folder("valid")));
    assert_eq!((before.when, before.timeout), (When::Before, Duration::from_secs(1)));
    assert_eq!(parts.cwd, folder("parts"));
    let sources = desired.notify.iter().map(|notifier| notifier.source.as_str()).collect::<Vec<_>>();
    assert_eq!(
        sources,
        [
            "tests/manifest/valid/notify.yaml:8",
            "tests/manifest/valid/notify.yaml:9",
            "tests/manifest/parts/hooks.yaml:4"
        ]
    );
}

#[test]
fn rules_of_all_files_add_up() {
    let desired = corpus("lifecycle");
    assert_eq!(desired.warnings, Vec::<String>::new());
    let sources = desired.rules.deny.iter().map(|rule| rule.source.clone()).collect::<Vec<_>>();
    let file = "tests/manifest/valid/lifecycle.yaml";
    let parts = "tests/manifest/parts/lifecycle.yaml:2".to_owned();
    assert_eq!(sources, [format!("{file}:13"), format!("{file}:20"), format!("{file}:21"), parts]);
    assert_eq!(desired.rules.allow[0].reason.as_deref(), Some("it may come back"));
    let [day, night, sunday, _] = &desired.rules.deny[..] else { panic!("four") };
    assert_eq!(day.from, BTreeSet::from([State::Busy, State::Idle]));
    let shown = |rule: &lcm::model::rules::Rule| {
        let hours = rule.hours.as_ref().unwrap();
        let days: Vec<Weekday> = hours.days.iter().map(|Day(day)| *day).collect();
        (hours.from.to_string(), hours.until.to_string(), days, hours.zone.iana_name().unwrap().to_owned())
    };
    let midnight = "00:00:00".to_owned();
    assert_eq!(shown(day), ("09:00:00".to_owned(), "18:00:00".to_owned(), vec![], "Europe/Berlin".to_owned()));
    let days = vec![Weekday::Monday, Weekday::Wednesday, Weekday::Saturday, Weekday::Sunday];
    assert_eq!(shown(night), ("22:00:00".to_owned(), "06:00:00".to_owned(), days, "America/New_York".to_owned()));
    assert_eq!(shown(sunday), (midnight.clone(), midnight, vec![Weekday::Sunday], "UTC".to_owned()));
}

#[test]
fn a_rule_that_changes_nothing_is_a_warning() {
    let service = "services: { a: { process: { command: ./a } } }\n";
    for (rules, wanted) in [
        ("allow: [{ from: online, to: [busy, idle] }]", "this rule allows only changes that are legal anyway"),
        ("allow: [{ from: online, to: [busy, starting] }]", ""),
        ("deny: [{ from: terminated, to: [online, offline] }]", "this rule denies only changes that are never made"),
        ("deny: [{ to: registered }]", "this rule denies only changes that are never made"),
        ("deny: [{ from: terminated }]", ""),
        ("{ allow: [{ from: terminated, to: online }], deny: [{ from: terminated, to: online }] }", ""),
    ] {
        let rules = if rules.starts_with('{') { rules.to_owned() } else { format!("{{ {rules} }}") };
        let warnings = written(&format!("{service}lifecycle: {rules}\n")).unwrap().warnings;
        let matching = warnings.iter().all(|warning| warning.contains(wanted) && warning.contains("lcm.yaml:4"));
        assert!(matching && warnings.len() == usize::from(!wanted.is_empty()), "{rules}: {warnings:?}");
    }
}

#[test]
fn wrong_names_are_answered_with_near_ones() {
    let problems =
        load(Path::new("tests/manifest/invalid/lifecycle.yaml"), &Environment::new(), &ModeSelection::default());
    let text = problems.unwrap_err().to_string();
    for wanted in
        ["did you mean `Europe/Berlin`?", "did you mean `video`?", "hours need a `zone`; write, for example, `zone: "]
    {
        assert!(text.contains(wanted), "{wanted} in {text}");
    }
    let problems =
        load(Path::new("tests/manifest/invalid/notify.yaml"), &Environment::new(), &ModeSelection::default());
    assert!(problems.unwrap_err().to_string().contains("there is no service `comfy`; did you mean `comfyui`?"));
}

/// A changed hook recreates nothing.
#[test]
fn none_of_it_is_part_of_the_spec() {
    let bare = "services:\n  a: { docker: { image: a }";
    let beside = "hooks: { pre_start: [{ exec: [./x], required: true }], post_stop: [{ http: { url: \"http://localhost:1/\" } }] }, \
                  recover: { attempts: 7, backoff: 2s, max_backoff: 3s }";
    let around = "lifecycle: { deny: [{ from: online }] }\nnotify: [{ exec: [./tell.sh] }]\n";
    let plain = written(&format!("{bare} }}\n")).unwrap();
    let full = written(&format!("{bare}, {beside} }}\n{around}")).unwrap();
    let spec = |desired: &Desired| desired.services[&"a".into()].spec.clone();
    assert_eq!(spec(&plain).hash(), spec(&full).hash());
    assert_eq!(spec(&plain).config(), spec(&full).config());
    assert_ne!(plain.services[&"a".into()].hooks, full.services[&"a".into()].hooks);
}
