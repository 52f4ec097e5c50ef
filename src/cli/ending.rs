//! Summary of a run, for people.

use crate::cli::exit::Exit;
use crate::cli::terminal::tally;
use crate::cli::terminal::teller::EventReporter;
use crate::model::lifecycle::Action;
use crate::model::plan::{Purpose, Step};
use crate::reconcile::RunReport;
use crate::report::output::Output;
use crate::report::sheet::Sheet;
use crate::report::style::Style;
use crate::report::table::step_text;

/// Returns the summary of a run in one sentence.
pub(super) fn message(teller: &EventReporter, report: &RunReport) -> String {
    match report.took_ms {
        Some(took_ms) => teller.sentence(&report.outcome, took_ms),
        None => "nothing to do".to_owned(),
    }
}

/// Returns the sentence on a step by which the next apply reverts a run.
pub(super) fn undone(step: &Step) -> String {
    let does = if step.action == Action::Start { "starts" } else { "stops" };
    format!("The next `lcm apply` {does} {}: {}.", step.service, step.reason.message)
}

/// Returns the summary of a run, for people; empty where the plan already stated everything.
pub(super) fn text(purpose: Purpose, report: &RunReport, (exit, message): (Exit, &str), style: Style) -> Output {
    let RunReport { outcome, .. } = report;
    let undone: Vec<String> = report.undone.iter().map(self::undone).collect();
    if report.took_ms.is_none() {
        return Sheet::new().block(0, undone).output(style);
    }
    let done = match purpose {
        Purpose::Apply => "Applied",
        Purpose::Down => "Down",
        Purpose::Start | Purpose::Stop | Purpose::Restart => "Done",
    };
    let head = match exit {
        Exit::Done | Exit::Changes | Exit::Blocked => done,
        Exit::Interrupted => "Interrupted",
        Exit::Terminated => "Terminated",
        Exit::Failed | Exit::Refused => "Incomplete",
        Exit::Usage | Exit::Locked | Exit::Stale => "Not applied",
    };
    let mut sheet = Sheet::new();
    sheet.gap().line(format!("{head}: {message}."));
    if let Some(refused) = &outcome.refused {
        sheet.line(format!("Stopped early: {refused}"));
    }
    for failure in &outcome.failures {
        sheet.line(format!("  {} failed: {}", step_text(&failure.step), failure.error));
    }
    for blocked in tally::blocked(outcome) {
        sheet.line(format!("  {} is blocked: {}", blocked.service, blocked.reason.message));
    }
    for left in outcome.last_plan.iter().flat_map(|plan| &plan.left) {
        sheet.line(format!("  {} is left running: {}", left.service, left.message));
    }
    sheet.block(0, undone);
    if matches!(exit, Exit::Interrupted | Exit::Terminated) {
        sheet.own("Nothing is lost: run the command again to continue from the current state.");
    }
    sheet.output(style)
}
