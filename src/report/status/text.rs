//! Status as tables.

use crate::model::lifecycle::State;
use crate::model::names::GpuId;
use crate::model::safe_text;
use crate::report::history::open_run;
use crate::report::output::Output;
use crate::report::sheet::Sheet;
use crate::report::status::document::{EstimatesLine, ServiceLine, Status};
use crate::report::status::gpus;
use crate::report::status::next;
use crate::report::status::next::Outlooks;
use crate::report::style::{Paint, Style};
use crate::report::table::{self, Cell, about, counted, elapsed, joined};

/// Indent of tables, in columns; reasons below their services have a larger one.
const BLOCK_INDENT: usize = 2;
const INDENT: &str = "    ";

/// Lines for each service, and the texts above and below the table.
struct StatusParts {
    head: Sheet,
    /// Groups of services' lines; the titles first, where there are services.
    services: Vec<LineGroup>,
    rest: Sheet,
}

/// Lines that belong together.
struct LineGroup {
    lines: Vec<String>,
    /// True if the group is left out last.
    matters: bool,
}

/// Returns the whole text, ending in a newline; `verbose`: with the estimates of each service. A service with an
/// outlook is described in detail below the table.
#[must_use]
pub fn text(status: &Status, outlooks: &Outlooks, verbose: bool, style: Style) -> Output {
    parts(status, outlooks, verbose, style).text(style)
}

/// Returns the same in at most `rows` lines, as far as leaving out services allows: first the last ones that are not in
/// error.
#[must_use]
pub fn within(status: &Status, outlooks: &Outlooks, verbose: bool, style: Style, rows: usize) -> Output {
    let mut parts = parts(status, outlooks, verbose, style);
    let over = parts.text(style).lines().count().saturating_sub(rows);
    if over > 0 {
        // One line counts the omitted services.
        parts.leave_out(over + 1, style);
    }
    parts.text(style)
}

impl StatusParts {
    fn text(&self, style: Style) -> Output {
        let lines: Vec<String> = self.services.iter().flat_map(|block| block.lines.clone()).collect();
        let mut services = Sheet::new();
        block(&mut services, &lines);
        [&self.head, &services, &self.rest].map(|sheet| sheet.output(style)).into_iter().collect()
    }

    /// Leaves out services until at least this many lines, or all services, are gone.
    fn leave_out(&mut self, lines: usize, style: Style) {
        let (mut left_out, mut gone) = (0, 0);
        for matters in [false, true] {
            // The titles stay.
            for at in (1..self.services.len()).rev() {
                if gone >= lines {
                    break;
                }
                if self.services[at].matters == matters {
                    gone += self.services.remove(at).lines.len();
                    left_out += 1;
                }
            }
        }
        if left_out > 0 {
            let more = counted(left_out, "more service", "more services");
            let lines = vec![style.paint(Paint::Dim, &format!("… {more}"))];
            self.services.push(LineGroup { lines, matters: true });
        }
    }
}

