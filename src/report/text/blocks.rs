//! Rows of a plan as blocks: columns are aligned across blocks, text that does not fit in a row is below it, and a
//! reason shared by several consecutive rows is shown once.

use crate::report::style::Style;
use crate::report::table::{self, Cell};
use crate::report::view::entry::Group;

/// Indent of reasons below their rows.
const INDENT: &str = "    ";

/// Least number of consecutive rows that share one reason, below the last of them. For two rows, separate reasons are
/// read faster.
const SHARED_MIN: usize = 3;

/// Row of one service in a plan.
pub(super) struct ServiceRow {
    pub(super) group: Group,
    /// Action and service.
    pub(super) cells: [Cell; 2],
    /// Shown next to the cells where they fit in all rows, else below: first the effect, then the route.
    pub(super) route: String,
    pub(super) effect: String,
    pub(super) reasons: Vec<String>,
    pub(super) diff: Vec<String>,
}

/// Returns the lines of each group.
pub(super) fn blocks(rows: &[ServiceRow], indent: usize, style: Style) -> Vec<Vec<String>> {
    let set = |beside: usize| {
        let row = |row: &ServiceRow| {
            row.cells.iter().cloned().chain(row.more().iter().take(beside).map(|more| Cell::new(*more))).collect()
        };
        table::lines(&rows.iter().map(row).collect::<Vec<_>>(), style)
    };
    let fits = |beside: &usize| table::fit(&set(*beside), indent, style);
    let beside = [2, 1].into_iter().find(fits).unwrap_or(0);
    let mut lines = set(beside).into_iter();
    let of_a_group = rows.chunk_by(|one, other| one.group == other.group);
    let block = |rows: &[ServiceRow]| {
        let mut block = Vec::new();
        for alike in rows.chunk_by(is_alike) {
            let is_shared = alike.len() >= SHARED_MIN;
            for row in alike {
                block.extend(lines.next());
                let more = row.more().into_iter().skip(beside).filter(|more| !more.is_empty());
                let reasons = row.reasons.iter().map(String::as_str).filter(|_| !is_shared);
                block.extend(more.chain(reasons).map(|line| format!("{INDENT}{line}")));
                block.extend(row.diff.iter().map(|line| format!("{INDENT}  {line}")));
            }
            let shared = alike[0].reasons.iter().filter(|_| is_shared);
            block.extend(shared.map(|reason| format!("{INDENT}all {}: {reason}", alike.len())));
        }
        block
    };
    of_a_group.map(block).collect()
}

impl ServiceRow {
    fn more(&self) -> [&str; 2] {
        [&self.route, &self.effect]
    }
}

fn is_alike(one: &ServiceRow, other: &ServiceRow) -> bool {
    one.reasons == other.reasons && one.diff.is_empty() && other.diff.is_empty()
}
