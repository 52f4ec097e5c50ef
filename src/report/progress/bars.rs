//! Events at a terminal: a spinner for each step under way, with its stage and its time; what ended stays above.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::model::event::{Event, EventKind};
use crate::model::names::StepId;
use crate::report::fold::folded;
use crate::report::print;
use crate::report::progress::lines;
use crate::report::progress::waits::Waits;
use crate::report::style::Style;
use crate::report::table::{about, spoken};

/// Smooth to the eye, nothing to the machine.
const TICK: Duration = Duration::from_millis(120);

#[derive(Debug)]
pub(super) struct Bars {
    all: MultiProgress,
    running: Mutex<BTreeMap<StepId, ProgressBar>>,
    style: Style,
}

impl Bars {
    pub(super) fn new(style: Style) -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        Self { all, running: Mutex::default(), style }
    }

    pub(super) fn tell(&self, event: &Event) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        match &event.kind {
            EventKind::StepStarted { step, estimate_ms, .. } => {
                let bar = self.all.add(ProgressBar::new_spinner().with_style(look(self.style, *estimate_ms)));
                bar.set_prefix(spoken(step));
                bar.enable_steady_tick(TICK);
                running.insert(step.clone(), bar);
            }
            EventKind::Stage { step, stage, detail, .. } => {
                if let Some(bar) = running.get(step) {
                    let detail = detail.as_ref().map(|detail| format!(" ({detail})")).unwrap_or_default();
                    bar.set_message(format!("{}{detail}", stage.as_str()));
                }
            }
            EventKind::StepDone { step, .. } | EventKind::StepFailed { step, .. } => {
                if let Some(bar) = running.remove(step) {
                    bar.finish_and_clear();
                    self.all.remove(&bar);
                }
                self.say(event);
            }
            // The spinners themselves show that it is still at it.
            EventKind::Heartbeat { .. } => {}
            EventKind::StepSkipped { .. }
            | EventKind::Planned { .. }
            | EventKind::Run { .. }
            | EventKind::Transition { .. }
            | EventKind::Hook { .. }
            | EventKind::Warning { .. }
            | EventKind::Result { .. } => self.say(event),
        }
    }

    pub(super) fn finish(&self) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let _ = self.all.clear();
    }

    /// Above the spinners, to stay.
    fn say(&self, event: &Event) {
        // The spinners say what is waited for.
        let lines = lines::lines(event, &Waits::default(), self.style);
        if !lines.is_empty() {
            // Not by the spinners' own means, which leave the last line without its end.
            self.all.suspend(|| lines.iter().for_each(|line| print::note(&folded(line, self.style))));
        }
    }
}

/// With an estimate the time goes on as `40s of about 95 s`.
fn look(style: Style, estimate_ms: Option<u64>) -> ProgressStyle {
    let mut template = if style.colored {
        "{spinner:.cyan} {prefix:.bold} · {msg} · {elapsed:.dim}".to_owned()
    } else {
        "{spinner} {prefix} · {msg} · {elapsed}".to_owned()
    };
    if let Some(estimate_ms) = estimate_ms {
        template.push_str(" of about ");
        template.push_str(&about(estimate_ms));
    }
    ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}
