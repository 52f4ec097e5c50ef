//! Memory of each GPU and of the host during the steps: charts on the time line's axis, and figures in a table.

use std::collections::BTreeSet;

use maud::{Markup, html};

use crate::model::plan::{MemoryLine, Plan};
use crate::model::size::Mebibytes;
use crate::model::step::MemoryPool;
use crate::report::table::figure;
use crate::report::timeline::{MemoryLevel, Timeline};
use crate::report::view::memory::{MemoryRow, memory_rows};

use super::escape::{figures, prose};
use super::stage::{moment, share};

/// Least width of a level with its figure drawn, in percent of the chart's width; the table has all figures.
const LABEL_SHARE_MIN: f64 = 13.0;

/// Least height of a level with its figure inside, in percent; in a lower one the figure is above.
const INSIDE_SHARE_MIN: f64 = 24.0;

/// Returns one chart for each GPU, and one for the host's memory.
pub(super) fn charts(plan: &Plan, line: &Timeline) -> Markup {
    let rows = memory_rows(plan);
    html! {
        @if !rows.is_empty() {
            h3.memory-title { "GPU memory over time" }
            p.note {
                "The top line is the GPU's capacity, and the band below it is the reserve. Foreign memory is grey."
            }
            @for (row, levels) in rows.iter().zip(&line.gpus) { (chart(line, row, levels)) }
        }
    }
}

fn chart(line: &Timeline, row: &MemoryRow<'_>, levels: &[MemoryLevel]) -> Markup {
    let (name, gpu) = (&row.title, &row.line);
    let (before, peak, after) = (figure(gpu.before_mib), figure(gpu.peak_mib), figure(gpu.after_mib));
    let label = format!("{name}: {before} before, {peak} at most, {after} after, of {}", gpu.capacity_mib);
    html! {
        div.gpu {
            div.gpu-name {
                b { (title(row)) }
                span.small { (prose(&gpu.capacity_mib.to_string())) }
                span.small { (prose(&format!("{before} → {after}, peak {peak}"))) }
            }
            svg.chart role="img" aria-label=(figures(&label)) width="100%" height="100%" { (drawn(line, gpu, levels)) }
        }
    }
}

/// Returns `GPU 0`, or `host memory`.
fn title(row: &MemoryRow<'_>) -> Markup {
    match row.pool {
        MemoryPool::Gpu(_) => html! { "GPU " (prose(&row.name)) },
        MemoryPool::Host => html! { (prose(&row.title)) },
    }
}

/// Returns the picture of a chart.
fn drawn(line: &Timeline, gpu: &MemoryLine, levels: &[MemoryLevel]) -> Markup {
    let most = levels.iter().map(|level| level.used).max().unwrap_or_default();
    // For an overcommitted GPU the chart is as high as all that it holds.
    let whole = gpu.capacity_mib.max(most).max(Mebibytes(1));
    #[expect(clippy::cast_precision_loss, reason = "a place in a picture")]
    let height = |amount: Mebibytes| (amount.0 as f64 / whole.0 as f64 * 10_000.0).round() / 100.0;
    let (foreign, reserve) = (height(gpu.foreign_mib), height(gpu.reserve_mib));
    let top = format!("{:.2}%", 100.0 - height(gpu.capacity_mib));
    html! {
        rect.window x="0%" y="0%" width="0%" height="100%" {}
        @for level in levels { (area(line, level, height(level.used))) }
        rect.foreign x="0%" y=(format!("{:.2}%", 100.0 - foreign)) width="100%" height={ (foreign) "%" } {}
        rect.reserve x="0%" y=(top) width="100%" height={ (reserve) "%" } {}
        line.capacity x1="0%" x2="100%" y1=(top) y2=(top) {}
        @for level in levels { (label(line, level, height(level.used))) }
    }
}

