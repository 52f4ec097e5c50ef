//! History for spreadsheets: a header, and a line for each row, quoted by RFC 4180. Lines end in a line feed alone, as
//! with all tools here. Calls of hooks are not included: a file has one kind of row.

use crate::model::lifecycle::State;
use crate::model::safe_text;
use crate::report::history::document::{History, RunLine, StatsLine, TransitionLine};
use crate::report::output::Output;

/// Returns the requested changes, runs or figures.
#[must_use]
pub fn csv(history: &History) -> Output {
    let rows: Vec<Vec<String>> = if let Some(runs) = &history.runs {
        std::iter::once(words(&RUNS)).chain(runs.iter().map(run)).collect()
    } else if let Some(stats) = &history.stats {
        std::iter::once(stats_header()).chain(stats.iter().map(figures)).collect()
    } else {
        let transitions = history.transitions.iter().flatten();
        std::iter::once(words(&TRANSITIONS)).chain(transitions.map(transition)).collect()
    };
    Output::new(rows.iter().map(|row| line(row)).collect())
}

const TRANSITIONS: [&str; 9] = ["at", "service", "from", "to", "reason", "by", "run", "made", "metadata"];
const RUNS: [&str; 10] =
    ["run", "command", "manifest", "by", "began_at", "ended_at", "exit_code", "changed", "first_error", "end"];
const STATS: [&str; 6] = ["service", "starts", "failures", "ready", "ready_median_ms", "ready_p95_ms"];

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

fn transition(line: &TransitionLine) -> Vec<String> {
    let TransitionLine { at, service, from, to, reason, by, run, made, metadata } = line;
    let metadata = serde_json::to_string(metadata).unwrap_or_default();
    let (at, service, from, to) = (at.to_string(), service.to_string(), from.to_string(), to.to_string());
    vec![at, service, from, to, reason.clone(), by.clone(), run.clone(), made.to_string(), metadata]
}

fn run(line: &RunLine) -> Vec<String> {
    let RunLine { run, command, manifest, by, began_at, ended_at, end, exit_code, changed, first_error } = line;
    let (began_at, ended_at) = (began_at.to_string(), ended_at.to_string());
    let (exit_code, changed) = (exit_code.to_string(), changed.to_string());
    let first_error = first_error.clone().unwrap_or_default();
    vec![
        run.clone(),
        command.clone(),
        manifest.clone(),
        by.clone(),
        began_at,
        ended_at,
        exit_code,
        changed,
        first_error,
        end.clone(),
    ]
}

/// Returns the header: every state has its column, so that files of several times can be joined.
fn stats_header() -> Vec<String> {
    words(&STATS).into_iter().chain(State::ALL.iter().map(|state| format!("{state}_ms"))).collect()
}

fn figures(line: &StatsLine) -> Vec<String> {
    let StatsLine { service, starts, failures, ready, ready_median_ms, ready_p95_ms, time_ms } = line;
    let known = |time: &Option<u64>| time.map(|time| time.to_string()).unwrap_or_default();
    let counted = [service.to_string(), starts.to_string(), failures.to_string(), ready.to_string()];
    let times = State::ALL.iter().map(|state| time_ms.get(state).copied().unwrap_or_default().to_string());
    counted.into_iter().chain([known(ready_median_ms), known(ready_p95_ms)]).chain(times).collect()
}

fn line(row: &[String]) -> String {
    let fields: Vec<String> = row.iter().map(|field| quoted(field)).collect();
    format!("{}\n", fields.join(","))
}

/// First characters that make a spreadsheet run a field as a formula; after an apostrophe it is text.
const BEGIN_FORMULAS: [char; 10] = ['=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠'];

/// Returns the field as text for spreadsheets and terminals. Lines of a field stay, within its quotes.
fn quoted(field: &str) -> String {
    let shown: Vec<String> =
        safe_text::lines(field, false).split('\n').map(|line| safe_text::no_command(line.to_owned())).collect();
    let shown = shown.join("\n");
    let is_formula = [field, &shown, shown.trim_start()].iter().any(|text| text.starts_with(BEGIN_FORMULAS));
    let field = if is_formula { format!("'{shown}") } else { shown };
    if field.contains([',', '"', '\n', '\r']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        assert_eq!(quoted("it answers"), "it answers");
        assert_eq!(quoted(""), "");
        assert_eq!(quoted("a, b"), "\"a, b\"");
        assert_eq!(quoted("it said \"no\""), "\"it said \"\"no\"\"\"");
        assert_eq!(quoted("two\nlines"), "\"two\nlines\"");
    }

    #[test]
    fn a_field_is_no_formula_and_drives_no_terminal() {
        assert_eq!(quoted("=HYPERLINK(\"http://x\",\"ok\")"), "\"'=HYPERLINK(\"\"http://x\"\",\"\"ok\"\")\"");
        for formula in ["=1", "+1", "-1", "@a", "\t=1", "\r=1", "\u{200b}=1", "\u{1b}[2J\t", "\u{1b}[m@a", "＝1"] {
            assert!(quoted(formula).starts_with('\''), "{formula:?}");
        }
        assert_eq!(quoted("a\u{1b}[2J\u{9b}1mb\u{202e}"), "ab");
    }
}
