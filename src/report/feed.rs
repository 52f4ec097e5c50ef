//! Output of services, as whole lines that may be printed next to those of others.
//!
//! Secrets are masked here, where lines are formed: after a cut or a gap, a part of a secret can't be recognised.
//!
//! Into a pipe a line goes as it is. On a terminal its colours stay, up to its end, and all other control codes are
//! removed: a server's output must neither move the cursor nor rename the window.

use crate::model::names::ServiceName;
use crate::model::safe_text;
use crate::model::secret::Masker;
use crate::report::output::Output;
use crate::report::style::Style;

/// Longest line, in bytes. A longer one is shown in parts: a line without an end must not fill the memory.
const LINE_BYTES_MAX: usize = 64 << 10;

/// Colour codes that distinguish services; those with a meaning elsewhere (good, bad, attention) come last.
const TINTS: [u8; 10] = [36, 35, 34, 33, 32, 96, 95, 94, 93, 92];

const RESET: &str = "\u{1b}[0m";

/// Bytes of one service, collected into lines.
#[derive(Clone, Debug)]
pub struct Feed<'a> {
    masker: &'a Masker,
    /// Bytes of a line without an end yet.
    rest: Vec<u8>,
    /// True if the next bytes are the end of a line that began earlier.
    is_torn: bool,
}

impl<'a> Feed<'a> {
    #[must_use]
    pub fn new(masker: &'a Masker) -> Self {
        Self { masker, rest: Vec::new(), is_torn: false }
    }

    /// Returns the lines that are complete now, without line ends and secrets.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let Some(bytes) = self.after_the_tear(bytes) else { return Vec::new() };
        self.rest.extend_from_slice(bytes);
        let mut lines = Vec::new();
        let mut from = 0;
        while let Some(end) = self.rest[from..].iter().position(|byte| *byte == b'\n') {
            lines.push(self.text(&self.rest[from..from + end]));
            from += end + 1;
        }
        while self.rest.len() - from > LINE_BYTES_MAX + self.masker.bytes_max() {
            let cut = self.masker.cut(&self.rest[from..], LINE_BYTES_MAX);
            lines.push(self.text(&self.rest[from..from + cut]));
            from += cut;
        }
        self.rest.drain(..from);
        lines
    }

    /// Notes a gap. The line before it and the line after it are dropped as far as they are incomplete: either may be
    /// cut within a secret, and no part of one may be shown.
    pub fn skip(&mut self) {
        self.rest.clear();
        self.is_torn = true;
    }

    /// Returns the last line, if it has no end.
    pub fn end(&mut self) -> Option<String> {
        let rest = std::mem::take(&mut self.rest);
        (!rest.is_empty()).then(|| self.text(&rest))
    }

    /// Returns the bytes after the torn line, if its end is among them. A progress bar ends its lines with returns
    /// only.
    fn after_the_tear<'b>(&mut self, bytes: &'b [u8]) -> Option<&'b [u8]> {
        if self.is_torn {
            let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r'))?;
            self.is_torn = false;
            return Some(&bytes[end + 1..]);
        }
        Some(bytes)
    }

    fn text(&self, bytes: &[u8]) -> String {
        self.masker.mask(&String::from_utf8_lossy(bytes))
    }
}

/// Returns `web | `, as wide as the longest of `shown`. The colour follows the position among `all`, so that it is the
/// same for every choice of `shown`.
#[must_use]
pub fn prefix(name: &ServiceName, shown: &[ServiceName], all: &[&ServiceName], style: Style) -> String {
    let width = shown.iter().map(|name| name.as_str().chars().count()).max().unwrap_or(0);
    let padded = format!("{:width$} |", name.as_str());
    let place = all.iter().position(|other| *other == name).unwrap_or(0);
    if style.colored { format!("\u{1b}[{}m{padded}{RESET} ", TINTS[place % TINTS.len()]) } else { format!("{padded} ") }
}

/// Returns a line with its prefix. A pipe gets the line as written: it is data for other programs.
#[must_use]
pub fn shown(prefix: &str, line: &str, style: Style) -> Output {
    if style.width.is_none() {
        return Output::new(format!("{prefix}{line}\n"));
    }
    Output::new(format!("{prefix}{}\n", safe_text::drawn(line, style.colored)))
}

