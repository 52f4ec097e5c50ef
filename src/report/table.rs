//! Aligned columns, and the notation of numbers and times in every report.

use jiff::Timestamp;

use crate::model::names::{GpuId, StepId};
use crate::model::safe_text;
use crate::model::size::Mebibytes;
use crate::report::fold::columns;
use crate::report::style::{Paint, Style};

/// Gap between two columns.
const GAP: &str = "  ";

/// Cell of a table.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    text: String,
    paint: Option<Paint>,
    right: bool,
}

impl Cell {
    /// Returns a cell with any text as one line without terminal codes.
    pub fn new(text: impl AsRef<str>) -> Self {
        Self { text: safe_text::line(text.as_ref()), paint: None, right: false }
    }

    /// Returns a cell with lcm's own text, which may be painted.
    pub(super) fn painted(text: String) -> Self {
        Self { text, paint: None, right: false }
    }

    #[must_use]
    pub fn paint(self, paint: Paint) -> Self {
        Self { paint: Some(paint), ..self }
    }

    /// Aligns the cell to the right, as for figures.
    #[must_use]
    pub fn right(self) -> Self {
        Self { right: true, ..self }
    }
}

/// Returns each row as a line, without a newline and trailing spaces. The last cell of a row widens no column.
#[must_use]
pub fn lines(rows: &[Vec<Cell>], style: Style) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width_of = |column: usize| {
        let inner = rows.iter().filter(|row| row.len() > column + 1);
        inner.map(|row| width(&row[column].text)).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width_of).collect();
    rows.iter().map(|row| line(row, &widths, style)).collect()
}

/// Removes columns that are empty in all rows.
#[must_use]
pub fn without_empty_columns(mut rows: Vec<Vec<Cell>>) -> Vec<Vec<Cell>> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let is_empty = |column: usize| rows.iter().all(|row| row.get(column).is_none_or(|cell| cell.text.is_empty()));
    let empty: Vec<bool> = (0..columns).map(is_empty).collect();
    for row in &mut rows {
        let mut empty = empty.iter();
        row.retain(|_| empty.next() != Some(&true));
    }
    rows
}

fn line(row: &[Cell], widths: &[usize], style: Style) -> String {
    // Spaces are held back until text follows them, so that paint can't hide them at the end of a line.
    let (mut line, mut pending) = (String::new(), String::new());
    for (position, cell) in row.iter().enumerate() {
        let padding = " ".repeat(widths[position].saturating_sub(width(&cell.text)));
        let (before, after) = if cell.right { (padding.as_str(), "") } else { ("", padding.as_str()) };
        if position > 0 {
            pending.push_str(GAP);
        }
        pending.push_str(before);
        if !cell.text.is_empty() {
            line.push_str(&pending);
            pending.clear();
            line.push_str(&cell.paint.map_or_else(|| cell.text.clone(), |paint| style.paint(paint, &cell.text)));
        }
        pending.push_str(after);
    }
    line
}

/// Returns the width of a text, which may be painted.
fn width(text: &str) -> usize {
    columns(text)
}

/// Returns true if all lines, with this indent, fit the width as they are.
#[must_use]
pub fn fit<'a>(lines: impl IntoIterator<Item = &'a String>, indent: usize, style: Style) -> bool {
    style.width.is_none_or(|width| lines.into_iter().all(|line| columns(line) + indent <= width))
}

/// Returns `24 576`: a figure whose unit is elsewhere.
#[must_use]
pub fn figure(amount: Mebibytes) -> String {
    amount.to_string().trim_end_matches(" MiB").to_owned()
}

/// Returns `1 service`, `2 services`.
#[must_use]
pub fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// Returns the step `stop:ollama` in words: `stop ollama`.
#[must_use]
pub fn step_text(step: &StepId) -> String {
    step.to_string().replacen(':', " ", 1)
}

/// Returns `0`; the beginning of the id where several GPUs have the index: instances of one GPU share theirs.
pub(super) fn gpu_name<'a>(id: &GpuId, all: impl Iterator<Item = (&'a GpuId, u32)>) -> String {
    let all: Vec<(&GpuId, u32)> = all.collect();
    let index = all.iter().find(|(other, _)| *other == id).map(|(_, index)| *index);
    let alone = |index: &u32| all.iter().filter(|(_, other)| other == index).count() == 1;
    index.filter(alone).map_or_else(|| beginning(id, &all), |index| index.to_string())
}

/// Returns `MIG-3a9be2f0`: the id up to the second dash, if that is unique.
fn beginning(id: &GpuId, all: &[(&GpuId, u32)]) -> String {
    let short = id.as_str().match_indices('-').nth(1).map_or(id.as_str(), |(end, _)| &id.as_str()[..end]);
    let is_one = all.iter().filter(|(other, _)| other.as_str().starts_with(short)).count() <= 1;
    if is_one { short.to_owned() } else { id.to_string() }
}

/// Returns `a, b and c`.
#[must_use]
pub fn joined<T: AsRef<str>>(words: &[T]) -> String {
    match words {
        [] => String::new(),
        [one] => one.as_ref().to_owned(),
        [first @ .., last] => {
            let first: Vec<&str> = first.iter().map(AsRef::as_ref).collect();
            format!("{} and {}", first.join(", "), last.as_ref())
        }
    }
}

