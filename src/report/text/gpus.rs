//! Effect of a plan on the memory of each GPU and of the host: memory before, at the peak and after. Drawn at a terminal, a row of figures elsewhere.

use crate::model::plan::MemoryLine;
use crate::model::size::Mebibytes;
use crate::report::bar::{BarParts, bar, legend};
use crate::report::style::{Paint, Style};
use crate::report::table::{self, Cell, figure};
use crate::report::view::memory::MemoryRow;

/// Returns the lines of all GPUs, and of the host's memory.
pub(super) fn lines(gpus: &[MemoryRow<'_>], style: Style) -> Vec<String> {
    if !style.bars || gpus.is_empty() {
        let widest = |at: usize| gpus.iter().map(|gpu| figure(figures(&gpu.line)[at].1).len()).max().unwrap_or(0);
        let widths = [0, 1, 2, 3].map(widest);
        let rows = gpus.iter().map(|gpu| row(&gpu.line, &gpu.title, widths));
        return table::lines(&table::without_empty_columns(rows.collect()), style);
    }
    let heads = table::without_empty_columns(gpus.iter().map(|gpu| head(&gpu.line, &gpu.title)).collect());
    let heads = table::lines(&heads, style);
    let moments: Vec<Vec<Vec<Cell>>> = gpus.iter().map(|gpu| moments(&gpu.line, style)).collect();
    // All in one table, so that figures are aligned from one GPU to the next.
    let mut drawn = table::lines(&moments.concat(), style).into_iter();
    let mut lines = Vec::new();
    for (head, moments) in heads.into_iter().zip(moments) {
        lines.push(head);
        lines.extend(drawn.by_ref().take(moments.len()).map(|line| format!("  {line}")));
    }
    lines.push(legend(style));
    lines
}

fn parts(gpu: &MemoryLine, used: Mebibytes) -> BarParts {
    BarParts { capacity: gpu.capacity_mib, foreign: gpu.foreign_mib, used, reserve: gpu.reserve_mib }
}

fn head(gpu: &MemoryLine, title: &str) -> Vec<Cell> {
    vec![
        Cell::new(title).paint(Paint::Strong),
        Cell::new(gpu.capacity_mib.to_string()).right(),
        Cell::new(said("measured", gpu.measured_mib)),
        Cell::new(said("foreign", more_than_none(gpu.foreign_mib))),
        Cell::new(said("reserve", more_than_none(gpu.reserve_mib))),
    ]
}

/// Returns the moments to draw; one is enough where nothing changes.
fn moments(gpu: &MemoryLine, style: Style) -> Vec<Vec<Cell>> {
    let all = [("before", gpu.before_mib), ("peak", gpu.peak_mib), ("after", gpu.after_mib)];
    let still = all.iter().all(|(_, used)| *used == gpu.before_mib);
    let shown = if still { vec![("now", gpu.before_mib)] } else { all.to_vec() };
    let drawn = shown.into_iter().map(|(moment, used)| {
        let parts = parts(gpu, used);
        vec![
            Cell::new(moment),
            Cell::painted(bar(parts, style)),
            Cell::new(figure(used)).right(),
            left(parts).right(),
            // The last cell needs no alignment.
            Cell::default(),
        ]
    });
    drawn.collect()
}

/// Returns a row of figures. Those that not every GPU has come last; `widths` has the widest of each figure.
fn row(gpu: &MemoryLine, title: &str, widths: [usize; 4]) -> Vec<Cell> {
    let figures = figures(gpu).into_iter().zip(widths);
    let figures = figures.map(|((word, amount), width)| Cell::new(format!("{word} {:>width$}", figure(amount))));
    let heads = [Cell::new(title).paint(Paint::Strong), Cell::new(gpu.capacity_mib.to_string()).right()];
    let tails = [
        Cell::new(said("reserve", more_than_none(gpu.reserve_mib))),
        Cell::new(said("foreign", more_than_none(gpu.foreign_mib))),
        Cell::new(said("measured now", gpu.measured_mib)),
        over(parts(gpu, gpu.peak_mib)),
    ];
    heads.into_iter().chain(figures).chain(tails).collect()
}

fn figures(gpu: &MemoryLine) -> [(&'static str, Mebibytes); 4] {
    let free = parts(gpu, gpu.after_mib).free();
    [("before", gpu.before_mib), ("peak", gpu.peak_mib), ("after", gpu.after_mib), ("then free", free)]
}

fn more_than_none(amount: Mebibytes) -> Option<Mebibytes> {
    Some(amount).filter(|amount| *amount > Mebibytes::ZERO)
}

fn said(word: &str, amount: Option<Mebibytes>) -> String {
    amount.map_or_else(String::new, |amount| format!("{word} {}", figure(amount)))
}

/// Returns the free memory, or the excess.
fn left(parts: BarParts) -> Cell {
    match parts.over() {
        Mebibytes::ZERO => Cell::new(format!("{} free", figure(parts.free()))),
        over => Cell::new(format!("{} over", figure(over))).paint(Paint::Bad),
    }
}

fn over(parts: BarParts) -> Cell {
    let over = parts.over();
    let said = if over > Mebibytes::ZERO { format!("over by {over}") } else { String::new() };
    Cell::new(said).paint(Paint::Bad)
}
