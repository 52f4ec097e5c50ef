//! What each GPU holds while the steps go on: drawn on the time line's own axis, and as figures in a table.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::model::plan::{GpuLine, Plan};
use crate::model::size::Mebibytes;
use crate::report::table::figure;
use crate::report::timeline::{Level, Timeline};
use crate::report::view::memory::gpu_name;

use super::escape::{figures, prose};
use super::stage::{moment, share};

/// A level narrower than this, in hundredths of the width, has no room for its figure; the table has it.
const LABEL_SHARE_MIN: f64 = 13.0;

/// A figure stands inside its level where that is at least so high, else above it.
const INSIDE_SHARE_MIN: f64 = 24.0;

/// One chart a GPU.
pub(super) fn charts(plan: &Plan, line: &Timeline) -> String {
    if plan.gpus.is_empty() {
        return String::new();
    }
    let mut html = String::from(
        "<h3 class=\"memory-title\">GPU memory meanwhile</h3>\n<p class=\"note\">The line on top is what a GPU has, and \
         the band below it stays free. What others hold is grey.</p>\n",
    );
    for (gpu, levels) in plan.gpus.iter().zip(&line.gpus) {
        html.push_str(&chart(plan, line, gpu, levels));
    }
    html
}

fn chart(plan: &Plan, line: &Timeline, gpu: &GpuLine, levels: &[Level]) -> String {
    let most = levels.iter().map(|level| level.used).max().unwrap_or_default();
    // Where it holds more than it has, the picture is as high as all of it.
    let whole = gpu.capacity_mib.max(most).max(Mebibytes(1));
    #[expect(clippy::cast_precision_loss, reason = "a place in a picture")]
    let height = |amount: Mebibytes| (amount.0 as f64 / whole.0 as f64 * 10_000.0).round() / 100.0;
    let name = gpu_name(plan, &gpu.id);
    let told = format!(
        "GPU {name}: {} before, {} at most, {} after, of {}",
        figure(gpu.before_mib),
        figure(gpu.peak_mib),
        figure(gpu.after_mib),
        gpu.capacity_mib
    );
    let mut html = format!(
        "<div class=\"gpu\"><div class=\"gpu-name\"><b>GPU {}</b><span class=\"small\">{}</span><span class=\"small\">{}</span></div>\n\
         <svg class=\"chart\" role=\"img\" aria-label=\"{}\" width=\"100%\" height=\"100%\">\n",
        prose(&name),
        prose(&gpu.capacity_mib.to_string()),
        prose(&format!("{} → {}, peak {}", figure(gpu.before_mib), figure(gpu.after_mib), figure(gpu.peak_mib))),
        figures(&told)
    );
    let (top, reserve) = (100.0 - height(gpu.capacity_mib), height(gpu.reserve_mib));
    let _ = writeln!(html, "<rect class=\"window\" x=\"0%\" y=\"0%\" width=\"0%\" height=\"100%\"/>");
    for level in levels {
        html.push_str(&area(line, level, height(level.used)));
    }
    let foreign = height(gpu.foreign_mib);
    let _ = writeln!(
        html,
        "<rect class=\"foreign\" x=\"0%\" y=\"{:.2}%\" width=\"100%\" height=\"{foreign}%\"/>\n\
         <rect class=\"reserve\" x=\"0%\" y=\"{top:.2}%\" width=\"100%\" height=\"{reserve}%\"/>\n\
         <line class=\"capacity\" x1=\"0%\" x2=\"100%\" y1=\"{top:.2}%\" y2=\"{top:.2}%\"/>",
        100.0 - foreign
    );
    for level in levels {
        html.push_str(&label(line, level, height(level.used)));
    }
    html.push_str("</svg></div>\n");
    html
}

/// What it holds for a while, with a line along its top.
fn area(line: &Timeline, level: &Level, height: f64) -> String {
    let (x, until) = (share(level.from_ms, line), end(level, line));
    let y = 100.0 - height;
    format!(
        "<rect class=\"used\" x=\"{x}%\" y=\"{y:.2}%\" width=\"{:.2}%\" height=\"{height}%\"/>\
         <line class=\"edge\" x1=\"{x}%\" x2=\"{until}%\" y1=\"{y:.2}%\" y2=\"{y:.2}%\"/>\n",
        until - x
    )
}

