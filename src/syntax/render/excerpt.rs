//! Excerpt of a file for problems: an overlong line is cut around the places in it, so that a file of one line does not
//! fill a terminal a hundred times over.

use miette::{LabeledSpan, MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};

/// Length from which a line is cut. The lines of hand-written manifests are far shorter.
const LINE_BYTES_MAX: usize = 240;
/// Bytes kept before the first place in a line.
const BEFORE_BYTES: usize = 80;
const CUT: &str = "…";

/// Text with its long lines cut, and the places in it.
#[derive(Debug)]
pub(super) struct SourceExcerpt {
    name: String,
    text: String,
    /// Bytes cut from the beginning of each line, which its columns lack.
    lost: Vec<usize>,
    pub(super) labels: Vec<LabeledSpan>,
}

impl SourceExcerpt {
    pub(super) fn new(name: String, text: &str, labels: Vec<LabeledSpan>) -> Self {
        let mut excerpt = Self { name, text: String::with_capacity(text.len().min(1 << 16)), lost: Vec::new(), labels };
        let places: Vec<usize> = excerpt.labels.iter().map(LabeledSpan::offset).collect();
        let mut begins = 0;
        for line in text.split_inclusive('\n') {
            let ends = begins + line.len();
            // At the end of the text a place may be behind its last line.
            let is_here = |place: &usize| (begins..ends).contains(place) || *place == ends && ends == text.len();
            excerpt.add(line, begins, places.iter().copied().enumerate().filter(|(_, place)| is_here(place)));
            begins = ends;
        }
        excerpt
    }

    /// Adds a line with the places in it, by their labels.
    fn add(&mut self, line: &str, begins: usize, places: impl Iterator<Item = (usize, usize)>) {
        let places: Vec<(usize, usize)> = places.map(|(label, place)| (label, place - begins)).collect();
        let content = line.trim_end_matches(['\n', '\r']);
        let first = places.iter().map(|(_, place)| *place).min().unwrap_or(0);
        let (mut from, mut to) = (0, line.len());
        if content.len() > LINE_BYTES_MAX {
            from = line.floor_char_boundary(first.saturating_sub(BEFORE_BYTES));
            to = line.floor_char_boundary(from + LINE_BYTES_MAX).min(content.len());
        }
        let mark = if from > 0 { CUT } else { "" };
        let shift = self.text.len() + mark.len();
        for (label, place) in places {
            let old = &self.labels[label];
            let (start, end) = (place.clamp(from, to), place.saturating_add(old.len()));
            // A place may span several lines: only its beginning is used then, as in a line that is cut.
            let length = if content.len() > LINE_BYTES_MAX { end.min(to) - start } else { old.len() };
            let text = old.label().map(str::to_owned);
            self.labels[label] = LabeledSpan::new(text, start - from + shift, length);
        }
        self.lost.push(from.saturating_sub(mark.len()));
        self.text.push_str(mark);
        self.text.push_str(&line[from..to]);
        if to < content.len() {
            self.text.push_str(CUT);
        }
        if to < line.len() {
            self.text.push('\n');
        }
    }
}

impl SourceCode for SourceExcerpt {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        lines_before: usize,
        lines_after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let read = self.text.read_span(span, lines_before, lines_after)?;
        let lost = self.lost.get(read.line()).copied().unwrap_or(0);
        let column = if read.column() == 0 { 0 } else { read.column() + lost };
        let (data, span, line, count) = (read.data(), *read.span(), read.line(), read.line_count());
        Ok(Box::new(MietteSpanContents::new_named(self.name.clone(), data, span, line, column, count)))
    }
}

#[cfg(test)]
mod tests {
    use miette::{LabeledSpan, SourceCode as _};

    use super::{LINE_BYTES_MAX, SourceExcerpt};

    fn excerpt(text: &str, place: usize, length: usize) -> SourceExcerpt {
        SourceExcerpt::new("a.yaml".to_owned(), text, vec![LabeledSpan::new(None, place, length)])
    }

    #[test]
    fn lines_of_usual_length_stay_as_they_are() {
        let text = "a: 1\nb: é\r\nc: 3";
        for place in 0..=text.len() {
            let excerpt = excerpt(text, place, 1);
            assert_eq!((excerpt.text.as_str(), excerpt.labels[0].offset()), (text, place));
        }
    }

    #[test]
    fn a_long_line_is_cut_around_its_place_which_keeps_its_column() {
        let line = "é".repeat(5_000);
        let text = format!("first\n{line}x{line}\nlast\n");
        let place = 6 + line.len();
        let excerpt = excerpt(&text, place, 3_000);
        let (at, length) = (excerpt.labels[0].offset(), excerpt.labels[0].len());
        assert!(excerpt.text[at..].starts_with('x') && excerpt.text.is_char_boundary(at + length));
        let lines: Vec<&str> = excerpt.text.lines().collect();
        assert!(lines.len() == 3 && lines[1].len() <= LINE_BYTES_MAX + 6, "{lines:?}");
        assert!(lines[1].starts_with("…é") && lines[1].ends_with("é…"));
        let read = excerpt.read_span(&(at, 1).into(), 0, 0).expect("read");
        assert_eq!((read.line(), read.column()), (1, line.len()));
        // A place in another line.
        assert_eq!(
            super::SourceExcerpt::new(String::new(), &text, vec![LabeledSpan::new(None, 2, 1)]).labels[0].offset(),
            2
        );
    }
}
