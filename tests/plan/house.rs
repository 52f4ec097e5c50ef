//! A manifest and a simulated machine, and the checks that every planner test ends with.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use futures_util::FutureExt as _;
use jiff::Timestamp;
use lcm::apply::{OnFailure, Options, RunContext, RunResult, apply};
use lcm::manifest::{ModeSelection, load};
use lcm::model::capacity::HostCapacity;
use lcm::model::desired::Desired;
use lcm::model::facts::Facts;
use lcm::model::holds::{Hold, HoldRecord};
use lcm::model::plan::{Plan, Request};
use lcm::model::snapshot::{PlanError, Planner, Snapshot};
use lcm::plan::{audit, plan};
use lcm::runtime::Driver as _;
use lcm::runtime::registry::observe;
use lcm::sim::Sim;
use lcm::store::memory::MemoryStore;
use lcm::store::{Author, HoldStore as _, Journal as _, Transition};

#[path = "../support/schema.rs"]
mod schema;

/// Manifest in a folder of its own, with a simulated machine and a store.
pub(crate) struct House {
    folder: tempfile::TempDir,
    pub(crate) sim: Sim,
    pub(crate) store: MemoryStore,
}

impl House {
    /// Returns an empty machine with this manifest.
    pub(crate) fn new(manifest: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let observed_at: Timestamp = "2026-01-02T03:04:05Z".parse().expect("a time");
        let house = Self { folder, sim: Sim::new(Facts::empty("box", observed_at)), store: MemoryStore::default() };
        house.rewrite(manifest);
        house
    }

    /// Replaces the manifest.
    pub(crate) fn rewrite(&self, manifest: &str) {
        std::fs::write(self.folder.path().join("lcm.yaml"), manifest).expect("a manifest");
    }

    pub(crate) fn desired(&self, mode: Option<&str>) -> Desired {
        let environment = BTreeMap::from([("TOKEN".to_owned(), "s3cret-token".to_owned())]);
        self.desired_with(mode, &environment)
    }

    pub(crate) fn desired_with(&self, mode: Option<&str>, environment: &BTreeMap<String, String>) -> Desired {
        let choice = ModeSelection { mode: mode.map(Into::into), ..ModeSelection::default() };
        load(&self.folder.path().join("lcm.yaml"), environment, &choice).unwrap_or_else(|problems| panic!("{problems}"))
    }

    /// Returns the plan for a mode as text, audited and made twice.
    pub(crate) fn plan(&self, mode: &str) -> String {
        text(&self.plan_for(&self.desired(Some(mode)), &Request::default()))
    }

    pub(crate) fn plan_with(&self, mode: &str, request: &Request) -> String {
        text(&self.plan_for(&self.desired(Some(mode)), request))
    }

    pub(crate) fn plan_for(&self, desired: &Desired, request: &Request) -> Plan {
        let facts = block_on(self.facts(desired));
        let plan =
            audited_plan(desired, &facts, request).unwrap_or_else(|findings| panic!("the audit found: {findings}"));
        fits(&plan, "a plan of this test");
        plan
    }

    /// Reads the facts of the machine for this manifest.
    pub(crate) fn inspect(&self, desired: &Desired) -> Facts {
        block_on(self.facts(desired))
    }

    async fn facts(&self, desired: &Desired) -> Facts {
        let mut facts = self.sim.observe(desired).await;
        facts.history = self.store.last_known(&desired.project).await.expect("a memory");
        facts.pending = self.store.pending(&desired.project).await.expect("a memory");
        facts.merge_holds(self.store.holds(&desired.project).await.expect("a memory").services);
        facts
    }

    /// Sets a hold by kim on a service, or releases its hold.
    pub(crate) fn set_hold(&self, service: &str, kind: Option<Hold>) {
        let since: Timestamp = "2026-01-02T02:00:00Z".parse().expect("a time");
        let metadata = BTreeMap::from([("ticket".to_owned(), "7".to_owned())]);
        let hold = kind.map(|kind| HoldRecord { kind, by: "kim".to_owned(), since, reason: None, metadata });
        let (project, service) = ("studio".into(), service.into());
        // Without `block_on`, since a test may call this within a runtime.
        let kept = self.store.set_hold(&project, &service, hold.as_ref()).now_or_never();
        kept.expect("a memory waits for nothing").expect("a memory");
    }

    /// Returns all changes so far: `painter: online → offline`.
    pub(crate) fn transitions(&self) -> Vec<Transition> {
        self.store.transitions()
    }

    /// Applies a mode, which must converge: the next plan has no steps.
    pub(crate) fn apply(&self, mode: &str) -> RunResult {
        self.apply_for(&self.desired(Some(mode)), &Request::default())
    }

    pub(crate) fn apply_for(&self, desired: &Desired, request: &Request) -> RunResult {
        let outcome = self.try_apply(desired, request);
        let failures: Vec<&String> = outcome.failures.iter().map(|failure| &failure.error).collect();
        assert!(failures.is_empty(), "{failures:?}");
        let next = self.plan_for(desired, request);
        assert!(next.steps.is_empty(), "not converged:\n{}", text(&next));
        outcome
    }

    pub(crate) fn try_apply(&self, desired: &Desired, request: &Request) -> RunResult {
        self.apply_while(desired, request, async {})
    }

