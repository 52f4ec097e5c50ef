//! Events as plain lines. Transitions are left out: the steps tell the same with less noise.

use crate::model::event::{Event, EventKind, Outcome};
use crate::model::names::StepId;
use crate::report::style::{Paint, Style};
use crate::report::table::{listed, spoken, took};

/// The lines that an event deserves; most deserve one.
pub(super) fn lines(event: &Event, style: Style) -> Vec<String> {
    match &event.kind {
        EventKind::Planned { round, steps } if *round > 1 && !steps.is_empty() => {
            vec![format!("round {round}: {}", listed(&ids(steps)))]
        }
        EventKind::Stage { service, stage, detail, .. } => {
            let detail = detail.as_ref().map(|detail| format!(" ({detail})")).unwrap_or_default();
            vec![style.paint(Paint::Dim, &format!("  {service}: {}{detail}", stage.as_str()))]
        }
        EventKind::Heartbeat { waiting, elapsed_ms } if !waiting.is_empty() => {
            vec![style.paint(Paint::Dim, &format!("  still at {} after {}", listed(&ids(waiting)), took(*elapsed_ms)))]
        }
        EventKind::StepStarted { .. }
        | EventKind::Planned { .. }
        | EventKind::Heartbeat { .. }
        | EventKind::Run { .. }
        | EventKind::Transition { .. }
        | EventKind::Result { .. } => Vec::new(),
        EventKind::StepDone { step, outcome, took_ms, .. } => vec![done(step, *outcome, *took_ms, style)],
        EventKind::StepFailed { step, error, log, took_ms, .. } => failed(step, error, log, *took_ms, style),
        EventKind::StepSkipped { step, reason, .. } => {
            vec![format!("{} {}: skipped, {reason}", style.paint(Paint::Warn, "-"), spoken(step))]
        }
        EventKind::Warning { message } => vec![format!("{} {message}", style.paint(Paint::Warn, "warning:"))],
    }
}

pub(super) fn done(step: &StepId, outcome: Outcome, took_ms: u64, style: Style) -> String {
    let tick = style.paint(Paint::Good, "✓");
    match outcome {
        Outcome::Done => format!("{tick} {}: done in {}", spoken(step), took(took_ms)),
        Outcome::NotNeeded => format!("{tick} {}: not needed any more", spoken(step)),
    }
}

/// The last lines that the service wrote stand below.
pub(super) fn failed(step: &StepId, error: &str, log: &[String], took_ms: u64, style: Style) -> Vec<String> {
    let head = format!("{} {}: failed after {}: {error}", style.paint(Paint::Bad, "✗"), spoken(step), took(took_ms));
    let log = log.iter().map(|line| style.paint(Paint::Dim, &format!("    | {line}")));
    std::iter::once(head).chain(log).collect()
}

fn ids(steps: &[StepId]) -> Vec<String> {
    steps.iter().map(spoken).collect()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::lines;
    use crate::model::event::{Event, EventKind, Outcome, Stage};
    use crate::report::style::Style;

    fn told(kinds: Vec<EventKind>) -> String {
        let events = kinds.into_iter().map(|kind| Event::new(Timestamp::UNIX_EPOCH, kind));
        events.flat_map(|event| lines(&event, Style::PLAIN)).collect::<Vec<_>>().join("\n")
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
  still at stop ollama after 10.0 s
✓ stop ollama: done in 12.3 s
✗ start web: failed after 0.3 s: it ended with status 1
    | no such file
- start ui: skipped, web failed";
        assert_eq!(text, expected);
    }
}
