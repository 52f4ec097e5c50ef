//! Saved plans against plans made now.

use super::{choose, read};
use crate::cli::exit::Exit;
use crate::cli::stop::EarlyExit;
use crate::manifest::ModeSelection;
use crate::model::host::HostIdentity;
use crate::model::lifecycle::{Action, State};
use crate::model::plan::{Expect, Plan, Reason, ReasonCode, Step};
use crate::model::size::Mebibytes;
use crate::reconcile::comparison::{check, differences};

fn step(id: &str, action: Action) -> Step {
    Step {
        id: id.into(),
        service: "web".into(),
        action,
        route: vec![State::Offline, State::Starting, State::Online],
        needs: Vec::new(),
        gpus: vec!["gpu-0".into()],
        vram_mib: Mebibytes(10),
        uneven_mib: std::collections::BTreeMap::new(),
        ram_mib: crate::model::size::Mebibytes::ZERO,
        copies: None,
        job: None,
        reason: Reason { code: ReasonCode::WantedByMode, message: "mode a wants it".to_owned(), by: None },
        expect: Expect { instance: None, state: State::Offline },
        spec: Some("v1:aa".to_owned()),
        diff: None,
        estimate_ms: None,
    }
}

fn plan(steps: Vec<Step>) -> Plan {
    Plan {
        mode: Some("a".into()),
        goals: vec!["g".into()],
        changes: true,
        steps,
        ..Plan::empty("p".into(), "box", jiff::Timestamp::UNIX_EPOCH)
    }
}

#[test]
fn a_host_is_identified_by_its_ids_before_its_name() {
    let host = |name: &str, machine: Option<&str>, boot: &str| {
        let identity = HostIdentity { machine: machine.map(str::to_owned), boot: Some(boot.to_owned()) };
        Plan { host: name.to_owned(), host_identity: Some(identity), ..plan(vec![step("start:web", Action::Start)]) }
    };
    let (host_itself, container) = (host("box", Some("m"), "b"), host("4f2a9c01d2e3", None, "b"));
    assert_eq!(differences(&host_itself, &container), Vec::<String>::new(), "the same boot");
    assert_eq!(differences(&host_itself, &host("box", Some("m"), "c")), Vec::<String>::new(), "after a restart");
    let other = differences(&host_itself, &host("box", Some("n"), "b"));
    assert_eq!(other, ["it was made on another machine that is also named box: the machine ids differ"]);
    let other = differences(&container, &host("77aa01d2e3f4", None, "c"));
    assert_eq!(other, ["it was made on 4f2a9c01d2e3; this is 77aa01d2e3f4"]);
}

#[test]
fn another_time_or_warning_is_the_same_plan() {
    let saved = plan(vec![step("start:web", Action::Start)]);
    let mut now = plan(vec![Step { estimate_ms: Some(9), ..step("start:web", Action::Start) }]);
    now.observed_at = jiff::Timestamp::MAX;
    now.warnings.push("new".to_owned());
    assert!(check(&saved, &now).is_ok());
}

#[test]
fn differences_are_reported_line_by_line() {
    let saved = plan(vec![step("stop:old", Action::Stop), step("start:web", Action::Start)]);
    let other = Step {
        gpus: vec!["gpu-1".into()],
        needs: vec!["stop:old".into()],
        spec: Some("v1:bb".to_owned()),
        ..step("start:web", Action::Start)
    };
    let now = Plan { host: "fox".to_owned(), ..plan(vec![other, step("start:new", Action::Start)]) };
    assert_eq!(
        differences(&saved, &now),
        [
            "it was made on box; this is fox",
            "- stop:old: no longer planned",
            "~ start:web: on gpu-1 instead of gpu-0",
            "~ start:web: waits for stop:old instead of nothing",
            "~ start:web: its definition changed",
            "+ start:new: now planned, mode a wants it",
        ]
    );
    assert_eq!(EarlyExit::from(check(&saved, &now).expect_err("stale")).exit, Exit::Stale);
}

#[test]
fn a_saved_plan_carries_its_mode() {
    let saved = plan(Vec::new());
    let mut choice = ModeSelection::default();
    choose(&saved, &mut choice).expect("no contradiction");
    assert_eq!((choice.mode, choice.goals.len()), (Some("a".into()), 1));
    let mut contradicts = ModeSelection { mode: Some("b".into()), ..ModeSelection::default() };
    assert_eq!(choose(&saved, &mut contradicts).expect_err("another mode").exit, Exit::Usage);
}

#[test]
fn a_file_that_is_no_plan_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("plan.json");
    for (text, reason) in [
        ("{", "EOF"),
        ("{}", "its format is missing"),
        (r#"{"format": "lcm.plan/3"}"#, "its format is lcm.plan/3; this lcm reads lcm.plan/2 and lcm.plan/1"),
        (r#"{"format": "lcm.plan/1"}"#, "missing field"),
    ] {
        std::fs::write(&path, text).expect("written");
        let stop = read(&path).expect_err("no plan");
        let message = stop.text(crate::report::style::Style::PLAIN);
        assert!(message.contains(reason), "{message}");
        assert_eq!(stop.exit, Exit::Refused);
    }
}