fn parts(status: &Status, outlooks: &Outlooks, verbose: bool, style: Style) -> StatusParts {
    let whose = status.switched.as_ref().map(|word| format!(" (switched to by {})", word.author())).unwrap_or_default();
    let mode = status.mode.as_ref().map(|mode| format!(" · mode {mode}{whose}")).unwrap_or_default();
    let engine = status.engine.as_ref().map(|engine| format!(" · engine {engine}")).unwrap_or_default();
    let head = format!("lcm status · {}{mode} · host {}{engine}", status.project, status.host);
    let mut title = Sheet::new();
    title.line(style.paint(Paint::Strong, &head));
    let mut sheet = Sheet::new();
    for (line, outlook) in status.services.iter().filter_map(|line| Some((line, outlooks.get(&line.name)?))) {
        block(&mut sheet, &next::lines(line, outlook, style));
    }
    if verbose {
        block(&mut sheet, &table::lines(&estimates(status), style));
    }
    block(&mut sheet, &gpus::lines(&status.gpus, status.memory.as_ref(), style));
    block(&mut sheet, &table::lines(&goals(status), style));
    if let Some(run) = &status.last_run {
        let error = run.first_error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
        let end = if run.end == "completed" { String::new() } else { format!(" ({})", run.end.replace('_', " ")) };
        let ago = elapsed(run.ended_at, status.observed_at);
        let run = format!("Last run: {} by {}, {ago} ago, exit {}{end}{error}", run.command, run.by, run.exit_code);
        sheet.gap().line(safe_text::line(&run));
    }
    if let Some(run) = &status.open_run {
        sheet.gap().line(open_run(run, &format!("{} ago", elapsed(run.began_at, status.observed_at))));
    }
    if !status.warnings.is_empty() {
        sheet.gap();
    }
    for warning in &status.warnings {
        sheet.line(format!("{} {}", style.paint(Paint::Warn, "warning:"), safe_text::line(warning)));
    }
    StatusParts { head: title, services: service_lines(status, outlooks, style), rest: sheet }
}

fn block(sheet: &mut Sheet, lines: &[String]) {
    if !lines.is_empty() {
        sheet.gap().block(BLOCK_INDENT, lines);
    }
}

/// Where the reasons do not fit next to the services, those of services that are up are left out, and the others are
/// below.
fn service_lines(status: &Status, outlooks: &Outlooks, style: Style) -> Vec<LineGroup> {
    let in_error = status.services.iter().map(|line| !line.known || line.state.is_in_error());
    let others = std::iter::repeat_n(false, status.orphans.len() + status.claimed.len());
    let matters = std::iter::once(true).chain(in_error).chain(others.clone());
    // Processes and addresses are shown only where they take no line from the reasons.
    for columns in [Columns::All, Columns::Usual] {
        let lines = table::lines(&services(status, outlooks, columns), style);
        if table::fit(&lines, BLOCK_INDENT, style) {
            let lines = lines.into_iter().zip(matters.clone());
            return lines.map(|(line, matters)| LineGroup { lines: vec![line], matters }).collect();
        }
    }
    let rows = services(status, outlooks, Columns::Usual);
    let up = status.services.iter().map(|line| line.known && line.state.is_operational());
    let dull = std::iter::once(true).chain(up).chain(others.clone());
    let (short, reasons): (Vec<Vec<Cell>>, Vec<Cell>) =
        rows.into_iter().filter_map(|mut row| row.last_mut().map(std::mem::take).map(|reason| (row, reason))).unzip();
    let lines = table::lines(&short, style);
    let rows = lines.into_iter().zip(reasons).zip(dull).zip(matters);
    rows.map(|(((line, reason), dull), matters)| {
        let below = table::lines(&[vec![reason]], style).pop().filter(|below| !dull && !below.is_empty());
        let lines = std::iter::once(line).chain(below.map(|below| format!("{INDENT}{below}"))).collect();
        LineGroup { lines, matters }
    })
    .collect()
}

/// Columns of the table of services.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Columns {
    /// With processes and addresses, where a service has them.
    All,
    Usual,
}