fn label(line: &Timeline, level: &Level, height: f64) -> String {
    let (x, until) = (share(level.from_ms, line), end(level, line));
    if until - x < LABEL_SHARE_MIN {
        return String::new();
    }
    let below = if height >= INSIDE_SHARE_MIN { "1.35em" } else { "-0.45em" };
    format!(
        "<text x=\"{:.2}%\" y=\"{:.2}%\" dy=\"{below}\" text-anchor=\"middle\">{}</text>\n",
        f64::midpoint(x, until),
        100.0 - height,
        figures(&figure(level.used))
    )
}

fn end(level: &Level, line: &Timeline) -> f64 {
    if level.until_ms >= line.end_ms { 100.0 } else { share(level.until_ms, line) }
}

/// The same in figures: a row for each moment at which something begins or ends.
pub(super) fn table(plan: &Plan, line: &Timeline) -> String {
    let begins = line.spans.iter().map(|span| span.begin_ms);
    let moments: BTreeSet<u64> = begins.chain(line.spans.iter().map(|span| span.end_ms)).collect();
    let mut html = String::from(
        "<details class=\"figures\"><summary>The same in figures</summary>\n<div class=\"wide\"><table>\n\
         <caption>What happens when, and what each GPU holds from then on, in MiB</caption>\n\
         <thead><tr><th scope=\"col\">At</th><th scope=\"col\">Ends</th><th scope=\"col\">Begins</th>",
    );
    for gpu in &plan.gpus {
        let _ = write!(html, "<th scope=\"col\" class=\"number\">GPU {}</th>", prose(&gpu_name(plan, &gpu.id)));
    }
    html.push_str("</tr></thead>\n<tbody>\n");
    for at in moments {
        let of = |picked: &dyn Fn(usize) -> bool| {
            let picked = plan.steps.iter().enumerate().filter(|(position, _)| picked(*position));
            let names: Vec<String> = picked.map(|(_, step)| format!("{} {}", step.action, step.service)).collect();
            prose(&names.join(", "))
        };
        let ends = of(&|position| line.spans[position].end_ms == at);
        let begins = of(&|position| line.spans[position].begin_ms == at);
        let _ = write!(html, "<tr><th scope=\"row\">{}</th><td>{ends}</td><td>{begins}</td>", prose(&moment(at)));
        for levels in &line.gpus {
            let level = levels.iter().rev().find(|level| level.from_ms <= at);
            let used = level.map_or_else(String::new, |level| figure(level.used));
            let _ = write!(html, "<td class=\"number\">{}</td>", prose(&used));
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody></table></div>\n");
    html.push_str(&whole(plan));
    html.push_str("</details>\n");
    html
}

/// Each GPU over all orders that the plan allows, not in this course alone.
fn whole(plan: &Plan) -> String {
    if plan.gpus.is_empty() {
        return String::new();
    }
    let mut html = String::from(
        "<div class=\"wide\"><table>\n<caption>Each GPU, over every order that the plan allows, in MiB</caption>\n<thead><tr><th scope=\"col\">GPU</th>",
    );
    for head in ["Before", "Peak", "After", "Capacity", "Reserve", "Foreign"] {
        let _ = write!(html, "<th scope=\"col\" class=\"number\">{head}</th>");
    }
    html.push_str("</tr></thead>\n<tbody>\n");
    for gpu in &plan.gpus {
        let _ = write!(html, "<tr><th scope=\"row\">{}</th>", prose(&gpu_name(plan, &gpu.id)));
        let amounts = [gpu.before_mib, gpu.peak_mib, gpu.after_mib, gpu.capacity_mib, gpu.reserve_mib, gpu.foreign_mib];
        for amount in amounts {
            let _ = write!(html, "<td class=\"number\">{}</td>", prose(&figure(amount)));
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody></table></div>\n");
    html
}
