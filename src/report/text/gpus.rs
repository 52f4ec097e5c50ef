//! What a plan does to each GPU: before, at its worst and after. Drawn at a terminal, a row of figures elsewhere.

use crate::model::plan::GpuLine;
use crate::model::size::Mebibytes;
use crate::report::bar::{Parts, bar, legend};
use crate::report::style::{Paint, Style};
use crate::report::table::{self, Cell, figure};

/// One GPU after the other.
pub(super) fn lines(gpus: &[GpuLine], style: Style) -> Vec<String> {
    if !style.bars || gpus.is_empty() {
        let widest = gpus.iter().map(|gpu| figure(gpu.before_mib.max(gpu.after_mib)).len()).max().unwrap_or(0);
        return table::lines(&gpus.iter().map(|gpu| row(gpu, &name(gpu, gpus), widest)).collect::<Vec<_>>(), style);
    }
    let heads = table::lines(&gpus.iter().map(|gpu| head(gpu, &name(gpu, gpus))).collect::<Vec<_>>(), style);
    let moments: Vec<Vec<Vec<Cell>>> = gpus.iter().map(|gpu| moments(gpu, style)).collect();
    // All in one table, so that figures line up from one GPU to the next.
    let mut drawn = table::lines(&moments.concat(), style).into_iter();
    let mut lines = Vec::new();
    for (head, moments) in heads.into_iter().zip(moments) {
        lines.push(head);
        lines.extend(drawn.by_ref().take(moments.len()).map(|line| format!("  {line}")));
    }
    lines.push(legend(style));
    lines
}

fn parts(gpu: &GpuLine, used: Mebibytes) -> Parts {
    Parts { capacity: gpu.capacity_mib, foreign: gpu.foreign_mib, used, reserve: gpu.reserve_mib }
}

fn name(gpu: &GpuLine, gpus: &[GpuLine]) -> String {
    table::gpu_name(&gpu.id, gpus.iter().map(|gpu| (&gpu.id, gpu.index)))
}

fn head(gpu: &GpuLine, name: &str) -> Vec<Cell> {
    vec![
        Cell::new(format!("GPU {name}")).paint(Paint::Strong),
        Cell::new(gpu.capacity_mib.to_string()).right(),
        Cell::new(said("measured", gpu.measured_mib)),
        Cell::new(said("foreign", Some(gpu.foreign_mib))),
        Cell::new(said("reserve", Some(gpu.reserve_mib))),
    ]
}

/// Where nothing changes, one is enough.
fn moments(gpu: &GpuLine, style: Style) -> Vec<Vec<Cell>> {
    let all = [("before", gpu.before_mib), ("peak", gpu.peak_mib), ("after", gpu.after_mib)];
    let still = all.iter().all(|(_, used)| *used == gpu.before_mib);
    let shown = if still { vec![("now", gpu.before_mib)] } else { all.to_vec() };
    let drawn = shown.into_iter().map(|(moment, used)| {
        let parts = parts(gpu, used);
        vec![
            Cell::new(moment),
            Cell::new(bar(parts, style)),
            Cell::new("used"),
            Cell::new(figure(used)).right(),
            Cell::new(if parts.over() > Mebibytes::ZERO { "over" } else { "free" }),
            left(parts).right(),
        ]
    });
    drawn.collect()
}

/// What is not there everywhere stands last.
fn row(gpu: &GpuLine, name: &str, width: usize) -> Vec<Cell> {
    vec![
        Cell::new(format!("GPU {name}")).paint(Paint::Strong),
        Cell::new(gpu.capacity_mib.to_string()).right(),
        Cell::new(format!("used {:>width$} → {:>width$}", figure(gpu.before_mib), figure(gpu.after_mib))),
        Cell::new(said("peak", Some(gpu.peak_mib))),
        Cell::new(said("reserve", Some(gpu.reserve_mib))),
        Cell::new(said("free", Some(parts(gpu, gpu.after_mib).free()))),
        Cell::new(said("foreign", Some(gpu.foreign_mib).filter(|foreign| *foreign > Mebibytes::ZERO))),
        Cell::new(said("measured", gpu.measured_mib)),
        over(parts(gpu, gpu.peak_mib)),
    ]
}

fn said(word: &str, amount: Option<Mebibytes>) -> String {
    amount.map_or_else(String::new, |amount| format!("{word} {}", figure(amount)))
}

/// What is free, or by how much too much is there.
fn left(parts: Parts) -> Cell {
    match parts.over() {
        Mebibytes::ZERO => Cell::new(figure(parts.free())),
        over => Cell::new(figure(over)).paint(Paint::Bad),
    }
}

fn over(parts: Parts) -> Cell {
    let over = parts.over();
    let said = if over > Mebibytes::ZERO { format!("over by {over}") } else { String::new() };
    Cell::new(said).paint(Paint::Bad)
}