fn services(status: &Status, outlooks: &Outlooks, columns: Columns) -> Vec<Vec<Cell>> {
    if status.services.is_empty() && status.orphans.is_empty() && status.claimed.is_empty() {
        return Vec::new();
    }
    let all = columns == Columns::All;
    let has_ids = all && status.services.iter().any(|line| line.pid.is_some() || line.container.is_some());
    let has_urls = all && status.services.iter().any(|line| line.url.is_some());
    let mut titles = vec!["SERVICE", "STATE", "FOR", "RUNTIME", "PRIORITY", "GPU", "DECLARED", "MEASURED"];
    titles.extend(has_ids.then_some("PID/ID"));
    titles.extend(has_urls.then_some("URL"));
    titles.push("");
    let between = titles.len() - 3;
    let right = ["PRIORITY", "DECLARED", "MEASURED"];
    let title = |word: &&str| {
        let cell = Cell::new(*word).paint(Paint::Dim);
        if right.contains(word) { cell.right() } else { cell }
    };
    let mut rows: Vec<Vec<Cell>> = vec![titles.iter().map(title).collect()];
    rows.extend(status.services.iter().map(|line| {
        // The service's block has the reason.
        let reason = if outlooks.contains_key(&line.name) { "" } else { &line.reason };
        let mut row = service(line, reason, status);
        let why = row.pop();
        row.extend(has_ids.then(|| Cell::new(id(line))));
        row.extend(has_urls.then(|| Cell::new(line.url.as_deref().unwrap_or_default())));
        row.extend(why);
        row
    }));
    rows.extend(status.orphans.iter().map(|orphan| {
        let mut row = vec![Cell::new(orphan.name.to_string()), Cell::new(orphan.state.as_str())];
        row.extend(std::iter::repeat_with(|| Cell::new("")).take(between));
        let carrier = orphan.carrier.as_ref().map(|carrier| format!(" ({carrier})")).unwrap_or_default();
        row.push(Cell::new(format!("orphan{carrier}: not in the manifest")).paint(Paint::Warn));
        row
    }));
    rows.extend(status.claimed.iter().map(|claim| {
        let mut row = vec![Cell::new(claim.service.to_string()), Cell::new("claimed")];
        row.extend(std::iter::repeat_with(|| Cell::new("")).take(between));
        row.push(Cell::new(claim.sentence()).paint(Paint::Warn));
        row
    }));
    rows
}

fn service(line: &ServiceLine, reason: &str, status: &Status) -> Vec<Cell> {
    let state = if line.known { line.state.to_string() } else { "unknown".to_owned() };
    let for_how_long = line.since.map(|since| elapsed(since, status.observed_at)).unwrap_or_default();
    let (declared, measured) = if line.vram_declared_mib.0 == 0 && line.vram_measured_mib.unwrap_or_default().0 == 0 {
        (String::new(), String::new())
    } else {
        let measured = line.vram_measured_mib.map_or_else(|| "–".to_owned(), |measured| measured.to_string());
        (line.vram_declared_mib.to_string(), measured)
    };
    let reason = match reason.strip_prefix("unknown: ") {
        Some(why) if !line.known => format!("presumed {}; {why}", line.state),
        Some(_) | None => reason.to_owned(),
    };
    let reason = match &line.job {
        Some(job) if reason.is_empty() => format!("job {}", job.state.as_str()),
        Some(job) => format!("job {}; {reason}", job.state.as_str()),
        None => reason,
    };
    let why = match line.copies {
        Some(copies) if reason.is_empty() => copies.to_string(),
        Some(copies) => format!("{copies}; {reason}"),
        None => reason,
    };
    vec![
        Cell::new(line.name.to_string()).paint(Paint::Strong),
        Cell::new(state).paint(paint(line)),
        Cell::new(for_how_long),
        Cell::new(&line.runtime),
        Cell::new(line.priority.to_string()).right(),
        Cell::new(gpu_names(status, &line.gpus)),
        Cell::new(declared).right(),
        Cell::new(measured).right(),
        Cell::new(why).paint(Paint::Dim),
    ]
}

/// Returns the pid of a process, or the short id of a container.
fn id(line: &ServiceLine) -> String {
    line.pid.map(|pid| pid.to_string()).or_else(|| line.container.clone()).unwrap_or_default()
}

