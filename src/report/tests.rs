//! Hand-made plans, for the tests of every form.

use std::sync::LazyLock;

use crate::model::capacity::{GpuCapacity, MemoryHolder};
use crate::model::claim::{ClaimFact, Claimant};
use crate::model::desired::ModeSource;
use crate::model::lifecycle::{Action, State, route};
use crate::model::names::{GpuId, RuntimeName, StepId};
use crate::model::network::{NetworkChange, NetworkLine};
use crate::model::plan::{
    Blocked, Expect, GpuLine, Held, Kept, Left, OrphanLine, Plan, Purpose, Reason, ReasonCode, Step,
};
use crate::model::size::Mebibytes;
use crate::report::view::{InspectedCounts, PlanOrigin, PlanView};

pub(crate) static INSPECTED: LazyLock<InspectedCounts> = LazyLock::new(|| {
    InspectedCounts::of(&[(3, "container", "containers"), (2, "process tree", "process trees"), (1, "GPU", "GPUs")])
});

/// Returns the view of a plan that was made from the manifest's own mode.
pub(crate) fn view(plan: &Plan, purpose: Purpose) -> PlanView<'_> {
    PlanView {
        plan,
        purpose,
        origin: PlanOrigin::Now { mode_source: ModeSource::Manifest, switched: None, inspected: &INSPECTED },
    }
}

pub(crate) fn reason(code: ReasonCode, message: &str) -> Reason {
    Reason { code, message: message.to_owned(), by: None }
}

pub(crate) fn step(action: Action, service: &str, from: State, vram_mib: u64, why: Reason) -> Step {
    Step {
        id: StepId::new(format!("{action}:{service}")),
        service: service.into(),
        action,
        route: route(action, from).expect("a legal route").to_vec(),
        needs: Vec::new(),
        gpus: if vram_mib > 0 { vec![GpuId::new("GPU-aaaa")] } else { Vec::new() },
        vram_mib: Mebibytes(vram_mib),
        uneven_mib: std::collections::BTreeMap::new(),
        ram_mib: Mebibytes::ZERO,
        copies: None,
        job: None,
        reason: why,
        expect: Expect { instance: None, state: from },
        spec: None,
        diff: None,
        estimate_ms: None,
    }
}

pub(crate) fn kept(service: &str, state: State, message: &str) -> Kept {
    Kept { service: service.into(), state, message: message.to_owned() }
}

pub(crate) fn gpu(id: &str, index: u32) -> GpuLine {
    GpuLine {
        id: id.into(),
        index,
        capacity_mib: Mebibytes(24_576),
        reserve_mib: Mebibytes(512),
        foreign_mib: Mebibytes(511),
        measured_mib: Some(Mebibytes(17_690)),
        before_mib: Mebibytes(17_678),
        peak_mib: Mebibytes(19_586),
        after_mib: Mebibytes(19_585),
    }
}

pub(crate) fn empty() -> Plan {
    let observed_at = "2026-11-20T10:00:00Z".parse().expect("a timestamp");
    Plan {
        mode: Some("video".into()),
        modes: vec!["video".into()],
        engine: Some("unix:///var/run/docker.sock 20.10.24".to_owned()),
        gpus: vec![gpu("GPU-aaaa", 0)],
        ..Plan::empty("studio".into(), "box", observed_at)
    }
}

pub(crate) fn switch() -> Plan {
    let mut start = step(
        Action::Start,
        "comfyui",
        State::Registered,
        19_074,
        reason(ReasonCode::WantedByMode, "wanted by mode video"),
    );
    start.needs = vec!["stop:ollama".into(), "start:web".into()];
    start.estimate_ms = Some(42_000);
    let changed = reason(ReasonCode::SpecChanged, "its definition changed");
    let mut again = step(Action::Start, "web", State::Offline, 0, changed.clone());
    again.needs = vec!["stop:web".into()];
    again.diff = Some("@@ -1,2 +1,2 @@\n command:\n-- --port=80\n+- --port=81\n".to_owned());
    Plan {
        changes: true,
        steps: vec![
            step(
                Action::Stop,
                "ollama",
                State::Idle,
                17_167,
                reason(ReasonCode::NotInMode, "mode video does not name it"),
            ),
            step(Action::Stop, "web", State::Online, 0, changed),
            again,
            start,
        ],
        kept: vec![
            kept("cosyvoice", State::Online, "online, as it should be: wanted by mode video"),
            kept("whisper", State::Offline, "it is off, and not wanted"),
        ],
        blocked: vec![Blocked { service: "vidi".into(), reason: reason(ReasonCode::NoCapacity, &refusal()) }],
        left: vec![Left {
            service: "paint".into(),
            state: State::Online,
            waits_for: vec!["vidi".into()],
            message: "not part of mode video; it keeps running until vidi can start".to_owned(),
        }],
        held: vec![Held {
            service: "trainer".into(),
            reason: reason(ReasonCode::Suspended, "an operator suspended it"),
            by: Some("kim".to_owned()),
            since: Some("2026-11-19T08:30:00.5Z".parse().expect("a timestamp")),
        }],
        orphans: vec![OrphanLine {
            service: "old".into(),
            instance: crate::runtime::process::instance("abc".to_owned()),
            carrier: None,
            state: State::Online,
            message: "it carries this project's mark, but the manifest does not name it".to_owned(),
        }],
        warnings: vec!["not measured: no GPU driver found; using the sizes in the manifest".to_owned()],
        ..empty()
    }
}

