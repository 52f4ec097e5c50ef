//! The status as tables.

use std::fmt::Write as _;

use crate::model::lifecycle::State;
use crate::model::names::GpuId;
use crate::report::status::{GpuLine, ServiceLine, Status};
use crate::report::style::{Paint, Style};
use crate::report::table::{self, Cell, elapsed, figure, listed};

/// The whole text, ending in a newline.
#[must_use]
pub fn text(status: &Status, style: Style) -> String {
    let mode = status.mode.as_ref().map(|mode| format!(" · mode {mode}")).unwrap_or_default();
    let engine = status.engine.as_ref().map(|engine| format!(" · engine {engine}")).unwrap_or_default();
    let head = format!("lcm status · {}{mode} · host {}{engine}", status.project, status.host);
    let mut text = format!("{}\n", style.paint(Paint::Strong, &head));
    block(&mut text, &services(status), style);
    block(&mut text, &status.gpus.iter().map(gpu).collect::<Vec<_>>(), style);
    block(&mut text, &goals(status), style);
    if let Some(run) = &status.last_run {
        let error = run.first_error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
        let _ = write!(
            text,
            "\nLast run: {} by {}, {} ago, exit {}{error}\n",
            run.command,
            run.by,
            elapsed(run.ended_at, status.observed_at),
            run.exit_code
        );
    }
    if !status.warnings.is_empty() {
        text.push('\n');
    }
    for warning in &status.warnings {
        let _ = writeln!(text, "{} {warning}", style.paint(Paint::Warn, "warning:"));
    }
    text
}

fn block(text: &mut String, rows: &[Vec<Cell>], style: Style) {
    if rows.is_empty() {
        return;
    }
    text.push('\n');
    for line in table::lines(rows, style) {
        let _ = writeln!(text, "  {line}");
    }
}

fn services(status: &Status) -> Vec<Vec<Cell>> {
    if status.services.is_empty() && status.orphans.is_empty() {
        return Vec::new();
    }
    let titles = ["SERVICE", "STATE", "FOR", "RUNTIME", "PRIORITY", "GPU", "DECLARED", "MEASURED", ""];
    let right = ["PRIORITY", "DECLARED", "MEASURED"];
    let title = |word: &&str| {
        let cell = Cell::new(*word).paint(Paint::Dim);
        if right.contains(word) { cell.right() } else { cell }
    };
    let mut rows: Vec<Vec<Cell>> = vec![titles.iter().map(title).collect()];
    rows.extend(status.services.iter().map(|line| service(line, status)));
    rows.extend(status.orphans.iter().map(|orphan| {
        let mut row = vec![Cell::new(orphan.name.as_str()), Cell::new(orphan.state.as_str())];
        row.extend([""; 6].map(Cell::new));
        row.push(Cell::new("an orphan: the manifest does not name it").paint(Paint::Warn));
        row
    }));
    rows
}

fn service(line: &ServiceLine, status: &Status) -> Vec<Cell> {
    let state = if line.known { line.state.to_string() } else { format!("{}?", line.state) };
    let for_how_long = line.since.map(|since| elapsed(since, status.observed_at)).unwrap_or_default();
    let (declared, measured) = if line.vram_declared_mib.0 == 0 && line.vram_measured_mib.is_none() {
        (String::new(), String::new())
    } else {
        let measured = line.vram_measured_mib.map_or_else(|| "–".to_owned(), |measured| measured.to_string());
        (line.vram_declared_mib.to_string(), measured)
    };
    vec![
        Cell::new(line.name.as_str()).paint(Paint::Strong),
        Cell::new(state).paint(paint(line)),
        Cell::new(for_how_long),
        Cell::new(&line.runtime),
        Cell::new(line.priority.to_string()).right(),
        Cell::new(gpu_names(status, &line.gpus)),
        Cell::new(declared).right(),
        Cell::new(measured).right(),
        Cell::new(&line.reason).paint(Paint::Dim),
    ]
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
    let name = |id: &GpuId| {
        let line = status.gpus.iter().find(|line| line.id == *id);
        line.map_or_else(|| id.to_string(), |line| line.index.to_string())
    };
    ids.iter().map(name).collect::<Vec<_>>().join(",")
}

fn gpu(line: &GpuLine) -> Vec<Cell> {
    vec![
        Cell::new(format!("GPU {}", line.index)).paint(Paint::Strong),
        Cell::new(line.capacity_mib.to_string()).right(),
        Cell::new("used"),
        Cell::new(figure(line.used_mib)).right(),
        Cell::new(format!("reserve {}", figure(line.reserve_mib))),
        Cell::new(format!("foreign {}", figure(line.foreign_mib))),
        Cell::new(if line.declared { "declared, not measured" } else { line.name.as_str() }),
    ]
}

fn goals(status: &Status) -> Vec<Vec<Cell>> {
    let rows = status.goals.iter().map(|goal| {
        let (word, paint) = match (goal.met, goal.active) {
            (true, _) => ("met", Paint::Good),
            (false, true) => ("not met", Paint::Bad),
            (false, false) => ("not active", Paint::Dim),
        };
        vec![
            Cell::new("goal"),
            Cell::new(goal.name.as_str()).paint(Paint::Strong),
            Cell::new(word).paint(paint),
            Cell::new(format!("needs {}", listed(&goal.services.iter().map(ToString::to_string).collect::<Vec<_>>()))),
        ]
    });
    rows.collect()
}
