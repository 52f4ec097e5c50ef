//! History as tables, with local times.

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::model::lifecycle::State;
use crate::model::safe_text;
use crate::report::history::document::{CallLine, History, OpenRun, RunLine, StatsLine, TransitionLine};
use crate::report::output::Output;
use crate::report::sheet::Sheet;
use crate::report::style::{Paint, Style};
use crate::report::table::{self, Cell, counted, elapsed, took};

/// Returns the whole text, ending in a newline; `verbose`: with the runs and metadata of changes, and with the calls of
/// hooks.
#[must_use]
pub fn text(history: &History, zone: &TimeZone, verbose: bool, style: Style) -> Output {
    let mut sheet = Sheet::new();
    if let Some(transitions) = &history.transitions {
        let rows = transitions.iter().map(|line| transition(line, zone, verbose)).collect();
        block(&mut sheet, &["TIME", "SERVICE", "FROM", "TO", "BY", "WHY"], rows, style, "No changes recorded.");
    }
    if let Some(calls) = history.calls.as_ref().filter(|calls| verbose && !calls.is_empty()) {
        sheet.gap();
        let rows = calls.iter().map(|line| call(line, zone)).collect();
        block(&mut sheet, &["TIME", "SERVICE", "HOOK", "TOOK", "CALL", "RESULT"], rows, style, "");
    }
    if let Some(runs) = &history.runs {
        let rows: Vec<Vec<Cell>> = runs.iter().map(|line| run(line, zone)).collect();
        let titles = ["TIME", "TOOK", "RUN", "COMMAND", "BY", "EXIT", "MANIFEST"];
        if !rows.is_empty() || history.open_runs.is_empty() {
            block(&mut sheet, &titles, rows, style, "No runs with changes recorded.");
        }
    }
    for run in &history.open_runs {
        sheet.line(open_run(run, &stamp(run.began_at, zone)));
    }
    if let Some(quiet) = &history.unchanged_runs {
        let runs = counted(usize::try_from(quiet.count).unwrap_or(usize::MAX), "run", "runs");
        sheet.line(format!("Plus {runs} without changes, the last at {}.", stamp(quiet.last_at, zone)));
    }
    if let Some(stats) = &history.stats {
        let rows = stats.iter().map(figures).collect();
        let titles = ["SERVICE", "STARTS", "FAILURES", "READY", "MEDIAN", "95 %", "TIME IN STATES"];
        block(&mut sheet, &titles, rows, style, "No changes recorded.");
    }
    sheet.output(style)
}

fn block(sheet: &mut Sheet, titles: &[&str], rows: Vec<Vec<Cell>>, style: Style, none: &str) {
    if rows.is_empty() {
        sheet.line(none);
        return;
    }
    let title = |word: &&str| {
        let cell = Cell::new(*word).paint(Paint::Dim);
        if matches!(*word, "TOOK" | "EXIT" | "STARTS" | "FAILURES" | "READY" | "MEDIAN" | "95 %") {
            cell.right()
        } else {
            cell
        }
    };
    let table: Vec<Vec<Cell>> = std::iter::once(titles.iter().map(title).collect()).chain(rows).collect();
    sheet.block(0, table::lines(&table, style));
}

fn transition(line: &TransitionLine, zone: &TimeZone, verbose: bool) -> Vec<Cell> {
    let mut why = line.reason.clone();
    if verbose {
        let run = (!line.run.is_empty()).then(|| format!("run {}", line.run));
        let metadata = line.metadata.iter().map(|(key, value)| format!("{key}={value}"));
        let more: Vec<String> = run.into_iter().chain(metadata).collect();
        if !more.is_empty() {
            let _ = write!(why, " ({})", more.join(", "));
        }
    }
    // The user behind an observed change is not known.
    let by = if line.made { line.by.clone() } else { format!("seen by {}", line.by) };
    vec![
        Cell::new(stamp(line.at, zone)),
        Cell::new(line.service.to_string()).paint(Paint::Strong),
        Cell::new(line.from.as_str()),
        Cell::new(line.to.as_str()).paint(paint(line.to)),
        Cell::new(if line.by.is_empty() { String::new() } else { by }),
        Cell::new(why).paint(Paint::Dim),
    ]
}

fn paint(state: State) -> Paint {
    if state.is_operational() {
        Paint::Good
    } else if state.is_in_error() {
        Paint::Bad
    } else {
        Paint::Dim
    }
}

fn call(line: &CallLine, zone: &TimeZone) -> Vec<Cell> {
    let result = match &line.error {
        None => Cell::new("ok").paint(Paint::Good),
        Some(error) => Cell::new(error).paint(Paint::Bad),
    };
    vec![
        Cell::new(stamp(line.at, zone)),
        Cell::new(line.service.to_string()).paint(Paint::Strong),
        Cell::new(&line.hook),
        Cell::new(took(line.took_ms)).right(),
        Cell::new(&line.call),
        result,
    ]
}

fn run(line: &RunLine, zone: &TimeZone) -> Vec<Cell> {
    let took_ms = u64::try_from(line.ended_at.duration_since(line.began_at).as_millis()).unwrap_or_default();
    let error = line.first_error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
    let end = if line.end == "completed" { String::new() } else { format!(" {}", line.end.replace('_', " ")) };
    let paint = if line.exit_code == 0 { Paint::Good } else { Paint::Bad };
    vec![
        Cell::new(stamp(line.began_at, zone)),
        Cell::new(took(took_ms)).right(),
        Cell::new(&line.run),
        Cell::new(&line.command).paint(Paint::Strong),
        Cell::new(&line.by),
        Cell::new(format!("{}{end}", line.exit_code)).paint(paint).right(),
        Cell::new(format!("{}{error}", line.manifest)),
    ]
}

