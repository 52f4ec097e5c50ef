//! A runtime that only the list names: read from a manifest, planned, applied in a simulation, shown in each format,
//! written to a snapshot file and read again; and its driver, which refuses each effect.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::apply::{OnFailure, Options, RunContext, apply};
use crate::manifest::{self, ModeSelection};
use crate::model::capacity::HostCapacity;
use crate::model::desired::{Desired, ModeSource, Service};
use crate::model::facts::Facts;
use crate::model::lifecycle::{Action, State};
use crate::model::names::ProjectName;
use crate::model::plan::{Plan, Purpose, Request};
use crate::model::snapshot::{PlanError, Planner, Snapshot};
use crate::report::style::Style;
use crate::report::view::{InspectedCounts, PlanOrigin, PlanView};
use crate::report::{html, json, markdown, mermaid, text};
use crate::runtime::contract::Runtime as _;
use crate::runtime::registry::{OBSERVERS, RUNTIMES, observe};
use crate::runtime::skeleton::NAME;
use crate::runtime::skeleton::drive::SkeletonDriver;
use crate::runtime::{Driver as _, Start, world};
use crate::sim::Sim;
use crate::store::Author;
use crate::store::memory::MemoryStore;

const MANIFEST: &str = "version: 1\nname: studio\nservices:\n  web: { skeleton: { skeleton_name: site } }\n";

fn desired(manifest: &str) -> Desired {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("lcm.yaml");
    std::fs::write(&file, manifest).expect("written");
    manifest::load(&file, &BTreeMap::new(), &ModeSelection::default()).expect("a manifest")
}

fn nothing() -> Facts {
    Facts::empty("box", "2026-01-02T03:04:05Z".parse::<Timestamp>().expect("a time"))
}

/// Planner with the real observer, planner and audit.
struct Real<'a>(&'a Desired);

impl Planner for Real<'_> {
    fn observe(&self, facts: Facts) -> Snapshot {
        Snapshot { observed: observe(&facts, self.0), facts }
    }

    fn plan(&self, snapshot: &Snapshot, request: &Request) -> Result<Plan, PlanError> {
        let plan = crate::plan::plan(self.0, &snapshot.observed, request);
        let findings = crate::plan::audit(&plan, self.0, &snapshot.observed, request);
        if findings.is_empty() { Ok(plan) } else { Err(PlanError::Unsound(findings)) }
    }

    fn capacity(&self, snapshot: &Snapshot, request: &Request) -> HostCapacity {
        crate::plan::capacity(self.0, &snapshot.observed, request)
    }
}

async fn planned(sim: &Sim, desired: &Desired) -> Plan {
    let planner = Real(desired);
    let snapshot = planner.observe(sim.observe(desired).await);
    planner.plan(&snapshot, &Request::default()).expect("a sound plan")
}

async fn applied(sim: &Sim, desired: &Desired, plan: &Plan) {
    let (interrupt, request) = (watch::Sender::new(None), Request::default());
    let options = Options {
        parallelism: 4,
        on_failure: OnFailure::Continue,
        timeout: Duration::from_hours(1),
        force: false,
        release_timeout: Duration::from_mins(2),
    };
    let context = RunContext {
        driver: sim,
        store: &MemoryStore::default(),
        store_failure_reported: &AtomicBool::new(false),
        author: &Author::default(),
        desired,
        request: &request,
        approved: None,
        planner: &Real(desired),
        earlier: &[],
        orphans: &BTreeMap::new(),
        options: &options,
        events: &|_| {},
        interrupt: &interrupt.subscribe(),
        check_lock: &|| Ok(()),
    };
    apply(context, plan).await;
}

fn actions(plan: &Plan) -> Vec<(Action, &str)> {
    plan.steps.iter().map(|step| (step.action, step.service.as_str())).collect()
}

#[tokio::test(start_paused = true)]
async fn it_plans_and_applies_and_then_there_is_nothing_to_do() {
    let desired = desired(MANIFEST);
    let sim = Sim::new(nothing());
    let plan = planned(&sim, &desired).await;
    assert_eq!(actions(&plan), [(Action::Start, "web")]);
    applied(&sim, &desired, &plan).await;
    assert!(sim.violations().is_empty(), "{:?}", sim.violations());
    let seen = observe(&sim.world(), &desired);
    assert_eq!(seen.services[&"web".into()].state, State::Online);
    assert_eq!(actions(&planned(&sim, &desired).await), []);
    let down = crate::plan::plan(&desired, &seen, &Request { purpose: Purpose::Down, ..Request::default() });
    assert_eq!(actions(&down), [(Action::Stop, "web"), (Action::Remove, "web")]);
}