/// Returns `comfyui  in earlier runs: ready in about 95 s, stopped in about 5 s, used up to 18 400 MiB`; no row for a
/// service without estimates.
fn estimates(status: &Status) -> Vec<Vec<Cell>> {
    let rows = status.services.iter().filter_map(|line| {
        let EstimatesLine { ready_ms, stopped_ms, vram_mib } = &line.estimates;
        let ready = ready_ms.map(|ready_ms| format!("ready in about {}", about(ready_ms)));
        let gone = stopped_ms.map(|stopped_ms| format!("stopped in about {}", about(stopped_ms)));
        let held = vram_mib.map(|most| format!("used up to {most}"));
        let parts: Vec<String> = [ready, gone, held].into_iter().flatten().collect();
        let text = format!("in earlier runs: {}", parts.join(", "));
        let cells = || vec![Cell::new(line.name.to_string()).paint(Paint::Strong), Cell::new(text)];
        (!parts.is_empty()).then(cells)
    });
    rows.collect()
}

fn paint(line: &ServiceLine) -> Paint {
    if !line.known {
        return Paint::Warn;
    }
    match line.state {
        State::Online | State::Busy | State::Idle => Paint::Good,
        State::Error | State::Failed | State::Timeout => Paint::Bad,
        State::Registered | State::Deployed | State::Offline | State::Terminated | State::Deleted => Paint::Dim,
        State::Deploying
        | State::Starting
        | State::Stopping
        | State::Updating
        | State::Scaling
        | State::Maintenance
        | State::Suspended => Paint::Warn,
    }
}

fn gpu_names(status: &Status, ids: &[GpuId]) -> String {
    let all = || status.gpus.iter().map(|line| (&line.id, line.index));
    ids.iter().map(|id| table::gpu_name(id, all())).collect::<Vec<_>>().join(",")
}

