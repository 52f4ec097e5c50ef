//! Memory on each GPU, and its holders. Drawn at a terminal, a row of figures elsewhere.

use crate::model::names::GpuId;
use crate::model::safe_text;
use crate::report::bar::{BarParts, bar, legend};
use crate::report::status::document::GpuStatus;
use crate::report::status::memory::MemoryStatus;
use crate::report::style::{Paint, Style};
use crate::report::table::{self, Cell, figure};
use crate::report::view::memory::HOST_MEMORY;

/// Returns the lines of all GPUs, and of the host's memory.
pub(super) fn lines(gpus: &[GpuStatus], memory: Option<&MemoryStatus>, style: Style) -> Vec<String> {
    let titles: Vec<String> = gpus.iter().map(|gpu| format!("GPU {}", name(gpu, gpus))).collect();
    let titles: Vec<String> = titles.into_iter().chain(memory.map(|_| HOST_MEMORY.to_owned())).collect();
    let gpus: Vec<GpuStatus> = gpus.iter().cloned().chain(memory.map(as_gpu)).collect();
    let amounts = table::lines(&gpus.iter().map(amounts).collect::<Vec<_>>(), style);
    let heads: Vec<Vec<Cell>> = gpus.iter().zip(&titles).map(|(gpu, title)| head(gpu, title, style)).collect();
    let mut lines = Vec::new();
    if !style.bars {
        let rows =
            heads.into_iter().zip(&gpus).map(|(head, gpu)| [head, self::amounts(gpu), vec![remark(gpu)]].concat());
        return table::lines(&rows.collect::<Vec<_>>(), style);
    }
    for ((head, amounts), gpu) in table::lines(&heads, style).into_iter().zip(amounts).zip(&gpus) {
        lines.push(head);
        lines.push(format!("  {amounts}"));
        if !gpu.foreign_holders.is_empty() {
            lines.push(format!("  foreign: {}", safe_text::line(&gpu.foreign_holders.join(", "))));
        }
    }
    if !lines.is_empty() {
        lines.push(legend(style));
    }
    lines
}

/// Returns the host's memory in the form of a GPU's: both are drawn alike.
fn as_gpu(memory: &MemoryStatus) -> GpuStatus {
    let MemoryStatus { capacity_mib, reserve_mib, foreign_mib, declared_mib, measured_mib, used_mib, free_mib } =
        *memory;
    GpuStatus {
        id: GpuId::new(HOST_MEMORY),
        index: 0,
        name: String::new(),
        capacity_mib,
        reserve_mib,
        foreign_mib,
        foreign_holders: Vec::new(),
        declared_mib,
        measured_mib,
        used_mib,
        free_mib,
        declared: false,
        lost: None,
        unreadable: None,
    }
}

fn name(gpu: &GpuStatus, gpus: &[GpuStatus]) -> String {
    table::gpu_name(&gpu.id, gpus.iter().map(|gpu| (&gpu.id, gpu.index)))
}

fn head(gpu: &GpuStatus, title: &str, style: Style) -> Vec<Cell> {
    let mut head = vec![Cell::new(title).paint(Paint::Strong)];
    if style.bars {
        head.push(Cell::painted(if is_usable(gpu) { bar(parts(gpu), style) } else { String::new() }));
    }
    head.push(Cell::new(gpu.capacity_mib.to_string()).right());
    if style.bars {
        head.push(remark(gpu));
    }
    head
}

fn is_usable(gpu: &GpuStatus) -> bool {
    gpu.lost.is_none() && gpu.unreadable.is_none()
}

fn parts(gpu: &GpuStatus) -> BarParts {
    BarParts { capacity: gpu.capacity_mib, foreign: gpu.foreign_mib, used: gpu.used_mib, reserve: gpu.reserve_mib }
}

fn amounts(gpu: &GpuStatus) -> Vec<Cell> {
    let measured = gpu.measured_mib.map_or_else(|| "–".to_owned(), figure);
    let (over, free) = (parts(gpu).over(), figure(gpu.free_mib));
    vec![
        Cell::new(format!("declared {}", figure(gpu.declared_mib))),
        Cell::new(format!("measured {measured}")),
        Cell::new(format!("foreign {}", figure(gpu.foreign_mib))),
        Cell::new(format!("reserve {}", figure(gpu.reserve_mib))),
        match over.0 {
            0 => Cell::new(format!("free {free}")),
            _ => Cell::new(format!("over by {}", figure(over))).paint(Paint::Bad),
        },
    ]
}

fn remark(gpu: &GpuStatus) -> Cell {
    match (&gpu.lost, &gpu.unreadable) {
        (Some(why), _) => Cell::new(format!("lost: {why}")).paint(Paint::Bad),
        (None, Some(why)) => Cell::new(format!("unreadable: {why}")).paint(Paint::Warn),
        (None, None) if gpu.declared => Cell::new("from the manifest: no driver"),
        (None, None) => Cell::new(&gpu.name),
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::lines;
    use crate::model::size::Mebibytes;
    use crate::report::status::document::GpuStatus;
    use crate::report::style::Style;

    fn gpu(index: u32, foreign: u64, used: u64) -> GpuStatus {
        GpuStatus {
            id: crate::model::names::GpuId::new(format!("GPU-{index}")),
            index,
            name: "NVIDIA GeForce RTX 4090".to_owned(),
            capacity_mib: Mebibytes(24_564),
            reserve_mib: Mebibytes(512),
            foreign_mib: Mebibytes(foreign),
            foreign_holders: if foreign > 0 { vec!["Xorg".to_owned(), "chrome ×2".to_owned()] } else { Vec::new() },
            declared_mib: Mebibytes(used - foreign),
            measured_mib: Some(Mebibytes(used + 12)),
            used_mib: Mebibytes(used),
            free_mib: Mebibytes(24_564 - 512) - Mebibytes(used),
            declared: false,
            lost: None,
            unreadable: None,
        }
    }

    /// Returns a half-full GPU, a declared and overcommitted one, a lost one, and one that was never read.
    fn gpus() -> [GpuStatus; 4] {
        let declared = GpuStatus { declared: true, measured_mib: None, ..gpu(1, 0, 24_300) };
        let lost = Some("it fell off the bus".to_owned());
        let lost = GpuStatus { lost, measured_mib: None, free_mib: Mebibytes::ZERO, ..gpu(10, 0, 8_000) };
        let unreadable = Some("it does not answer".to_owned());
        let (capacity_mib, name) = (Mebibytes::ZERO, String::new());
        let unread = GpuStatus { unreadable, capacity_mib, name, measured_mib: None, ..gpu(11, 0, 8_000) };
        [gpu(0, 3_200, 12_000), declared, lost, GpuStatus { free_mib: Mebibytes::ZERO, ..unread }]
    }

    #[test]
    fn a_pipe_gets_a_row() {
        assert_snapshot!(lines(&gpus(), None, Style::PLAIN).join("\n"));
    }

    #[test]
    fn a_terminal_gets_bars() {
        let lines = lines(&gpus(), None, Style { width: Some(80), bars: true, ..Style::PLAIN });
        assert!(lines.iter().all(|line| line.chars().count() <= 78), "{lines:#?}");
        assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn without_gpus_there_is_nothing_to_explain() {
        assert!(lines(&[], None, Style { bars: true, ..Style::PLAIN }).is_empty());
    }
}