#[tokio::test(start_paused = true)]
async fn a_changed_definition_recreates_it_and_an_orphan_is_reported() {
    let first = desired(MANIFEST);
    let sim = Sim::new(nothing());
    let plan = planned(&sim, &first).await;
    applied(&sim, &first, &plan).await;
    let renamed = desired(&MANIFEST.replace("site", "page"));
    assert_eq!(
        actions(&planned(&sim, &renamed).await),
        [(Action::Stop, "web"), (Action::Remove, "web"), (Action::Start, "web")]
    );
    let other = desired(&MANIFEST.replace("web:", "api:"));
    let orphans = observe(&sim.world(), &other).orphans;
    assert_eq!(orphans.iter().map(|orphan| orphan.service.as_str()).collect::<Vec<_>>(), ["web"]);
}

#[tokio::test(start_paused = true)]
async fn every_format_shows_it() {
    let desired = desired(MANIFEST);
    let sim = Sim::new(nothing());
    let plan = planned(&sim, &desired).await;
    let inspected = InspectedCounts::at(&sim.world());
    let origin = PlanOrigin::Now { mode_source: ModeSource::Manifest, switched: None, inspected: &inspected };
    let view = PlanView { plan: &plan, purpose: Purpose::Apply, origin };
    let setting = text::TextOptions { verbose: false, style: Style::PLAIN };
    let shown = [
        ("text", text::plan(view, setting).to_string()),
        ("markdown", markdown::plan(view).to_string()),
        ("html", html::plan(view).to_string()),
        ("mermaid", mermaid::plan(&plan).to_string()),
        ("json", json::document(&plan).to_string()),
    ];
    for (format, text) in shown {
        assert!(text.contains("web"), "{format}: {text}");
    }
    applied(&sim, &desired, &plan).await;
    let next = planned(&sim, &desired_with_more(&desired)).await;
    let value: Value = serde_json::to_value(&next).expect("JSON");
    assert!(value.to_string().contains(r#""runtime":"skeleton""#), "{value}");
    assert_eq!(serde_json::from_value::<Plan>(value).expect("read again"), next);
}

/// Returns the same manifest with a changed spec, so that the instance appears in the plan.
fn desired_with_more(desired: &Desired) -> Desired {
    let mut more = desired.clone();
    let services = more.services.values_mut();
    services.for_each(|service: &mut Service| {
        service.spec = crate::model::spec::Spec::plain(json!({ "skeleton_name": "other" }));
    });
    more
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_file_holds_it() {
    let desired = desired(MANIFEST);
    let sim = Sim::new(nothing());
    applied(&sim, &desired, &planned(&sim, &desired).await).await;
    let written = serde_json::to_string(&sim.world()).expect("JSON");
    assert!(written.contains(r#""skeleton":{"format":"skeleton/1""#), "{written}");
    assert_eq!(world::read(&written).expect("read again"), sim.world());
}

#[test]
fn the_schema_and_the_messages_know_its_key() {
    let schema = manifest::schema().to_string();
    assert!(schema.contains("An object of the skeleton."), "{schema}");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("lcm.yaml");
    let problems = |services: &str| {
        std::fs::write(&file, format!("version: 1\nname: studio\nservices:\n  {services}\n")).expect("written");
        let problems = manifest::load(&file, &BTreeMap::new(), &ModeSelection::default()).expect_err("refused");
        format!("{problems:?}")
    };
    assert!(problems("web: { vram: 1GiB }").contains("`skeleton:` with a name"));
    assert!(problems("web: { skeleton: {} }").contains("an object needs a `skeleton_name`"));
    assert!(problems("web: { process: { command: [a] }, skeleton: { skeleton_name: b } }").contains("two runtimes"));
    assert!(problems("web: { skeleton_name: b }").contains("belongs under `skeleton:`"));
}

#[tokio::test]
async fn its_driver_refuses_each_effect_and_names_it() {
    let desired = desired(MANIFEST);
    let driver = SkeletonDriver::new(&desired);
    let project: ProjectName = "studio".into();
    let web = &desired.services[&"web".into()];
    let start = Start { project: &project, service: web, gpus: &[], indices: &[] };
    let refused = driver.start(&start).await.expect_err("there is no endpoint").to_string();
    assert!(refused.contains("`skeleton`") && refused.contains("start"), "{refused}");
    driver.prepare(&project, web).await.expect_err("nor anything to prepare");
    let mut facts = nothing();
    facts.instances.insert(driver.read(&desired).await.facts);
    assert_eq!(driver.calls(), 3);
    // What can't be read is unknown, never absent: nothing is started beside it.
    let seen = observe(&facts, &desired);
    assert!(seen.services[&"web".into()].unknown.as_ref().is_some_and(|why| why.contains("no endpoint")));
}

#[test]
fn it_is_registered_once_with_its_observer() {
    assert_eq!(RUNTIMES.iter().filter(|runtime| runtime.name == NAME).count(), 1);
    assert_eq!(OBSERVERS.iter().filter(|observer| observer.runtime() == NAME).count(), 1);
}
