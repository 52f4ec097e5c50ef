//! Live lines at the bottom of a terminal during a run: the steps, their order, and one line for all further ones.
//! Pure. In: events and a time. Out: lines. Not here: the terminal.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::model::event::{EventKind, Stage};
use crate::model::lifecycle::Action;
use crate::model::names::StepId;
use crate::report::fold::cut_off;
use crate::report::print::TerminalSize;
use crate::report::progress::lines::stage_text;
use crate::report::style::{Paint, Style};
use crate::report::table::{self, Cell, about, elapsed, step_text};

/// Signs of the spinner. A whole turn takes a bit more than a second: visibly alive, and calm.
const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];

/// Time of each sign of the spinner, in milliseconds.
pub(super) const TICK_MS: u64 = 120;

/// Width of a bar that shows progress against an estimate: an estimate is good for a tenth.
const CELLS: u64 = 10;

/// Least columns of a terminal with bars; in a narrower one a bar would take the space of words.
const COLUMNS_WITH_BARS: usize = 64;

/// State of a run's steps.
#[derive(Debug, Default)]
pub(super) struct Board {
    /// Steps in the order in which they began, so that a step only ever moves up.
    running: Vec<StepRow>,
    /// Steps that are planned and have not begun.
    waiting: BTreeSet<StepId>,
    /// True once a step had an estimate: the column of bars stays from then on.
    has_estimates: bool,
}

#[derive(Debug)]
struct StepRow {
    step: StepId,
    /// `None`: the step is prepared, and has not begun.
    action: Option<Action>,
    began: Timestamp,
    estimate_ms: Option<u64>,
    stage: Option<Stage>,
    detail: Option<String>,
}

impl Board {
    /// Updates the board by an event.
    pub(super) fn update(&mut self, kind: &EventKind, now: Timestamp) {
        match kind {
            EventKind::Planned { steps, .. } => self.waiting = steps.iter().cloned().collect(),
            EventKind::StepStarted { step, action, estimate_ms, .. } => {
                self.drop(step);
                self.has_estimates |= estimate_ms.is_some();
                self.running.push(StepRow {
                    action: Some(*action),
                    estimate_ms: *estimate_ms,
                    ..StepRow::new(step.clone(), now)
                });
            }
            EventKind::Stage { step, stage, detail, .. } => {
                if !self.running.iter().any(|row| row.step == *step) {
                    self.running.push(StepRow::new(step.clone(), now));
                }
                for row in self.running.iter_mut().filter(|row| row.step == *step) {
                    (row.stage, row.detail) = (Some(*stage), detail.clone());
                }
            }
            EventKind::Prepared { step, .. }
            | EventKind::StepDone { step, .. }
            | EventKind::StepFailed { step, .. }
            | EventKind::StepSkipped { step, .. } => self.drop(step),
            EventKind::Run { .. }
            | EventKind::Transition { .. }
            | EventKind::Hook { .. }
            | EventKind::Heartbeat { .. }
            | EventKind::Warning { .. }
            | EventKind::Result { .. } => {}
        }
    }

    fn drop(&mut self, step: &StepId) {
        self.running.retain(|row| row.step != *step);
        self.waiting.remove(step);
    }

    /// Returns the present lines: none wider than the terminal, and no more than fit.
    pub(super) fn lines(&self, now: Timestamp, size: TerminalSize, style: Style) -> Vec<String> {
        let rest = usize::from(!self.waiting.is_empty());
        let shown = match lines_max(size) {
            max if self.running.len() + rest <= max => self.running.len(),
            max => max - 1,
        };
        let (shown, hidden) = self.running.split_at(shown);
        let bars = self.has_estimates && size.columns >= COLUMNS_WITH_BARS;
        let rows: Vec<Vec<Cell>> = shown.iter().map(|row| row.cells(now, bars)).collect();
        let mut lines = table::lines(&rows, style);
        lines.extend(self.rest(hidden).map(|rest| style.paint(Paint::Dim, &rest)));
        // Terminals disagree on the cursor's place after a full last column.
        lines.iter().map(|line| cut_off(line, size.columns.saturating_sub(1))).collect()
    }

    /// Returns `… and 23 more: 12 starting, 11 waiting`.
    fn rest(&self, hidden: &[StepRow]) -> Option<String> {
        // By action, in the order in which the shown steps began.
        let mut counts: Vec<(&str, usize)> = Vec::new();
        for doing in hidden.iter().map(StepRow::doing) {
            match counts.iter_mut().find(|(other, _)| *other == doing) {
                Some((_, count)) => *count += 1,
                None => counts.push((doing, 1)),
            }
        }
        counts.extend(Some(("waiting", self.waiting.len())).filter(|(_, count)| *count > 0));
        let words: Vec<String> = counts.iter().map(|(doing, count)| format!("{count} {doing}")).collect();
        match hidden.len() {
            0 if words.is_empty() => None,
            0 => Some(format!("… and {}", words.join(", "))),
            more => Some(format!("… and {} more: {}", more + self.waiting.len(), words.join(", "))),
        }
    }
}

/// Returns the most live lines: two thirds of the rows, so that the last results can be read above them.
fn lines_max(size: TerminalSize) -> usize {
    (size.rows * 2 / 3).max(1)
}

impl StepRow {
    fn new(step: StepId, began: Timestamp) -> Self {
        Self { step, action: None, began, estimate_ms: None, stage: None, detail: None }
    }

    /// Returns `⠹ start comfyui  health  [████······]  42s of about 95 s  2 in its queue`.
    fn cells(&self, now: Timestamp, bars: bool) -> Vec<Cell> {
        let elapsed_ms = u64::try_from(now.duration_since(self.began).as_millis()).unwrap_or_default();
        let turn = usize::try_from(elapsed_ms / TICK_MS).unwrap_or_default() % SPINNER.len();
        let time = elapsed(self.began, now);
        let time = match self.estimate_ms {
            Some(estimate_ms) => format!("{time} of about {}", about(estimate_ms)),
            None => time,
        };
        let mut cells = vec![
            Cell::new(format!("{} {}", SPINNER[turn], step_text(&self.step))).paint(Paint::Strong),
            Cell::new(self.stage.map_or("", |stage| stage_text(&self.step, stage))),
        ];
        if bars {
            cells.push(Cell::new(self.estimate_ms.map(|all| bar(elapsed_ms, all)).unwrap_or_default()));
        }
        cells.push(Cell::new(time).paint(Paint::Dim));
        cells.push(Cell::new(self.detail.clone().unwrap_or_default()).paint(Paint::Dim));
        cells
    }

    fn doing(&self) -> &'static str {
        match self.action {
            None => "preparing",
            Some(Action::Start) => "starting",
            Some(Action::Stop) => "stopping",
            Some(Action::Remove) => "removing",
            Some(Action::Evict) => "evicting",
            Some(Action::Pause) => "pausing",
            Some(Action::Unpause) => "unpausing",
            Some(Action::Update) => "updating",
            Some(Action::Scale) => "scaling",
            Some(Action::Wake) => "waking",
        }
    }
}

/// Returns `[████······]`; full once the step takes longer than estimated.
fn bar(elapsed_ms: u64, estimate_ms: u64) -> String {
    let full = usize::try_from((elapsed_ms.saturating_mul(CELLS) / estimate_ms.max(1)).min(CELLS)).unwrap_or_default();
    let cells = usize::try_from(CELLS).unwrap_or_default();
    format!("[{}{}]", "█".repeat(full), "·".repeat(cells - full))
}

#[cfg(test)]
mod tests;
