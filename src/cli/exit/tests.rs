//! The table of exit codes, row by row.

use super::Exit;
use crate::apply::{Failure, Interrupt, RunResult};
use crate::model::lifecycle::{Action, State};
use crate::model::plan::{Blocked, Expect, Held, Plan, Reason, ReasonCode, Step};

fn empty() -> Plan {
    Plan::empty("p".into(), "box", jiff::Timestamp::UNIX_EPOCH)
}

fn reason(code: ReasonCode) -> Reason {
    Reason { code, message: String::new(), by: None }
}

fn blocked(code: ReasonCode) -> Plan {
    Plan { blocked: vec![Blocked { service: "a".into(), reason: reason(code) }], ..empty() }
}

fn held(code: ReasonCode) -> Plan {
    Plan { held: vec![Held { service: "a".into(), reason: reason(code), by: None, since: None }], ..empty() }
}

fn with_a_step() -> Plan {
    let step = Step {
        id: "start:a".into(),
        service: "a".into(),
        action: Action::Start,
        route: vec![State::Offline, State::Starting, State::Online],
        needs: Vec::new(),
        gpus: Vec::new(),
        vram_mib: crate::model::size::Mebibytes::ZERO,
        uneven_mib: std::collections::BTreeMap::new(),
        ram_mib: crate::model::size::Mebibytes::ZERO,
        copies: None,
        job: None,
        reason: reason(ReasonCode::WantedByMode),
        expect: Expect { instance: None, state: State::Offline },
        spec: None,
        diff: None,
        estimate_ms: None,
    };
    Plan { changes: true, steps: vec![step], ..empty() }
}

fn done(last_plan: Plan) -> RunResult {
    RunResult {
        changed: true,
        done: 1,
        skipped: 0,
        settled: 0,
        failures: Vec::new(),
        interrupted: None,
        refused: None,
        lock_lost: false,
        last_plan: Some(last_plan),
    }
}

fn failure() -> Failure {
    Failure { step: "start:a".into(), service: "a".into(), error: "no".to_owned(), log: Vec::new() }
}

#[test]
fn the_first_of_several_is_reported() {
    let order = [64, 1, 6, 5, 143, 130, 3, 4, 2, 0];
    let mut all = [
        Exit::Done,
        Exit::Refused,
        Exit::Changes,
        Exit::Failed,
        Exit::Blocked,
        Exit::Stale,
        Exit::Locked,
        Exit::Usage,
        Exit::Interrupted,
        Exit::Terminated,
    ];
    all.sort();
    assert_eq!(all.map(Exit::code), order);
    assert_eq!(Exit::first([Exit::Blocked, Exit::Failed, Exit::Changes]), Exit::Failed);
    assert_eq!(Exit::first([]), Exit::Done);
}

#[test]
fn a_plan_reports_changes_only_with_detailed_exitcode() {
    assert_eq!(Exit::of_plan(&empty(), true), Exit::Done);
    assert_eq!(Exit::of_plan(&with_a_step(), false), Exit::Done);
    assert_eq!(Exit::of_plan(&with_a_step(), true), Exit::Changes);
    assert_eq!(Exit::of_plan(&blocked(ReasonCode::NoCapacity), true), Exit::Blocked);
    assert_eq!(Exit::of_plan(&held(ReasonCode::Suspended), false), Exit::Done, "a hold is no error");
}

#[test]
fn a_plan_ends_as_its_apply_would_where_every_step_succeeds() {
    assert_eq!(Exit::of_plan(&held(ReasonCode::BudgetSpent), false), Exit::Failed, "no step repairs it");
    assert_eq!(Exit::of_plan(&blocked(ReasonCode::Unhealthy), true), Exit::Failed);
    let repairs = Plan { steps: with_a_step().steps, changes: true, ..empty() };
    assert_eq!(Exit::of_plan(&repairs, false), Exit::Done, "repairs are pending");
    let repairs_a_part = Plan { held: held(ReasonCode::BudgetSpent).held, ..repairs };
    assert_eq!(Exit::of_plan(&repairs_a_part, true), Exit::Failed);
}

#[test]
fn an_apply_reports_what_is_left() {
    let of = |outcome: &RunResult| Exit::of_outcome(outcome, true);
    assert_eq!(of(&done(empty())), Exit::Changes);
    assert_eq!(Exit::of_outcome(&done(empty()), false), Exit::Done);
    assert_eq!(of(&RunResult { changed: false, ..done(empty()) }), Exit::Done);
    assert_eq!(of(&done(blocked(ReasonCode::NoCapacity))), Exit::Blocked);
    assert_eq!(of(&done(blocked(ReasonCode::StartFailed))), Exit::Failed);
    assert_eq!(of(&done(held(ReasonCode::BudgetSpent))), Exit::Failed);
    assert_eq!(of(&done(held(ReasonCode::Maintenance))), Exit::Changes);
    assert_eq!(of(&done(with_a_step())), Exit::Failed, "it did not converge");
}

#[test]
fn failures_refusals_and_interrupts_come_in_their_order() {
    let failed = RunResult { failures: vec![failure()], ..done(blocked(ReasonCode::NoCapacity)) };
    assert_eq!(Exit::of_outcome(&failed, true), Exit::Failed);
    let cut = RunResult { interrupted: Some(Interrupt::Interrupted), ..failed.clone() };
    assert_eq!(Exit::of_outcome(&cut, true), Exit::Interrupted);
    let ended = RunResult { interrupted: Some(Interrupt::Terminated), ..failed };
    assert_eq!(Exit::of_outcome(&ended, true), Exit::Terminated);
    let refused = RunResult { refused: Some("audit".to_owned()), changed: false, ..done(empty()) };
    assert_eq!(Exit::of_outcome(&refused, true), Exit::Refused);
    let lost = RunResult { lock_lost: true, changed: true, ..refused.clone() };
    assert_eq!(Exit::of_outcome(&lost, true), Exit::Locked, "also after changes");
    let later = RunResult { changed: true, ..refused };
    assert_eq!(Exit::of_outcome(&later, true), Exit::Failed, "something was changed before");
}