/// Returns `2h 03m`: the two largest units of the time between.
#[must_use]
pub fn elapsed(from: Timestamp, to: Timestamp) -> String {
    let seconds = to.duration_since(from).as_secs().max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match () {
        () if days > 0 => format!("{days}d {:02}h", hours % 24),
        () if hours > 0 => format!("{hours}h {:02}m", minutes % 60),
        () if minutes > 0 => format!("{minutes}m {:02}s", seconds % 60),
        () => format!("{seconds}s"),
    }
}

/// Returns the duration of a step: `12.3 s`, `2m 05s`.
#[must_use]
pub fn took(milliseconds: u64) -> String {
    let tenths = milliseconds.saturating_add(50) / 100;
    if tenths < 600 {
        format!("{}.{} s", tenths / 10, tenths % 10)
    } else {
        let seconds = milliseconds / 1000;
        format!("{}m {:02}s", seconds / 60, seconds % 60)
    }
}

/// Returns an approximate duration, rounded to usual steps: `95 s`, `2 min 30 s`, `1 h 10 min`.
#[must_use]
pub fn about(milliseconds: u64) -> String {
    // Upper bounds and steps, in seconds. A rounded `95 s` does not look as exact as `94.7 s` would.
    const STEPS: [(u64, u64); 4] = [(20, 1), (120, 5), (600, 30), (7_200, 60)];
    let exact = milliseconds.saturating_add(500) / 1000;
    let step = STEPS.iter().find(|(below, _)| exact < *below).map_or(600, |(_, step)| *step);
    let seconds = ((exact + step / 2) / step * step).max(1);
    let in_two = |large: u64, small: u64, units: [&str; 2]| match small {
        0 => format!("{large} {}", units[0]),
        small => format!("{large} {} {small} {}", units[0], units[1]),
    };
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => in_two(seconds / 60, seconds % 60, ["min", "s"]),
        7_200.. => in_two(seconds / 3_600, seconds % 3_600 / 60, ["h", "min"]),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::{Cell, about, elapsed, gpu_name, joined, lines, took};
    use crate::report::style::{Paint, Style};

    #[test]
    fn columns_line_up_and_lines_end_with_text() {
        let rows = [
            vec![Cell::new("a"), Cell::new("100").right(), Cell::new("a long remark at the end")],
            vec![Cell::new("long"), Cell::new("1").right(), Cell::new("")],
            vec![Cell::new("é").paint(Paint::Good), Cell::new("")],
        ];
        assert_eq!(lines(&rows, Style::PLAIN), ["a     100  a long remark at the end", "long    1", "é"]);
        assert_eq!(lines(&rows, Style { colored: true, ..Style::PLAIN })[2], "\u{1b}[32mé\u{1b}[0m");
    }

    #[test]
    fn a_gpu_is_named_by_its_index_where_that_is_unique() {
        let ids = ["GPU-a", "MIG-b", "MIG-c"].map(Into::into);
        let all = || ids.iter().zip([0, 1, 1]);
        assert_eq!(ids.each_ref().map(|id| gpu_name(id, all())), ["0", "MIG-b", "MIG-c"]);
        assert_eq!(gpu_name(&"gone".into(), all()), "gone");
        let ids = ["MIG-3a9be2f0-1111-5222", "MIG-77d0c1a4-1111-5222", "MIG-77d0c1a4-2222-5222"].map(Into::into);
        let all = || ids.iter().zip([0, 0, 0]);
        assert_eq!(
            ids.each_ref().map(|id| gpu_name(id, all())),
            ["MIG-3a9be2f0", "MIG-77d0c1a4-1111-5222", "MIG-77d0c1a4-2222-5222"]
        );
    }

    #[test]
    fn times_are_short() {
        let at = |second| Timestamp::from_second(second).expect("in range");
        assert_eq!(elapsed(at(0), at(59)), "59s");
        assert_eq!(elapsed(at(0), at(7_380)), "2h 03m");
        assert_eq!(elapsed(at(0), at(90_000)), "1d 01h");
        assert_eq!(elapsed(at(9), at(0)), "0s");
        assert_eq!((took(49), took(12_345), took(125_000)), ("0.0 s".into(), "12.3 s".into(), "2m 05s".into()));
        assert_eq!(took(u64::MAX), "307445734561825m 51s");
        assert_eq!(elapsed(Timestamp::MAX, Timestamp::MIN), "0s");
        assert_eq!(elapsed(Timestamp::MIN, Timestamp::MAX), "7304481d 20h");
        assert_eq!(about(u64::MAX), "5124095576030 h 30 min");
    }

    #[test]
    fn estimates_are_rounded_as_people_do() {
        let texts = [
            (3, "1 s"),
            (1_499, "1 s"),
            (4_200, "4 s"),
            (12_100, "12 s"),
            (19_700, "20 s"),
            (42_000, "40 s"),
            (94_732, "95 s"),
            (118_000, "2 min"),
            (140_000, "2 min 30 s"),
            (590_000, "10 min"),
            (2_680_000, "45 min"),
            (7_190_000, "2 h"),
            (7_700_000, "2 h 10 min"),
        ];
        for (milliseconds, expected) in texts {
            assert_eq!(about(milliseconds), expected, "{milliseconds}");
        }
    }

    #[test]
    fn words_are_listed() {
        assert_eq!(joined(&["a"]), "a");
        assert_eq!(joined(&["a", "b", "c"]), "a, b and c");
    }
}