/// Returns a run without an end as one line.
pub(crate) fn open_run(run: &OpenRun, began: &str) -> String {
    let OpenRun { run, command, by, running, .. } = run;
    let what = if *running {
        "is in progress"
    } else {
        "was killed: the next run completes its remaining work and records its end"
    };
    safe_text::line(&format!("Run {run} ({command} by {by}, started {began}) {what}."))
}

fn figures(line: &StatsLine) -> Vec<Cell> {
    let known = |time: Option<u64>| Cell::new(time.map(took).unwrap_or_default()).right();
    let mut times: Vec<(&State, &u64)> = line.time_ms.iter().filter(|(_, time)| **time > 0).collect();
    // The longest first; equal ones in the order of a service's life.
    times.sort_by_key(|(state, time)| (std::cmp::Reverse(**time), **state));
    let times: Vec<String> = times.into_iter().map(|(state, time)| format!("{state} {}", lasted(*time))).collect();
    vec![
        Cell::new(line.service.to_string()).paint(Paint::Strong),
        Cell::new(line.starts.to_string()).right(),
        Cell::new(line.failures.to_string()).right(),
        Cell::new(line.ready.to_string()).right(),
        known(line.ready_median_ms),
        known(line.ready_p95_ms),
        Cell::new(times.join(", ")),
    ]
}

/// Returns a duration; below a minute to the tenth of a second, since starts are that short.
fn lasted(milliseconds: u64) -> String {
    if milliseconds < 60_000 {
        return took(milliseconds);
    }
    let until = i64::try_from(milliseconds).ok().and_then(|time| Timestamp::from_millisecond(time).ok());
    until.map_or_else(|| "ages".to_owned(), |until| elapsed(Timestamp::UNIX_EPOCH, until))
}

/// Returns `2026-11-20 08:00:00`.
fn stamp(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;
    use jiff::tz::{self, TimeZone};

    use super::text;
    use crate::model::lifecycle::State;
    use crate::report::history::csv;
    use crate::report::history::document::{CallLine, History, RunLine, StatsLine, TransitionLine, UnchangedRuns};
    use crate::report::output::Output;
    use crate::report::style::Style;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + second).expect("in range")
    }

    fn shown(history: &History, verbose: bool) -> Output {
        text(history, &TimeZone::fixed(tz::offset(2)), verbose, Style::PLAIN)
    }

    fn line(second: i64, from: State, to: State, made: bool) -> TransitionLine {
        TransitionLine {
            at: at(second),
            service: "painter".into(),
            from,
            to,
            reason: if made { "it answers".to_owned() } else { "it exited with 1, \"badly\"".to_owned() },
            by: "kim".to_owned(),
            run: "r1".to_owned(),
            made,
            metadata: BTreeMap::from([("ticket".to_owned(), "42".to_owned())]),
        }
    }

    fn changes() -> History {
        let call = CallLine {
            at: at(1),
            service: "painter".into(),
            run: "r1".to_owned(),
            hook: "post_start".to_owned(),
            call: "./warm.sh".to_owned(),
            took_ms: 1_200,
            error: Some("it exited with 1".to_owned()),
            output: String::new(),
        };
        History {
            transitions: Some(vec![
                line(0, State::Starting, State::Online, true),
                line(9, State::Online, State::Failed, false),
            ]),
            calls: Some(vec![call]),
            ..History::of("studio".into())
        }
    }

    #[test]
    fn changes_have_time_states_user_and_reason() {
        insta::assert_snapshot!("changes", shown(&changes(), false));
        insta::assert_snapshot!("changes_with_more", shown(&changes(), true));
        insta::assert_snapshot!("changes_as_csv", csv(&changes()));
    }

    #[test]
    fn runs_that_changed_nothing_are_counted_below_the_others() {
        let run = RunLine {
            run: "20260921-151320-4711".to_owned(),
            command: "lcm apply".to_owned(),
            manifest: "/home/kim/lcm.yaml".to_owned(),
            by: "kim as root".to_owned(),
            began_at: at(0),
            ended_at: at(95),
            end: "completed".to_owned(),
            exit_code: 3,
            changed: true,
            first_error: Some("start painter: it ended".to_owned()),
        };
        let quiet = Some(UnchangedRuns { count: 41, last_at: at(7_200) });
        let history = History { runs: Some(vec![run]), unchanged_runs: quiet, ..History::of("studio".into()) };
        insta::assert_snapshot!("runs", shown(&history, false));
        insta::assert_snapshot!("runs_as_csv", csv(&history));
    }

    #[test]
    fn figures_are_in_columns() {
        let stats = StatsLine {
            service: "painter".into(),
            starts: 12,
            failures: 1,
            ready: 11,
            ready_median_ms: Some(95_000),
            ready_p95_ms: Some(140_000),
            time_ms: [(State::Starting, 8_300), (State::Online, 275_000_000), (State::Offline, 0)].into(),
        };
        let none = StatsLine { service: "b".into(), ready_median_ms: None, ready_p95_ms: None, ..stats.clone() };
        let history = History { stats: Some(vec![stats, none]), ..History::of("studio".into()) };
        insta::assert_snapshot!("stats", shown(&history, false));
        insta::assert_snapshot!("stats_as_csv", csv(&history));
    }

    #[test]
    fn an_empty_history_is_reported() {
        let history =
            History { transitions: Some(Vec::new()), calls: Some(Vec::new()), ..History::of("studio".into()) };
        assert_eq!(shown(&history, true), "No changes recorded.\n");
    }
}