/// Message of a refusal, with the arithmetic as the planner writes it.
fn refusal() -> String {
    let holder = MemoryHolder {
        service: Some("ollama".into()),
        label: "ollama (priority 200)".to_owned(),
        counts: Mebibytes(18_000),
        measured: None,
    };
    let gpu = GpuCapacity {
        index: 0,
        called: "GPU 0".to_owned(),
        capacity: Mebibytes(24_564),
        reserve: Mebibytes(512),
        foreign: Mebibytes(1_574),
        foreign_holders: vec!["Xorg".to_owned()],
        used: None,
        told: false,
        lost: None,
        unreadable: None,
        holders: vec![holder],
    };
    format!("it needs 16 000 MiB (priority 50); {}", gpu.arithmetic(None))
}

/// Text that every form must show as text: all that HTML, Markdown, Mermaid and GitHub could interpret in it.
pub(crate) const HOSTILE: &str =
    "</script><script>alert(1)</script> \"'`|\\ --> @kim #77 $a$ [x](http://x) *b* _c_ end; <!-- &amp; ]] }} ]) %%";

/// Returns the same plan with every foreign text made hostile.
pub(crate) fn hostile() -> Plan {
    let mut plan = switch();
    (plan.project, plan.mode, plan.host) = (HOSTILE.into(), Some(HOSTILE.into()), HOSTILE.to_owned());
    plan.modes = vec![HOSTILE.into()];
    plan.engine = Some(HOSTILE.to_owned());
    plan.goals = vec![HOSTILE.into()];
    for (position, step) in plan.steps.iter_mut().enumerate() {
        step.service = format!("{HOSTILE}{position}").as_str().into();
        step.reason.message = HOSTILE.to_owned();
        step.diff = Some(format!("+{HOSTILE}\n+```\n"));
    }
    let ids = plan.steps.iter().map(|step| (step.id.clone(), StepId::new(format!("{}:{}", step.action, step.service))));
    let ids: std::collections::BTreeMap<StepId, StepId> = ids.collect();
    for step in &mut plan.steps {
        step.id = ids[&step.id].clone();
        step.needs = step.needs.iter().map(|need| ids[need].clone()).collect();
    }
    plan.kept.iter_mut().for_each(|kept| (kept.service, kept.message) = (HOSTILE.into(), HOSTILE.to_owned()));
    plan.left.iter_mut().for_each(|left| (left.service, left.message) = (HOSTILE.into(), HOSTILE.to_owned()));
    plan.blocked.iter_mut().for_each(|it| (it.service, it.reason.message) = (HOSTILE.into(), HOSTILE.to_owned()));
    plan.held.iter_mut().for_each(|it| (it.service, it.by) = (HOSTILE.into(), Some(HOSTILE.to_owned())));
    plan.orphans.iter_mut().for_each(|it| (it.service, it.message) = (HOSTILE.into(), HOSTILE.to_owned()));
    let claimant = Claimant::Process { pid: 7, uid: 61_001, program: HOSTILE.to_owned() };
    plan.networks = vec![NetworkLine {
        runtime: RuntimeName::known("engine"),
        network: HOSTILE.to_owned(),
        change: NetworkChange::Keep,
        needs: Vec::new(),
        message: HOSTILE.to_owned(),
    }];
    plan.claimed = vec![ClaimFact::new(HOSTILE, HOSTILE, claimant, HOSTILE)];
    plan.warnings = vec![HOSTILE.to_owned()];
    plan
}