    /// Applies while `beside` runs concurrently.
    pub(crate) fn apply_while(
        &self,
        desired: &Desired,
        request: &Request,
        beside: impl Future<Output = ()>,
    ) -> RunResult {
        let applied = self.applied(desired, request);
        let (outcome, ()) = block_on(async { tokio::join!(applied, beside) });
        assert_eq!(self.sim.violations(), Vec::<String>::new());
        outcome
    }

    /// Applies until the crash that the simulated machine has in store; returns false if there was none.
    pub(crate) fn apply_until_crash(&self, desired: &Desired, request: &Request) -> bool {
        block_on(async {
            tokio::select! {
                biased;
                () = self.sim.crashed() => true,
                _ = self.applied(desired, request) => false,
            }
        })
    }

    async fn applied(&self, desired: &Desired, request: &Request) -> RunResult {
        let first = audited_plan(desired, &self.facts(desired).await, request).expect("an audited plan");
        let options = Options {
            parallelism: 4,
            on_failure: OnFailure::Continue,
            timeout: Duration::from_hours(1),
            force: false,
            release_timeout: Duration::from_mins(2),
        };
        let (_keep, interrupt) = tokio::sync::watch::channel(None);
        let earlier = self.store.pending(&desired.project).await.expect("it is in memory");
        let context = RunContext {
            driver: &self.sim,
            store: &self.store,
            store_failure_reported: &AtomicBool::new(false),
            author: &Author::default(),
            desired,
            request,
            approved: None,
            planner: &Twice { desired },
            earlier: &earlier,
            orphans: &BTreeMap::new(),
            options: &options,
            events: &|event| fits(&event, "an event of this test"),
            interrupt: &interrupt,
            check_lock: &|| Ok(()),
        };
        apply(context, &first).await
    }
}

/// Checks a published document against its schema.
fn fits<T: serde::Serialize>(published: &T, what: &str) {
    schema::check(&serde_json::to_value(published).expect("it is JSON"), what);
}

/// Planner that plans twice and audits.
struct Twice<'a> {
    desired: &'a Desired,
}

impl Planner for Twice<'_> {
    fn observe(&self, facts: Facts) -> Snapshot {
        let observed = observe(&facts, self.desired);
        Snapshot { facts, observed }
    }

    fn plan(&self, snapshot: &Snapshot, request: &Request) -> Result<Plan, PlanError> {
        audited_plan(self.desired, &snapshot.facts, request).map_err(|findings| PlanError::Unsound(vec![findings]))
    }

    fn capacity(&self, snapshot: &Snapshot, request: &Request) -> HostCapacity {
        lcm::plan::capacity(self.desired, &snapshot.observed, request)
    }
}

fn audited_plan(desired: &Desired, facts: &Facts, request: &Request) -> Result<Plan, String> {
    let observed = observe(facts, desired);
    let made = plan(desired, &observed, request);
    assert_eq!(made, plan(desired, &observe(facts, desired), request), "same input, same plan");
    let findings = audit(&made, desired, &observed, request);
    if findings.is_empty() { Ok(made) } else { Err(format!("{}\n{}", findings.join("\n"), text(&made))) }
}

/// Runs a future on a paused clock, which advances at once where nothing else is ready.
pub(crate) fn block_on<F: Future>(work: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime")
        .block_on(work)
}

/// Summary of a plan: a line for each step and for each service that is blocked, left, held or orphaned.
pub(crate) fn text(plan: &Plan) -> String {
    let mut text = String::new();
    for step in &plan.steps {
        let needs: Vec<&str> = step.needs.iter().map(lcm::model::names::StepId::as_str).collect();
        let after = if needs.is_empty() { String::new() } else { format!(" after {}", needs.join(", ")) };
        let gpus: Vec<&str> = step.gpus.iter().map(lcm::model::names::GpuId::as_str).collect();
        let mut amounts: Vec<String> = step.gpus.iter().map(|gpu| step.vram_on(gpu).0.to_string()).collect();
        amounts.dedup();
        let memory =
            if gpus.is_empty() { String::new() } else { format!(" {} on {}", amounts.join("+"), gpus.join("+")) };
        let ram = step.ram_mib.0;
        let memory = if ram == 0 { memory } else { format!("{memory} {ram} of the host") };
        let _ = writeln!(text, "{} [{}]{memory}{after}", step.id, step.reason.code.as_str());
    }
    for blocked in &plan.blocked {
        let _ =
            writeln!(text, "blocked {} [{}] {}", blocked.service, blocked.reason.code.as_str(), blocked.reason.message);
    }
    for left in &plan.left {
        let waits_for: Vec<&str> = left.waits_for.iter().map(lcm::model::names::ServiceName::as_str).collect();
        let _ = writeln!(text, "left {} until {}", left.service, waits_for.join(", "));
    }
    for held in &plan.held {
        let _ = writeln!(text, "held {} [{}]", held.service, held.reason.code.as_str());
    }
    for orphan in &plan.orphans {
        let _ = writeln!(text, "orphan {}: {}", orphan.service, orphan.message);
    }
    text
}

/// Compares a plan's text with the expected lines, without their indentation.
#[track_caller]
pub(crate) fn assert_lines(found: &str, expected: &str) {
    let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let found: Vec<&str> = found.lines().collect();
    assert_eq!(found, expected);
}
