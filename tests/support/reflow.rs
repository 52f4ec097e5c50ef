//! In-memory terminal that reflows wrapped lines on a resize, as modern terminals do.

/// Returns the terminal in its new size. The cursor has to stand at the beginning of a line.
pub(crate) fn resized(terminal: &vt100::Parser, rows: u16, columns: u16) -> vt100::Parser {
    let screen = terminal.screen();
    let (above, width) = (screen.cursor_position().0, screen.size().1);
    let mut resized = vt100::Parser::new(rows, columns, 0);
    for (row, line) in (0..above).zip(screen.rows(0, width)) {
        let width = usize::from(width);
        let text = if screen.row_wrapped(row) { format!("{line:width$}") } else { format!("{line}\r\n") };
        resized.process(text.as_bytes());
    }
    resized
}
