//! Events as plain lines. Transitions are left out: the steps show the same with less noise.

use super::waits::Waits;
use crate::model::event::{CallOutcome, Event, EventKind, Outcome, Stage};
use crate::model::names::StepId;
use crate::model::safe_text;
use crate::report::style::{Paint, Style};
use crate::report::table::{joined, step_text, took};

/// Most steps named in a line on a wait; the JSON has all.
const WAITING_MAX: usize = 6;

/// Most lines shown of a failing hook's output: as many as of a failing service's.
const OUTPUT_LINES: usize = 10;

/// Returns the lines of an event that stay where live lines show the progress.
pub(super) fn lasting(event: &Event, style: Style) -> Vec<String> {
    match &event.kind {
        EventKind::Stage { .. } | EventKind::Heartbeat { .. } => Vec::new(),
        EventKind::Run { .. }
        | EventKind::Planned { .. }
        | EventKind::Prepared { .. }
        | EventKind::StepStarted { .. }
        | EventKind::Transition { .. }
        | EventKind::StepDone { .. }
        | EventKind::StepFailed { .. }
        | EventKind::StepSkipped { .. }
        | EventKind::Hook { .. }
        | EventKind::Warning { .. }
        | EventKind::Result { .. } => lines(event, &Waits::default(), style),
    }
}

/// Returns the lines of an event; most have one.
pub(super) fn lines(event: &Event, waits: &Waits, style: Style) -> Vec<String> {
    match &event.kind {
        EventKind::Planned { round, steps } if *round > 1 && !steps.is_empty() => {
            vec![format!("round {round}: {}", joined(&ids(steps)))]
        }
        EventKind::Stage { step, service, stage, detail } => {
            let ready = waits.estimate(step).filter(|_| *stage == Stage::Start);
            let ready = ready.map(|estimate| format!("ready in {estimate}"));
            let detail = detail.as_ref().or(ready.as_ref()).map(|detail| format!(" ({detail})")).unwrap_or_default();
            vec![style.paint(Paint::Dim, &format!("  {service}: {}{detail}", stage_text(step, *stage)))]
        }
        EventKind::Heartbeat { waiting, elapsed_ms } if !waiting.is_empty() => {
            // Where each step has its own time, that of the whole run is left out.
            let all_known = waiting.iter().all(|step| waits.estimate(step).is_some());
            let after = if all_known { String::new() } else { format!(" after {}", took(*elapsed_ms)) };
            let more = waiting.len().saturating_sub(WAITING_MAX);
            let named = waiting.iter().take(if more > 1 { WAITING_MAX } else { waiting.len() });
            let more = Some(format!("{more} more")).filter(|_| more > 1);
            let waiting: Vec<String> = named.map(|step| waits.label(step, event.at)).chain(more).collect();
            vec![style.paint(Paint::Dim, &format!("  still running: {}{after}", joined(&waiting)))]
        }
        EventKind::Hook { service, hook, call, outcome: CallOutcome::Failed, error, output, .. } => {
            let error = error.as_deref().unwrap_or("failed");
            let head = format!("{} {service}: {hook}: {call}: {error}", style.paint(Paint::Warn, "warning:"));
            let said = output.lines().rev().take(OUTPUT_LINES).collect::<Vec<_>>().into_iter().rev();
            let said = said.map(|line| style.paint(Paint::Dim, &format!("    | {}", safe_text::drawn(line, false))));
            std::iter::once(head).chain(said).collect()
        }
        // The stage already reported the call, and a failing step reports the veto.
        EventKind::Hook { outcome: CallOutcome::Succeeded | CallOutcome::Vetoed, .. }
        | EventKind::StepStarted { .. }
        | EventKind::Planned { .. }
        | EventKind::Prepared { .. }
        | EventKind::Heartbeat { .. }
        | EventKind::Run { .. }
        | EventKind::Transition { .. }
        | EventKind::Result { .. } => Vec::new(),
        EventKind::StepDone { step, outcome, took_ms, .. } => vec![done(step, *outcome, *took_ms, style)],
        EventKind::StepFailed { step, error, log, took_ms, .. } => failed(step, error, log, *took_ms, style),
        EventKind::StepSkipped { step, reason, .. } => {
            vec![format!("{} {}: skipped, {reason}", style.paint(Paint::Warn, "-"), step_text(step))]
        }
        EventKind::Warning { message } => vec![format!("{} {message}", style.paint(Paint::Warn, "warning:"))],
    }
}

/// Returns a stage as people read it: before a start, `release` is the wait for memory that other services release.
pub(super) fn stage_text(step: &StepId, stage: Stage) -> &'static str {
    let is_stop = ["stop:", "evict:"].iter().any(|action| step.as_str().starts_with(action));
    if stage == Stage::Release && !is_stop { "wait for memory" } else { stage.as_str() }
}

pub(super) fn done(step: &StepId, outcome: Outcome, took_ms: u64, style: Style) -> String {
    let tick = style.paint(Paint::Good, "✓");
    match outcome {
        Outcome::Done => format!("{tick} {}: done in {}", step_text(step), took(took_ms)),
        Outcome::NotNeeded => format!("{tick} {}: no longer needed", step_text(step)),
    }
}

/// Returns a failed step with the service's last lines of output below it.
pub(super) fn failed(step: &StepId, error: &str, log: &[String], took_ms: u64, style: Style) -> Vec<String> {
    let head = format!("{} {}: failed after {}: {error}", style.paint(Paint::Bad, "✗"), step_text(step), took(took_ms));
    let log = log.iter().map(|line| style.paint(Paint::Dim, &format!("    | {}", safe_text::drawn(line, false))));
    std::iter::once(head).chain(log).collect()
}