fn goals(status: &Status) -> Vec<Vec<Cell>> {
    let rows = status.goals.iter().map(|goal| {
        let services: Vec<String> = goal.services.iter().map(ToString::to_string).collect();
        let (word, paint) = match (goal.met, goal.active) {
            (true, true) => ("active, met", Paint::Good),
            (true, false) => ("not active, but met", Paint::Good),
            (false, true) => ("active, not met", Paint::Bad),
            (false, false) => ("not active", Paint::Dim),
        };
        vec![
            Cell::new("goal"),
            Cell::new(goal.name.to_string()).paint(Paint::Strong),
            Cell::new(word).paint(paint),
            Cell::new(format!("(needs {})", joined(&services))),
        ]
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::{text, within};
    use crate::model::lifecycle::State;
    use crate::model::size::Mebibytes;
    use crate::report::status::document::{EstimatesLine, FORMAT, ServiceLine, Status};
    use crate::report::status::next::Outlooks;
    use crate::report::style::Style;

    fn service(name: &str, state: State, reason: &str) -> ServiceLine {
        let (reason, vram_declared_mib) = (reason.to_owned(), Mebibytes(19_074));
        ServiceLine { vram_declared_mib, reason, ..ServiceLine::plain(name, state) }
    }

    fn status() -> Status {
        Status {
            format: FORMAT.to_owned(),
            project: "studio".into(),
            mode: None,
            modes: Vec::new(),
            switched: None,
            host: "box".to_owned(),
            engine: None,
            observed_at: Timestamp::UNIX_EPOCH,
            services: vec![
                service("web", State::Online, "its health probe passes"),
                service("tts", State::Failed, "it exited with 3"),
            ],
            orphans: Vec::new(),
            claimed: Vec::new(),
            gpus: Vec::new(),
            memory: None,
            goals: Vec::new(),
            last_run: None,
            open_run: None,
            warnings: Vec::new(),
        }
    }

    #[test]
    fn a_foreign_name_drives_no_terminal() {
        let (clean, mut dirty) = (status(), status());
        let dirt = "\u{1b}]0;x\u{7}\u{1b}[2J\u{202e}";
        dirty.host.push_str(dirt);
        dirty.services[1].reason.push_str(dirt);
        for style in [Style::PLAIN, Style { colored: true, width: Some(80), bars: true }] {
            let with = |status: &Status| {
                let mut status = status.clone();
                status.warnings.push(format!("GPU 0: {}", status.host));
                text(&status, &Outlooks::new(), false, style)
            };
            assert_eq!(with(&dirty), with(&clean));
        }
    }

    #[test]
    fn processes_containers_and_addresses_are_shown_where_they_fit() {
        let mut status = status();
        status.services[0].pid = Some(4711);
        status.services[0].url = Some("http://localhost:8188".to_owned());
        status.services[1].container = Some("0123456789ab".to_owned());
        let wide = "\
lcm status · studio · host box

  SERVICE  STATE   FOR  RUNTIME  PRIORITY  GPU    DECLARED  MEASURED  PID/ID        URL
  web      online       process         0       19 074 MiB         –  4711          http://localhost:8188  its health probe passes
  tts      failed       process         0       19 074 MiB         –  0123456789ab                         it exited with 3
";
        for width in [None, Some(130)] {
            assert_eq!(text(&status, &Outlooks::new(), false, Style { width, ..Style::PLAIN }), wide);
        }
        for width in [100, 80] {
            let narrow = text(&status, &Outlooks::new(), false, Style { width: Some(width), ..Style::PLAIN });
            assert!(!narrow.contains("4711") && narrow.contains("it exited with 3"), "{narrow}");
        }
    }

    #[test]
    fn estimates_are_shown_on_request() {
        let mut status = status();
        status.services[0].estimates =
            EstimatesLine { ready_ms: Some(94_732), stopped_ms: Some(4_200), vram_mib: Some(Mebibytes(18_400)) };
        let style = Style { width: Some(100), ..Style::PLAIN };
        let line = "\n  web  in earlier runs: ready in about 95 s, stopped in about 4 s, used up to 18 400 MiB\n";
        assert!(
            text(&status, &Outlooks::new(), true, style).ends_with(line),
            "{}",
            text(&status, &Outlooks::new(), true, style)
        );
        assert!(!text(&status, &Outlooks::new(), false, style).contains("about"));
    }

    #[test]
    fn on_a_small_screen_only_services_are_left_out() {
        let mut status = status();
        status.services = (0..40).map(|at| service(&format!("svc-{at:02}"), State::Online, "it runs")).collect();
        status.services[38] = service("broken", State::Failed, "it exited with 3");
        status.warnings.push("GPU 0 is lost".to_owned());
        let style = Style { width: Some(80), ..Style::PLAIN };
        let all = text(&status, &Outlooks::new(), false, style);
        assert_eq!(within(&status, &Outlooks::new(), false, style, all.lines().count()), all);

        let short = within(&status, &Outlooks::new(), false, style, 14);
        assert_eq!(short.lines().count(), 14, "{short}");
        let (head, end) = short.split_once("  svc-05 ").expect("the first ones");
        assert!(head.starts_with("lcm status"), "{short}");
        assert!(!end.contains("svc-") && end.contains("\n  broken "), "{short}");
        assert!(end.ends_with("      it exited with 3\n  … 33 more services\n\nwarning: GPU 0 is lost\n"), "{short}");

        let none = within(&status, &Outlooks::new(), false, style, 1);
        assert!(none.contains("… 40 more services") && none.ends_with("GPU 0 is lost\n"), "{none}");
    }

    #[test]
    fn reasons_are_next_to_services_or_below_those_that_are_not_up() {
        let status = status();
        let wide = "\
lcm status · studio · host box

  SERVICE  STATE   FOR  RUNTIME  PRIORITY  GPU    DECLARED  MEASURED
  web      online       process         0       19 074 MiB         –  its health probe passes
  tts      failed       process         0       19 074 MiB         –  it exited with 3
";
        assert_eq!(text(&status, &Outlooks::new(), false, Style::PLAIN), wide);
        let narrow = "\
lcm status · studio · host box

  SERVICE  STATE   FOR  RUNTIME  PRIORITY  GPU    DECLARED  MEASURED
  web      online       process         0       19 074 MiB         –
  tts      failed       process         0       19 074 MiB         –
      it exited with 3
";
        assert_eq!(text(&status, &Outlooks::new(), false, Style { width: Some(80), ..Style::PLAIN }), narrow);
    }
}