#[cfg(test)]
mod tests {
    use super::{Feed, LINE_BYTES_MAX, prefix, shown};
    use crate::model::names::ServiceName;
    use crate::model::secret::{Masker, Secret};
    use crate::report::style::Style;

    const TERMINAL: Style = Style { colored: true, width: Some(80), bars: true };

    #[test]
    fn lines_are_whole_however_they_arrive() {
        let text = "one\ntwo é three\n\nlast".as_bytes();
        for size in 1..=text.len() {
            let nothing = Masker::default();
            let mut feed = Feed::new(&nothing);
            let mut lines: Vec<String> = text.chunks(size).flat_map(|chunk| feed.push(chunk)).collect();
            assert_eq!(lines, ["one", "two é three", ""], "in parts of {size}");
            lines.extend(feed.end());
            assert_eq!(lines[3], "last");
            assert_eq!(feed.end(), None);
        }
    }

    #[test]
    fn a_line_without_an_end_is_shown_in_parts() {
        let nothing = Masker::default();
        let mut feed = Feed::new(&nothing);
        let lines: Vec<String> = (0..5).flat_map(|_| feed.push(&vec![b'x'; LINE_BYTES_MAX / 2])).collect();
        assert_eq!(lines.iter().map(String::len).collect::<Vec<_>>(), [LINE_BYTES_MAX; 2]);
        assert_eq!(feed.end().map(|rest| rest.len()), Some(LINE_BYTES_MAX / 2));
        assert_eq!(Feed::new(&nothing).push(b"\xff\xfe\n"), ["\u{fffd}\u{fffd}"]);
    }

    #[test]
    fn no_part_of_a_secret_is_shown() {
        let secret = "hf_0123456789abcdef";
        let masker = Masker::of([Secret::new(secret)].iter());
        // The secret at every position around the place where a line without an end is cut, and the line in every
        // split.
        for before in LINE_BYTES_MAX - secret.len() - 1..=LINE_BYTES_MAX + 1 {
            let line = format!("{}{secret}{}", "x".repeat(before), "y".repeat(100));
            for size in [1_000, line.len()] {
                let mut feed = Feed::new(&masker);
                let mut parts: Vec<String> = line.as_bytes().chunks(size).flat_map(|part| feed.push(part)).collect();
                parts.extend(feed.end());
                assert_eq!(parts.concat(), format!("{}***{}", "x".repeat(before), "y".repeat(100)), "{before} {size}");
            }
        }
        // The text before a gap and the text after it may be parts of one secret.
        let mut feed = Feed::new(&masker);
        assert_eq!(feed.push(b"whole\ntoken hf_0123"), ["whole"]);
        feed.skip();
        assert_eq!(feed.push(b"456789"), [""; 0]);
        assert_eq!(feed.push(b"abcdef\nwhole again\nrest"), ["whole again"]);
        assert_eq!(feed.end().as_deref(), Some("rest"));
    }

    #[test]
    fn a_pipe_gets_what_was_written() {
        let line = "\u{1b}]0;a title\u{7}10 %\r\u{1b}[31mred";
        assert_eq!(shown("web | ", line, Style::PLAIN), format!("web | {line}\n"));
        assert_eq!(shown("", line, TERMINAL), "\u{1b}[31mred\u{1b}[0m\n");
        assert_eq!(shown("web | ", line, Style { colored: false, ..TERMINAL }), "web | red\n");
    }

    #[test]
    fn prefixes_line_up_and_keep_their_colours() {
        let all = ["db", "long-name", "web"].map(ServiceName::from);
        let all: Vec<&ServiceName> = all.iter().collect();
        let of = |name: &str, shown: &[&str], style| {
            let shown: Vec<ServiceName> = shown.iter().map(|name| ServiceName::from(*name)).collect();
            prefix(&name.into(), &shown, &all, style)
        };
        assert_eq!(of("db", &["db", "long-name"], Style::PLAIN), "db        | ");
        assert_eq!(of("web", &["db", "web"], TERMINAL), "\u{1b}[34mweb |\u{1b}[0m ");
        assert_eq!(of("web", &["web", "db"], TERMINAL), of("web", &["db", "web"], TERMINAL));
        assert_ne!(of("db ", &["db"], TERMINAL)[..5], of("web", &["db"], TERMINAL)[..5]);
    }
}