fn ids(steps: &[StepId]) -> Vec<String> {
    steps.iter().map(step_text).collect()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::lines;
    use crate::model::event::{CallOutcome, Event, EventKind, Outcome, Stage};
    use crate::model::hooks::Point;
    use crate::model::lifecycle::Action;
    use crate::report::progress::waits::Waits;
    use crate::report::style::Style;

    fn told(kinds: Vec<EventKind>) -> String {
        told_at(kinds.into_iter().map(|kind| (0, kind)).collect())
    }

    fn told_at(kinds: Vec<(i64, EventKind)>) -> String {
        let mut waits = Waits::default();
        let mut text = Vec::new();
        for (second, kind) in kinds {
            let event = Event::new(Timestamp::from_second(second).expect("in range"), kind);
            waits.update(&event);
            text.extend(lines(&event, &waits, Style::PLAIN));
        }
        text.join("\n")
    }

    #[test]
    fn a_wait_shows_an_estimate_where_there_is_one() {
        let started = |step: &str, estimate_ms| EventKind::StepStarted {
            step: step.into(),
            service: "comfyui".into(),
            action: Action::Start,
            estimate_ms,
        };
        let stage =
            |stage| EventKind::Stage { step: "start:comfyui".into(), service: "comfyui".into(), stage, detail: None };
        let both = || vec!["start:comfyui".into(), "start:tts".into()];
        let beat = |waiting, elapsed_ms| EventKind::Heartbeat { waiting, elapsed_ms };
        let text = told_at(vec![
            (0, started("start:comfyui", Some(94_732))),
            (0, stage(Stage::Start)),
            (1, stage(Stage::Health)),
            (5, started("start:tts", None)),
            (40, beat(both(), 40_000)),
            (150, beat(vec!["start:comfyui".into()], 150_000)),
        ]);
        let expected = "  \
  comfyui: start (ready in about 95 s)
  comfyui: health
  still running: start comfyui (about 95 s, 40 s so far) and start tts after 40.0 s
  still running: start comfyui (about 95 s, 2 min 30 s so far)";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_long_wait_names_only_a_few_steps() {
        let beat = |count: usize| {
            let waiting = (0..count).map(|number| format!("stop:s{number}").as_str().into()).collect();
            told(vec![EventKind::Heartbeat { waiting, elapsed_ms: 10_000 }])
        };
        assert_eq!(
            beat(40),
            "  still running: stop s0, stop s1, stop s2, stop s3, stop s4, stop s5 and 34 more after 10.0 s"
        );
        assert!(beat(7).ends_with("stop s5 and stop s6 after 10.0 s"), "one more is named as well as counted");
    }

    #[test]
    fn a_run_reads_from_top_to_bottom() {
        let stage = |stage, detail: Option<&str>| EventKind::Stage {
            step: "stop:ollama".into(),
            service: "ollama".into(),
            stage,
            detail: detail.map(ToOwned::to_owned),
        };
        let text = told(vec![
            EventKind::Planned { round: 1, steps: vec!["stop:ollama".into()] },
            stage(Stage::Drain, Some("2 in its queue")),
            stage(Stage::Stop, None),
            EventKind::Heartbeat { waiting: vec!["stop:ollama".into()], elapsed_ms: 10_000 },
            EventKind::StepDone {
                step: "stop:ollama".into(),
                service: "ollama".into(),
                outcome: Outcome::Done,
                took_ms: 12_340,
                stages: Vec::new(),
            },
            EventKind::StepFailed {
                step: "start:web".into(),
                service: "web".into(),
                error: "it ended with status 1".to_owned(),
                log: vec!["no such file".to_owned()],
                took_ms: 250,
                stages: Vec::new(),
            },
            EventKind::StepSkipped { step: "start:ui".into(), service: "ui".into(), reason: "web failed".to_owned() },
        ]);
        let expected = "  \
  ollama: drain (2 in its queue)
  ollama: stop
  still running: stop ollama after 10.0 s
✓ stop ollama: done in 12.3 s
✗ start web: failed after 0.3 s: it ended with status 1
    | no such file
- start ui: skipped, web failed";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_failing_hook_shows_its_output_and_a_vetoing_one_leaves_that_to_its_step() {
        let hook = |outcome| EventKind::Hook {
            service: "web".into(),
            hook: Point::PostStop,
            call: "./sweep.sh".to_owned(),
            outcome,
            error: Some("exits 1".to_owned()),
            output: "sweeping\nno broom\n".to_owned(),
            took_ms: 3,
        };
        let text = told([CallOutcome::Succeeded, CallOutcome::Vetoed, CallOutcome::Failed].map(hook).into());
        assert_eq!(text, "warning: web: post_stop: ./sweep.sh: exits 1\n    | sweeping\n    | no broom");
    }

    #[test]
    fn the_title_that_a_failing_service_set_is_no_text() {
        let text = told(vec![EventKind::StepFailed {
            step: "start:web".into(),
            service: "web".into(),
            error: "it ended with status 1".to_owned(),
            log: vec!["\u{1b}]0;title\u{7}\u{1b}[31m10 %\rno model\u{1b}[0m\t404\r".to_owned()],
            took_ms: 250,
            stages: Vec::new(),
        }]);
        assert!(text.ends_with("\n    | no model 404"), "{text:?}");
    }
}
