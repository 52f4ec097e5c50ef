//! How text is set. Colour is decoration: whatever it says, the text beside it says too.

use crate::model::harmless;

/// Whether text is painted, and how wide it may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    pub colored: bool,
    /// Columns of the terminal; `None` where nobody looks and a line may be as long as it is.
    pub width: Option<usize>,
    /// Amounts are drawn, beside being told.
    pub bars: bool,
}

/// What a stretch of text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// Comes up, or is well.
    Good,
    /// Goes away, or is broken.
    Bad,
    /// Changes, or wants attention.
    Warn,
    /// Can be skipped.
    Dim,
    Strong,
}

impl Paint {
    /// The eight colours that every terminal has, and that follow its theme.
    fn code(self) -> &'static str {
        match self {
            Self::Good => "32",
            Self::Bad => "31",
            Self::Warn => "33",
            Self::Dim => "2",
            Self::Strong => "1",
        }
    }
}

impl Style {
    pub const PLAIN: Self = Self { colored: false, width: None, bars: false };

    /// `text`, painted where there is colour, and with no code of others in it. Measure and pad before.
    #[must_use]
    pub fn paint(self, paint: Paint, text: &str) -> String {
        let text = harmless::line(text);
        if self.colored && !text.is_empty() { format!("\u{1b}[{}m{text}\u{1b}[0m", paint.code()) } else { text }
    }

    /// A unified diff, its lines painted by what they say.
    #[must_use]
    pub fn diff_line(self, line: &str) -> String {
        let line = harmless::line(line);
        match line.chars().next() {
            Some('+') => self.paint(Paint::Good, &line),
            Some('-') => self.paint(Paint::Bad, &line),
            Some('@') => self.paint(Paint::Dim, &line),
            Some(_) | None => line,
        }
    }
}