/// Returns the area of one memory level, with a line along its top.
fn area(line: &Timeline, level: &MemoryLevel, height: f64) -> Markup {
    let (x, until) = (share(level.from_ms, line), end(level, line));
    let y = format!("{:.2}%", 100.0 - height);
    html! {
        rect.used x={ (x) "%" } y=(y) width=(format!("{:.2}%", until - x)) height={ (height) "%" } {}
        line.edge x1={ (x) "%" } x2={ (until) "%" } y1=(y) y2=(y) {}
    }
}

fn label(line: &Timeline, level: &MemoryLevel, height: f64) -> Markup {
    let (x, until) = (share(level.from_ms, line), end(level, line));
    let (middle, top) = (format!("{:.2}%", f64::midpoint(x, until)), format!("{:.2}%", 100.0 - height));
    let below = if height >= INSIDE_SHARE_MIN { "1.35em" } else { "-0.45em" };
    html! {
        @if until - x >= LABEL_SHARE_MIN {
            text x=(middle) y=(top) dy=(below) text-anchor="middle" { (figures(&figure(level.used))) }
        }
    }
}

fn end(level: &MemoryLevel, line: &Timeline) -> f64 {
    if level.until_ms >= line.end_ms { 100.0 } else { share(level.until_ms, line) }
}

/// Returns the levels as figures: a row for each moment at which a step begins or ends.
pub(super) fn table(plan: &Plan, line: &Timeline) -> Markup {
    let begins = line.spans.iter().map(|span| span.begin_ms);
    let moments: BTreeSet<u64> = begins.chain(line.spans.iter().map(|span| span.end_ms)).collect();
    let steps = |picked: &dyn Fn(usize) -> bool| {
        let picked = plan.steps.iter().enumerate().filter(|(position, _)| picked(*position));
        let names: Vec<String> = picked.map(|(_, step)| format!("{} {}", step.action, step.service)).collect();
        prose(&names.join(", "))
    };
    let used = |levels: &[MemoryLevel], at: u64| {
        let level = levels.iter().rev().find(|level| level.from_ms <= at);
        prose(&level.map_or_else(String::new, |level| figure(level.used)))
    };
    html! {
        details.figures {
            summary { "As a table" }
            div.wide {
                table {
                    caption { "Steps over time, and the memory used on each GPU from then on, in MiB" }
                    thead {
                        tr {
                            @for head in ["At", "Ends", "Begins"] { th scope="col" { (head) } }
                            @for row in memory_rows(plan) { th.number scope="col" { (title(&row)) } }
                        }
                    }
                    tbody {
                        @for at in moments {
                            tr {
                                th scope="row" { (prose(&moment(at))) }
                                td { (steps(&|position| line.spans[position].end_ms == at)) }
                                td { (steps(&|position| line.spans[position].begin_ms == at)) }
                                @for levels in &line.gpus { td.number { (used(levels, at)) } }
                            }
                        }
                    }
                }
            }
            (whole(plan))
        }
    }
}

/// Returns each GPU's figures over all orders that the plan allows, not only in the drawn one.
fn whole(plan: &Plan) -> Markup {
    let rows = memory_rows(plan);
    let amounts = |gpu: &MemoryLine| {
        [gpu.before_mib, gpu.peak_mib, gpu.after_mib, gpu.capacity_mib, gpu.reserve_mib, gpu.foreign_mib]
    };
    html! {
        @if !rows.is_empty() {
            div.wide {
                table {
                    caption { "Each GPU, over every order that the plan allows, in MiB" }
                    thead {
                        tr {
                            th scope="col" { "GPU" }
                            @for head in ["Before", "Peak", "After", "Capacity", "Reserve", "Foreign"] {
                                th.number scope="col" { (head) }
                            }
                        }
                    }
                    tbody {
                        @for row in &rows {
                            tr {
                                th scope="row" { (prose(&row.name)) }
                                @for amount in amounts(&row.line) { td.number { (prose(&figure(amount))) } }
                            }
                        }
                    }
                }
            }
        }
    }
}
